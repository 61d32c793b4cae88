//! Calls that are awaited.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use super::deadlines::Waiting;
use super::parts::{Flags, Pass};
use super::tries::{GaveUp, Next, Tries};
use super::{Attempt, Guard, Inner, no_place};
use crate::base::deadline;
use crate::base::error::Fixed;
use crate::base::id::TimerId;
use crate::base::priority;
use crate::base::runtime::Runtime;
use crate::base::ticket::{self, Ticket};
use crate::base::time::Moment;
use crate::{Code, Error, Result};

impl Guard {
    /// Makes a call that is awaited, as often as it takes: `call` gives a future for each try.
    ///
    /// As [`run`](Guard::run), except that a try that is past its deadline is dropped, within some 5 ms
    /// of it, and that slow tries may be hedged. Dropping the future drops what is under way.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sutazai_core::base::runtime::Manual;
    /// use sutazai_core::recovery::{Guard, GuardPolicy};
    /// # use std::future::Future;
    ///
    /// let policy: GuardPolicy = serde_json::from_str(r#"{"timeout_ms": 2000, "retry": {}}"#)?;
    /// let guard = Guard::builder("weather", policy).runtime(Arc::new(Manual::new())).build()?;
    /// let answer = async { guard.call(|_| async { Ok("sunny") }).await };
    /// # let answer = std::pin::pin!(answer).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    /// # assert!(matches!(answer, std::task::Poll::Ready(Ok("sunny"))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Guard::run); [`Code::DEADLINE_EXCEEDED`] for a try that did not answer in time;
    /// [`Code::UNSUPPORTED`] when it has to wait and was built without a runtime.
    pub fn call<T, F>(&self, call: impl FnMut(Attempt) -> F) -> impl Future<Output = Result<T>>
    where
        F: Future<Output = Result<T>>,
    {
        // Those of whoever makes the call, and not of whoever happens to drive it.
        let (until, urgency) = (deadline::current(), priority::current());
        async move {
            let mut called = pin!(self.awaited(call));
            poll_fn(|cx| {
                priority::within(urgency, || deadline::within(until, || called.as_mut().poll(cx)))
            })
            .await
        }
    }

    async fn awaited<T, F>(&self, mut call: impl FnMut(Attempt) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let inner = &*self.0;
        let parts = &inner.parts;
        parts.check_time()?;
        let (mut pass, deadline) = match parts.enter()? {
            Some(pass) => {
                let deadline = parts.deadline(&pass.entry);
                (pass, deadline)
            }
            None => {
                let deadline = parts.deadline_from(parts.clock.now());
                (inner.await_place(deadline).await?, deadline)
            }
        };
        let mut tries = Tries::first(deadline);
        loop {
            let attempt = Attempt {
                number: tries.made,
                deadline: parts.attempt_deadline(&pass.entry, deadline),
                hedged: false,
            };
            let answer = if pass.entry.flags.has(Flags::HEDGE) {
                let hedged = inner.hedged(pass, attempt, &mut call).await;
                pass = hedged.1;
                hedged.0
            } else {
                inner.attempt(attempt.deadline, call(attempt)).await
            };
            let error = match answer {
                Ok(answer) => {
                    pass.succeeded();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match inner.after(&mut tries, pass, &error) {
                Next::Retry(Duration::ZERO) => {}
                Next::Retry(wait) => inner.sleep(wait)?.await,
                Next::GiveUp(why) => return Err(tries.finish(error, why)),
            }
            let entered = match parts.enter() {
                Ok(None) => inner.await_place(deadline).await,
                Ok(Some(pass)) => Ok(pass),
                Err(rejected) => Err(rejected),
            };
            let Ok(entered) = entered else { return Err(tries.finish(error, GaveUp::Rejected)) };
            pass = entered;
        }
    }
}

impl Inner {
    fn sleep(&self, time: Duration) -> Result<Sleep> {
        let runtime = self.parts.clock.runtime().ok_or_else(no_runtime)?;
        Ok(Sleep::until(runtime, runtime.now() + time))
    }

    async fn await_place(&self, deadline: Moment) -> Result<Pass<'_>> {
        let parts = &self.parts;
        let place = self.attempt(deadline, parts.bulkhead.acquire(priority::current())).await;
        let place = place.map_err(|error| match error.code() {
            Code::DEADLINE_EXCEEDED => no_place(),
            _ => error,
        })?;
        parts.enter_with_place(place)
    }
}

impl Inner {
    /// One try: its future until the deadline, with the deadline in force for what it calls.
    async fn attempt<T>(
        &self,
        deadline: Moment,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut future = pin!(future);
        let mut waiting = None;
        poll_fn(|cx| match deadline::within(deadline, || future.as_mut().poll(cx)) {
            Poll::Pending => self.check(deadline, &mut waiting, cx).map(Err),
            answer => answer,
        })
        .await
    }

