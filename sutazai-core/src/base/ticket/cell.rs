//! The shared cell of a [`Ticket`](super::Ticket) and its [`Reply`](super::Reply): one allocation,
//! one word of state.
//!
//! Why `unsafe`: a guarded call makes one of these; with a mutex a round trip costs twice what an
//! atomic one does. Everything unsafe about tickets is in this file, and the loom tests below
//! explore it (`RUSTFLAGS="--cfg sutazai_loom" cargo test -p sutazai-core --lib ticket`).
//!
//! The state word holds four flags and, above them, the number of handles:
//!
//! - `CLAIMED`: somebody won the right to write the answer, once and for all.
//! - `COMPLETE`: the answer is written; set by the claimer, after the write, with release.
//! - `WAITER`: the ticket left a waiter in its slot.
//! - `EXTRA`: somebody may be waiting for cancellation or progress in `extra`.
//! - `TAKEN`: the answer has been moved out.
//!
//! Who may touch the slots:
//!
//! - `answer`: written by the one that set `CLAIMED`, before `COMPLETE`; read and moved out by the
//!   ticket after it saw `COMPLETE`; dropped by whoever frees the cell, unless `TAKEN`.
//! - `waiter`: the ticket's while `WAITER` is clear or it has not seen `COMPLETE` since it cleared
//!   it; the completer's once its read-modify-write that set `COMPLETE` saw `WAITER`.
#![allow(unsafe_code, reason = "hand-made shared cell; see the module's first paragraph")]

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::Waker;

use super::extra::Extra;
use super::{Hook, Settled};
use crate::Result;
use crate::base::sync::{AtomicUsize, Mutex, Ordering, UnsafeCell};

const CLAIMED: usize = 1;
const COMPLETE: usize = 1 << 1;
const WAITER: usize = 1 << 2;
const EXTRA: usize = 1 << 3;
const TAKEN: usize = 1 << 4;
const HANDLE: usize = 1 << 5;
const HANDLES: usize = !(HANDLE - 1);
/// Beyond this many handles the process is leaking them; as `Arc` does, stop before the count wraps.
const MOST_HANDLES: usize = usize::MAX / 2;

/// Who hears that the answer is there.
pub(super) enum Waiter<T> {
    Task(Waker),
    Callback(Box<dyn FnOnce(Result<T>) + Send>),
}

struct Inner<T> {
    state: AtomicUsize,
    answer: UnsafeCell<MaybeUninit<Result<T>>>,
    waiter: UnsafeCell<Option<Waiter<T>>>,
    extra: Mutex<Option<Box<Extra>>>,
    hook: Option<Box<dyn Hook<T>>>,
}

impl<T> Drop for Inner<T> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(not(sutazai_loom))]
        let state = *self.state.get_mut();
        #[cfg(sutazai_loom)]
        let state = self.state.load(Ordering::Relaxed);
        if state & (COMPLETE | TAKEN) == COMPLETE {
            // SAFETY: complete and not taken, so the answer is initialised; `&mut self` is the only
            // access left.
            self.answer.with_mut(|answer| unsafe { (*answer).assume_init_drop() });
        }
    }
}

/// One handle on the cell.
pub(super) struct Cell<T>(NonNull<Inner<T>>);

// SAFETY: the cell moves `Result<T>`, wakers, callbacks and the hook between threads, all `Send`
// when `T` is; shared access to the hook and `extra` is through `Sync` types. The answer is never
// shared by reference outside the claiming thread.
unsafe impl<T: Send> Send for Cell<T> {}
// SAFETY: as above; every method that takes `&self` follows the ownership rules at the file's top.
unsafe impl<T: Send> Sync for Cell<T> {}

impl<T> Cell<T> {
    /// A cell with two handles: the ticket's and the reply's.
    #[inline]
    pub(super) fn pair(hook: Option<Box<dyn Hook<T>>>) -> (Self, Self) {
        let inner = Box::new(Inner {
            state: AtomicUsize::new(2 * HANDLE),
            answer: UnsafeCell::new(MaybeUninit::uninit()),
            waiter: UnsafeCell::new(None),
            extra: Mutex::new(None),
            hook,
        });
        let inner = NonNull::from(Box::leak(inner));
        (Self(inner), Self(inner))
    }

    #[inline]
    fn inner(&self) -> &Inner<T> {
        // SAFETY: the allocation lives until the last handle is gone, and `self` is one.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn hook(&self) -> Option<&dyn Hook<T>> {
        self.inner().hook.as_deref()
    }

    /// Whether the answer can be taken.
    #[inline]
    pub(super) fn is_complete(&self) -> bool {
        self.inner().state.load(Ordering::Acquire) & COMPLETE != 0
    }

    /// Whether somebody has won the right to answer.
    #[inline]
    pub(super) fn is_claimed(&self) -> bool {
        self.inner().state.load(Ordering::Acquire) & CLAIMED != 0
    }

