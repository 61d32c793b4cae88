//! Which agent gets a try, where agents have guards.

use std::sync::Arc;

use super::call::{Admitted, Refusal};
use super::caller::Caller;
use super::shared::Shared;
use crate::agent::{AgentState, Entry, Reservation};
use crate::base::id::CallId;
use crate::base::priority;
use crate::base::time::Moment;
use crate::port::{Candidate as _, Candidates as _, Task};
use crate::recovery::{Guard, Line, Steps, Which};
use crate::{Code, Error, Result};

/// One try on its way to an agent.
pub(super) struct Try<'t> {
    pub(super) task: &'t Task,
    pub(super) caller: Caller,
    pub(super) id: CallId,
    pub(super) now: Moment,
    /// No try has longer than this.
    pub(super) most: Moment,
    /// Whether it may wait: a second try is to be quicker than the first one.
    pub(super) waits: bool,
}

/// Where a try has got to.
pub(super) enum Placed {
    /// An agent gets it now; it went in at the agent's guard, if there is one.
    In(Admitted, Option<Steps>),
    /// It waits in the queue of this agent's bulkhead.
    Waits(Arc<Entry>, Steps),
    /// It would have to wait, and may not.
    Nowhere,
}

/// What an agent's guard says to a try.
enum Answer {
    In(Reservation, Option<Steps>),
    /// It would have to wait, and stand there.
    Waits(Arc<Entry>, Guard, Line),
}

impl Shared {
    /// As the rest of [`admit`](Self::admit), of a try whose agents have guards. An agent that its guard
    /// leaves alone, whose bulkhead has no free place, or that the last try failed on (`not`), is passed
    /// over for another one with the skill, if there is one. Where all that would take it are full, it
    /// waits for the one with the shortest queue.
    pub(super) fn place_guarded(
        &self,
        this: Try<'_>,
        not: Option<&str>,
    ) -> Result<Placed, Refusal> {
        let first = match self.route(this.task, this.now) {
            Ok(reservation) => reservation,
            // All are at their concurrency, and there may be room to wait.
            Err(error) if error.code() == Code::OVERLOADED => {
                return match self.another(this.task, None, this.now) {
                    Some(answer) => self.accept(this, answer),
                    None => Err(Refusal::of(error, &this.caller, None)),
                };
            }
            Err(error) => {
                return Err(Refusal::of(error, &this.caller, None));
            }
        };
        let entry = Arc::clone(first.entry());
        // What fails at once is the least loaded, and would get every try.
        let again = not.is_some_and(|not| **entry.name() == *not);
        let mut first = Some(first);
        let mut own = if again { None } else { first.take().map(|first| self.ask(first)) };
        if !matches!(own, Some(Ok(Answer::In(..)))) {
            let other = self.another(this.task, Some(&entry), this.now);
            if !matches!(other, Some(Answer::In(..))) {
                own = own.or_else(|| first.take().map(|first| self.ask(first)));
            }
            own = match (own, other) {
                (Some(Ok(own)), Some(other)) if own.line() <= other.line() => Some(Ok(own)),
                (_, Some(other)) => Some(Ok(other)),
                (own, None) => own,
            };
        }
        match own.unwrap_or_else(|| Err(self.busy(this.task))) {
            Ok(answer) => self.accept(this, answer),
            Err(error) => Err(refused(this, error, entry)),
        }
    }

    /// Does as a guard has answered. Only here the try stands in a queue, and only in one: there is none
    /// that it would have to leave again, and nobody has to go for it in vain.
    fn accept(&self, this: Try<'_>, answer: Answer) -> Result<Placed, Refusal> {
        let (entry, guard) = match answer {
            Answer::In(reservation, steps) => return self.let_in(this, reservation, steps),
            Answer::Waits(..) if !this.waits => return Ok(Placed::Nowhere),
            Answer::Waits(entry, guard, _) => (entry, guard),
        };
        let mut steps = match guard.begin() {
            Ok(steps) => steps,
            Err(error) => return Err(refused(this, error, entry)),
        };
        if steps.waiting().is_some() {
            return Ok(Placed::Waits(entry, steps));
        }
        // Somebody left meanwhile.
        match entry.reserve() {
            Some(reservation) => self.let_in(this, reservation, Some(steps)),
            None => {
                let error = self.busy(this.task);
                Err(refused(this, error, entry))
            }
        }
    }

    /// A try that has waited, and is let in at its agent's guard. An agent that takes no tasks any more
    /// is passed over for another one, as if the try came now.
    pub(super) fn place_waited(
        &self,
        this: Try<'_>,
        entry: &Arc<Entry>,
        steps: Steps,
    ) -> Result<Placed, Refusal> {
        match entry.reserve() {
            Some(reservation) => self.let_in(this, reservation, Some(steps)),
            None => {
                drop(steps);
                self.place_guarded(this, Some(entry.name()))
            }
        }
    }

