//! One life of an agent, as the child of a tree.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::Plan;
use crate::agent::AgentState;
use crate::base::time::Moment;
use crate::kernel::caught;
use crate::kernel::shared::Shared;
use crate::port::{
    Agent, AgentHost, Candidate as _, Child, ChildExit, ChildLife, ChildReport, ChildStart,
};
use crate::{Code, Error, Result};

/// How long what hangs has to let go of what it holds before another one is started.
const LET_GO: Duration = Duration::from_secs(2);

pub(super) struct AgentChild {
    plan: Arc<Plan>,
    /// Its number among the agent's lives.
    life: u64,
    /// The first life of all: the agent is registered with it.
    first: bool,
    state: Mutex<State>,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    report: Option<ChildReport>,
    /// Its start is under way.
    starts: bool,
    /// Why it ended, or is to end, before it had started.
    early: Option<Error>,
}

impl AgentChild {
    pub(super) fn of(plan: &Weak<Plan>, life: &ChildLife) -> Result<Arc<dyn Child>> {
        let plan = plan.upgrade().ok_or_else(|| {
            Error::new(Code::NOT_RUNNING, "the agent has been removed").with("child", &life.path)
        })?;
        let first = plan.entry.state() == AgentState::Registered;
        let child = Arc::new_cyclic(|me| Self {
            plan: Arc::clone(&plan),
            life: plan.lives.next(),
            first,
            state: Mutex::default(),
            me: me.clone(),
        });
        *plan.present.lock() = Arc::downgrade(&child);
        Ok(child)
    }

    /// The agent for this life, started.
    fn bring_up(&self, shared: &Arc<Shared>) -> Result<Arc<dyn Agent>> {
        let plan = &self.plan;
        let first = plan.first.lock().take();
        let agent = first.map_or_else(|| caught(|| (plan.make)()), Ok)?;
        let card = caught(|| Ok(agent.card()))?;
        if card.name != *plan.entry.name() {
            return Err(Error::new(Code::INVALID, "the agent has another name than before")
                .with("agent", plan.entry.name())
                .with("name", &card.name));
        }
        let me = self.me.clone();
        let host = AgentHost::new(Arc::clone(&shared.runtime), shared.kept.log().clone());
        let host = host.supervised().on_end(move |why| {
            if let Some(child) = me.upgrade() {
                drop(child.ended(&why));
            }
        });
        caught(|| agent.start(&host))?;
        Ok(agent)
    }

    /// Starts the agent, and gives it what waits.
    fn begin(&self, shared: &Arc<Shared>) -> Result<()> {
        let lives = &self.plan.lives;
        let agent = self.bring_up(shared)?;
        let stopped = lives.begin(self.life, agent).err();
        let early = {
            let mut state = self.state.lock();
            state.starts = false;
            state.early.take()
        };
        let early = match (early, &stopped) {
            (Some(why), _) => why,
            (None, Some(_)) => Error::new(Code::NOT_RUNNING, "the agent has been stopped"),
            (None, None) => return Ok(()),
        };
        if let Some(agent) = stopped.or_else(|| lives.end(self.life, &early)) {
            stop(&*agent, shared.runtime.now());
        }
        Err(early)
    }

    /// The life is over; the agent, unless somebody else has it, and whether this was the first to say so.
    fn ended(&self, why: &Error) -> Option<Arc<dyn Agent>> {
        let report = {
            let mut state = self.state.lock();
            if state.starts {
                // Its start fails.
                state.early.get_or_insert_with(|| why.clone());
                return None;
            }
            state.report.take()?
        };
        let agent = self.over(&format!("it has ended: {why}"), why);
        report.exited(ChildExit::Failed(why.clone()));
        agent
    }

