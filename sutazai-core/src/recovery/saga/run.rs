//! [`Run`]: one saga that this process is at. Does what its [`Machine`] says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::define::Saga;
use super::event::SagaEvent;
use super::id::SagaId;
use super::inner::Inner;
use super::journal::Line;
use super::machine::{Decision, Machine};
use super::story::Phase;
use super::view::SagaView;
use crate::base::deadline;
use crate::base::payload::Payload;
use crate::base::ticket::Reply;
use crate::base::time::{Moment, Timestamp};
use crate::port::SagaContext;
use crate::recovery::caught::caught;
use crate::{Class, Code, Error, Result};

/// How long a saga waits for a place in the pool, or for the store, before it asks again; each further
/// time twice as long.
const PATIENCE: Duration = Duration::from_millis(20);
/// How often it asks before it is left to [`Sagas::resume`](super::Sagas::resume): with twenty
/// milliseconds doubled each time, for ten seconds.
const PATIENT: u32 = 9;

/// In which direction a step is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Act,
    Undo,
}

/// The idempotency key of a step's calls in one direction.
pub(super) fn key(saga: &str, step: &str, way: Way) -> String {
    let way = match way {
        Way::Act => "do",
        Way::Undo => "undo",
    };
    format!("{saga}/{step}/{way}")
}

pub(super) struct Run {
    pub(super) id: SagaId,
    began: Timestamp,
    saga: Saga,
    inner: Weak<Inner>,
    state: Mutex<State>,
    /// For steps to ask.
    cancelled: AtomicBool,
}

struct State {
    machine: Machine,
    replies: Vec<Reply<Payload>>,
    /// Who waits for its beginning to be written.
    opened: Option<Reply<SagaId>>,
    /// How often in a row the store or the pool has refused.
    refused: u32,
    /// This process is no longer at it.
    over: bool,
}

impl Run {
    pub(super) fn new(
        id: SagaId,
        began: Timestamp,
        saga: Saga,
        inner: &Arc<Inner>,
        machine: Machine,
    ) -> Arc<Self> {
        let state = State { machine, replies: Vec::new(), opened: None, refused: 0, over: false };
        Arc::new(Self {
            id,
            began,
            saga,
            inner: Arc::downgrade(inner),
            state: Mutex::new(state),
            cancelled: AtomicBool::new(false),
        })
    }

    /// Has the end told to `reply`; gives it back when this process is no longer at it.
    pub(super) fn tell(&self, reply: Reply<Payload>) -> Result<(), Reply<Payload>> {
        let mut state = self.state.lock();
        if state.over {
            return Err(reply);
        }
        state.replies.push(reply);
        Ok(())
    }

    /// Gives the saga up, if it is still on its way forward.
    pub(super) fn cancel(self: &Arc<Self>) -> bool {
        let forward = {
            let mut state = self.state.lock();
            !state.over && state.machine.cancel()
        };
        if forward {
            self.cancelled.store(true, Ordering::Release);
            self.pump();
        }
        forward
    }

    /// Writes the event that opens it: it has begun, or is tried again. `opened` is answered then.
    pub(super) fn open(self: &Arc<Self>, event: SagaEvent, opened: Option<Reply<SagaId>>) {
        if let Some(inner) = self.inner.upgrade() {
            self.state.lock().opened = opened;
            self.write(&inner, event);
        }
    }

    /// Does what is to be done now.
    pub(super) fn pump(self: &Arc<Self>) {
        let Some(inner) = self.inner.upgrade() else { return };
        let now = inner.runtime.now();
        let decision = {
            let mut state = self.state.lock();
            if state.over {
                return;
            }
            if inner.is_stopping() && !state.machine.is_under_way() {
                drop(state);
                return self.hold(&inner, stopping());
            }
            state.machine.decide(now)
        };
        match decision {
            Decision::Record(event) => self.write(&inner, event),
            Decision::Act(step) => self.spawn(&inner, step, Way::Act),
            Decision::Undo(step) => self.spawn(&inner, step, Way::Undo),
            Decision::Wait(until) => self.pump_at(&inner, until),
            Decision::Busy => {}
            Decision::Over => self.finish(&inner),
        }
    }

    fn pump_at(self: &Arc<Self>, inner: &Arc<Inner>, at: Moment) {
        let run = Arc::clone(self);
        inner.runtime.spawn_at(at, Box::new(move || run.pump()));
    }

    fn write(self: &Arc<Self>, inner: &Arc<Inner>, event: SagaEvent) {
        let opens = matches!(event, SagaEvent::Begun { .. } | SagaEvent::Retried);
        let now = inner.runtime.timestamp();
        let seq = match event {
            SagaEvent::Begun { .. } => 0,
            _ => self.state.lock().machine.story().events,
        };
        match Line::new(self.view(&event, now), seq, &event) {
            Ok(line) => {
                let run = Arc::clone(self);
                let ticket = inner.journal.append(line, inner.keep(now));
                ticket.on_done(move |written| match written {
                    Ok(()) => run.written(),
                    Err(error) => run.unwritten(error, opens),
                });
            }
            Err(error) if opens => self.hold(inner, error),
            Err(error) => {
                self.state.lock().machine.unkept(error);
                self.pump();
            }
        }
    }

    fn written(self: &Arc<Self>) {
        let Some(inner) = self.inner.upgrade() else { return };
        let now = inner.runtime.now();
        let (recorded, opened) = {
            let mut state = self.state.lock();
            state.refused = 0;
            (state.machine.recorded(now), state.opened.take())
        };
        match recorded {
            Ok(event) => {
                inner.announce(self.id, &self.saga, &event);
                if let Some(opened) = opened {
                    // One who no longer waits is no trouble.
                    let _ = opened.send(self.id);
                }
                self.pump();
            }
            Err(error) => self.hold(&inner, error),
        }
    }

