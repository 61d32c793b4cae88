//! What an idle agent weighs.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sutazai_core::agent;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Task};

/// Counts the bytes that are allocated, to weigh agents with.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every method hands through to the system's allocator.
#[allow(unsafe_code, reason = "an allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const AGENTS: usize = 100_000;

fn main() {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let before = BYTES.load(Ordering::Relaxed);
    for n in 0..AGENTS {
        let card = AgentCard::new(format!("agent-{n}"), [format!("skill-{}", n % 1000)]);
        kernel.add_agent(agent::from_fn(card, |task: &Task| Ok(task.input().clone()))).unwrap();
    }
    let bytes = BYTES.load(Ordering::Relaxed) - before;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    bar::figure_alone("agent.idle100k", "MB", 100.0, bytes as f64 / 1e6);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    bar::figure_alone("agent.idle", "B", 1000.0, bytes as f64 / AGENTS as f64);
}
