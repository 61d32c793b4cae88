//! The one-pointer representation of [`Error`](super::Error).
//!
//! Why `unsafe`: a refused call must not allocate (a breaker rejects in nanoseconds), and every
//! `Result` in the library carries this type, so it is one word: a pointer to a [`Fixed`] with its
//! lowest bit set, or the pointer of an `Arc<Shared>`. Both types are aligned to at least 2, so the
//! bit is free. The tests below, and those of the whole room, run under valgrind
//! in `./tests/run memory`.
#![allow(unsafe_code, reason = "a tagged pointer; see the module's first paragraph")]

use std::borrow::Cow;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Class, Code, Error, Fixed, Location};

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) code: Code,
    pub(super) class: Class,
    pub(super) message: Cow<'static, str>,
    pub(super) operation: Option<Cow<'static, str>>,
    pub(super) advice: Option<Cow<'static, str>>,
    pub(super) context: Vec<(Cow<'static, str>, String)>,
    pub(super) location: Option<Location>,
    pub(super) source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// All that it stands for, itself first, when these are several.
    pub(super) problems: Option<Arc<[Error]>>,
}

impl Shared {
    pub(super) fn new(code: Code, message: Cow<'static, str>) -> Self {
        Self {
            code,
            class: code.class(),
            message,
            operation: None,
            advice: None,
            context: Vec::new(),
            location: None,
            source: None,
            problems: None,
        }
    }
}

const FIXED: usize = 1;
const _: () = assert!(align_of::<Fixed>() > FIXED && align_of::<Shared>() > FIXED);

pub(super) struct Repr {
    /// Invariant: either a `&'static Fixed` with [`FIXED`] added to its address, or what
    /// `Arc::<Shared>::into_raw` gave, of which this value owns one count.
    tagged: NonNull<()>,
    owns: PhantomData<(&'static Fixed, Arc<Shared>)>,
}

pub(super) enum View<'a> {
    Fixed(&'static Fixed),
    Shared(&'a Shared),
}

impl Repr {
    pub(super) fn fixed(fixed: &'static Fixed) -> Self {
        let tagged = NonNull::from(fixed).cast::<()>().map_addr(|a| a | FIXED);
        Self { tagged, owns: PhantomData }
    }

    pub(super) fn shared(shared: Shared) -> Self {
        Self::from_arc(Arc::new(shared))
    }

    pub(super) fn from_arc(shared: Arc<Shared>) -> Self {
        let raw = Arc::into_raw(shared).cast_mut();
        // SAFETY: `Arc::into_raw` never returns null.
        let tagged = unsafe { NonNull::new_unchecked(raw) }.cast();
        Self { tagged, owns: PhantomData }
    }

    pub(super) fn into_shared(self) -> Result<Arc<Shared>, &'static Fixed> {
        match self.as_fixed() {
            Some(fixed) => Err(fixed),
            None => {
                let this = std::mem::ManuallyDrop::new(self);
                // SAFETY: by the invariant this is an `Arc`'s pointer with one count of ours;
                // `ManuallyDrop` hands that count over instead of releasing it.
                Ok(unsafe { Arc::from_raw(this.tagged.cast::<Shared>().as_ptr()) })
            }
        }
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        match self.as_fixed() {
            Some(fixed) => View::Fixed(fixed),
            // SAFETY: by the invariant this points into a live `Arc<Shared>`, kept alive by the
            // count that `self` owns for as long as the borrow lasts.
            None => View::Shared(unsafe { self.tagged.cast::<Shared>().as_ref() }),
        }
    }

    #[inline]
    fn as_fixed(&self) -> Option<&'static Fixed> {
        if self.tagged.addr().get() & FIXED == 0 {
            return None;
        }
        let untagged = self.tagged.map_addr(|a| {
            // The address of a `Fixed` is a non-zero multiple of its alignment.
            NonZeroUsize::new(a.get() & !FIXED).unwrap_or(a)
        });
        // SAFETY: by the invariant this is a `&'static Fixed` once the tag is off.
        Some(unsafe { untagged.cast::<Fixed>().as_ref() })
    }
}

