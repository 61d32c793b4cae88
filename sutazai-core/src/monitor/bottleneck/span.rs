//! What is told of a piece of work that has ended.

use std::sync::Arc;

use crate::base::time::Moment;

/// A piece of work that has ended: a call, one try of it, or a step of the host's own. Those with a parent are parts of it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkSpan {
    /// Its number, unlike all others of the window.
    pub id: u64,
    /// What it is part of.
    pub parent: Option<u64>,
    /// What was done: the skill, or the step's name.
    pub step: Arc<str>,
    /// Who did it, if that is somebody.
    pub agent: Option<Arc<str>>,
    /// Who asked for it: those of one client that never overlap were made one after the other.
    pub client: u64,
    /// When it was asked for.
    pub arrived: Moment,
    /// When it was begun: it has waited until then.
    pub started: Moment,
    /// When it was done.
    pub ended: Moment,
    /// What it is known to have waited for, before its begin or since.
    pub waits: Vec<Wait>,
    /// What the thread did that worked on it, as far as that was looked at.
    pub activity: Activity,
    /// Why it came to nothing, if it did.
    pub failure: Option<Failure>,
}

impl WorkSpan {
    /// One that begins when it is asked for, and takes no time.
    pub fn new(id: u64, step: impl Into<Arc<str>>, at: Moment) -> Self {
        Self {
            id,
            parent: None,
            step: step.into(),
            agent: None,
            client: 0,
            arrived: at,
            started: at,
            ended: at,
            waits: Vec::new(),
            activity: Activity::default(),
            failure: None,
        }
    }
}

/// Time that was spent waiting for something that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// What for.
    pub on: WaitFor,
    /// Its name: the agent, the lock, the limit.
    pub what: Arc<str>,
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
}

/// What work waits for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// A place with an agent.
    Place,
    /// A thread or connection of a pool.
    Pool,
    /// A lock.
    Lock,
    /// A rate limit.
    RateLimit,
    /// Another try, after one that failed.
    Retry,
    /// A budget.
    Budget,
    /// A disk.
    Disk,
    /// Another service, or the network.
    Dependency,
}

/// Why a piece of work came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// A rate limit left no room.
    RateLimit,
    /// A queue was full, or as much was under way as may be.
    Full,
    /// A budget was used up.
    Budget,
    /// It took too long.
    Late,
    /// Anything else.
    Failed,
}

/// What the thread did that worked on a span. Seconds were measured from begin to end; looks were taken now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Seconds on the thread, where they were measured; 0 where they were not.
    pub measured_s: f64,
    /// Of these, on a processor.
    pub cpu_s: f64,
    /// Of these, ready to run and without a processor.
    pub runnable_s: f64,
    /// Of those on a processor, in the system for memory.
    pub memory_s: f64,
    /// Looks that found it on a processor, or ready for one.
    pub running: u32,
    /// Looks that found it waiting for another thread of the process.
    pub locked: u32,
    /// Looks that found it waiting for a disk.
    pub disk: u32,
    /// Looks that found it asleep, or waiting for something outside.
    pub asleep: u32,
}

impl Activity {
    pub(super) fn looks(&self) -> f64 {
        f64::from(self.running)
            + f64::from(self.locked)
            + f64::from(self.disk)
            + f64::from(self.asleep)
    }
}
