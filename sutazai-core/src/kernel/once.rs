//! Calls that are made once, however often they are asked for: those with an idempotency key.
//!
//! While one is under way, whoever asks with the same key waits for its answer; after it succeeded they get
//! that answer for [`KEPT`]. What failed is forgotten: the next one who asks tries again. A call is cancelled
//! when nobody waits for it any more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::inflight::What;
use super::shared::Shared;
use crate::base::deadline;
use crate::base::id::CallId;
use crate::base::payload::Payload;
use crate::base::ticket::{self, Reply, Settler, Ticket};
use crate::base::time::Moment;
use crate::port::{CallInfo, Candidate as _, Decision, Obligation, Outcome, Session, Task};
use crate::{Code, Error, Result};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);
/// Keys that are kept, at most.
const MOST: usize = 10_000;

/// The calls with a key that are under way, and those that succeeded not long ago.
#[derive(Default)]
pub(super) struct Once(Mutex<Table>);

#[derive(Default)]
struct Table {
    slots: HashMap<Key, Slot>,
    /// Those that are kept, the oldest first.
    kept: VecDeque<(Moment, Key)>,
    waiters: u64,
}

/// Who asks, for which skill, by which key.
type Key = (String, Arc<str>, Arc<str>);

struct Slot {
    /// Of the one who makes the call.
    number: u64,
    input: Payload,
    state: State,
}

enum State {
    Running {
        /// How to cancel it, once it has begun.
        ends: Option<Settler<Outcome>>,
        waiters: Vec<(u64, Reply<Outcome>)>,
    },
    Done(Outcome),
}

/// What comes of asking.
enum Asked {
    /// It is for whoever asked to make the call; by this number one knows it.
    Makes(Ticket<Outcome>, u64),
    Waits(Ticket<Outcome>),
    Has(Result<Outcome>),
}

impl Shared {
    /// As [`call`](Self::call), of a task with an idempotency key.
    pub(super) fn call_once(
        self: &Arc<Self>,
        task: Task,
        key: Arc<str>,
        token: Option<&str>,
    ) -> (CallId, Ticket<Outcome>) {
        let now = self.runtime.now();
        // Who may not call does not get somebody else's answer either.
        let known = super::caught(|| Ok(self.recognise(&task, token, now)));
        let Ok(Ok((session, decision, wall))) = known else { return self.call_now(task, token) };
        let key = (session.principal().to_owned(), Arc::clone(task.shared_skill()), key);
        // What the policy asks for goes for whoever is given an answer that is there, too; but for an approval and a
        // rate, which are of calls that are made.
        let mut redact = None;
        // Of everybody, whether there is an answer or not: there may be one a moment later.
        if let Decision::AllowIf(obligations) = decision {
            let of_calls = |one: &Obligation| {
                matches!(one, Obligation::Approval { .. } | Obligation::RateLimit { .. })
            };
            let asked: Vec<_> = obligations.iter().filter(|one| !of_calls(one)).cloned().collect();
            match self.oblige(&task, &session, &asked, now, wall) {
                Ok(met) => redact = met.redact,
                // There the refusal is told.
                Err(_) => return self.call_now(task, token),
            }
        }
        let hidden = |ticket| match redact {
            Some(fields) => super::redact::redacted(ticket, fields),
            None => ticket,
        };
        match self.ask_once(&key, task.input(), now) {
            Asked::Makes(ticket, number) => {
                let (id, inner) = self.call_now(task, token);
                self.hear_once(key, number, inner);
                (id, ticket)
            }
            Asked::Waits(ticket) => {
                let id = CallId(self.ids.next());
                if let Some(settler) = ticket.settler() {
                    let deadline = self.deadline_of(&task, id, now);
                    self.enter_call(id, deadline, settler, now, What::Call);
                }
                self.answered_again(id, &session, &task);
                (id, hidden(ticket))
            }
            Asked::Has(answer) => {
                let id = CallId(self.ids.next());
                if answer.is_ok() {
                    self.answered_again(id, &session, &task);
                }
                (id, hidden(ticket::ready(answer)))
            }
        }
    }

    /// Puts on the record that somebody is given the answer of a call that was made before.
    fn answered_again(&self, id: CallId, session: &Session, task: &Task) {
        #[cfg(feature = "security")]
        {
            use crate::port::{AuditClass, AuditEvent, AuditValue};
            let id = i64::try_from(id.0).unwrap_or(i64::MAX);
            let details = [("call", AuditValue::Int(id))];
            let now = self.runtime.timestamp();
            let event =
                AuditEvent::new(AuditClass::Action, "kernel.call_again", session.principal(), now)
                    .object(task.skill())
                    .details(&details);
            if let Err(error) = self.put_on_record(&event) {
                let fields = [("call", id.to_string()), ("error", error.to_string())];
                let message = "an answer that was given again is not on the audit record";
                let level = crate::observe::Level::Error;
                self.kept.log().record(level, "sutazai.security", message, fields);
            }
        }
        #[cfg(not(feature = "security"))]
        let _ = (id, session, task);
    }

