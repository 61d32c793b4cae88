//! [`LogSink`]: where records go, and the list of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::LogRecord;
use crate::base::contain;
use crate::{Code, Error, Result};

/// How many sinks a log has at most.
pub const SINKS_MAX: usize = 64;

/// A sink that panicked so often is detached.
const PANICS_MAX: u32 = 3;

/// Takes records. Called on the thread that logs, from many at once, without any lock held: it
/// should hand the record on and return. What it logs itself is left out, to keep it from feeding
/// itself; when it panics, that is counted, and the third time it is detached.
pub trait LogSink: Send + Sync {
    /// A name for status.
    fn name(&self) -> &str;

    /// Takes a record.
    fn write(&self, record: &Arc<LogRecord>);

    /// Writes out what is held back; returns when that is done.
    fn flush(&self) {}
}

/// An attached sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SinkId(u64);

#[derive(Default)]
pub(super) struct Sinks {
    list: ArcSwap<Vec<Arc<Attached>>>,
    next: AtomicU64,
    panics: AtomicU64,
}

struct Attached {
    id: SinkId,
    sink: Arc<dyn LogSink>,
    panics: AtomicU32,
}

impl Sinks {
    pub(super) fn attach(&self, sink: Arc<dyn LogSink>) -> Result<SinkId> {
        let id = SinkId(self.next.fetch_add(1, Ordering::Relaxed));
        let attached = Arc::new(Attached { id, sink, panics: AtomicU32::new(0) });
        let before = self.list.rcu(|list| {
            let mut list = Vec::clone(list);
            if list.len() < SINKS_MAX {
                list.push(Arc::clone(&attached));
            }
            list
        });
        if before.len() >= SINKS_MAX {
            return Err(Error::new(Code::OVERLOADED, "the log has as many sinks as it may")
                .operation("log.attach")
                .with("most", SINKS_MAX));
        }
        Ok(id)
    }

    pub(super) fn detach(&self, id: SinkId) -> bool {
        let before = self
            .list
            .rcu(|list| list.iter().filter(|there| there.id != id).cloned().collect::<Vec<_>>());
        before.iter().any(|there| there.id == id)
    }

    #[inline]
    pub(super) fn write(&self, record: &Arc<LogRecord>) {
        self.each(|sink| sink.write(record));
    }

    pub(super) fn flush(&self) {
        self.each(|sink| sink.flush());
    }

    pub(super) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let name = |there: &Arc<Attached>| {
            contain::catch(|| there.sink.name().to_owned()).unwrap_or_default()
        };
        self.list.load_full().iter().map(name).collect()
    }

    fn each(&self, f: impl Fn(&dyn LogSink)) {
        // Not a lock: the list may be replaced meanwhile, from inside a sink as well.
        for there in self.list.load().iter() {
            if contain::catch(|| f(&*there.sink)).is_err() {
                self.panics.fetch_add(1, Ordering::Relaxed);
                if there.panics.fetch_add(1, Ordering::Relaxed) + 1 >= PANICS_MAX {
                    self.detach(there.id);
                }
            }
        }
    }
}
