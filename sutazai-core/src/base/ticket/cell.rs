//! The shared cell of a [`Ticket`](super::Ticket) and its [`Reply`](super::Reply): one allocation,
//! one word of state.
//!
//! Why `unsafe`: a guarded call makes one of these; with a mutex a round trip costs twice what an
//! atomic one does. Everything unsafe about tickets is in this file, and the loom tests below
//! explore it (`RUSTFLAGS="--cfg sutazai_loom" cargo test -p sutazai-core --lib ticket`).
//!
//! The state word holds six flags and, above them, the number of handles:
//!
//! - `CLAIMED`: somebody won the right to answer, once and for all.
//! - `COMPLETE`: the answer is written; set by the claimer, after the write, with release.
//! - `BY_WORKER`: the answer stands in the worker's slot; set together with `COMPLETE`. Without it the
//!   answer is a verdict: of the caller who cancelled, or of a deadline.
//! - `WAITER`: the ticket left a waiter in its slot.
//! - `EXTRA`: somebody may be waiting for cancellation or progress in `extra`.
//! - `TAKEN`: the answer has been moved out.
//!
//! Who may touch the slots:
//!
//! - `answer`: the worker's until `BY_WORKER` is set, so that it can write first and ask for the right
//!   to answer afterwards, with one read-modify-write that claims, completes and gives up its handle
//!   all at once; a worker that comes too late takes its answer back. After `BY_WORKER` the ticket's,
//!   which moves it out; dropped by whoever frees the cell, unless `TAKEN`.
//! - a verdict: behind the mutex of `extra`, written between `CLAIMED` and `COMPLETE`.
//! - `waiter`: the ticket's while `WAITER` is clear or it has not seen `COMPLETE` since it cleared
//!   it; the completer's once its read-modify-write that set `COMPLETE` saw `WAITER`.
#![allow(unsafe_code, reason = "hand-made shared cell; see the module's first paragraph")]