    /// A try that is pending: sees to it that it is woken at its deadline, and ends it then.
    fn check(
        &self,
        deadline: Moment,
        waiting: &mut Option<Waiting>,
        cx: &Context<'_>,
    ) -> Poll<Error> {
        if deadline == Moment::FAR {
            return Poll::Pending;
        }
        if self.parts.clock.now() >= deadline {
            return Poll::Ready(late());
        }
        match (&waiting, &self.deadlines) {
            (Some(waiting), _) => waiting.renew(cx.waker()),
            (None, Some(deadlines)) => {
                *waiting = Some(deadlines.wait(deadline, cx.waker().clone()));
            }
            (None, None) => return Poll::Ready(no_runtime()),
        }
        Poll::Pending
    }

    /// A try and, when it takes longer than most and the budget pays, a second one beside it. The first
    /// answer counts and the other try is dropped; a try that fails leaves the other one its time.
    async fn hedged<'a, T, F>(
        &'a self,
        pass: Pass<'a>,
        attempt: Attempt,
        call: &mut impl FnMut(Attempt) -> F,
    ) -> (Result<T>, Pass<'a>)
    where
        F: Future<Output = Result<T>>,
    {
        let began = pass.entry.began;
        let mut first = pin!(Some(call(attempt)));
        let mut timer = self.hedge_timer(began);
        let mut second = pin!(None::<F>);
        let mut passes = [Some(pass), None];
        let mut waiting = None;
        let answered = poll_fn(|cx| {
            for (which, mut this) in [first.as_mut(), second.as_mut()].into_iter().enumerate() {
                let Some(future) = this.as_mut().as_pin_mut() else { continue };
                if let Poll::Ready(answer) = deadline::within(attempt.deadline, || future.poll(cx))
                {
                    this.set(None);
                    if let Some(answered) = self.ended(&mut passes, which, answer) {
                        return Poll::Ready(answered);
                    }
                }
            }
            if let Some(sleep) = &mut timer
                && Pin::new(sleep).poll(cx).is_ready()
            {
                timer = None;
                if let Some(pass) = self.hedge() {
                    passes[1] = Some(pass);
                    second.set(Some(call(Attempt { hedged: true, ..attempt })));
                    // It has to be polled before it can wake anybody.
                    cx.waker().wake_by_ref();
                }
            }
            match self.check(attempt.deadline, &mut waiting, cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(error) => match passes.iter_mut().find_map(Option::take) {
                    Some(pass) => Poll::Ready((Err(error), pass)),
                    None => Poll::Pending,
                },
            }
        })
        .await;
        let now = self.parts.clock.now();
        for loser in passes.into_iter().flatten() {
            match &answered.0 {
                // It was dropped before it could tell.
                Ok(_) => loser.outpaced(),
                Err(error) => loser.failed(error, self.judge(error).class, now),
            }
        }
        answered
    }

    /// When a second try would be made.
    fn hedge_timer(&self, began: Moment) -> Option<Sleep> {
        let after = self.parts.hedge.load().as_ref()?.after();
        Some(Sleep::until(self.parts.clock.runtime()?, began + after))
    }

    /// Lets a second try in, if it can be paid for and there is room.
    pub(super) fn hedge(&self) -> Option<Pass<'_>> {
        let pass = self.parts.enter().ok()??;
        if !self.parts.hedge.load().as_ref()?.pay(self.parts.clock.now()) {
            pass.ignored();
            return None;
        }
        self.hedges.fetch_add(1, Ordering::Relaxed);
        Some(pass)
    }

    /// A second try that was let in could not be made.
    pub(super) fn unhedge(&self) {
        self.hedges.fetch_sub(1, Ordering::Relaxed);
        if let Some(hedge) = &*self.parts.hedge.load() {
            hedge.pay_back();
        }
    }

    /// One of two tries has ended. `None` when it failed and the other one still has its time.
    fn ended<'a, T>(
        &self,
        passes: &mut [Option<Pass<'a>>; 2],
        which: usize,
        answer: Result<T>,
    ) -> Option<(Result<T>, Pass<'a>)> {
        let pass = passes.get_mut(which)?.take()?;
        match answer {
            Err(error) if passes.iter().any(Option::is_some) => {
                pass.failed(&error, self.judge(&error).class, self.parts.clock.now());
                None
            }
            answer => Some((answer, pass)),
        }
    }
}

/// Ready at a moment. Dropped, it takes its timer back.
struct Sleep {
    runtime: Arc<dyn Runtime>,
    timer: TimerId,
    over: Ticket<()>,
}

impl Sleep {
    fn until(runtime: &Arc<dyn Runtime>, at: Moment) -> Self {
        let (over, reply) = ticket::pair();
        let timer = runtime.spawn_at(at, Box::new(move || drop(reply.send(()))));
        Self { runtime: Arc::clone(runtime), timer, over }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A runtime that stops drops its timers, which answers as well: the wait is over then too.
        Pin::new(&mut self.over).poll(cx).map(drop)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if !self.over.is_done() {
            self.runtime.cancel(self.timer);
        }
    }
}

#[cold]
fn late() -> Error {
    static LATE: Fixed = Fixed {
        code: Code::DEADLINE_EXCEEDED,
        message: "the call did not answer before the deadline of its guard",
    };
    Error::from(&LATE)
}

#[cold]
fn no_runtime() -> Error {
    static NONE: Fixed = Fixed {
        code: Code::UNSUPPORTED,
        message: "this guard was built without a runtime, so that it cannot wait for calls that are awaited",
    };
    Error::from(&NONE)
}
