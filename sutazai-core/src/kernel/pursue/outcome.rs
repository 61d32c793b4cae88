//! What comes of a try, and of the call.

use std::sync::{Arc, Weak};

use super::Pursuit;
use crate::base::id::{CallId, TimerId};
#[cfg(feature = "monitor")]
use crate::base::time::Moment;
use crate::port::Outcome;
use crate::recovery::{GAVE_UP, GaveUp, Judgement, Next, Steps, Which};
use crate::{Code, Error, Result};

impl Pursuit {
    /// A try has its answer.
    pub(super) fn ended(self: Arc<Self>, id: CallId, answer: Result<Outcome>) {
        match answer {
            Ok(outcome) => self.succeeded(id, outcome),
            Err(error) => self.failed(id, error),
        }
    }

    fn succeeded(&self, id: CallId, outcome: Outcome) {
        let (which, mine, other, steps, timers) = {
            let mut state = self.state.lock();
            // The other one may have been quicker.
            let Some(which) = state.which(id) else { return };
            let (first, second) = (state.first.take(), state.second.take());
            let (mine, other) =
                if which == Which::First { (first, second) } else { (second, first) };
            (which, mine, other, state.steps.take(), state.timers())
        };
        self.take_back(timers);
        if let Some(mine) = mine {
            if let Some(agent) = &mine.agent {
                self.shared.judge.succeeded(agent);
            }
            if let Some(guard) = mine.guard {
                guard.succeeded();
            }
        }
        if let Some(steps) = steps {
            steps.won(which);
        }
        if let Some(other) = other {
            other.outpaced();
        }
        self.shared.answered.also(self.id, id);
        self.answer(Ok(outcome));
    }

    fn failed(self: Arc<Self>, id: CallId, error: Error) {
        let (agent, guard, turned_away) = {
            let mut state = self.state.lock();
            let Some(running) = state.of(id) else { return };
            (running.agent.clone(), running.guard.take(), running.turned_away)
        };
        let verdict = self.shared.judge.judge(agent.as_deref(), &error, &*self.shared.runtime);
        let judged = Judgement { class: verdict.class, retry_after: verdict.retry_after };
        if let Some(mut guard) = guard {
            let _ = guard.failed_as(&error, judged);
        }
        let error = self.shared.reclassed(error, verdict);
        let (steps, timers) = {
            let mut state = self.state.lock();
            if state.take(id, Some(&error)).is_none() {
                return;
            }
            if state.speaks == Some(id) {
                state.speaks = None;
            }
            if state.first.is_some() {
                // The other one still has its time.
                return;
            }
            (state.steps.take(), state.timers())
        };
        self.take_back(timers);
        let (shared, skill) = (Arc::clone(&self.shared), Arc::clone(self.task.shared_skill()));
        if self.decide(steps, agent, error, judged) && turned_away {
            // Once, however often it was tried.
            shared.creation.pools.turned_away(&skill);
        }
    }

    /// The last try that was under way has failed. Whether the call has its answer now.
    fn decide(
        self: Arc<Self>,
        steps: Option<Steps>,
        agent: Option<Arc<str>>,
        error: Error,
        judged: Judgement,
    ) -> bool {
        let Some(mut steps) = steps else {
            self.answer(Err(error));
            return true;
        };
        if self.state.lock().begun {
            let error = steps.finish(error, GaveUp::Begun);
            drop(steps);
            self.answer(Err(error));
            return true;
        }
        // No agent takes it: to knock again within moments would change nothing.
        let rejected = match error.code() {
            Code::BREAKER_OPEN | Code::QUARANTINED | Code::DRAINING | Code::NOT_RUNNING => true,
            Code::BULKHEAD_FULL | Code::RATE_LIMITED => agent.is_none(),
            _ => false,
        };
        let next = match rejected {
            true => {
                let before = self.state.lock().failed_with.take();
                let error = match before {
                    Some(before) => before.with(GAVE_UP, GaveUp::Rejected.name()),
                    None => steps.finish(error, GaveUp::Rejected),
                };
                drop(steps);
                self.answer(Err(error));
                return true;
            }
            false => steps.failed_as(&error, judged),
        };
        match next {
            Next::GiveUp(why) => {
                let error = steps.finish(error, why);
                drop(steps);
                self.answer(Err(error));
                true
            }
            Next::Retry(wait) => {
                self.shared.kept.retried();
                {
                    let mut state = self.state.lock();
                    state.steps = Some(steps);
                    state.failed_on = agent;
                    state.failed_with = Some(error.clone());
                }
                let runtime = &self.shared.runtime;
                #[cfg(feature = "monitor")]
                self.pauses(&error, runtime.now());
                let pursuit = Arc::clone(&self);
                // A timer must not block, and an agent may.
                let again = Box::new(move || pursuit.again(error));
                let timer = runtime.spawn_at(runtime.now() + wait, again);
                let unwanted = {
                    let mut state = self.state.lock();
                    state.timer = Some(timer);
                    state.unwanted()
                };
                if unwanted {
                    // It was cancelled before it could be told of the timer.
                    runtime.cancel(timer);
                }
                false
            }
        }
    }

