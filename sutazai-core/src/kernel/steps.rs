//! The steps of the guarded call that a kernel has unless told otherwise, and where the room `security` is not
//! built in. They are honest: a call from inside the process is local, everything local is allowed, and the only
//! guard is the deadline.

use std::time::Duration;

use crate::base::error::Fixed;
use crate::base::time::{Moment, Timestamp};
use crate::port::{Access, Admission, Authenticator, CallInfo, Decision, Guard, Policy, Session};
use crate::{Code, Result};

/// Knows one caller: the process itself. A token is refused, since nothing here can check it.
#[derive(Debug)]
pub struct Local {
    session: Session,
}

impl Local {
    /// The principal of calls that carry no token.
    pub const PRINCIPAL: &'static str = "local";

    /// An authenticator for calls from inside the process.
    pub fn new() -> Self {
        Self { session: Session::new(Self::PRINCIPAL, "local") }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Authenticator for Local {
    fn authenticate(&self, token: Option<&str>, _now: Timestamp) -> Result<Session> {
        static NO_TOKENS: Fixed = Fixed {
            code: Code::UNAUTHENTICATED,
            message: "this kernel has no authenticator that knows tokens",
        };
        match token {
            None => Ok(self.session.clone()),
            Some(_) => Err((&NO_TOKENS).into()),
        }
    }
}

/// Allows everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn decide(&self, _access: &Access<'_>) -> Decision {
        Decision::Allow
    }
}

/// Gives every call a deadline: now, and the timeout of the caller, else of the agent, else the
/// default.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineOnly {
    default: Option<Duration>,
}

impl DeadlineOnly {
    /// With this timeout for calls whose caller and agent say nothing; `None` for no deadline.
    pub fn new(default: Option<Duration>) -> Self {
        Self { default }
    }
}

impl DeadlineOnly {
    /// When a call is given up; [`Moment::FAR`] for never.
    pub fn until(&self, call: &CallInfo<'_>) -> Moment {
        let agents = || call.agent.timeout_ms.map(Duration::from_millis);
        let timeout = call.timeout.or_else(agents).or(self.default);
        timeout.map_or(Moment::FAR, |timeout| call.now + timeout)
    }
}

impl Guard for DeadlineOnly {
    fn admit(&self, call: &CallInfo<'_>) -> Result<Admission> {
        Ok(Admission::until(self.until(call)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::CallId;
    use crate::port::AgentCard;

    #[test]
    fn the_callers_timeout_comes_first() {
        let second = Duration::from_secs(1);
        let card = AgentCard::new("a", ["s"]).timeout(2 * second);
        let plain = AgentCard::new("a", ["s"]);
        let guard = DeadlineOnly::new(Some(3 * second));
        let deadline = |timeout, card| {
            let info = CallInfo::new(CallId(1), "s", timeout, card, Moment::ZERO);
            guard.admit(&info).unwrap().deadline
        };
        assert_eq!(deadline(Some(second), &card), Moment::ZERO + second);
        assert_eq!(deadline(None, &card), Moment::ZERO + 2 * second);
        assert_eq!(deadline(None, &plain), Moment::ZERO + 3 * second);
        let none = DeadlineOnly::new(None);
        let info = CallInfo::new(CallId(1), "s", None, &plain, Moment::ZERO);
        assert_eq!(none.admit(&info).unwrap().deadline, Moment::FAR);
    }

    #[test]
    fn tokens_are_refused_where_nobody_can_check_them() {
        let local = Local::new();
        assert_eq!(local.authenticate(None, Timestamp::EPOCH).unwrap().principal(), "local");
        let error = local.authenticate(Some("t"), Timestamp::EPOCH).unwrap_err();
        assert_eq!(error.code(), Code::UNAUTHENTICATED);
    }
}
