//! The books of a call: what is written down when it has its answer, and given back when its agent is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::shared::Shared;
use super::tracing::Story;
use crate::Result;
use crate::agent::{Entry, Reservation};
use crate::base::id::CallId;
use crate::base::ticket::{Hook, Settled};
use crate::base::time::Moment;
use crate::port::{CallInfo, CallRecord, Candidate as _, Outcome, Session, Trace};

/// The places that a call has until its agent is done with it: the agent's, the kernel's, and that in the
/// bulkhead of the agent's guard.
pub(super) struct Held {
    pub(super) reservation: Reservation,
    pub(super) _place: super::load::Place,
    #[cfg(feature = "recovery")]
    pub(super) bulkhead: Option<crate::recovery::Place>,
}

/// It was answered in the agent's stead.
const ABANDONED: u8 = 1;
/// The agent let go of its reply.
const FINISHED: u8 = 2;

/// The books of one call.
pub(super) struct Book {
    pub(super) id: CallId,
    pub(super) skill: Arc<str>,
    pub(super) trace: Trace,
    pub(super) parent: Option<Trace>,
    pub(super) session: Session,
    pub(super) began: Moment,
    pub(super) entry: Arc<Entry>,
    pub(super) shared: Arc<Shared>,
    #[cfg_attr(not(feature = "monitor"), expect(dead_code, reason = "the room asks for it"))]
    pub(super) story: Story,
    /// Given back when the agent lets go of its reply.
    pub(super) held: parking_lot::Mutex<Option<Held>>,
    /// [`ABANDONED`] and [`FINISHED`].
    pub(super) ends: AtomicU8,
}

impl Hook<Outcome> for Book {
    fn settled(&self, answer: &Result<Outcome>, by: Settled) {
        let shared = &self.shared;
        let failure = answer.as_ref().err();
        let now = shared.runtime.now();
        let card = self.entry.card();
        let record = {
            let mut record = CallRecord::new(self.id, &self.skill, shared.clock.wall(self.began));
            record.trace = self.trace;
            record.parent = self.parent;
            record.session = Some(&self.session);
            record.agent = Some(card);
            record.failure = failure;
            record.took = now.since(self.began);
            record
        };
        #[cfg(feature = "monitor")]
        shared.trace(
            &self.story,
            &super::tracing::Came {
                trace: self.trace,
                parent: self.parent,
                skill: &self.skill,
                entry: Some(&self.entry),
                began: self.began,
                ended: now,
                failure,
            },
        );
        shared.note(&self.entry, &self.skill, record.took, answer, now);
        match failure {
            None => self.entry.heard(now),
            Some(error) => shared.failed_alive(&self.entry, error, by, now),
        }
        let decided = self.held.lock().as_mut().and_then(|held| held.reservation.take_decided());
        let decision = decided.and_then(|decided| shared.learn(decided, failure, by, now));
        if failure.is_none() {
            shared.remember(self.id, &self.entry, &self.skill, decision);
        }
        let info = CallInfo::new(self.id, &self.skill, None, card, now);
        shared.guarded("guard", || shared.steps.guard.settled(&info, failure));
        shared.record(&record);
        shared.in_flight.leave(self.id);
        if by != Settled::ByWorker {
            // The agent may be letting go at this moment: whichever comes second takes it back.
            shared.load.settle();
            if self.ends.fetch_or(ABANDONED, Ordering::AcqRel) & FINISHED != 0 {
                shared.load.unsettle();
            }
        }
    }

    fn finished(&self) {
        if self.ends.fetch_or(FINISHED, Ordering::AcqRel) & ABANDONED != 0 {
            self.shared.load.unsettle();
        }
        drop(self.held.lock().take());
        #[cfg(feature = "recovery")]
        self.shared.offer(&self.entry);
    }

    fn may_block(&self) -> bool {
        self.shared.runtime.may_block()
    }
}
