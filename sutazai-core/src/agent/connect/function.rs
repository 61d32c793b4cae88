//! Closures as agents.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::base::contain;
use crate::base::payload::Payload;
use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::port::{Agent, AgentCard, AgentHost, Outcome, Task};
use crate::{Code, Error, Result};

/// An agent that is a closure. It runs where the card's [`run`](AgentCard::run) says. A panic
/// answers with [`Code::PANIC`] and its message.
///
/// ```
/// use sutazai_core::agent::connect::from_fn;
/// use sutazai_core::port::{Agent, AgentCard, Task};
///
/// let length = from_fn(AgentCard::new("length", ["length"]), |task: &Task| {
///     Ok(serde_json::Value::from(task.input().to::<String>()?.len()))
/// });
/// assert_eq!(&*length.card().name, "length");
/// ```
pub fn from_fn<F, O>(card: AgentCard, f: F) -> FnAgent
where
    F: Fn(&Task) -> Result<O> + Send + Sync + 'static,
    O: Into<Outcome>,
{
    from_fn_with(card, move |task, _| f(task))
}

/// An agent that is a closure, and that may stream partial results and look whether anybody still
/// wants its answer.
///
/// ```
/// use sutazai_core::agent::connect::{TaskContext, from_fn_with};
/// use sutazai_core::base::ticket;
/// use sutazai_core::port::{Agent, AgentCard, Task};
///
/// let card = AgentCard::new("counter", ["count"]);
/// let counter = from_fn_with(card, |task: &Task, context: &TaskContext<'_>| {
///     let to: u64 = task.input().to()?;
///     for n in 1..=to {
///         context.progress(serde_json::Value::from(n))?;
///     }
///     Ok("done")
/// });
/// let (mut ticket, reply) = ticket::pair();
/// counter.handle(Task::new("count", serde_json::Value::from(2)), reply);
/// assert_eq!(ticket.try_part().map(|part| part.to_string()).as_deref(), Some("1"));
/// # ticket.wait()?;
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub fn from_fn_with<F, O>(card: AgentCard, f: F) -> FnAgent
where
    F: Fn(&Task, &TaskContext<'_>) -> Result<O> + Send + Sync + 'static,
    O: Into<Outcome>,
{
    FnAgent(Form::Sync { card, f: Box::new(move |task, context| f(task, context).map(Into::into)) })
}

/// An agent that is an asynchronous closure. Its futures are driven by the kernel's runtime; one
/// whose caller cancels is dropped. A panic answers with [`Code::PANIC`] and its message.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::agent::connect::from_async;
/// use sutazai_core::base::{runtime::Manual, ticket};
/// use sutazai_core::observe::{Log, system_clock};
/// use sutazai_core::port::{Agent, AgentCard, AgentHost, Task};
///
/// let agent = from_async(AgentCard::new("echo", ["echo"]), async |task: Task| {
///     Ok(task.input().clone())
/// });
/// let runtime = Manual::new();
/// let log = Log::new(100, system_clock());
/// agent.start(&AgentHost::new(Arc::new(runtime.clone()), log))?;
/// let (mut ticket, reply) = ticket::pair();
/// agent.handle(Task::new("echo", "hello"), reply);
/// runtime.run();
/// assert_eq!(ticket.wait()?.output.to::<String>()?, "hello");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub fn from_async<F, U, O>(card: AgentCard, f: F) -> FnAgent
where
    F: Fn(Task) -> U + Send + Sync + 'static,
    U: Future<Output = Result<O>> + Send + 'static,
    O: Into<Outcome>,
{
    FnAgent(Form::Async {
        card,
        runtime: OnceLock::new(),
        f: Box::new(move |task| {
            let future = f(task);
            Box::pin(async move { future.await.map(Into::into) })
        }),
    })
}

/// An agent made by [`from_fn`], [`from_fn_with`] or [`from_async`].
pub struct FnAgent(Form);

type SyncFn = dyn Fn(&Task, &TaskContext<'_>) -> Result<Outcome> + Send + Sync;
type AsyncFn = dyn Fn(Task) -> BoxFuture<Result<Outcome>> + Send + Sync;

enum Form {
    Sync { card: AgentCard, f: Box<SyncFn> },
    Async { card: AgentCard, runtime: OnceLock<Arc<dyn Runtime>>, f: Box<AsyncFn> },
}

/// What a closure knows of the call that it works for.
#[derive(Debug)]
pub struct TaskContext<'a> {
    task: &'a Task,
    reply: &'a Reply<Outcome>,
}

impl TaskContext<'_> {
    /// Streams a partial result; see [`Reply::progress`].
    ///
    /// # Errors
    /// [`Code::TOO_LATE`] when nobody waits any more.
    pub fn progress(&self, part: impl Into<Payload>) -> Result<()> {
        self.reply.progress(part.into())
    }

    /// Whether nobody wants the answer any more.
    pub fn cancelled(&self) -> bool {
        self.reply.cancelled()
    }

    /// When the caller stops waiting; [`Moment::FAR`] for never.
    pub fn deadline(&self) -> Moment {
        self.task.deadline()
    }
}

