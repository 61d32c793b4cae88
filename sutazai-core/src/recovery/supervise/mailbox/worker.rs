//! A child that works off a mailbox.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::super::inside::{self, Inside};
use super::super::job::caught;
use super::{Ending, Mailbox, Message};
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::port::{Child, ChildExit, ChildLife, ChildReport, ChildStart};
use crate::{Code, Error, Result};

/// Messages that a worker does before it lets others of its pool have a turn.
const TURN: usize = 64;
/// When the pool is full, a turn is tried again after this time.
const FULL: Duration = Duration::from_millis(5);

/// What is done with a message. An error, as a panic, brings the worker down.
pub type Work<T> = Arc<dyn Fn(&Message<T>) -> Result<()> + Send + Sync>;

/// One life of a worker that does the messages of a [`Mailbox`], one after the other, on the blocking
/// pool. It needs a thread only while there is something to do. Make a new one for each life, in
/// [`Children::child`](crate::port::Children::child).
///
/// When it is asked to stop it finishes the message in hand. When it comes down, or does not stop in time,
/// that message goes back, and this counts against it; when it is killed without having been asked to stop,
/// it goes back as it was.
pub struct MailboxWorker<T>(Arc<Shared<T>>);

struct Shared<T> {
    mailbox: Mailbox<T>,
    runtime: Arc<dyn Runtime>,
    life: ChildLife,
    work: Work<T>,
    /// Turns are made on threads of the worker's own.
    apart: bool,
    state: Mutex<State>,
    idles: Condvar,
}

#[derive(Default)]
struct State {
    report: Option<ChildReport>,
    /// Which child's code a turn is.
    inside: Option<Inside>,
    /// A turn is under way, or is about to be.
    turn: bool,
    /// A message is being done.
    busy: bool,
    /// It was asked to stop.
    stopping: bool,
    /// It is over: it came down, has stopped, or was killed.
    over: bool,
}

impl<T: Send + Sync + 'static> MailboxWorker<T> {
    /// A worker of this life.
    pub fn new(
        mailbox: Mailbox<T>,
        runtime: Arc<dyn Runtime>,
        life: &ChildLife,
        work: Work<T>,
    ) -> Self {
        Self::made(mailbox, runtime, life, work, false)
    }

    /// As [`new`](Self::new), on a thread of its own while there is something to do: work that takes long
    /// keeps no thread of the pool from others. Under virtual time it is the pool all the same.
    pub fn apart(
        mailbox: Mailbox<T>,
        runtime: Arc<dyn Runtime>,
        life: &ChildLife,
        work: Work<T>,
    ) -> Self {
        let apart = runtime.virtual_time().is_none();
        Self::made(mailbox, runtime, life, work, apart)
    }

    fn made(
        mailbox: Mailbox<T>,
        runtime: Arc<dyn Runtime>,
        life: &ChildLife,
        work: Work<T>,
        apart: bool,
    ) -> Self {
        let (life, state, idles) = (life.clone(), Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { mailbox, runtime, life, work, apart, state, idles }))
    }
}

