//! Whether the kernel's agents live: they are asked now and then, one timer for all, and what comes of it is
//! their state. The verdicts are those of [`Detector`](crate::agent::Detector).
//!
//! | subject | what it says |
//! |---|---|
//! | `agent.liveness` | what is thought of an agent's life has changed, and why |
//!
//! A question is put where the agent's calls run, on the pool mostly, and its time counts from there: a pool
//! that is full makes nobody silent. While a question is open its agent is looked at every second, so that
//! a timer that comes late tells of a pause of this side, which is taken from everybody's silence.

mod consequence;
mod table;

use std::sync::Arc;

use parking_lot::Mutex;
use table::{News, Table};

use super::Change;
use super::handle::Kernel;
use super::shared::Shared;
use crate::agent::{AgentState, Entry, LivenessView};
use crate::base::runtime::Runtime;
use crate::base::ticket;
use crate::base::time::Moment;
use crate::port::{Beat, Candidate as _, LivenessPolicy, RunMode};
use crate::{Error, Result};

/// Who is watched, and what is known of them.
#[derive(Default)]
pub(super) struct Liveness(Mutex<Table>);

/// A question, on its way to an agent.
struct Question {
    entry: Arc<Entry>,
    number: u64,
}

impl Kernel {
    /// Says how it is watched whether an agent lives, whatever its connector would say: by this policy; `None`
    /// for not at all. It holds for the versions of the agent that take over as well, until it is removed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sutazai_core::agent::{Vitality, from_fn};
    /// use sutazai_core::kernel::Kernel;
    /// use sutazai_core::port::{AgentCard, LivenessPolicy, Task};
    ///
    /// let echo = from_fn(AgentCard::new("echo", ["echo"]), |task: &Task| Ok(task.input().clone()));
    /// let kernel = Kernel::builder().agent(echo).build()?;
    /// kernel.start()?;
    /// assert!(kernel.agent("echo").unwrap().liveness.is_none(), "a function cannot die");
    /// let policy = LivenessPolicy::default().interval(Duration::from_secs(1));
    /// kernel.set_liveness("echo", Some(policy))?;
    /// assert_eq!(kernel.agent("echo").unwrap().liveness.unwrap().state, Vitality::Alive);
    /// # kernel.stop(Duration::from_secs(1))?;
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) when there is no agent of this name;
    /// [`Code::INVALID`](crate::Code::INVALID) as [`LivenessPolicy::check`].
    pub fn set_liveness(&self, agent: &str, policy: Option<LivenessPolicy>) -> Result<()> {
        let operation = |error: Error| error.operation("agent.liveness_set");
        if let Some(policy) = &policy {
            policy.check().map_err(operation)?;
        }
        let shared = &self.shared;
        let versions = shared.agents.versions_of(agent);
        let Some(entry) = versions.first() else {
            return Err(operation(shared.no_agent_named(agent)));
        };
        let change = Change::configuration("agent.liveness_set", agent);
        let set = || {
            shared.liveness.0.lock().own.insert(Arc::clone(entry.name()), policy);
            Ok(())
        };
        shared.changes(change, set).map_err(operation)?;
        for entry in versions.iter().filter(|entry| entry.state().is_up()) {
            shared.watch(entry);
        }
        Ok(())
    }
}

impl Liveness {
    /// What is known of an agent.
    pub(super) fn view(&self, entry: &Arc<Entry>, now: Moment) -> Option<LivenessView> {
        self.0.lock().view(entry, now)
    }

    /// Whether an agent is thought to live, or is not watched.
    pub(super) fn lives(&self, entry: &Arc<Entry>) -> bool {
        self.0.lock().lives(entry)
    }

    /// An agent is watched no longer.
    pub(super) fn forget(&self, entry: &Arc<Entry>) {
        self.0.lock().forget(entry);
    }

    /// Forgets what the host said of an agent.
    pub(super) fn forget_policy(&self, agent: &str) {
        self.0.lock().own.remove(agent);
    }