    fn unwritten(self: &Arc<Self>, error: Error, opens: bool) {
        let Some(inner) = self.inner.upgrade() else { return };
        let refused = {
            let mut state = self.state.lock();
            if !opens {
                state.machine.unrecorded();
            }
            state.refused += 1;
            state.refused
        };
        self.again_or_hold(&inner, error, refused, opens);
    }

    fn spawn(self: &Arc<Self>, inner: &Arc<Inner>, step: usize, way: Way) {
        let run = Arc::clone(self);
        let job = Box::new(move || run.call(step, way));
        if let Err(refused) = inner.runtime.spawn_blocking(job) {
            drop(refused.work);
            let times = {
                let mut state = self.state.lock();
                state.machine.not_called();
                state.refused += 1;
                state.refused
            };
            self.again_or_hold(inner, refused.error, times, false);
        }
    }

    fn again_or_hold(self: &Arc<Self>, inner: &Arc<Inner>, error: Error, times: u32, opens: bool) {
        if opens || error.class() != Class::Transient || times > PATIENT || inner.is_stopping() {
            return self.hold(inner, error);
        }
        let wait = PATIENCE * 2_u32.saturating_pow(times - 1);
        self.pump_at(inner, inner.runtime.now() + wait);
    }

    /// Calls a step, on a thread that may block.
    fn call(self: &Arc<Self>, index: usize, way: Way) {
        let Some(inner) = self.inner.upgrade() else { return };
        let Some(defined) = self.saga.steps.get(index) else { return };
        let (input, gave, before, attempt, until) = {
            let mut state = self.state.lock();
            state.refused = 0;
            let story = state.machine.story();
            let gave = story.gave.get(index).cloned().flatten();
            let before = story.given_before(index);
            (story.input.clone(), gave, before, story.tries, state.machine.deadline())
        };
        let id = self.id.to_string();
        let ctx = SagaContext {
            saga: &id,
            name: &self.saga.name,
            step: &defined.name,
            key: &key(&id, &defined.name, way),
            attempt,
            input: &input,
            gave: &before,
            deadline: if way == Way::Act { until } else { Moment::FAR },
            store: inner.journal.store(),
            cancelled: &self.cancelled,
        };
        let result = deadline::within(ctx.deadline, || {
            caught(|| match way {
                Way::Act => defined.step.act(&ctx),
                Way::Undo => defined.step.undo(&ctx, gave.as_ref()).map(|()| Payload::NULL),
            })
        });
        if result.is_err() && inner.is_stopping() {
            // What it needs may be stopping as well: that says nothing about the saga.
            return self.hold(&inner, stopping());
        }
        self.state.lock().machine.ended(result);
        self.pump();
    }

    /// The saga has come to its end, or is stuck.
    fn finish(self: &Arc<Self>, inner: &Arc<Inner>) {
        let answer = {
            let state = self.state.lock();
            let story = state.machine.story();
            match story.phase {
                Phase::Done => Ok(story.gave.last().cloned().flatten().unwrap_or_default()),
                Phase::Stuck(step) => {
                    let name = story.steps.get(step).map_or("", |name| &**name);
                    let why = story.trouble.as_ref().map(super::SagaFailure::error);
                    Err(self.located(
                        Error::new(
                            Code::SAGA_STUCK,
                            "a compensation failed: what was done is undone in part",
                        )
                        .with("step", name)
                        .advice(
                            "put right what it failed for, then recovery.saga_retry; or undo by hand \
                             what is left, then recovery.saga_resolve",
                        ),
                        why,
                    ))
                }
                _ => {
                    let why = story.failure.as_ref().map(super::SagaFailure::error);
                    let message = "the saga failed, and what had been done was undone";
                    Err(self.located(Error::new(Code::SAGA_UNDONE, message), why))
                }
            }
        };
        self.leave(inner, &answer);
    }

    /// This process stops being at it; what the journal says goes on at the next resume.
    fn hold(self: &Arc<Self>, inner: &Arc<Inner>, error: Error) {
        let begun = {
            let state = self.state.lock();
            state.machine.has_begun()
        };
        if !begun {
            inner.forget_one();
        } else if !inner.is_stopping() {
            inner.set_aside(self.id, &self.saga, &error);
        }
        self.leave(inner, &Err(self.located(error, None)));
    }

    fn leave(self: &Arc<Self>, inner: &Arc<Inner>, answer: &Result<Payload>) {
        let (replies, opened) = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.over, true) {
                return;
            }
            (std::mem::take(&mut state.replies), state.opened.take())
        };
        inner.left(self.id);
        if let (Some(opened), Err(error)) = (opened, answer) {
            let _ = opened.fail(error.clone());
        }
        for reply in replies {
            let _ = reply.answer(answer.clone());
        }
    }

    fn located(&self, error: Error, why: Option<Error>) -> Error {
        let error = error.with("saga", self.id).with("name", &self.saga.name);
        let error = match error.failed_operation() {
            Some(_) => error,
            None => error.operation("recovery.saga_run"),
        };
        match why {
            Some(why) => error.because(why),
            None => error,
        }
    }

    fn view(&self, event: &SagaEvent, now: Timestamp) -> SagaView {
        SagaView {
            id: self.id,
            name: Arc::clone(&self.saga.name),
            state: event.state(),
            began: self.began,
            changed: now,
        }
    }
}

fn stopping() -> Error {
    Error::new(Code::NOT_RUNNING, "the saga is interrupted: what runs it stops")
        .advice("it goes on when it is resumed: at the next start with the same data directory")
}
