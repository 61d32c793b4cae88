//! The states of an agent, and which follows which.

use serde::Serialize;

/// Whether an agent takes tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It is registered and has not been started.
    Registered,
    /// It is being started.
    Starting,
    /// It takes tasks.
    Ready,
    /// Another version of it is in charge; it may take over again.
    Standby,
    /// It cannot be reached at present, and comes back when it can.
    Unreachable,
    /// It has failed too often and is kept apart; probes decide when it takes tasks again.
    Quarantined,
    /// It is dead, or did not start, and whoever tried to start it again has given up.
    Failed,
    /// It finishes what it has and takes no more.
    Draining,
    /// It has been removed.
    Stopped,
}

const STATES: [AgentState; 9] = [
    AgentState::Registered,
    AgentState::Starting,
    AgentState::Ready,
    AgentState::Standby,
    AgentState::Unreachable,
    AgentState::Quarantined,
    AgentState::Failed,
    AgentState::Draining,
    AgentState::Stopped,
];

impl AgentState {
    /// The state of this number.
    pub(super) fn of(number: u8) -> Self {
        STATES.get(usize::from(number)).copied().unwrap_or(Self::Stopped)
    }

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Standby => "standby",
            Self::Unreachable => "unreachable",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it has been started and has not come to its end.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Ready | Self::Standby | Self::Unreachable | Self::Quarantined)
    }

    /// Whether an agent in this state may come into that one next.
    ///
    /// ```
    /// use sutazai_core::agent::AgentState;
    ///
    /// assert!(AgentState::Starting.may_become(AgentState::Ready));
    /// assert!(AgentState::Failed.may_become(AgentState::Starting), "it is started again");
    /// assert!(!AgentState::Stopped.may_become(AgentState::Ready), "what was removed stays so");
    /// ```
    pub fn may_become(self, next: Self) -> bool {
        use AgentState as S;
        match next {
            S::Registered => false,
            S::Starting => matches!(self, S::Registered | S::Failed | S::Unreachable),
            S::Ready => matches!(self, S::Starting | S::Standby | S::Unreachable | S::Quarantined),
            S::Standby => matches!(self, S::Starting | S::Ready | S::Unreachable | S::Quarantined),
            S::Unreachable => {
                matches!(self, S::Starting | S::Ready | S::Standby | S::Quarantined | S::Failed)
            }
            S::Quarantined => matches!(self, S::Ready | S::Unreachable),
            S::Failed => {
                matches!(
                    self,
                    S::Starting | S::Ready | S::Standby | S::Unreachable | S::Quarantined
                )
            }
            S::Draining => !matches!(self, S::Draining | S::Stopped),
            S::Stopped => self != S::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_states() {
        for (number, state) in STATES.into_iter().enumerate() {
            assert_eq!(AgentState::of(number as u8), state);
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert_eq!(AgentState::of(200), AgentState::Stopped);
    }

    #[test]
    fn nothing_follows_the_end_and_every_other_state_can_be_left_and_ended() {
        for state in STATES {
            assert!(!AgentState::Stopped.may_become(state));
            assert!(!state.may_become(state), "{state:?} is not a change");
            assert_eq!(state.may_become(AgentState::Stopped), state != AgentState::Stopped);
        }
    }
}
