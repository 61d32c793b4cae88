//! Building a kernel starts no thread. Alone in its binary: it counts the threads of the process.
#![cfg(all(target_os = "linux", feature = "agent", feature = "store"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sutazai_core::agent::from_fn;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Task};

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn no_thread_runs_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let before = threads();
    let kernel = Kernel::builder()
        .data_dir(dir.path())
        .agent(from_fn(AgentCard::new("a", ["a"]), |_: &Task| Ok("x")))
        .build()
        .unwrap();
    assert_eq!(threads(), before);
    kernel.start().unwrap();
    assert!(threads() > before, "the count sees the kernel's threads");
    kernel.stop(Duration::from_secs(10)).unwrap();
}