impl<T: Send + Sync + 'static> Child for MailboxWorker<T> {
    fn start(&self, report: ChildReport, _deadline: Moment) -> Result<ChildStart> {
        {
            let mut state = self.0.state.lock();
            state.report = Some(report);
            state.inside = Inside::here();
        }
        let shared = Arc::downgrade(&self.0);
        let wake = move || {
            if let Some(shared) = shared.upgrade() {
                shared.wake();
            }
        };
        if self.0.mailbox.attach(&self.0.life, Arc::new(wake)) {
            return Ok(ChildStart::Running);
        }
        Err(Error::new(Code::TOO_LATE, "a later life has the mailbox"))
    }

    /// Waits for the end of the message in hand, until `deadline`.
    fn stop(&self, deadline: Moment) -> Result<()> {
        let in_time = {
            let mut state = self.0.state.lock();
            state.stopping = true;
            self.0.wait_until_idle(&mut state, deadline)
        };
        if in_time {
            self.0.end(Ending::InOrder, ChildExit::Shutdown);
            return Ok(());
        }
        let error = overran();
        self.0.end(Ending::Crashed(&error), ChildExit::Failed(error.clone()));
        Err(error)
    }

    fn kill(&self) {
        let stopping = self.0.state.lock().stopping;
        let error = overran();
        let ending = if stopping { Ending::Crashed(&error) } else { Ending::InOrder };
        self.0.end(ending, ChildExit::Shutdown);
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// There may be something to do.
    fn wake(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.turn || state.stopping || state.over {
                return;
            }
            state.turn = true;
        }
        self.next_turn();
    }

    fn next_turn(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let name = || "sutazai-worker".to_owned();
        if self.apart
            && std::thread::Builder::new().name(name()).spawn(move || shared.turn()).is_ok()
        {
            return;
        }
        let shared = Arc::clone(self);
        if self.runtime.spawn_blocking(Box::new(move || shared.turn())).is_err() {
            let shared = Arc::clone(self);
            let again = move || shared.next_turn();
            self.runtime.spawn_at(self.runtime.now() + FULL, Box::new(again));
        }
    }

    fn turn(self: &Arc<Self>) {
        let inside = self.state.lock().inside.clone();
        inside::within(inside, || self.messages());
    }

    fn messages(self: &Arc<Self>) {
        let messages = if self.apart { usize::MAX } else { TURN };
        for _ in 0..messages {
            if !self.begin_message() {
                return;
            }
            let Some(message) = self.mailbox.take(self.life.generation) else {
                self.end_message(true);
                // Something may have come in between, and found a turn under way.
                if self.mailbox.status().waiting > 0 {
                    self.wake();
                }
                return;
            };
            match caught(|| (self.work)(&message)).and_then(|result| result) {
                // Too late only when it was given up; then this is the last turn.
                Ok(()) => {
                    message.done();
                }
                Err(error) => {
                    return self.end(Ending::Crashed(&error), ChildExit::Failed(error.clone()));
                }
            }
            self.end_message(false);
        }
        self.next_turn();
    }

    /// False when there will be no more messages.
    fn begin_message(&self) -> bool {
        let mut state = self.state.lock();
        state.busy = !state.stopping && !state.over;
        state.turn = state.busy;
        state.busy
    }

    fn end_message(&self, last: bool) {
        let mut state = self.state.lock();
        state.busy = false;
        state.turn = !last;
        if state.stopping {
            self.idles.notify_all();
        }
    }

    /// False when a message is still being done at `deadline`.
    fn wait_until_idle(&self, state: &mut MutexGuard<'_, State>, deadline: Moment) -> bool {
        while state.busy && !state.over {
            let left = deadline.since(self.runtime.now());
            if left.is_zero() || !self.runtime.may_block() {
                return false;
            }
            if deadline == Moment::FAR {
                self.idles.wait(state);
            } else {
                self.idles.wait_for(state, left);
            }
        }
        true
    }

    /// It is over, once.
    fn end(&self, ending: Ending<'_>, exit: ChildExit) {
        let report = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.over, true) {
                return;
            }
            state.report.take()
        };
        self.idles.notify_all();
        self.mailbox.detach(self.life.generation, ending, self.runtime.timestamp());
        if let Some(report) = report {
            report.exited(exit);
        }
    }
}

fn overran() -> Error {
    Error::new(Code::DEADLINE_EXCEEDED, "the worker did not end its message in time")
}