impl Agent for FnAgent {
    fn card(&self) -> AgentCard {
        match &self.0 {
            Form::Sync { card, .. } | Form::Async { card, .. } => card.clone(),
        }
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        match &self.0 {
            Form::Sync { f, .. } => {
                let context = TaskContext { task: &task, reply: &reply };
                let answer = caught(|| f(&task, &context));
                let _ = reply.answer(answer);
            }
            Form::Async { card, runtime, f } => {
                let Some(runtime) = runtime.get() else {
                    let error = Error::new(Code::NOT_RUNNING, "the agent has not been started")
                        .with("agent", &card.name);
                    let _ = reply.fail(error);
                    return;
                };
                let outer = task.clone();
                let within = move |mut future: BoxFuture<Result<Outcome>>| {
                    // Whatever thread drives it: in force for what it calls in turn.
                    std::future::poll_fn(move |cx| outer.within_it(|| future.as_mut().poll(cx)))
                };
                match caught(|| Ok(Box::pin(within(f(task))) as BoxFuture<Result<Outcome>>)) {
                    Ok(future) => drive(&**runtime, future, reply),
                    Err(panic) => drop(reply.fail(panic)),
                }
            }
        }
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        if let Form::Async { runtime, .. } = &self.0 {
            let _ = runtime.set(Arc::clone(&host.runtime));
        }
        Ok(())
    }
}

impl std::fmt::Debug for FnAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FnAgent").field(&self.card()).finish()
    }
}

