//! Whether the other side of HTTP lives: what an exchange says of that.

use std::time::Duration;

use crate::port::{Beat, LivenessPolicy};
use crate::{Code, Error, Result};

/// How long the question whether it lives may take.
pub(crate) const BEAT: Duration = Duration::from_secs(10);

/// How it is watched by default: seldom, since each question is a request to somebody else's machine, and not
/// given up for one that was lost.
pub(crate) fn liveness() -> LivenessPolicy {
    let pause = Duration::from_secs(30);
    LivenessPolicy::default().interval(pause).pauses(pause, Some(10 * pause))
}

/// What an exchange says: any answer is a sign of life, whatever its status; that there is no connection, or
/// none any more, says that nobody is there; and silence says nothing yet.
pub(crate) fn beat<T>(exchange: Result<T>) -> Result<Beat> {
    match exchange {
        Ok(_) => Ok(Beat::Alive),
        Err(error) if has_status(&error) => Ok(Beat::Alive),
        Err(error) => match error.code() {
            Code::IO => Ok(Beat::Unreachable(error)),
            Code::DEADLINE_EXCEEDED | Code::CANCELLED | Code::NOT_RUNNING => Err(error),
            // Somebody answered, and said something that was not understood.
            _ => Ok(Beat::Alive),
        },
    }
}

fn has_status(error: &Error) -> bool {
    error.context().any(|(key, _)| key == crate::port::failure::HTTP_STATUS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_lives_and_who_is_not_there_does_not() {
        let said = |error: Error| beat::<()>(Err(error));
        let alive = |answer| matches!(answer, Ok(Beat::Alive));
        assert!(alive(beat(Ok(()))));
        let status = Error::new(Code::IO, "503").with(crate::port::failure::HTTP_STATUS, 503);
        assert!(alive(said(status)));
        assert!(alive(said(Error::new(Code::AGENT_PROTOCOL, "not HTTP"))));
        let refused = said(Error::new(Code::IO, "connection refused"));
        assert!(matches!(refused, Ok(Beat::Unreachable(_))));
        assert!(said(Error::new(Code::DEADLINE_EXCEEDED, "silence")).is_err());
    }
}