use std::mem::{ManuallyDrop, MaybeUninit};
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
const BY_WORKER: usize = 1 << 5;
const HANDLE: usize = 1 << 6;
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
    extra: Mutex<Option<Box<Extra<T>>>>,
    hook: Option<Box<dyn Hook<T>>>,
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
        // Written field by field where they are to stand. Moved there as a whole, the value is read
        // back from the stack in pieces wider than it was written, which stalls the processor for
        // longer than the allocation takes.
        let mut inner = Box::<Inner<T>>::new_uninit();
        let place = inner.as_mut_ptr();
        // SAFETY: the pointers are to fields of an allocation of this type, which is written here for
        // the first time; `answer` is uninitialised by its type.
        unsafe {
            (&raw mut (*place).state).write(AtomicUsize::new(2 * HANDLE));
            (&raw mut (*place).waiter).write(UnsafeCell::new(None));
            (&raw mut (*place).extra).write(Mutex::new(None));
            (&raw mut (*place).hook).write(hook);
            #[cfg(sutazai_loom)]
            (&raw mut (*place).answer).write(UnsafeCell::new(MaybeUninit::uninit()));
        }
        // SAFETY: every field is initialised.
        let inner = NonNull::from(Box::leak(unsafe { inner.assume_init() }));
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

    /// [`is_claimed`](Self::is_claimed), in order with whoever claims: either this call sees the claim,
    /// or the claimer sees all that this thread wrote before the call.
    pub(super) fn is_claimed_ordered(&self) -> bool {
        // Both sides change the state word, so one of them comes first and the other one reads from
        // it; a plain load here could come before this thread's earlier writes.
        self.inner().state.fetch_or(0, Ordering::AcqRel) & CLAIMED != 0
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

    /// Ticket only: moves the answer out if it is there, and gives up the handle with it.
    #[inline]
    pub(super) fn take_from(ticket: &mut Option<Self>) -> Option<Result<T>> {
        let state = ticket.as_ref()?.inner().state.load(Ordering::Acquire);
        if state & COMPLETE == 0 {
            return None;
        }
        // SAFETY: `COMPLETE` was read with acquire, and there is one ticket (`&mut`).
        ticket.take().map(|cell| unsafe { cell.take_unchecked(state) })
    }

    /// # Safety
    /// The caller is the ticket and has read this state, with `COMPLETE`, with acquire ordering.
    #[inline]
    unsafe fn take_unchecked(self, state: usize) -> Result<T> {
        // SAFETY: by the contract the answer is there and nobody else reads it; `TAKEN` (set below,
        // before the handle is given up) keeps `drop` from dropping it again.
        let answer = unsafe { self.read(state) };
        let this = ManuallyDrop::new(self);
        this.release(TAKEN);
        answer
    }

    /// Moves the answer out.
    ///
    /// # Safety
    /// `state`, read with acquire ordering or written by this thread, has `COMPLETE`; the caller alone
    /// may read the answer, once, and sees to it that `TAKEN` is set.
    #[inline]
    unsafe fn read(&self, state: usize) -> Result<T> {
        if state & BY_WORKER != 0 {
            // SAFETY: the worker wrote it before it set `BY_WORKER`; the rest is the contract.
            self.inner().answer.with(|answer| unsafe { (*answer).assume_init_read() })
        } else {
            self.verdict()
        }
    }

    #[cold]
    fn verdict(&self) -> Result<T> {
        let verdict = self.inner().extra.lock().as_deref_mut().and_then(|e| e.verdict.take());
        // Whoever claims leaves a verdict before it completes.
        verdict.unwrap_or_else(|| Err(super::taken()))
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
                // The slot is the completer's, and not empty.
                inner.state.fetch_or(WAITER, Ordering::Relaxed);
                return true;
            }
        }
        // The slot is ours: `WAITER` is clear and `COMPLETE` had not been set when we cleared it.
        // The old waker is dropped after the slot is whole again: dropping runs foreign code.
        let old = inner.waiter.with_mut(|slot| {
            // SAFETY: see the line above; the completer touches the slot only if it sees `WAITER`.
            let slot = unsafe { &mut *slot };
            match slot {
                None => {
                    *slot = Some(Waiter::Task(waker.clone()));
                    None
                }
                Some(Waiter::Task(old)) if old.will_wake(waker) => None,
                Some(_) => slot.replace(Waiter::Task(waker.clone())),
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
            if state & COMPLETE != 0 {
                // The slot is the completer's, and not empty.
                inner.state.fetch_or(WAITER, Ordering::Relaxed);
            }
        }
        if state & COMPLETE != 0 {
            // SAFETY: this is the ticket, and `COMPLETE` was read with acquire.
            callback(unsafe { self.take_unchecked(state) });
            return;
        }
        let old = inner.waiter.with_mut(|slot| {
            // SAFETY: `WAITER` is clear and `COMPLETE` was not set when it was cleared, so the slot
            // is the ticket's.
            unsafe { (*slot).replace(Waiter::Callback(callback)) }
        });
        drop(old);
        state = inner.state.fetch_or(WAITER, Ordering::AcqRel);
        if state & COMPLETE != 0 {
            // The completer did not see `WAITER`: the slot is still ours.
            // SAFETY: as above.
            let mine = inner.waiter.with_mut(|slot| unsafe { (*slot).take() });
            // SAFETY: this is the ticket, and `COMPLETE` was read with acquire.
            let answer = unsafe { self.take_unchecked(state) };
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
    pub(super) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra<T>) -> R) -> (R, bool) {
        let inner = self.inner();
        let mut guard = inner.extra.lock();
        let result = f(guard.get_or_insert_with(Box::default));
        drop(guard);
        let before = inner.state.fetch_or(EXTRA, Ordering::AcqRel);
        (result, before & CLAIMED != 0)
    }

    /// Runs `f` on the extra part if there is one. Same rule as above.
    pub(super) fn extra<R>(&self, f: impl FnOnce(&mut Extra<T>) -> R) -> Option<R> {
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
            state
        } else {
            let before = inner.state.fetch_add(flag.wrapping_sub(HANDLE), Ordering::AcqRel);
            if before & HANDLES != HANDLE {
                return;
            }
            before
        };
        // SAFETY: that was the last handle.
        unsafe { self.free(last | flag) };
    }

    /// Frees the cell. `state` is its last one.
    ///
    /// # Safety
    /// No handle is left but this one, which is not used any more.
    #[inline]
    unsafe fn free(&self, state: usize) {
        const QUIET: usize = BY_WORKER | TAKEN;
        // SAFETY: nobody else can reach the allocation, which came from `Box::leak` in `pair`.
        let inner = unsafe { Box::from_raw(self.0.as_ptr()) };
        if state & (QUIET | WAITER | EXTRA) == QUIET && inner.hook.is_none() {
            // Most cells: the worker answered, the answer was taken, nobody waited, listened or kept
            // books. Nothing in it is left to drop, and looking costs as much as freeing.
            #[cfg(not(sutazai_loom))]
            // SAFETY: the allocation is of this type, and `MaybeUninit` has its layout.
            return drop(unsafe {
                Box::from_raw(Box::into_raw(inner).cast::<MaybeUninit<Inner<T>>>())
            });
            #[cfg(sutazai_loom)]
            {
                // SAFETY: this is the last handle.
                assert!(inner.waiter.with(|slot| unsafe { (*slot).is_none() }));
                assert!(inner.extra.lock().is_none());
            }
        }
        if state & QUIET == BY_WORKER {
            // SAFETY: answered by the worker and not taken, so the answer is initialised, and this is
            // the only access left.
            inner.answer.with_mut(|answer| unsafe { (*answer).assume_init_drop() });
        }
        drop(inner);
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
    /// Answers in the worker's stead, wakes whoever waits, and tells the worker that nobody wants its
    /// answer any more. `by` says who answered.
    pub(super) fn answer(self, answer: Result<T>, by: Settled) {
        let cell = self.0;
        let inner = cell.inner();
        if let Some(hook) = &inner.hook {
            hook.settled(&answer, by);
        }
        inner.extra.lock().get_or_insert_default().verdict = Some(answer);
        let before = inner.state.fetch_or(COMPLETE, Ordering::AcqRel);
        cell.announce(before, by);
    }
}