    /// When somebody who waits for another one's call gives up.
    fn deadline_of(&self, task: &Task, id: CallId, now: Moment) -> Moment {
        let agents = self.agents.with_skill(task.skill());
        let card = agents.as_ref().and_then(|agents| agents.entry(0)).map(|entry| {
            let info = CallInfo::new(id, task.skill(), task.given_timeout(), entry.card(), now);
            super::steps::DeadlineOnly::new(self.limits.timeout).until(&info)
        });
        card.unwrap_or(Moment::FAR).min(deadline::current())
    }

    fn ask_once(self: &Arc<Self>, key: &Key, input: &Payload, now: Moment) -> Asked {
        let mut table = self.once.0.lock();
        table.forget(now);
        if table.slots.len() >= MOST && !table.slots.contains_key(key) && !table.forget_oldest() {
            let full = "as many calls with idempotency keys are under way as can be";
            return Asked::Has(Err(Error::new(Code::OVERLOADED, full).operation("kernel.call")));
        }
        table.waiters += 1;
        let number = table.waiters;
        let new = || Slot {
            number,
            input: input.clone(),
            state: State::Running { ends: None, waiters: Vec::new() },
        };
        let slot = table.slots.entry(key.clone()).or_insert_with(new);
        let makes = slot.number == number;
        if slot.input != *input {
            let error = Error::new(Code::INVALID, "the idempotency key is that of another input")
                .operation("kernel.call")
                .with("idempotency_key", &key.2)
                .advice("use a new key for a new call");
            return Asked::Has(Err(error));
        }
        match &mut slot.state {
            State::Done(outcome) => Asked::Has(Ok(outcome.clone())),
            State::Running { waiters, .. } => {
                let (ticket, reply) = ticket::pair();
                let (weak, key, makes_it) = (Arc::downgrade(self), key.clone(), slot.number);
                reply.on_cancel(move || Self::leave_once(&weak, &key, makes_it, number));
                waiters.push((number, reply));
                if makes { Asked::Makes(ticket, number) } else { Asked::Waits(ticket) }
            }
        }
    }

    /// Hears what comes of the call that is made.
    fn hear_once(self: &Arc<Self>, key: Key, number: u64, inner: Ticket<Outcome>) {
        let ends = inner.settler();
        let wanted = {
            let mut table = self.once.0.lock();
            match table.running(&key, number) {
                Some((at, _)) => {
                    at.clone_from(&ends);
                    true
                }
                None => false,
            }
        };
        let (shared, parts_of) = (Arc::clone(self), key.clone());
        inner.on_part(move |part| shared.part_once(&parts_of, number, &part));
        let shared = Arc::clone(self);
        inner.on_done(move |answer| shared.done_once(&key, number, &answer));
        if !wanted && let Some(ends) = ends {
            // All had gone before it could be told.
            ends.cancel();
        }
    }

    fn part_once(&self, key: &Key, number: u64, part: &Payload) {
        let told: Vec<_> = {
            let mut table = self.once.0.lock();
            let waiters = table.running(key, number).map(|(_, waiters)| waiters);
            let waiters = waiters.into_iter().flatten();
            waiters.filter_map(|(_, reply)| reply.settler()).collect()
        };
        told.iter().for_each(|waiter| waiter.progress(part.clone()));
    }

    fn done_once(&self, key: &Key, number: u64, answer: &Result<Outcome>) {
        let now = self.runtime.now();
        let waiters = {
            let mut table = self.once.0.lock();
            let Some((_, waiters)) = table.running(key, number) else { return };
            let waiters = std::mem::take(waiters);
            match answer {
                Ok(outcome) => {
                    if let Some(slot) = table.slots.get_mut(key) {
                        slot.state = State::Done(outcome.clone());
                    }
                    table.kept.push_back((now + KEPT, key.clone()));
                }
                Err(_) => drop(table.slots.remove(key)),
            }
            waiters
        };
        for (_, waiter) in waiters {
            let _ = waiter.answer(answer.clone());
        }
    }

    /// Somebody waits no longer.
    fn leave_once(weak: &Weak<Self>, key: &Key, makes: u64, number: u64) {
        let Some(shared) = weak.upgrade() else { return };
        let (gone, ends) = {
            let mut table = shared.once.0.lock();
            let Some((ends, waiters)) = table.running(key, makes) else { return };
            let at = waiters.iter().position(|(waiter, _)| *waiter == number);
            let gone = at.map(|at| waiters.swap_remove(at));
            let ends = if waiters.is_empty() { ends.take() } else { None };
            if waiters.is_empty() {
                // Whoever asks next makes a call of their own.
                table.slots.remove(key);
            }
            (gone, ends)
        };
        drop(gone);
        if let Some(ends) = ends {
            ends.cancel();
        }
    }
}

type Running<'a> = (&'a mut Option<Settler<Outcome>>, &'a mut Vec<(u64, Reply<Outcome>)>);

impl Table {
    /// The call of this number, while it is under way.
    fn running(&mut self, key: &Key, number: u64) -> Option<Running<'_>> {
        let slot = self.slots.get_mut(key).filter(|slot| slot.number == number)?;
        match &mut slot.state {
            State::Running { ends, waiters } => Some((ends, waiters)),
            State::Done(_) => None,
        }
    }

    fn forget(&mut self, now: Moment) {
        while self.kept.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    /// Forgets the answer that is kept for longest; false where there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.kept.pop_front() else { return false };
        self.slots.remove(&key);
        true
    }
}
