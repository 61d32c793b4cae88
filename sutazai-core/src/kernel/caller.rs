//! Who calls, and under which conditions.

use std::any::Any;
use std::sync::Arc;

use super::call::Refusal;
use super::shared::{Phase, Shared};
use crate::agent::{AgentState, Entry};
use crate::base::lineage::Lineage;
use crate::base::time::{Moment, Timestamp};
use crate::port::{Access, Candidate as _, Candidates as _, Decision, Means, Session, Task};
use crate::{Code, Error};

/// Who calls, and under which conditions.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) session: Session,
    /// What calls within this one are bound to; `None` for a call from inside the process, within which
    /// calls are that again.
    pub(super) bond: Option<Arc<Bond>>,
    /// Parts of the answer that are not for this caller.
    pub(super) redact: Option<Arc<[String]>>,
}

/// What goes for all calls within a call.
pub(super) struct Bond {
    /// They are made for whoever made that one.
    session: Session,
    /// They change nothing.
    read_only: bool,
}

impl Bond {
    fn of(task: &Task) -> Option<&Self> {
        let bond: &dyn Any = &**task.lineage().and_then(Lineage::bond)?;
        bond.downcast_ref()
    }
}

impl Shared {
    /// Who calls, and whether they may: the authenticate and the authorise step. A call within another one that
    /// brings no token is made for whoever made that one. What the policy asks for is seen to here, as far as it
    /// can be before the agent has the task.
    pub(super) fn identify(
        &self,
        task: &mut Task,
        token: Option<&str>,
        now: Moment,
    ) -> Result<Caller, Refusal> {
        let (session, decision, wall) = self.decide(task, token, now)?;
        let outer = Bond::of(task);
        let bound = token.is_some() || outer.is_some();
        let mut read_only = outer.is_some_and(|outer| outer.read_only);
        let mut redact = None;
        if let Decision::AllowIf(obligations) = decision {
            let met = self.oblige(task, &session, &obligations, now, wall)?;
            read_only |= met.read_only;
            redact = met.redact;
        }
        if read_only {
            task.read_only();
        }
        let bond =
            (bound || read_only).then(|| Arc::new(Bond { session: session.clone(), read_only }));
        Ok(Caller { session, bond, redact })
    }

    /// Who calls, where they may, and what is asked for besides.
    pub(super) fn recognise(
        &self,
        task: &Task,
        token: Option<&str>,
        now: Moment,
    ) -> Result<(Session, Decision, Timestamp), Refusal> {
        self.decide(task, token, now)
    }

    fn decide(
        &self,
        task: &Task,
        token: Option<&str>,
        now: Moment,
    ) -> Result<(Session, Decision, Timestamp), Refusal> {
        let phase = self.phase();
        if phase != Phase::Running {
            return Err(Refusal::early(super::call::not_running(phase)));
        }
        #[cfg(feature = "recovery")]
        self.heal.admits().map_err(Refusal::early)?;
        if let Some(terms) = task.given_terms() {
            terms.check().map_err(Refusal::early)?;
        }
        let wall = self.clock.wall(now);
        let authenticator = &self.steps.authenticator;
        let session = match Bond::of(task) {
            Some(outer) if token.is_none() => {
                authenticator.still_good(&outer.session, wall).map_err(Refusal::early)?;
                outer.session.clone()
            }
            _ => authenticator.authenticate(token, wall).map_err(Refusal::early)?,
        };
        let means = Doers { shared: self, task };
        match self.steps.policy.decide(&Access::call(&session, task, wall).by(&means)) {
            Decision::Deny { reason } => {
                let error = denied(&session, task).with("reason", reason);
                Err(Refusal { error, session: Some(session), entry: None, ask: None })
            }
            allowed => Ok((session, allowed, wall)),
        }
    }
}

/// Whoever would do a task.
struct Doers<'a> {
    shared: &'a Shared,
    task: &'a Task,
}

impl Doers<'_> {
    fn is_unwell(&self, entry: &Entry) -> bool {
        #[cfg(feature = "recovery")]
        if self.shared.guards.troubled().is_in_trouble(entry.name()) {
            return true;
        }
        !matches!(entry.state(), AgentState::Ready | AgentState::Registered | AgentState::Starting)
    }

    /// The agents that may get it.
    fn among(&self) -> Vec<Arc<Entry>> {
        match self.task.wanted_agent() {
            Some(name) => self.shared.agents.get(name).into_iter().collect(),
            None => {
                let all = self.shared.agents.with_skill(self.task.skill());
                let all = all.iter().flat_map(|all| (0..all.len()).filter_map(|at| all.entry(at)));
                all.map(Arc::clone).collect()
            }
        }
    }
}

impl Means for Doers<'_> {
    fn trouble(&self) -> f64 {
        let actor = self.task.lineage().and_then(|outer| self.shared.agents.get(outer.who()));
        let among = self.among();
        // One that is well will get it, where there is one.
        let nobody = !among.is_empty() && among.iter().all(|entry| self.is_unwell(entry));
        f64::from(nobody || actor.is_some_and(|actor| self.is_unwell(&actor)))
    }

    fn sensitivity(&self) -> f64 {
        let of = |entry: &Arc<Entry>| {
            entry.card().about.get(self.task.skill()).map_or(0, |about| about.sensitivity)
        };
        f64::from(self.among().iter().map(of).max().unwrap_or(0)) / 100.0
    }
}

/// The answer to somebody who may not.
pub(super) fn denied(session: &Session, task: &Task) -> Error {
    Error::new(Code::DENIED, "the policy does not allow this call")
        .operation("kernel.call")
        .with("principal", session.principal())
        .with("skill", task.skill())
}