    fn over(&self, what: &str, why: &Error) -> Option<Arc<dyn Agent>> {
        let plan = &self.plan;
        if !plan.lives.is_turn(self.life) {
            // Another life has begun, or is about to.
            return None;
        }
        if let Some(shared) = plan.shared.upgrade() {
            shared.turn(&plan.entry, AgentState::Failed, what.to_owned());
            shared.liveness.forget(&plan.entry);
        }
        plan.lives.end(self.life, why)
    }

    /// It gives no sign of life: what hangs is given a moment to let go of what it holds.
    pub(super) fn is_silent(&self, why: &Error) {
        let Some(report) = self.state.lock().report.take() else { return };
        let agent = self.over(&format!("it was found dead: {why}"), why);
        if let (Some(agent), Some(shared)) = (agent, self.plan.shared.upgrade()) {
            let now = shared.runtime.now();
            if shared.runtime.may_block() {
                // On a thread of its own: it hangs.
                let (done, ended) = crossbeam_channel::bounded::<()>(1);
                let thread = std::thread::Builder::new().name("sutazai-agents-1".to_owned());
                let _ = thread.spawn(move || {
                    stop(&*agent, now);
                    drop(done);
                });
                let _ = crate::base::runtime::block(|| ended.recv_timeout(LET_GO));
            } else {
                stop(&*agent, now);
            }
        }
        report.exited(ChildExit::Failed(why.clone()));
    }
}

fn stop(agent: &dyn Agent, deadline: Moment) {
    let _ = caught(|| {
        agent.stop(deadline);
        Ok(())
    });
}

impl Child for AgentChild {
    fn start(&self, report: ChildReport, _: Moment) -> Result<ChildStart> {
        let plan = &self.plan;
        let Some(shared) = plan.shared.upgrade() else {
            return Err(Error::new(Code::NOT_RUNNING, "the kernel has gone"));
        };
        let from = [AgentState::Registered, AgentState::Failed];
        let why = if self.first { "its supervisor starts it" } else { "it is started again" };
        let begins = plan.entry.turn_from(&from, AgentState::Starting, why);
        shared.tell_states(&plan.entry);
        if !begins {
            // It has been removed.
            report.exited(ChildExit::Normal);
            return Ok(ChildStart::Ignored);
        }
        if self.first {
            shared.recall(&plan.entry);
        }
        {
            let mut state = self.state.lock();
            (state.report, state.starts) = (Some(report), true);
        }
        if let Err(error) = self.begin(&shared) {
            let report = {
                let mut state = self.state.lock();
                state.starts = false;
                state.report.take()
            };
            // Without the report it was stopped meanwhile, and the next life may be there already.
            if report.is_some() {
                shared.turn(&plan.entry, AgentState::Failed, format!("it did not start: {error}"));
            }
            drop(report);
            return Err(error.with("agent", plan.entry.name()));
        }
        plan.entry.set_holds(true);
        shared.is_up(&plan.entry, &[AgentState::Starting], "it has started");
        shared.watch(&plan.entry);
        if self.state.lock().report.is_none() {
            // It ended before it was watched.
            shared.liveness.forget(&plan.entry);
        }
        if self.first {
            let card = plan.entry.card();
            let event = serde_json::json!({"agent": &*card.name, "version": card.version});
            shared.publish("agent.registered", event);
        }
        shared.offer(&plan.entry);
        Ok(ChildStart::Running)
    }

    fn stop(&self, deadline: Moment) -> Result<()> {
        let why = Error::new(Code::NOT_RUNNING, "the agent's supervisor has stopped it");
        let report = {
            let mut state = self.state.lock();
            if state.starts {
                state.early.get_or_insert_with(|| why.clone());
            }
            state.report.take()
        };
        if let Some(agent) = self.over("its supervisor has stopped it", &why) {
            stop(&*agent, deadline);
        }
        if let Some(report) = report {
            report.exited(ChildExit::Shutdown);
        }
        Ok(())
    }

    fn kill(&self) {
        let _ = self.stop(Moment::ZERO);
    }
}
