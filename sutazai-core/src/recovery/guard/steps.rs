//! A guarded call in steps, for those who make the call themselves: the hosts of other languages, and
//! the kernel.

use std::mem::replace;
use std::time::Duration;

use super::parts::{Entry, Flags, Pass};
use super::tries::{GaveUp, Judgement, Next, Tries};
use super::{Attempt, Guard};
use crate::base::priority;
use crate::base::ticket::Ticket;
use crate::base::time::Moment;
use crate::recovery::Place;
use crate::{Error, Result};

/// One guarded call, step by step: [`Guard::begin`], then a try, then [`succeeded`](Self::succeeded) or
/// [`failed`](Self::failed); after a wait [`again`](Self::again), and another try. Where it
/// [waits for a place](Self::waiting) the try comes after [`placed`](Self::placed).
///
/// Dropped in the middle of a try, that try counts as nothing.
///
/// ```
/// use sutazai_core::recovery::{Guard, GuardPolicy, Next};
/// use sutazai_core::{Code, Error};
///
/// let guard = Guard::new("steps", serde_json::from_str::<GuardPolicy>(r#"{"retry": {}}"#)?)?;
/// let mut steps = guard.begin()?;
/// // … the call is made, and fails …
/// let Next::Retry(wait) = steps.failed(&Error::new(Code::OVERLOADED, "busy")) else { panic!() };
/// # let _ =
/// wait; // … is waited …
/// steps.again()?;
/// assert_eq!(steps.attempt().number, 2);
/// steps.succeeded();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a call that is let in is let out by what came of it"]
pub struct Steps {
    guard: Guard,
    state: State,
    /// The second try beside the present one.
    second: Option<Entry>,
    tries: Tries,
}

/// One of the two tries of a call that is [hedged](Steps::hedge).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that was made first.
    First,
    /// The one beside it.
    Second,
}

#[derive(Debug)]
enum State {
    /// A try is under way.
    In(Entry),
    /// It waits for a place in the bulkhead.
    Waiting(Ticket<Place>),
    /// The last try has ended.
    Out,
}

impl Guard {
    /// Begins a call that its caller makes in [`Steps`].
    ///
    /// # Errors
    /// What the guard rejected: [`Code::BREAKER_OPEN`](crate::Code::BREAKER_OPEN),
    /// [`Code::BULKHEAD_FULL`](crate::Code::BULKHEAD_FULL),
    /// [`Code::RATE_LIMITED`](crate::Code::RATE_LIMITED);
    /// [`Code::DEADLINE_EXCEEDED`](crate::Code::DEADLINE_EXCEEDED) when its caller has no time left.
    pub fn begin(&self) -> Result<Steps> {
        if let Some(steps) = self.begin_at_once()? {
            return Ok(steps);
        }
        let parts = &self.0.parts;
        let state = State::Waiting(parts.bulkhead.acquire(priority::current()));
        let tries = Tries::first(parts.deadline_from(parts.clock.now()));
        Steps { guard: self.clone(), state, second: None, tries }.checked()
    }

    /// As [`begin`](Self::begin), of a call that does not wait for a place; `None` where it would have to.
    #[inline]
    pub(crate) fn begin_at_once(&self) -> Result<Option<Steps>> {
        let parts = &self.0.parts;
        parts.check_time()?;
        let Some(pass) = parts.enter()? else { return Ok(None) };
        let entry = pass.keep();
        let tries = Tries::first(parts.deadline(&entry));
        Ok(Some(Steps { guard: self.clone(), state: State::In(entry), second: None, tries }))
    }
}

impl Steps {
    /// The place that it waits for, while it does: for no longer than [`deadline`](Self::deadline).
    pub fn waiting(&mut self) -> Option<&mut Ticket<Place>> {
        match &mut self.state {
            State::Waiting(ticket) => Some(ticket),
            State::In(_) | State::Out => None,
        }
    }

