//! What is said about bottlenecks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds tasks up.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BottleneckKind {
    /// The work itself takes its time: asleep, or waiting for something outside.
    Service,
    /// The work itself takes its time, on a processor.
    Compute,
    /// Tasks are ready to run and have no processor.
    Cpu,
    /// Tasks wait for a place with an agent, or are turned away because there is none.
    Queue,
    /// As a queue, while others that could do the work have little to do.
    Imbalance,
    /// Tasks wait for a thread or a connection of a pool.
    Pool,
    /// Tasks wait for a lock, or for another thread that serves one at a time.
    Lock,
    /// Tasks wait for a disk.
    Disk,
    /// Memory: it has to be provided, or is short.
    Memory,
    /// A rate limit lets in fewer tasks than there are.
    RateLimit,
    /// Failed tries and the pauses after them.
    Retry,
    /// A budget is used up.
    Budget,
    /// A dependency, outside.
    Dependency,
    /// Tasks come to nothing.
    Errors,
    /// A resource that somebody has stated the figures of.
    Resource,
}

/// A component that holds tasks up.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Bottleneck {
    /// The agent, step or resource; `cpu` for the processors, `pool` for the kernel's threads.
    pub component: String,
    /// How it does so.
    pub kind: BottleneckKind,
    /// The agent that has most of this time, if any does.
    pub agent: Option<String>,
    /// The step (skill) that has most of this time.
    pub step: Option<String>,
    /// Share of the tasks' time that it costs, 0 to 1: on their critical paths, and what waits behind it. A task that came to nothing
    /// counts as one that has to be done again.
    pub share: f64,
    /// Of that share, by how.
    pub parts: Vec<Part>,
    /// The figures behind it, in words.
    pub evidence: Vec<String>,
    /// What would change, were it better.
    pub what_if: Vec<WhatIf>,
}

/// A part of what a component costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Part {
    /// How.
    pub kind: BottleneckKind,
    /// Share of the tasks' time.
    pub share: f64,
}

/// How something is changed that is estimated the effect of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Improvement {
    /// Its work takes so much less time, as a share, 0 or more and below 1: 0.2 for 20 % less.
    Faster(f64),
    /// It can do so many more at once.
    MoreCapacity(u32),
}

/// An estimate: the recorded tasks, done again with the change.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct WhatIf {
    /// The change.
    pub change: Improvement,
    /// Tasks a second, by what was: 1.25 for a quarter more.
    pub throughput: f64,
    /// The tasks' mean time from arrival to end, by what was: 0.8 for a fifth less.
    pub latency: f64,
    /// Tasks a second with the change.
    pub tasks_per_s: f64,
    /// The tasks' mean time with the change, seconds.
    pub latency_s: f64,
}

/// Figures of an agent or step as a queue.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct StationView {
    /// The step (skill).
    pub step: String,
    /// The agent.
    pub agent: Option<String>,
    /// Arrivals in the window.
    pub arrivals: u64,
    /// Arrivals a second.
    pub arrivals_per_s: f64,
    /// Mean number in service.
    pub in_service: f64,
    /// Mean number waiting.
    pub waiting: f64,
    /// Seconds that one takes, on average.
    pub service_s: f64,
    /// Seconds that one waits before, on average.
    pub wait_s: f64,
    /// How many it can do at once, where that is known.
    pub capacity: Option<f64>,
    /// Share of its capacity that is in use (utilisation law: arrivals × service time ÷ capacity).
    pub utilisation: Option<f64>,
    /// Mean number in the station that Little's law gives (arrivals a second × mean time in it).
    pub little: f64,
    /// What was observed instead, over the time from the first arrival to the last end.
    pub observed: f64,
    /// Squared coefficient of variation of the times between arrivals.
    pub arrival_scv: f64,
    /// Squared coefficient of variation of the service times.
    pub service_scv: f64,
    /// Mean wait that Allen and Cunneen's formula gives, seconds; nothing where the capacity is unknown or used up.
    pub estimated_wait_s: Option<f64>,
    /// Share that came to nothing.
    pub failed: f64,
}

/// Utilisation, saturation and errors of a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ResourceFigures {
    /// Its name, 1 to 200 bytes.
    pub name: String,
    /// Share that is in use, 0 to 1.
    #[serde(default)]
    pub utilisation: Option<f64>,
    /// Share of the time that work is held up for want of it, 0 to 1.
    #[serde(default)]
    pub saturation: Option<f64>,
    /// Share of its uses that fail, 0 to 1.
    #[serde(default)]
    pub errors: Option<f64>,
    /// Whether these are the whole machine's figures, to which others add: then they are shown, and what they cost the tasks is
    /// what was measured of these.
    #[serde(default)]
    pub shared: bool,
}

impl ResourceFigures {
    /// Of this name, with nothing said.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// What comes of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BottleneckVerdict {
    /// The first of those ranked is the bottleneck.
    Found,
    /// Nothing is: there is little to do, and nothing waits. Those ranked say where the time goes.
    LightLoad,
    /// No task has ended in the window.
    NoTasks,
}

/// The one answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Bottlenecks {
    /// What comes of looking.
    pub verdict: BottleneckVerdict,
    /// The answer in a sentence.
    pub says: String,
    /// Components by what they cost, the most first.
    pub ranked: Vec<Bottleneck>,
    /// Tasks that were gone by.
    pub tasks: u64,
    /// From the first arrival to the last end, seconds.
    pub seconds: f64,
    /// Tasks a second.
    pub tasks_per_s: f64,
    /// The tasks' mean time from arrival to end, seconds.
    pub latency_s: f64,
    /// Share of the tasks' time that was spent waiting.
    pub waiting: f64,
    /// The mean time of the recorded tasks done again without a change, by what it was: 1 where the estimates stand on firm ground.
    /// Nothing where they could not be done again; then there are no estimates.
    pub replayed: Option<f64>,
    /// Spans that were pushed out of the window for want of room.
    pub forgotten: u64,
    /// Each agent and step as a queue.
    pub stations: Vec<StationView>,
    /// Utilisation, saturation and errors of each resource.
    pub resources: Vec<ResourceFigures>,
}