    /// Wins the right to answer, or learns that somebody else did. The winner must call
    /// [`Claim::answer`]; the type sees to it that nobody else writes.
    #[inline]
    pub(super) fn claim(&self) -> Option<Claim<'_, T>> {
        let state = &self.inner().state;
        let mut seen = state.load(Ordering::Relaxed);
        // A loop of exchanges, since the processor has no cheap way to set a bit and see the others.
        while seen & CLAIMED == 0 {
            match state.compare_exchange_weak(
                seen,
                seen | CLAIMED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(Claim(self)),
                Err(now) => seen = now,
            }
        }
        None
    }

    /// Ticket only (`&mut` keeps it to one): the answer if it is there.
    #[inline]
    pub(super) fn take(self) -> Result<Result<T>, Self> {
        if self.is_complete() {
            // SAFETY: `COMPLETE` was read with acquire, so the answer is written and visible; the
            // ticket alone takes it, and gives up its handle doing so.
            Ok(unsafe { self.take_unchecked() })
        } else {
            Err(self)
        }
    }

    /// # Safety
    /// The caller is the ticket and has seen `COMPLETE` with acquire ordering.
    #[inline]
    unsafe fn take_unchecked(self) -> Result<T> {
        // SAFETY: by the contract the answer is initialised and nobody else reads it; `TAKEN`
        // (set below, before the handle is given up) keeps `drop` from dropping it again.
        let answer = self.inner().answer.with(|answer| unsafe { (*answer).assume_init_read() });
        let this = std::mem::ManuallyDrop::new(self);
        this.release(TAKEN);
        answer
    }

    /// Ticket only: registers a waker unless the answer is there.
    ///
    /// Returns true when the answer is there: call [`take`](Self::take).
    pub(super) fn register(&mut self, waker: &Waker) -> bool {
        let inner = self.inner();
        let mut state = inner.state.load(Ordering::Acquire);
        if state & COMPLETE != 0 {
            return true;
        }
        if state & WAITER != 0 {
            state = inner.state.fetch_and(!WAITER, Ordering::AcqRel);
            if state & COMPLETE != 0 {
                return true;
            }
        }
        // The slot is ours: `WAITER` is clear and `COMPLETE` had not been set when we cleared it.
        // The old waker is dropped after the slot is whole again: dropping runs foreign code.
        let old = inner.waiter.with_mut(|slot| {
            // SAFETY: see the line above; the completer touches the slot only if it sees `WAITER`.
            let slot = unsafe { &mut *slot };
            match slot {
                Some(Waiter::Task(old)) if old.will_wake(waker) => None,
                _ => slot.replace(Waiter::Task(waker.clone())),
            }
        });
        drop(old);
        inner.state.fetch_or(WAITER, Ordering::AcqRel) & COMPLETE != 0
    }

    /// Ticket only: leaves a callback. Runs it here when the answer is there already.
    pub(super) fn callback(self, callback: Box<dyn FnOnce(Result<T>) + Send>) {
        let inner = self.inner();
        let mut state = inner.state.load(Ordering::Acquire);
        if state & (COMPLETE | WAITER) == WAITER {
            state = inner.state.fetch_and(!WAITER, Ordering::AcqRel);
        }
        if state & COMPLETE != 0 {
            // SAFETY: this is the ticket, and `COMPLETE` was read with acquire.
            callback(unsafe { self.take_unchecked() });
            return;
        }
        let old = inner.waiter.with_mut(|slot| {
            // SAFETY: `WAITER` is clear and `COMPLETE` was not set when it was cleared, so the slot
            // is the ticket's.
            unsafe { (*slot).replace(Waiter::Callback(callback)) }
        });
        drop(old);
        if inner.state.fetch_or(WAITER, Ordering::AcqRel) & COMPLETE != 0 {
            // The completer did not see `WAITER`: the slot is still ours.
            // SAFETY: as above.
            let mine = inner.waiter.with_mut(|slot| unsafe { (*slot).take() });
            // SAFETY: this is the ticket, and `COMPLETE` was read with acquire.
            let answer = unsafe { self.take_unchecked() };
            if let Some(Waiter::Callback(callback)) = mine {
                callback(answer);
            }
        }
        // Otherwise the handle is released by `drop`; the callback stands in the slot and the
        // completer takes the answer for it.
    }

    /// One more handle.
    pub(super) fn share(&self) -> Self {
        let before = self.inner().state.fetch_add(HANDLE, Ordering::Relaxed);
        if before > MOST_HANDLES {
            std::process::abort();
        }
        Self(self.0)
    }

    /// Runs `f` on the extra part, making it when it is not there, and says whether the call had
    /// been claimed by then. `f` runs under the lock: it must not call foreign code.
    pub(super) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> (R, bool) {
        let inner = self.inner();
        let mut guard = inner.extra.lock();
        let result = f(guard.get_or_insert_with(Box::default));
        drop(guard);
        let before = inner.state.fetch_or(EXTRA, Ordering::AcqRel);
        (result, before & CLAIMED != 0)
    }

    /// Runs `f` on the extra part if there is one. Same rule as above.
    pub(super) fn extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        if self.inner().state.load(Ordering::Acquire) & EXTRA == 0 {
            return None;
        }
        self.inner().extra.lock().as_deref_mut().map(f)
    }

    /// Gives up this handle, adding `flag` (which is clear), and frees the cell with the last one.
    #[inline]
    fn release(&self, flag: usize) {
        let inner = self.inner();
        // The last handle need not pay for a read-modify-write.
        let state = inner.state.load(Ordering::Acquire);
        let last = if state & HANDLES == HANDLE {
            inner.state.store(state | flag, Ordering::Relaxed);
            true
        } else {
            let before = inner.state.fetch_add(flag.wrapping_sub(HANDLE), Ordering::AcqRel);
            before & HANDLES == HANDLE
        };
        if last {
            // SAFETY: no handle is left, so nobody else can reach the allocation, which came from
            // `Box::leak` in `pair`.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

impl<T> Drop for Cell<T> {
    #[inline]
    fn drop(&mut self) {
        self.release(0);
    }
}

/// The right to answer a call, won by [`Cell::claim`].
pub(super) struct Claim<'a, T>(&'a Cell<T>);

impl<T> Claim<'_, T> {
    /// Writes the answer and wakes whoever waits. `by` says who answered: when it was not the
    /// worker, the worker is told that nobody wants its answer any more.
    pub(super) fn answer(self, answer: Result<T>, by: Settled) {
        let cell = self.0;
        self.write(answer, by);
        let before = cell.inner().state.fetch_or(COMPLETE, Ordering::AcqRel);
        cell.announce(before, by);
    }

    #[inline]
    fn write(self, answer: Result<T>, by: Settled) {
        let inner = self.0.inner();
        if let Some(hook) = &inner.hook {
            hook.settled(&answer, by);
            if by == Settled::ByWorker {
                hook.finished();
            }
        }
        inner.answer.with_mut(|slot| {
            // SAFETY: the claim makes this the only writer, and nobody reads before `COMPLETE`.
            unsafe { (*slot).write(answer) };
        });
    }
}

