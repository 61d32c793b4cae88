//! Where the current thread is, seen from a runtime: free to block, forbidden to, or a pool worker
//! that lends out its slot while it waits.

use std::cell::RefCell;
use std::sync::Arc;

use crate::base::error::Fixed;
use crate::{Code, Error, Result};

/// A pool that replaces a worker for as long as it waits.
pub(crate) trait Lend: Send + Sync {
    /// The current worker begins to wait.
    fn lend(&self);
    /// The current worker goes on.
    fn give_back(&self);
}

#[derive(Clone)]
enum Place {
    Free,
    Forbidden,
    Worker(Arc<dyn Lend>),
}

thread_local! {
    static PLACE: RefCell<Place> = const { RefCell::new(Place::Free) };
}

/// Whether the current thread may block: true unless it is one that drives futures or timers.
pub fn may_block_here() -> bool {
    PLACE.with(|place| !matches!(*place.borrow(), Place::Forbidden))
}

/// Whether the current thread is a pool worker that can lend out its slot.
#[cfg(feature = "tokio")]
pub(crate) fn is_worker() -> bool {
    PLACE.with(|place| matches!(*place.borrow(), Place::Worker(_)))
}

/// Runs `f` as code of a worker whose slot can be lent out.
pub(crate) fn as_worker<R>(pool: Arc<dyn Lend>, f: impl FnOnce() -> R) -> R {
    with(Place::Worker(pool), f)
}

/// Runs `f` as code that must not block.
pub(crate) fn forbidden<R>(f: impl FnOnce() -> R) -> R {
    with(Place::Forbidden, f)
}

/// Runs `f`, which blocks; a pool worker's slot is lent out meanwhile.
pub(crate) fn block<R>(f: impl FnOnce() -> R) -> Result<R> {
    static WOULD_DEADLOCK: Fixed = Fixed {
        code: Code::WOULD_DEADLOCK,
        message: "cannot block on a thread that drives futures or timers; await the ticket instead",
    };
    match PLACE.with(|place| place.borrow().clone()) {
        Place::Free => Ok(f()),
        Place::Forbidden => Err(Error::from(&WOULD_DEADLOCK)),
        Place::Worker(pool) => {
            struct GiveBack(Arc<dyn Lend>);
            impl Drop for GiveBack {
                fn drop(&mut self) {
                    self.0.give_back();
                }
            }
            pool.lend();
            let _slot = GiveBack(pool);
            Ok(f())
        }
    }
}

fn with<R>(place: Place, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Place>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(before) = self.0.take() {
                PLACE.with(|place| *place.borrow_mut() = before);
            }
        }
    }
    let before = PLACE.with(|current| std::mem::replace(&mut *current.borrow_mut(), place));
    let _restore = Restore(Some(before));
    f()
}