fn drive(runtime: &dyn Runtime, future: BoxFuture<Result<Outcome>>, reply: Reply<Outcome>) {
    let link = Arc::new(Link::default());
    let on_cancel = Arc::clone(&link);
    reply.on_cancel(move || {
        let waker = on_cancel.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    let work = Work { future: Some(future), reply: Some(reply), link: Arc::clone(&link) };
    if let Err(refused) = runtime.spawn(Box::pin(work)) {
        // The work, when dropped, tells its caller.
        let _ = link.refused.set(refused.error);
        drop(refused.work);
    }
}

/// A future and the call that it is for. Ends when the future does or the caller has gone.
struct Work {
    future: Option<BoxFuture<Result<Outcome>>>,
    reply: Option<Reply<Outcome>>,
    link: Arc<Link>,
}

/// What a [`Work`] shares with those outside of the runtime that has it.
#[derive(Default)]
struct Link {
    waker: Mutex<Option<Waker>>,
    refused: OnceLock<Error>,
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let old = self.link.waker.lock().replace(cx.waker().clone());
        drop(old);
        // After the waker was left: whoever cancels from here on wakes this task.
        let wanted = self.reply.as_ref().is_some_and(|reply| !reply.cancelled());
        let Some(future) = self.future.as_mut().filter(|_| wanted) else {
            self.finish(Err(crate::base::ticket::cancelled()));
            return Poll::Ready(());
        };
        let answer = match caught(|| Ok(future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer,
            Err(panic) => Err(panic),
        };
        self.finish(answer);
        Poll::Ready(())
    }
}

impl Work {
    /// Lets go of the future first: when the call is finished, nothing of it runs any more.
    fn finish(&mut self, answer: Result<Outcome>) {
        let future = self.future.take();
        let dropped = caught(|| {
            drop(future);
            Ok(())
        });
        if let Some(reply) = self.reply.take() {
            let _ = reply.answer(dropped.and(answer));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.reply.is_some() {
            let error = self.link.refused.get().cloned().unwrap_or_else(|| {
                Error::new(Code::NOT_RUNNING, "the runtime did not finish the agent's future")
            });
            self.finish(Err(error));
        }
    }
}

/// Runs foreign code; its panic becomes an error.
fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    contain::run("the agent panicked", f).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;
    use crate::base::runtime::Manual;
    use crate::base::ticket::{Ticket, pair};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn card() -> AgentCard {
        AgentCard::new("subject", ["any"])
    }

    fn ask(agent: &FnAgent) -> Ticket<Outcome> {
        let (ticket, reply) = pair();
        agent.handle(Task::new("any", "input"), reply);
        ticket
    }

    fn on_manual(agent: &FnAgent) -> Manual {
        let runtime = Manual::new();
        agent.start(&host(Arc::new(runtime.clone()))).unwrap();
        runtime
    }

    fn host(runtime: Arc<dyn Runtime>) -> AgentHost {
        AgentHost::new(runtime, crate::observe::Log::new(1, crate::observe::system_clock()))
    }

    #[test]
    fn a_panic_is_a_critical_error_with_its_message() {
        let number = 7;
        for agent in [
            from_fn(card(), move |_| -> Result<Outcome> { panic!("number {number}") }),
            from_async(card(), move |_| async move {
                if number == 7 {
                    panic!("number {number}");
                }
                Ok("unreached")
            }),
            from_async(card(), move |_| -> std::future::Ready<Result<Outcome>> {
                panic!("number {number}")
            }),
        ] {
            let runtime = on_manual(&agent);
            let mut ticket = ask(&agent);
            runtime.run();
            let error = ticket.try_take().unwrap().unwrap_err();
            assert_eq!((error.code(), error.class()), (Code::PANIC, Class::Critical));
            assert_eq!(error.context().collect::<Vec<_>>(), [("panic", "number 7")]);
        }
    }

    #[test]
    fn a_closure_learns_that_nobody_waits() {
        let agent = from_fn_with(card(), |_, context| {
            assert!(context.cancelled());
            assert_eq!(context.progress("part").unwrap_err().code(), Code::TOO_LATE);
            assert_eq!(context.deadline(), Moment::FAR);
            Ok("unheard")
        });
        let (mut ticket, reply) = pair();
        ticket.cancel();
        agent.handle(Task::new("any", "input"), reply);
        assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::CANCELLED);
    }

    /// Says when it is dropped.
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_future_is_dropped_when_its_caller_cancels() {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        let agent = from_async(card(), move |_| {
            let flag = Flag(Arc::clone(&flag));
            async move {
                let _flag = flag;
                std::future::pending::<()>().await;
                Ok("unreached")
            }
        });
        let runtime = on_manual(&agent);
        let ticket = ask(&agent);
        runtime.run();
        assert!(!dropped.load(Ordering::SeqCst));
        drop(ticket);
        runtime.run();
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[test]
    fn whoever_cancelled_before_the_start_costs_no_poll() {
        let polled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&polled);
        let agent = from_async(card(), move |_| {
            let flag = Arc::clone(&flag);
            async move {
                flag.store(true, Ordering::SeqCst);
                Ok("unreached")
            }
        });
        let runtime = on_manual(&agent);
        drop(ask(&agent));
        runtime.run();
        assert!(!polled.load(Ordering::SeqCst));
    }

    #[test]
    fn a_runtime_that_refuses_is_named_to_the_caller() {
        let agent = from_async(card(), |_| std::future::ready(Ok("unreached")));
        assert_eq!(ask(&agent).try_take().unwrap().unwrap_err().code(), Code::NOT_RUNNING);
        let stopped = crate::base::runtime::Threads::default();
        agent.start(&host(Arc::new(stopped))).unwrap();
        let error = ask(&agent).try_take().unwrap().unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::NOT_RUNNING, "the runtime is not running")
        );
    }

    #[test]
    fn a_future_that_panics_when_dropped_answers_all_the_same() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let agent = from_async(card(), |_| {
            let bomb = Bomb;
            std::future::poll_fn(move |_| {
                let _ = &bomb;
                Poll::Ready(Ok("fine"))
            })
        });
        let runtime = on_manual(&agent);
        let mut ticket = ask(&agent);
        runtime.run();
        assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::PANIC);
    }
}
