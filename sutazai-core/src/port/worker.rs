//! What a supervised child does: [`Worker`] and [`MessageWorker`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ChildLife;
use crate::Result;
use crate::base::payload::Payload;
use crate::base::wait::{Condvar, Mutex};

/// A loop that lives under supervision: on a thread of its own, from its start until it returns. Whether
/// it is started again then is up to its supervisor.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::Result;
/// use sutazai_core::port::{Worker, WorkerLife};
///
/// struct Poll;
/// impl Worker for Poll {
///     fn run(&self, life: &WorkerLife) -> Result<()> {
///         // … until it is told to stop, with a pause of a second between rounds.
///         while !life.wait(Duration::from_secs(1)) {
///             println!("a round of {}", life.life().path);
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Worker: Send + Sync + 'static {
    /// Works, until it is done or told to stop.
    ///
    /// # Errors
    /// Anything: the child has failed, as it has when it panics.
    fn run(&self, life: &WorkerLife) -> Result<()>;
}

impl<F: Fn(&WorkerLife) -> Result<()> + Send + Sync + 'static> Worker for F {
    fn run(&self, life: &WorkerLife) -> Result<()> {
        self(life)
    }
}

/// What is done with the messages of a child, one after the other. They wait in a mailbox that outlives
/// the child.
pub trait MessageWorker: Send + Sync + 'static {
    /// Does a message.
    ///
    /// # Errors
    /// Anything: the child comes down, as it does when it panics. The message goes back to its place for
    /// the next life; when it brings that one down too, it is set aside.
    fn handle(&self, message: &WorkerMessage<'_>) -> Result<()>;
}

impl<F: Fn(&WorkerMessage<'_>) -> Result<()> + Send + Sync + 'static> MessageWorker for F {
    fn handle(&self, message: &WorkerMessage<'_>) -> Result<()> {
        self(message)
    }
}

/// A message in hand.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerMessage<'m> {
    /// Which child has it.
    pub life: &'m ChildLife,
    /// Its number within its mailbox.
    pub id: u64,
    /// How often it was in hand when its child came down.
    pub kills: u32,
    /// What it says.
    pub body: &'m Payload,
}

impl<'m> WorkerMessage<'m> {
    /// A message that this life has in hand.
    pub fn new(life: &'m ChildLife, id: u64, kills: u32, body: &'m Payload) -> Self {
        Self { life, id, kills, body }
    }
}

/// One life of a [`Worker`]. Cheap to clone; clones are the same life.
#[derive(Clone)]
pub struct WorkerLife(Arc<Inner>);

struct Inner {
    life: ChildLife,
    stopping: Mutex<bool>,
    told: Condvar,
}

impl WorkerLife {
    /// A life that has not been told to stop.
    pub fn new(life: ChildLife) -> Self {
        Self(Arc::new(Inner { life, stopping: Mutex::new(false), told: Condvar::new() }))
    }

    /// Which child it is, and which of its lives.
    pub fn life(&self) -> &ChildLife {
        &self.0.life
    }

    /// Whether it was told to stop.
    pub fn stopping(&self) -> bool {
        *self.0.stopping.lock()
    }

    /// Pauses for so long, or until it is told to stop; says whether it was.
    pub fn wait(&self, pause: Duration) -> bool {
        let until = Instant::now().checked_add(pause);
        let mut stopping = self.0.stopping.lock();
        while !*stopping {
            let Some(until) = until else {
                stopping = self.0.told.wait(stopping);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (stopping, _) = self.0.told.wait_for(stopping, left);
        }
        *stopping
    }

    /// Tells it to stop.
    pub fn stop(&self) {
        *self.0.stopping.lock() = true;
        self.0.told.notify_all();
    }
}

impl fmt::Debug for WorkerLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkerLife").field(&self.0.life).finish()
    }
}