    pub(super) fn let_in(
        &self,
        this: Try<'_>,
        reservation: Reservation,
        steps: Option<Steps>,
    ) -> Result<Placed, Refusal> {
        let Try { task, caller, id, now, most, waits: _ } = this;
        let admitted = self.place(task, caller, reservation, id, now)?;
        let Some(mut steps) = steps else { return Ok(Placed::In(admitted.until(most), None)) };
        let until = steps.attempt().deadline.min(most);
        // Cancelled or late, the agent may work on, and has its place until it is done.
        let place = steps.take_place(Which::First);
        Ok(Placed::In(admitted.until(until).holding(place), Some(steps)))
    }

    /// The guard of an agent, if it has one.
    pub(super) fn guard_of(&self, entry: &Entry) -> Result<Option<Guard>> {
        let guard = self.guards.of_agent(entry.card());
        // Who removes an agent, or has another version take over, says so first, and forgets its guard then:
        // one that was made since is nobody's.
        let gone = [AgentState::Draining, AgentState::Stopped, AgentState::Standby];
        if gone.contains(&entry.state()) {
            self.guards.forget(entry.name());
        }
        guard
    }

    /// Asks the guard of an agent where there is room. While a try waits it has no place with the agent
    /// itself: others may have it.
    fn ask(&self, reservation: Reservation) -> Result<Answer> {
        let entry = Arc::clone(reservation.entry());
        let Some(guard) = self.guard_of(&entry)? else {
            return Ok(Answer::In(reservation, None));
        };
        Ok(match guard.begin_at_once()? {
            Some(steps) => Answer::In(reservation, Some(steps)),
            None => Answer::waits(entry, guard),
        })
    }

    /// A place with an agent that lets a try in at once.
    pub(super) fn has_place(
        &self,
        task: &Task,
        entry: &Arc<Entry>,
        now: Moment,
    ) -> Option<(Reservation, Option<Steps>)> {
        self.fits(task, entry, now).ok()?;
        if !self.heal.takes_calls(entry.name()) || !self.heal.isolation.is_open(entry.name(), now) {
            return None;
        }
        match self.ask(entry.reserve()?).ok()? {
            Answer::In(reservation, steps) => Some((reservation, steps)),
            Answer::Waits(..) => None,
        }
    }

    /// As [`ask`](Self::ask), of an agent that may be at its concurrency: there one can only wait. `None`
    /// where there is no room for that.
    fn ask_full(&self, entry: &Arc<Entry>) -> Option<Answer> {
        let answer = match entry.reserve() {
            Some(reservation) => self.ask(reservation).ok()?,
            None => {
                let guard = self.guard_of(entry).ok()??;
                match guard.begin_at_once() {
                    Ok(None) => Answer::waits(Arc::clone(entry), guard),
                    _ => return None,
                }
            }
        };
        (answer.line() != Some(Line::Full)).then_some(answer)
    }

    /// Another agent that lets a try in: of those that do so at once the one with the fewest tasks, else
    /// the one with the shortest queue. Where one is asked for by name there is no other.
    fn another(&self, task: &Task, not: Option<&Arc<Entry>>, now: Moment) -> Option<Answer> {
        let mut entries: Vec<Arc<Entry>> = match task.wanted_agent() {
            Some(_) if not.is_some() => return None,
            Some(wanted) => {
                let stands_in = self.heal.stands_in(wanted);
                let entry = self.agents.get(stands_in.as_deref().unwrap_or(wanted))?;
                let skilled = entry.card().skills.iter().any(|skill| skill == task.skill());
                let fits = skilled && self.fits(task, &entry, now).is_ok();
                vec![fits.then_some(entry)?]
            }
            None => {
                let candidates = self.agents.with_skill(task.skill())?;
                let entries = (0..candidates.len()).filter_map(|index| candidates.entry(index));
                let takes = |entry: &&Arc<Entry>| {
                    self.heal.takes_calls(entry.name()) && self.fits(task, entry, now).is_ok()
                };
                entries.filter(takes).cloned().collect()
            }
        };
        entries.retain(|entry| {
            let other = not.is_none_or(|not| !Arc::ptr_eq(entry, not));
            other && entry.takes_tasks() && self.heal.isolation.is_open(entry.name(), now)
        });
        entries.sort_by_key(|entry| entry.in_flight());
        let mut best: Option<Answer> = None;
        for entry in &entries {
            let Some(answer) = self.ask_full(entry) else { continue };
            if best.as_ref().is_none_or(|best| answer.line() < best.line()) {
                best = Some(answer);
            }
            if matches!(best, Some(Answer::In(..))) {
                break;
            }
        }
        best
    }
}

impl Answer {
    fn waits(entry: Arc<Entry>, guard: Guard) -> Self {
        // Without a bulkhead, since a moment ago, nobody waits.
        let bulkhead = guard.bulkhead();
        let line = bulkhead.map_or(Line::Behind(0), |it| it.line(priority::current()));
        Self::Waits(entry, guard, line)
    }

    /// Where the try would stand; with one that lets it in, before all who wait.
    fn line(&self) -> Option<Line> {
        match self {
            Self::In(..) => None,
            Self::Waits(_, _, line) => Some(*line),
        }
    }
}

/// The agent's guard has refused a try.
pub(super) fn refused(this: Try<'_>, error: Error, entry: Arc<Entry>) -> Refusal {
    let error =
        error.operation("kernel.call").with("skill", this.task.skill()).with("agent", entry.name());
    Refusal::of(error, &this.caller, Some(&entry))
}