impl<T> std::fmt::Debug for MailboxWorker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailboxWorker").field("life", &self.0.life).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::{MailboxPolicy, MailboxStatus};
    use super::*;
    use crate::base::runtime::Threads;
    use crate::port::Generation;

    #[test]
    fn a_life_that_comes_too_late_does_not_start() {
        let runtime = Arc::new(Threads::default());
        let mailbox: Mailbox<u32> = Mailbox::new(MailboxPolicy::default());
        let work: Work<u32> = Arc::new(|_| Ok(()));
        let worker = |generation| {
            let work = Arc::clone(&work);
            MailboxWorker::new(mailbox.clone(), runtime.clone(), &life(generation), work)
        };
        assert_eq!(worker(2).start(report(2), Moment::FAR), Ok(ChildStart::Running));
        let late = worker(1).start(report(1), Moment::FAR).unwrap_err();
        assert_eq!(late.code(), Code::TOO_LATE);
        assert_eq!(worker(3).start(report(3), Moment::FAR), Ok(ChildStart::Running));
    }

    /// A worker whose first message, in the first delivery, takes until the sender says so.
    struct Stuck {
        worker: Arc<MailboxWorker<u32>>,
        mailbox: Mailbox<u32>,
        runtime: Threads,
        work: Work<u32>,
        go: mpsc::Sender<()>,
        late: mpsc::Receiver<bool>,
    }

    fn life(generation: u64) -> ChildLife {
        ChildLife::new("w", "main>w", Generation(generation))
    }

    fn report(generation: u64) -> ChildReport {
        ChildReport::new(Generation(generation), |_| ())
    }

    fn stuck() -> Stuck {
        let runtime = Threads::default();
        runtime.start().unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let gone = Mutex::new(gone);
        let (told, late) = mpsc::channel();
        let mailbox = Mailbox::new(MailboxPolicy::default());
        let work: Work<u32> = Arc::new(move |message| {
            if message.kills == 0 {
                begun.send(()).unwrap();
                let _ = gone.lock().recv();
                told.send(message.done()).unwrap();
            }
            Ok(())
        });
        let worker = Arc::new(MailboxWorker::new(
            mailbox.clone(),
            Arc::new(runtime.clone()),
            &life(1),
            Arc::clone(&work),
        ));
        worker.start(report(1), Moment::FAR).unwrap();
        mailbox.push(7).unwrap();
        has_begun.recv().unwrap();
        Stuck { worker, mailbox, runtime, work, go, late }
    }

    impl Stuck {
        /// A thread that stops the worker, and has begun to.
        fn stopping(&self) -> std::thread::JoinHandle<Result<()>> {
            let worker = Arc::clone(&self.worker);
            let stop = std::thread::spawn(move || worker.stop(Moment::FAR));
            while !self.worker.0.state.lock().stopping {
                std::thread::yield_now();
            }
            stop
        }

        /// Another life does the message while the first one still has it, which then cannot end it.
        fn taken_over(self) -> MailboxStatus {
            assert_eq!(self.mailbox.status().waiting, 1);
            let runtime = Arc::new(self.runtime.clone());
            let next = MailboxWorker::new(self.mailbox.clone(), runtime, &life(2), self.work);
            next.start(report(2), Moment::FAR).unwrap();
            while self.mailbox.status().done == 0 {
                std::thread::yield_now();
            }
            self.go.send(()).unwrap();
            assert!(!self.late.recv().unwrap());
            self.runtime.stop(Duration::from_secs(1));
            self.mailbox.status()
        }
    }

    #[test]
    fn a_message_that_outlasts_the_stop_goes_back_and_counts() {
        let stuck = stuck();
        let error = stuck.worker.stop(Moment::ZERO).unwrap_err();
        assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
        let s = stuck.taken_over();
        assert_eq!((s.done, s.delivered, s.returned, s.in_hand), (1, 2, 1, 0));
    }

    #[test]
    fn a_stop_waits_for_the_message_in_hand_and_no_other() {
        let stuck = stuck();
        stuck.mailbox.push(8).unwrap();
        let stop = stuck.stopping();
        assert!(!stop.is_finished());
        stuck.go.send(()).unwrap();
        assert!(stuck.late.recv().unwrap());
        stop.join().unwrap().unwrap();
        let s = stuck.mailbox.status();
        assert_eq!((s.done, s.waiting, s.in_hand, s.returned), (1, 1, 0, 0));
        stuck.runtime.stop(Duration::from_secs(1));
    }

    #[test]
    fn a_kill_ends_the_wait_for_a_message() {
        let stuck = stuck();
        let stop = stuck.stopping();
        stuck.worker.kill();
        stop.join().unwrap().unwrap();
        let s = stuck.taken_over();
        assert_eq!((s.done, s.delivered, s.returned, s.in_hand), (1, 2, 1, 0));
    }
}