    fn take_back(&self, timers: [Option<TimerId>; 2]) {
        for timer in timers.into_iter().flatten() {
            self.shared.runtime.cancel(timer);
        }
    }

    /// The wait is over.
    fn again(self: Arc<Self>, last: Error) {
        let runtime = Arc::clone(&self.shared.runtime);
        let pursuit = Arc::clone(&self);
        let failed = last.clone();
        let job = Box::new(move || {
            let now = pursuit.shared.runtime.now();
            #[cfg(feature = "monitor")]
            pursuit.goes_on(now);
            let entered = {
                let mut state = pursuit.state.lock();
                state.timer = None;
                match &mut state.steps {
                    Some(steps) => steps.again(),
                    None => return,
                }
            };
            match entered {
                Ok(()) => {
                    Arc::clone(&pursuit).first(now);
                    pursuit.watch();
                }
                Err(_) => {
                    pursuit.answer(Err(last.with(GAVE_UP, GaveUp::Rejected.name())));
                }
            }
        });
        if runtime.spawn_blocking(job).is_err() {
            // There is no room to try again: what the call failed with says more than that.
            self.answer(Err(failed.with(GAVE_UP, GaveUp::Rejected.name())));
        }
    }

    fn answer(&self, answer: Result<Outcome>) {
        let (reply, pursued) = {
            let mut state = self.state.lock();
            (state.reply.take(), state.pursued.take())
        };
        if let Some(reply) = reply {
            #[cfg(feature = "monitor")]
            self.trace(answer.as_ref().err());
            let _ = reply.answer(answer);
        }
        drop(pursued);
    }

    /// Begins to wait for another try.
    #[cfg(feature = "monitor")]
    fn pauses(&self, error: &Error, now: Moment) {
        let mut state = self.state.lock();
        // Those of tries without end are not all of interest.
        if state.pauses.len() >= 64 {
            return;
        }
        let what = state.failed_on.clone();
        let what = what.unwrap_or_else(|| Arc::clone(self.task.shared_skill()));
        let on = crate::kernel::tracing::pause_for(error);
        state.pauses.push(crate::monitor::Wait { on, what, from: now, to: now });
    }

    #[cfg(feature = "monitor")]
    fn goes_on(&self, now: Moment) {
        let mut state = self.state.lock();
        if let Some(pause) = state.pauses.last_mut().filter(|pause| pause.from == pause.to) {
            pause.to = now;
        }
    }

    /// The call has its answer: this is before its caller sees it.
    #[cfg(feature = "monitor")]
    fn trace(&self, failure: Option<&Error>) {
        let waits = std::mem::take(&mut self.state.lock().pauses);
        self.shared.trace_tried(crate::kernel::tracing::TriedCall {
            id: self.id,
            parent: self.task.parent(),
            skill: self.task.shared_skill(),
            client: &self.story,
            began: self.began,
            waits,
            failure,
        });
    }

    /// Nobody wants the answer any more: cancelled, or past its deadline.
    pub(super) fn cancelled(weak: &Weak<Self>) {
        let Some(pursuit) = weak.upgrade() else { return };
        let (tries, steps, timers, pursued) = {
            let mut state = pursuit.state.lock();
            let tries = [state.first.take(), state.second.take()];
            (tries, state.steps.take(), state.timers(), state.pursued.take())
        };
        pursuit.take_back(timers);
        drop(steps);
        let late = pursuit.shared.runtime.now() >= pursuit.deadline;
        #[cfg(feature = "monitor")]
        if late {
            let late = Error::new(Code::DEADLINE_EXCEEDED, "the call ran out of time");
            pursuit.trace(Some(&late));
        }
        for mut running in tries.into_iter().flatten() {
            if let (true, Some(mut guard)) = (late, running.guard.take()) {
                // An agent that hangs fails its guard, whoever notices first that time is up. A caller
                // who goes away says nothing about it.
                let late = Error::new(Code::DEADLINE_EXCEEDED, "the call ran out of time");
                let _ = guard.failed(&late);
            }
            running.end();
        }
        drop(pursued);
    }
}
