//! What a policy asks for where it allows: seen to, or the call is refused.

use std::sync::Arc;
use std::time::Duration;

use super::approval::Ask;
use super::call::Refusal;
use super::caller::denied;
use super::shared::Shared;
use crate::base::time::{Moment, Timestamp};
use crate::port::{Obligation, Session, Task};
use crate::{Code, Error};

/// What is left to do of what was asked for.
#[derive(Default)]
pub(super) struct Met {
    pub(super) read_only: bool,
    pub(super) redact: Option<Arc<[String]>>,
}

impl Shared {
    /// Sees to what a policy asks for. The approval is asked for last: nobody is bothered with a call that may
    /// not be made anyway.
    pub(super) fn oblige(
        &self,
        task: &Task,
        session: &Session,
        obligations: &[Obligation],
        now: Moment,
        wall: Timestamp,
    ) -> Result<Met, Refusal> {
        let refuse = |error: Error| Refusal {
            error,
            session: Some(session.clone()),
            entry: None,
            ask: None,
        };
        let mut met = Met::default();
        let mut ask: Option<Ask> = None;
        let mut hidden: Vec<String> = Vec::new();
        for obligation in obligations {
            match obligation {
                Obligation::ReadOnly => met.read_only = true,
                Obligation::Redact { fields } => hidden.extend_from_slice(fields),
                Obligation::StepUp { schemes, within_s } => {
                    if !has_stepped_up(session, schemes, *within_s, wall) {
                        return Err(refuse(step_up(session, task, schemes, *within_s)));
                    }
                }
                Obligation::RateLimit { .. } => {}
                Obligation::Approval { by, within_s } => {
                    let within = Duration::from_secs(*within_s);
                    match &mut ask {
                        // Several policies ask: whoever all of them name, and no longer than the shortest.
                        Some(ask) => ask.and(by, within),
                        None => ask = Some(Ask::new(by, within)),
                    }
                }
                #[allow(unreachable_patterns, reason = "there will be more of them")]
                _ => {
                    let reason = "the policy asks for what this kernel does not know";
                    return Err(refuse(denied(session, task).with("reason", reason)));
                }
            }
        }
        if let Some(ask) = ask
            && !task.approved().is_some_and(|by| ask.takes(by, session))
        {
            let error = Error::new(Code::NOT_APPROVED, "the call waits to be approved");
            let ask = Some(Box::new(ask));
            return Err(Refusal { ask, ..refuse(error) });
        }
        // Counted once the call may be made but for that.
        for obligation in obligations {
            if let Obligation::RateLimit { calls, per_s, of } = obligation {
                self.limit(task, session, *calls, *per_s, of, now).map_err(refuse)?;
            }
        }
        met.redact = (!hidden.is_empty()).then(|| hidden.into());
        Ok(met)
    }

    #[cfg(feature = "recovery")]
    fn limit(
        &self,
        task: &Task,
        session: &Session,
        calls: u32,
        per_s: u64,
        of: &str,
        now: Moment,
    ) -> crate::Result<()> {
        let of = if of.is_empty() { task.skill() } else { of };
        self.allowances.admit(session.principal(), of, calls, per_s, now).map_err(|error| {
            error
                .operation("kernel.call")
                .with("principal", session.principal())
                .with("skill", task.skill())
        })
    }

    #[cfg(not(feature = "recovery"))]
    fn limit(
        &self,
        task: &Task,
        session: &Session,
        _: u32,
        _: u64,
        _: &str,
        _: Moment,
    ) -> crate::Result<()> {
        let reason =
            "the policy asks for a rate limit, which this build has not (feature recovery)";
        Err(denied(session, task).with("reason", reason))
    }
}

/// Whether one of the factors was proved, and lately enough.
fn has_stepped_up(
    session: &Session,
    schemes: &[String],
    within_s: Option<u64>,
    now: Timestamp,
) -> bool {
    if !session.methods().any(|proved| schemes.iter().any(|scheme| scheme == proved)) {
        return false;
    }
    let Some(within) = within_s else { return true };
    let Some(at) = session.authenticated_at() else { return false };
    let passed = now.as_nanos().saturating_sub(at.as_nanos()) / 1_000_000_000;
    // Clocks may be apart by a little.
    u64::try_from(passed).map_or(passed > -5, |passed| passed <= within)
}

fn step_up(session: &Session, task: &Task, schemes: &[String], within_s: Option<u64>) -> Error {
    let error = Error::new(Code::STEP_UP, "the caller must prove another factor first")
        .operation("kernel.call")
        .with("principal", session.principal())
        .with("skill", task.skill())
        .with("schemes", schemes.join(","));
    let error = match within_s {
        Some(within) => error.with("within_s", within),
        None => error,
    };
    error.advice("log in with one of the schemes, and call with the session that comes of it")
}
