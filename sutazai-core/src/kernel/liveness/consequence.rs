//! What follows from what is thought of an agent's life.

use std::sync::Arc;

use super::table::News;
use crate::agent::{AgentState, Entry, Vitality, Why};
use crate::base::ticket::Settled;
use crate::base::time::Moment;
use crate::kernel::caught;
use crate::kernel::shared::Shared;
use crate::port::Candidate as _;
use crate::{Code, Error};

impl Shared {
    pub(super) fn follow_from(self: &Arc<Self>, news: News) {
        let News { entry, from, to, phi, why, said } = news;
        let card = entry.card();
        let event = serde_json::json!({
            "agent": &*card.name,
            "version": card.version,
            "from": from,
            "to": to,
            "phi": phi,
            "why": why.as_ref().map(ToString::to_string),
        });
        self.publish("agent.liveness", event);
        match (to, why) {
            // Who answers later than it did has not answered yet.
            (Vitality::Slow, _) if from == Vitality::Alive => {}
            (Vitality::Alive | Vitality::Slow, _) => self.answers_again(&entry),
            (Vitality::Unreachable, Some(why)) => {
                self.cannot_reach(&entry, why.to_string());
            }
            // What a supervisor has started it starts again when it is told of the end.
            (Vitality::Dead, Some(why)) if said && entry.supervised().is_none() => {
                self.turn(&entry, AgentState::Failed, why.to_string());
            }
            (Vitality::Dead, Some(why)) => self.is_silent(&entry, why),
            (Vitality::Unreachable | Vitality::Dead, None) => {}
        }
    }

    /// An agent says that it has ended, and does not start again by itself.
    pub(in crate::kernel) fn ended(self: &Arc<Self>, entry: &Arc<Entry>, why: &Error) {
        self.turn(entry, AgentState::Failed, why.to_string());
        self.liveness.0.lock().ended(entry, why.clone(), self.runtime.now());
        self.tell_liveness();
    }

    /// A call ended with an error: most are answers too, and some may be the agent's end.
    #[cold]
    pub(in crate::kernel) fn failed_alive(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        error: &Error,
        by: Settled,
        now: Moment,
    ) {
        match error.code() {
            Code::AGENT_EXITED | Code::IO => {
                self.liveness.0.lock().hurry(entry, now);
                self.arm_liveness();
            }
            Code::AGENT_FAILED | Code::AGENT_BAD_ANSWER | Code::AGENT_PROTOCOL
                if by == Settled::ByWorker =>
            {
                entry.heard(now);
            }
            _ => {}
        }
    }

    fn answers_again(self: &Arc<Self>, entry: &Arc<Entry>) {
        if self.is_up(entry, &[AgentState::Unreachable], "it answers again") {
            #[cfg(feature = "recovery")]
            self.offer(entry);
        }
    }

    /// An agent that is up cannot be reached; says whether it was.
    pub(in crate::kernel) fn cannot_reach(&self, entry: &Entry, why: impl Into<Why>) -> bool {
        let from = [AgentState::Ready, AgentState::Standby, AgentState::Quarantined];
        let turned = entry.turn_from(&from, AgentState::Unreachable, why);
        self.tell_states(entry);
        turned
    }

    /// It has been silent for too long. What hangs is ended, where that is of use; else it takes no tasks until
    /// it is heard of again.
    fn is_silent(self: &Arc<Self>, entry: &Arc<Entry>, why: Error) {
        let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
        let silent = Arc::clone(&entry);
        let reason = why.clone();
        let job = Box::new(move || {
            let revived = caught(|| Ok(entry.with_agent(|agent| agent.revive(&why))));
            if revived.ok().flatten() == Some(true) {
                shared.liveness.0.lock().revived(&entry);
                return;
            }
            shared.cannot_reach(&entry, why.to_string());
            if shared.liveness.lives(&entry) {
                // It answered meanwhile.
                shared.answers_again(&entry);
            }
        });
        if self.runtime.spawn_blocking(job).is_err() {
            self.cannot_reach(&silent, reason.to_string());
        }
    }
}
