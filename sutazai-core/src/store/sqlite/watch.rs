//! [`Watch`]: what the writer thread is at, for whoever waits for its end in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use parking_lot::Mutex;

use super::writer::Bench;
use crate::store::DataDir;
use crate::{Code, Error};

/// What foreign code the thread runs.
#[derive(Clone, Copy)]
pub(super) enum At {
    /// The closure of a write of this room.
    Write(&'static str),
    /// A callback of the ticket of a write of this room.
    Callback(&'static str),
}

#[derive(Default)]
pub(super) struct Watch {
    at: Mutex<Option<At>>,
    /// Nobody waits for the thread any more.
    left_behind: AtomicBool,
}

/// The thread is at something until this is dropped.
pub(super) struct Stay<'w>(&'w Watch);

impl Watch {
    pub(super) fn at(&self, at: At) -> Stay<'_> {
        *self.at.lock() = Some(at);
        Stay(self)
    }

    /// Has the thread give the directory's lock back when it ends; false when it has ended.
    pub(super) fn leave_behind(&self, ended: &Receiver<()>) -> bool {
        self.left_behind.store(true, Ordering::SeqCst);
        // In this order: a thread that has not ended by now sees the mark (`Ending` looks last).
        ended.try_recv() != Err(TryRecvError::Disconnected)
    }

    pub(super) fn hangs(&self) -> Error {
        let at = *self.at.lock();
        let (room, message) = match at {
            Some(At::Write(room)) => (Some(room), "the closure of a write does not return"),
            Some(At::Callback(room)) => {
                (Some(room), "a callback of a write's ticket does not return")
            }
            None => (None, "the writes that were queued are not done yet"),
        };
        let error = Error::new(Code::STORE_HANGS, message).operation("store.close");
        let error = match room {
            Some(room) => error.with("room", room),
            None => error,
        };
        error.advice(
            "the data directory stays locked until that has come to its end, or the process",
        )
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        *self.0.at.lock() = None;
    }
}

/// The end of the thread, when this is dropped: says so, and frees the directory if nobody waits.
pub(super) struct Ending {
    end: Option<Sender<()>>,
    watch: Arc<Watch>,
    dir: Option<DataDir>,
}

impl Ending {
    pub(super) fn of(bench: &Bench, end: Sender<()>) -> Self {
        Self { end: Some(end), watch: Arc::clone(&bench.watch), dir: bench.dir.clone() }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(dir) = &self.dir
            && self.watch.left_behind.load(Ordering::SeqCst)
        {
            dir.release();
        }
    }
}
