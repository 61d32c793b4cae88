//! A failure that its own code decides is classified without allocation.

#![cfg(feature = "recovery")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sutazai_core::base::error::Fixed;
use sutazai_core::base::time::Timestamp;
use sutazai_core::recovery::{Classifier, Rule};
use sutazai_core::{Class, Code, Error};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

// SAFETY: every method hands through to the system's allocator.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends allocates after its locals are gone.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LATE: Fixed = Fixed { code: Code::DEADLINE_EXCEEDED, message: "late" };

fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}

#[test]
fn what_its_code_decides_costs_no_allocation() {
    let rule = Rule { http_status: Some(418.into()), ..Rule::new("teapot", Class::Persistent) };
    let classifier = Classifier::with_rules(vec![rule]).unwrap();
    let fixed = Error::from(&LATE);
    let full = Error::new(Code::NOT_FOUND, "nothing here")
        .with("agent", "a")
        .because(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let now = Timestamp::EPOCH;
    for error in [&fixed, &full] {
        let mut classes = Vec::with_capacity(1);
        // The first use of a thread's slot in the rules' swap may allocate.
        classifier.classify_error(error, now);
        let count = allocations(|| {
            classes.push(std::hint::black_box(classifier.classify_error(error, now)))
        });
        assert_eq!(count, 0, "{error:?}");
        assert_eq!(classes[0].class, error.class());
    }
    assert_ne!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 0, "it counts");
}