impl<T> Cell<T> {
    /// The worker answers and gives up its handle; gives the answer back when it comes too late.
    #[inline]
    pub(super) fn finish(self, answer: Result<T>) -> Result<(), Result<T>> {
        let this = ManuallyDrop::new(self);
        let mut claimed = 0;
        if let Some(hook) = &this.inner().hook {
            let late = this.claim().is_none();
            if !late {
                hook.settled(&answer, Settled::ByWorker);
            }
            hook.finished();
            if late {
                this.release(0);
                return Err(answer);
            }
            claimed = CLAIMED;
        }
        // Where nobody keeps the books, nothing has to happen between winning the right to answer and
        // answering, so that they are one read-modify-write.
        this.put(answer);
        if this.complete(claimed) {
            return Ok(());
        }
        // SAFETY: `BY_WORKER` is not set and will not be: the slot is the worker's, who has just
        // written it.
        let answer = this.inner().answer.with(|answer| unsafe { (*answer).assume_init_read() });
        this.release(0);
        Err(answer)
    }

    /// Worker only, before it completes: writes its answer.
    #[inline]
    fn put(&self, answer: Result<T>) {
        self.inner().answer.with_mut(|slot| {
            // SAFETY: without `BY_WORKER` the slot is the worker's.
            unsafe { (*slot).write(answer) };
        });
    }

    /// Worker only, after [`put`](Self::put): publishes the answer, tells who listens, and gives up
    /// the handle, which must not be used any more. `claimed` is what the worker has of the right to
    /// answer: `CLAIMED`, or nothing yet. Returns false, and does nothing, when somebody else has it.
    #[inline]
    fn complete(&self, claimed: usize) -> bool {
        let state = &self.inner().state;
        let mut seen = state.load(Ordering::Relaxed);
        loop {
            if seen & CLAIMED != claimed {
                return false;
            }
            // With nobody listening and the ticket still there the handle goes with the exchange.
            let leave = seen & (WAITER | EXTRA) == 0 && seen & HANDLES != HANDLE;
            let done = seen | CLAIMED | COMPLETE | BY_WORKER;
            let done = if leave { done - HANDLE } else { done };
            match state.compare_exchange_weak(seen, done, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if leave => return true,
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        self.announce(seen, Settled::ByWorker);
        self.release(0);
        true
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

/// Tells the waiter. Out of line: most answers find none.
#[cold]
fn wake<T>(cell: &Cell<T>) {
    let is_callback = cell.inner().waiter.with(|slot| {
        // SAFETY: the caller's read-modify-write that set `COMPLETE` saw `WAITER`, so the slot is the
        // completer's until the cell is freed.
        match unsafe { &*slot } {
            // It stays in its place and is dropped with the cell: moving it costs more than waking.
            Some(Waiter::Task(waker)) => {
                super::quietly(|| waker.wake_by_ref());
                false
            }
            Some(Waiter::Callback(_)) => true,
            None => false,
        }
    });
    if is_callback {
        call_back(cell);
    }
}

#[cold]
fn call_back<T>(cell: &Cell<T>) {
    // SAFETY: as in `wake`.
    let waiter = cell.inner().waiter.with_mut(|slot| unsafe { (*slot).take() });
    let Some(Waiter::Callback(callback)) = waiter else { return };
    let state = cell.inner().state.fetch_or(TAKEN, Ordering::AcqRel);
    // SAFETY: the ticket gave up its handle when it left a callback, so the answer is the completer's
    // to take; this thread has set `COMPLETE`.
    let answer = unsafe { cell.read(state) };
    super::quietly(|| callback(answer));
}