    /// The kernel stops: nobody is watched any more.
    pub(super) fn stop(&self, runtime: &dyn Runtime) {
        let timer = {
            let mut table = self.0.lock();
            let timer = table.timer.take();
            *table = Table::default();
            table.stopped = true;
            timer
        };
        if let Some((_, timer)) = timer {
            runtime.cancel(timer);
        }
    }
}

impl Shared {
    /// Watches an agent that has started, as its host says, or else as it says itself.
    pub(super) fn watch(self: &Arc<Self>, entry: &Arc<Entry>) {
        let own = self.liveness.0.lock().own.get(entry.name()).cloned();
        let policy = own.unwrap_or_else(|| {
            let asked = super::caught(|| Ok(entry.with_agent(|agent| agent.liveness()).flatten()));
            asked.ok().flatten().filter(|policy| policy.check().is_ok())
        });
        let (now, watched) = (self.runtime.now(), policy.is_some());
        {
            let mut table = self.liveness.0.lock();
            match policy {
                Some(policy) => table.watch(entry, policy, now),
                None => table.forget(entry),
            }
        }
        if !watched {
            // Nobody would find out that it answers again.
            self.is_up(entry, &[AgentState::Unreachable], "it is watched no longer");
        }
        self.arm_liveness();
    }

    /// Sets the timer for what is due next, if none is set for so soon.
    fn arm_liveness(self: &Arc<Self>) {
        let now = self.runtime.now();
        let Some(at) = self.liveness.0.lock().wants_timer(now) else { return };
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.tick_liveness(at);
            }
        });
        let timer = self.runtime.spawn_at(at, job);
        let stale = self.liveness.0.lock().armed(at, timer);
        if let Some(stale) = stale {
            self.runtime.cancel(stale);
        }
    }

    fn tick_liveness(self: &Arc<Self>, at: Moment) {
        let now = self.runtime.now();
        let questions = {
            let mut table = self.liveness.0.lock();
            if !table.fires(at) {
                return;
            }
            table.tick(at, now)
        };
        self.tell_liveness();
        for question in questions {
            self.bring(question);
        }
        self.arm_liveness();
    }

    /// Puts a question where the agent's calls run.
    fn bring(self: &Arc<Self>, question: Question) {
        if question.entry.card().run == RunMode::Inline {
            return self.ask_whether_alive(&question);
        }
        let shared = Arc::clone(self);
        let (entry, number) = (Arc::clone(&question.entry), question.number);
        let job = Box::new(move || shared.ask_whether_alive(&question));
        if let Err(refused) = self.runtime.spawn_blocking(job) {
            // It is asked another time.
            self.liveness.0.lock().not_put(&entry, number);
            drop(refused.work);
        }
    }

    fn ask_whether_alive(self: &Arc<Self>, question: &Question) {
        let Question { entry, number } = question;
        if !self.liveness.0.lock().is_put(entry, *number, self.runtime.now()) {
            return;
        }
        let (ticket, reply) = ticket::pair();
        let (weak, asked, number) = (Arc::downgrade(self), Arc::downgrade(entry), *number);
        ticket.on_done(move |answer| {
            if let (Some(shared), Some(entry)) = (weak.upgrade(), asked.upgrade()) {
                shared.told_whether_alive(&entry, number, answer);
            }
        });
        // An agent that panics lets go of its reply, which is no sign of life.
        let _ = super::caught(|| {
            entry.with_agent(|agent| agent.beat(reply));
            Ok(())
        });
        self.liveness.0.lock().was_put();
    }

    fn told_whether_alive(self: &Arc<Self>, entry: &Arc<Entry>, number: u64, answer: Result<Beat>) {
        self.liveness.0.lock().answered(entry, number, answer, self.runtime.now());
        self.tell_liveness();
        self.arm_liveness();
    }

    /// Does what follows from what there is to tell, in order; another thread that is at it does that.
    fn tell_liveness(self: &Arc<Self>) {
        let mut first = true;
        loop {
            let news: Option<News> = {
                let mut table = self.liveness.0.lock();
                if first && table.telling {
                    return;
                }
                first = false;
                let next = table.news.pop_front();
                table.telling = next.is_some();
                next
            };
            match news {
                Some(news) => self.follow_from(news),
                None => return,
            }
        }
    }
}