impl Clone for Repr {
    #[inline]
    fn clone(&self) -> Self {
        if self.as_fixed().is_none() {
            // SAFETY: by the invariant this is an `Arc`'s pointer, alive while `self` is; the new
            // count belongs to the clone.
            unsafe { Arc::increment_strong_count(self.tagged.cast::<Shared>().as_ptr()) };
        }
        Self { tagged: self.tagged, owns: PhantomData }
    }
}

impl Drop for Repr {
    #[inline]
    fn drop(&mut self) {
        if self.as_fixed().is_none() {
            // SAFETY: by the invariant `self` owns one count, which ends here.
            drop(unsafe { Arc::from_raw(self.tagged.cast::<Shared>().as_ptr()) });
        }
    }
}

// SAFETY: it is a `&'static Fixed` or an `Arc<Shared>`, and both are `Send` and `Sync`
// (`assert_shareable` below fails to compile otherwise).
unsafe impl Send for Repr {}
// SAFETY: as above.
unsafe impl Sync for Repr {}

const _: () = {
    const fn assert_shareable<T: Send + Sync>() {}
    assert_shareable::<Arc<Shared>>();
    assert_shareable::<&'static Fixed>();
};

impl std::panic::UnwindSafe for Repr {}
impl std::panic::RefUnwindSafe for Repr {}

#[cfg(test)]
mod tests {
    use super::*;

    static FIXED_ERROR: Fixed = Fixed { code: Code::OVERLOADED, message: "full" };

    /// The source of an error; its count says whether the error still lives.
    #[derive(Debug)]
    struct Witness(Arc<()>);

    impl std::fmt::Display for Witness {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "witness, {} counts", Arc::strong_count(&self.0))
        }
    }

    impl std::error::Error for Witness {}

    fn watched() -> (Repr, Arc<()>) {
        let alive = Arc::new(());
        let mut shared = Shared::new(Code::INVALID, "a message on the heap".to_owned().into());
        shared.context.push(("key".into(), "value".to_owned()));
        shared.source = Some(Arc::new(Witness(Arc::clone(&alive))));
        (Repr::shared(shared), alive)
    }

    fn message(repr: &Repr) -> &str {
        match repr.view() {
            View::Fixed(fixed) => fixed.message,
            View::Shared(shared) => &shared.message,
        }
    }

    #[test]
    fn a_fixed_error_stays_the_same_object() {
        let one = Repr::fixed(&FIXED_ERROR);
        let two = one.clone();
        assert!(matches!(two.view(), View::Fixed(fixed) if std::ptr::eq(fixed, &FIXED_ERROR)));
        drop(one);
        assert!(two.into_shared().is_err_and(|fixed| std::ptr::eq(fixed, &FIXED_ERROR)));
    }

    #[test]
    fn the_last_clone_frees_what_is_shared() {
        let (one, alive) = watched();
        let two = one.clone();
        drop(one);
        assert_eq!(Arc::strong_count(&alive), 2, "a clone keeps it");
        assert_eq!(message(&two), "a message on the heap");
        drop(two);
        assert_eq!(Arc::strong_count(&alive), 1, "freed, and once");
    }

    #[test]
    fn into_shared_hands_its_count_over() {
        let (one, alive) = watched();
        let two = one.clone();
        let arc = one.into_shared().ok().unwrap();
        assert_eq!(Arc::strong_count(&arc), 2);
        drop(two);
        assert_eq!(Arc::strong_count(&arc), 1);
        let again = Repr::from_arc(arc);
        assert_eq!(message(&again), "a message on the heap");
        drop(again);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn an_unwinding_owner_frees_it() {
        let (one, alive) = watched();
        let unwound = std::panic::catch_unwind(move || {
            let _two = one.clone();
            panic!("on purpose");
        });
        assert!(unwound.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn threads_clone_read_and_drop_it() {
        let (one, alive) = watched();
        std::thread::scope(|scope| {
            for turn in 0..4 {
                let mine = one.clone();
                let one = &one;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let other = one.clone();
                        assert_eq!(message(&other), message(&mine));
                        if turn % 2 == 0 {
                            drop(other.into_shared());
                        }
                    }
                });
            }
        });
        drop(one);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
