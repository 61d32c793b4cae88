//! Who calls, and under which conditions.

use std::any::Any;
use std::sync::Arc;

use super::call::Refusal;
use super::shared::{Phase, Shared};
use crate::base::lineage::Lineage;
use crate::base::time::{Moment, Timestamp};
use crate::port::{Access, Decision, Session, Task};
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

    /// Who calls, where they may, whatever is asked for besides.
    pub(super) fn recognise(
        &self,
        task: &Task,
        token: Option<&str>,
        now: Moment,
    ) -> Result<Session, Refusal> {
        self.decide(task, token, now).map(|(session, ..)| session)
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
        match self.steps.policy.decide(&Access::call(&session, task, wall)) {
            Decision::Deny { reason } => {
                let error = denied(&session, task).with("reason", reason);
                Err(Refusal { error, session: Some(session), entry: None, ask: None })
            }
            allowed => Ok((session, allowed, wall)),
        }
    }
}

/// The answer to somebody who may not.
pub(super) fn denied(session: &Session, task: &Task) -> Error {
    Error::new(Code::DENIED, "the policy does not allow this call")
        .operation("kernel.call")
        .with("principal", session.principal())
        .with("skill", task.skill())
}
