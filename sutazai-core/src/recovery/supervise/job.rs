//! The calls of children: each on a thread that may block, caught when it panics.

use std::sync::Arc;

use super::driver::Shared;
use super::inside::{self, Inside};
use crate::base::contain;
use crate::base::time::Moment;
use crate::port::{Child, ChildExit, ChildLife, ChildReport, ChildStart, Generation};
use crate::{Code, Error, Result};

/// What is kept of a life until it is over.
pub(super) struct Slot {
    /// None until it is made.
    child: Option<Arc<dyn Child>>,
    inside: Inside,
    /// Its `start` has returned.
    started: bool,
    /// It has said how it ended.
    ended: bool,
    told_to_stop: bool,
    killed: bool,
}

impl Slot {
    /// For a life that begins; `inside` marks what its start and stop do.
    pub(super) fn new(inside: Inside) -> Self {
        Self {
            child: None,
            inside,
            started: false,
            ended: false,
            told_to_stop: false,
            killed: false,
        }
    }

    /// The child to be stopped, which is told so.
    pub(super) fn stop(&mut self) -> Option<(Arc<dyn Child>, Inside)> {
        self.told_to_stop = true;
        Some((self.child.clone()?, self.inside.clone()))
    }

    pub(super) fn is_told_to_stop(&self) -> bool {
        self.told_to_stop
    }

    /// The child to be killed; one that is not made yet will not be started.
    pub(super) fn kill(&mut self) -> Option<Arc<dyn Child>> {
        self.killed = true;
        self.child.clone()
    }
}

type Job = Box<dyn FnOnce() + Send>;

impl Shared {
    /// Makes a child and starts it: on the blocking pool, or right here.
    pub(super) fn call_start(self: &Arc<Self>, life: ChildLife, deadline: Moment, here: bool) {
        let generation = life.generation;
        let shared = Arc::clone(self);
        let job = Box::new(move || shared.start(&life, deadline));
        if here {
            return job();
        }
        if let Err(refused) = self.runtime.spawn_blocking(job) {
            self.started(generation, Err(refused.error));
        }
    }

    pub(super) fn call_stop(
        self: &Arc<Self>,
        generation: Generation,
        child: Option<(Arc<dyn Child>, Inside)>,
        deadline: Moment,
        here: bool,
    ) {
        // Without a child it has ended by itself meanwhile, which the tree knows or is about to hear.
        let Some((child, inside)) = child else { return };
        let shared = Arc::clone(self);
        let job = Box::new(move || {
            let stop = || inside::within([inside], || child.stop(deadline));
            let exit = match caught(stop).and_then(|result| result) {
                Ok(()) => ChildExit::Shutdown,
                Err(error) => ChildExit::Failed(error),
            };
            shared.exited(generation, exit);
        });
        if let Err(error) = self.apart("sutazai-stop", job, here) {
            self.exited(generation, ChildExit::Failed(error));
        }
    }

    pub(super) fn call_kill(
        self: &Arc<Self>,
        generation: Generation,
        child: Option<Arc<dyn Child>>,
        here: bool,
    ) {
        let shared = Arc::clone(self);
        let job = Box::new(move || {
            if let Some(child) = child {
                // One that panics when it is killed is left to itself all the same.
                let _ = caught(|| child.kill());
            }
            shared.killed(generation);
        });
        if self.apart("sutazai-kill", job, here).is_err() {
            self.killed(generation);
        }
    }

    /// Runs a job on a thread of its own; under virtual time on the pool, or right here.
    fn apart(&self, name: &str, job: Job, here: bool) -> Result<()> {
        if here {
            job();
            return Ok(());
        }
        // A thread that cannot be started drops its job, so it must be possible to take that back.
        let job = Arc::new(parking_lot::Mutex::new(Some(job)));
        let run = {
            let job = Arc::clone(&job);
            move || {
                let job = job.lock().take();
                if let Some(job) = job {
                    job();
                }
            }
        };
        if self.runtime.virtual_time().is_none()
            && std::thread::Builder::new().name(name.to_owned()).spawn(run.clone()).is_ok()
        {
            return Ok(());
        }
        self.runtime.spawn_blocking(Box::new(run)).map_err(|refused| refused.error)
    }

    fn start(self: &Arc<Self>, life: &ChildLife, deadline: Moment) {
        let generation = life.generation;
        let child = match caught(|| self.children.child(life)).and_then(|result| result) {
            Ok(child) => child,
            Err(error) => {
                self.started(generation, Err(error));
                return;
            }
        };
        let inside = match self.state.lock().slots.get_mut(&generation) {
            Some(slot) if !slot.killed => {
                slot.child = Some(Arc::clone(&child));
                Some(slot.inside.clone())
            }
            _ => None,
        };
        let Some(inside) = inside else {
            let error = Error::new(Code::CANCELLED, "it was killed before it started");
            self.started(generation, Err(error));
            return;
        };
        let shared = Arc::downgrade(self);
        let report = ChildReport::new(generation, move |exit| {
            if let Some(shared) = shared.upgrade() {
                shared.exited(generation, exit);
            }
        });
        let start = || inside::within([inside], || child.start(report, deadline));
        let result = caught(start).and_then(|result| result);
        let runs = matches!(result, Ok(ChildStart::Running));
        if !self.started(generation, result) && runs {
            // Too late: nobody counts on it any more, and its kill came before there was anything to
            // kill.
            let _ = caught(|| child.kill());
        }
    }

    /// False when nobody waits for it any more.
    fn started(self: &Arc<Self>, generation: Generation, result: Result<ChildStart>) -> bool {
        let now = self.runtime.now();
        let runs = matches!(result, Ok(ChildStart::Running));
        let (wanted, _over) = {
            let mut state = self.state.lock();
            let wanted = state.tree.started(generation, result, now);
            let over = match state.slots.get_mut(&generation) {
                Some(slot) if runs && wanted && !slot.ended => {
                    slot.started = true;
                    None
                }
                _ => state.slots.remove(&generation),
            };
            (wanted, over)
        };
        self.pump();
        wanted
    }

    fn exited(self: &Arc<Self>, generation: Generation, exit: ChildExit) {
        let now = self.runtime.now();
        let _over = {
            let mut state = self.state.lock();
            state.tree.exited(generation, exit, now);
            match state.slots.get_mut(&generation) {
                // Should its start never return, it has to be killed.
                Some(slot) if !slot.started => {
                    slot.ended = true;
                    None
                }
                _ => state.slots.remove(&generation),
            }
        };
        self.pump();
    }

    fn killed(self: &Arc<Self>, generation: Generation) {
        let now = self.runtime.now();
        let _over = {
            let mut state = self.state.lock();
            state.tree.killed(generation, now);
            state.slots.remove(&generation)
        };
        self.pump();
    }
}

/// What `call` returns; an error when it panics.
pub(super) fn caught<R>(call: impl FnOnce() -> R) -> Result<R> {
    contain::run("the child panicked", call)
}