    /// The same, to be waited for elsewhere; [`placed`](Self::placed) has to follow.
    pub fn take_waiting(&mut self) -> Option<Ticket<Place>> {
        match replace(&mut self.state, State::Out) {
            State::Waiting(ticket) => Some(ticket),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Has the place that it waited for, and goes in.
    ///
    /// # Errors
    /// As [`Guard::begin`].
    pub fn placed(&mut self, place: Place) -> Result<()> {
        let pass = self.guard.0.parts.enter_with_place(place)?;
        let entry = pass.keep();
        self.out(State::In(entry));
        Ok(())
    }

    /// When the whole call is given up; [`Moment::FAR`] for never.
    pub fn deadline(&self) -> Moment {
        self.tries.deadline
    }

    /// The present try.
    pub fn attempt(&self) -> Attempt {
        let deadline = match &self.state {
            State::In(entry) => self.guard.0.parts.attempt_deadline(entry, self.tries.deadline),
            State::Waiting(_) | State::Out => self.tries.deadline,
        };
        Attempt { number: self.tries.made, deadline, hedged: false }
    }

    /// The try has succeeded, and with it the call. A second one beside it counts as nothing.
    #[inline]
    pub fn succeeded(mut self) {
        if let State::In(entry) = replace(&mut self.state, State::Out) {
            self.guard.0.parts.succeeded(entry);
        }
    }

    /// Another try, which was not made through this guard, was quicker: a target that was slow by then is
    /// counted as slow, and nothing else is learnt of it.
    pub fn outpaced(mut self) {
        if let State::In(entry) = replace(&mut self.state, State::Out) {
            self.guard.0.parts.outpaced(entry);
        }
    }

    /// The place in the bulkhead that this try has, to be given back by whoever knows when its work is
    /// over, which may be after its answer; `None` without a bulkhead.
    pub fn take_place(&mut self, which: Which) -> Option<Place> {
        let entry = match which {
            Which::First => match &mut self.state {
                State::In(entry) => entry,
                State::Waiting(_) | State::Out => return None,
            },
            Which::Second => self.second.as_mut()?,
        };
        entry.take_place().then(|| self.guard.0.parts.bulkhead.held())
    }

    /// When a second try is due beside the present one; `None` where the guard does not hedge, or there
    /// is one. Where it is due, [`hedge`](Self::hedge).
    pub fn hedge_at(&self) -> Option<Moment> {
        match &self.state {
            State::In(entry) => Some(entry.began + self.hedge_after()?),
            State::Waiting(_) | State::Out => None,
        }
    }

    /// How long the target has before a second try is due; `None` as in [`hedge_at`](Self::hedge_at).
    pub fn hedge_after(&self) -> Option<Duration> {
        match (&self.state, &self.second) {
            (State::In(entry), None) if entry.flags.has(Flags::HEDGE) => {
                self.guard.0.parts.hedge.load().as_ref().map(|hedge| hedge.after())
            }
            _ => None,
        }
    }

    /// Lets a second try in beside the present one, if it can be paid for and there is room: then both
    /// are under way, and the first answer counts. One that fails while the other runs on has
    /// [`lost`](Self::lost); the call ends as usual when one has [`won`](Self::won) or the last one has
    /// [`failed`](Self::failed).
    pub fn hedge(&mut self) -> bool {
        if self.hedge_at().is_none() {
            return false;
        }
        self.second = self.guard.0.hedge().map(Pass::keep);
        self.second.is_some()
    }

    /// The second try could not be made after all: it is not counted, and costs nothing.
    pub fn unhedge(&mut self) {
        if let Some(second) = self.second.take() {
            self.guard.0.parts.ignored(second);
            self.guard.0.unhedge();
        }
    }

    /// Whether two tries are under way.
    pub fn hedged(&self) -> bool {
        self.second.is_some()
    }

    /// This of two tries has succeeded, and with it the call.
    pub fn won(mut self, which: Which) {
        let parts = &self.guard.0.parts;
        let loser = match which {
            Which::First => self.second.take(),
            Which::Second => match (replace(&mut self.state, State::Out), self.second.take()) {
                (State::In(first), Some(second)) => {
                    self.state = State::In(second);
                    Some(first)
                }
                (state, _) => {
                    self.state = state;
                    None
                }
            },
        };
        if let Some(loser) = loser {
            parts.outpaced(loser);
        }
        self.succeeded();
    }

    /// This of two tries has failed, or never reached its target (`None`), and the other one runs on.
    pub fn lost(&mut self, which: Which, error: Option<&Error>) {
        let entry = match which {
            Which::First => match replace(&mut self.state, State::Out) {
                State::In(entry) => Some(entry),
                State::Waiting(_) | State::Out => None,
            },
            Which::Second => self.second.take(),
        };
        if which == Which::First {
            self.put_first();
        }
        let Some(entry) = entry else { return };
        let parts = &self.guard.0.parts;
        match error {
            Some(error) => {
                parts.failed(entry, error, self.guard.0.judge(error).class, parts.clock.now());
            }
            None => parts.ignored(entry),
        }
    }

    /// The second try takes the place of the first one, which then counts as nothing.
    fn put_first(&mut self) {
        if let Some(second) = self.second.take() {
            self.out(State::In(second));
        }
    }

    /// The try has failed. When it is worth another one, the retry is paid for: wait, then call
    /// [`again`](Self::again).
    pub fn failed(&mut self, error: &Error) -> Next {
        let judged = self.guard.0.judge(error);
        self.failed_as(error, judged)
    }

    /// As [`failed`](Self::failed), with the failure judged by the caller.
    pub fn failed_as(&mut self, error: &Error, judged: Judgement) -> Next {
        if let Some(second) = self.second.take() {
            // Both were under way: time is up for both.
            let parts = &self.guard.0.parts;
            parts.failed(second, error, judged.class, parts.clock.now());
        }
        match replace(&mut self.state, State::Out) {
            State::In(entry) => self.guard.0.settle(&mut self.tries, entry, error, judged),
            State::Waiting(_) | State::Out => Next::GiveUp(GaveUp::Rejected),
        }
    }

    /// Goes in again after the wait.
    ///
    /// # Errors
    /// As [`Guard::begin`].
    pub fn again(&mut self) -> Result<()> {
        let parts = &self.guard.0.parts;
        let state = match parts.enter()? {
            Some(pass) => State::In(pass.keep()),
            None => State::Waiting(parts.bulkhead.acquire(priority::current())),
        };
        self.out(state);
        self.check()
    }

    /// The error as the caller gets it, with the reason why nothing more is tried.
    pub fn finish(&self, error: Error, why: GaveUp) -> Error {
        self.tries.finish(error, why)
    }

    /// A queue that is full says so at once.
    fn checked(mut self) -> Result<Self> {
        self.check()?;
        Ok(self)
    }

    fn check(&mut self) -> Result<()> {
        let State::Waiting(ticket) = &mut self.state else { return Ok(()) };
        match ticket.try_take() {
            None => Ok(()),
            Some(Ok(place)) => self.placed(place),
            Some(Err(error)) => {
                self.state = State::Out;
                Err(error)
            }
        }
    }

    /// Takes another state; a try that was under way counts as nothing.
    fn out(&mut self, next: State) {
        if let State::In(entry) = replace(&mut self.state, next) {
            self.guard.0.parts.ignored(entry);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.out(State::Out);
        if let Some(second) = self.second.take() {
            self.guard.0.parts.ignored(second);
        }
    }
}