impl<T> Cell<T> {
    /// The worker answers and gives up its handle; gives the answer back when it comes too late.
    ///
    /// With nobody waiting yet and the ticket still there, completing and giving up the handle are
    /// one read-modify-write.
    #[inline]
    pub(super) fn finish(self, answer: Result<T>) -> Result<(), Result<T>> {
        let inner = self.inner();
        let Some(claim) = self.claim() else {
            if let Some(hook) = &inner.hook {
                hook.finished();
            }
            return Err(answer);
        };
        claim.write(answer, Settled::ByWorker);
        let state = inner.state.load(Ordering::Relaxed);
        if state & (WAITER | EXTRA) == 0 && state & HANDLES != HANDLE {
            let done = (state | COMPLETE) - HANDLE;
            if inner
                .state
                .compare_exchange(state, done, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                // The handle went with the exchange; another one remains to free the cell.
                std::mem::forget(self);
                return Ok(());
            }
        }
        let before = inner.state.fetch_or(COMPLETE, Ordering::AcqRel);
        self.announce(before, Settled::ByWorker);
        Ok(())
    }

    /// Tells whoever the state before completion says is listening.
    #[inline]
    fn announce(&self, before: usize, by: Settled) {
        if before & WAITER != 0 {
            wake(self);
        }
        if before & EXTRA != 0 {
            self.told(by);
        }
    }

    /// Runs what was registered for cancellation, and ends the stream of parts.
    #[cold]
    fn told(&self, by: Settled) {
        let (cancels, reader) = self.extra(Extra::settle).unwrap_or_default();
        if let Some(waker) = reader {
            super::quietly(|| waker.wake());
        }
        for cancel in cancels {
            match by {
                // The worker answered itself: it knows. Dropping is foreign code as well.
                Settled::ByWorker => super::quietly(|| drop(cancel)),
                Settled::ByCaller | Settled::ByKernel => super::quietly(cancel),
            }
        }
    }
}

/// Takes the waiter and tells it. Out of line: most answers find none.
#[cold]
fn wake<T>(cell: &Cell<T>) {
    // SAFETY: the caller's read-modify-write that set `COMPLETE` saw `WAITER`, so the slot is the
    // completer's.
    let waiter = cell.inner().waiter.with_mut(|slot| unsafe { (*slot).take() });
    match waiter {
        Some(Waiter::Task(waker)) => super::quietly(|| waker.wake()),
        Some(Waiter::Callback(callback)) => {
            // SAFETY: the ticket gave up its handle when it left a callback, so the answer is the
            // completer's to take; `COMPLETE` is set and the write was on this thread.
            let answer = cell.inner().answer.with(|a| unsafe { (*a).assume_init_read() });
            cell.inner().state.fetch_or(TAKEN, Ordering::AcqRel);
            super::quietly(|| callback(answer));
        }
        None => {}
    }
}
