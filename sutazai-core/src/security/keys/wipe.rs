//! [`Wiped`]: what ring prepares of a key, wiped when dropped; ring does not do it.
#![allow(unsafe_code, reason = "ring's types give no way to wipe them; see the comments")]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{Ordering, compiler_fence};

/// A value whose own memory is overwritten with zeros after it was dropped. What it points to is not,
/// and moving it leaves what moves leave: put it into its place at once.
pub(super) struct Wiped<T>(ManuallyDrop<T>);

impl<T> Wiped<T> {
    pub(super) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Wiped<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Drop for Wiped<T> {
    fn drop(&mut self) {
        // SAFETY: the value is dropped here and nowhere else, and nobody sees it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.0) };
        let start = std::ptr::from_mut(&mut self.0).cast::<u8>();
        for at in 0..size_of::<T>() {
            // SAFETY: the bytes are those of `self.0`, which is borrowed mutably and whose value is gone;
            // `ManuallyDrop<T>` is as large as `T` and does nothing with them.
            unsafe { std::ptr::write_volatile(start.add(at), 0) };
        }
        compiler_fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_zero_afterwards_and_the_value_was_dropped() {
        struct Told<'a>(&'a std::cell::Cell<bool>, [u8; 64]);
        impl Drop for Told<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let told = std::cell::Cell::new(false);
        let mut place = std::mem::MaybeUninit::new(Wiped::new(Told(&told, [7; 64])));
        // SAFETY: it was just written, and is not used as a value afterwards.
        unsafe {
            assert_eq!(place.assume_init_ref().1, [7; 64]);
            place.assume_init_drop();
            let start = place.as_ptr().cast::<u8>();
            assert!((0..size_of::<Told<'_>>()).all(|at| start.add(at).read_volatile() == 0));
        }
        assert!(told.get());
    }
}
