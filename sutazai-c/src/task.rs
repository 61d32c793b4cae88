//! The task that an agent is given.

use std::sync::{Arc, OnceLock, Weak};

use sutazai_core::base::runtime::Runtime;
use sutazai_core::base::time::Moment;
use sutazai_core::port::Task;

use crate::boundary::{Handle, infallible, peek};
use crate::fork::Home;
use crate::text::sutazai_str;
use crate::version::SUTAZAI_FOREVER;

/// What an agent is asked to do. Lives as long as the reply that came with it.
pub struct sutazai_task {
    home: Home,
    pub(crate) task: Task,
    input: OnceLock<Arc<str>>,
    runtime: Weak<dyn Runtime>,
}

impl sutazai_task {
    pub(crate) fn new(home: Home, task: Task, runtime: Weak<dyn Runtime>) -> Self {
        Self { home, task, input: OnceLock::new(), runtime }
    }
}

impl Handle for sutazai_task {
    const NAME: &'static str = "task";
    fn home(&self) -> Home {
        self.home
    }
}

/// The skill that is asked for. Empty for NULL.
///
/// # Safety
/// `task` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_task_skill(task: *const sutazai_task) -> sutazai_str {
    // SAFETY: the caller's promise.
    let skill = || unsafe { peek(task) }.map_or("", |task| task.task.skill());
    infallible(sutazai_str::empty(), || sutazai_str::lend(skill()))
}

/// What to work on, as JSON. Empty for NULL.
///
/// # Safety
/// `task` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_task_input(task: *const sutazai_task) -> sutazai_str {
    infallible(sutazai_str::empty(), || {
        // SAFETY: the caller's promise.
        let Some(task) = (unsafe { peek(task) }) else { return sutazai_str::empty() };
        sutazai_str::lend(task.input.get_or_init(|| task.task.input().to_text()))
    })
}

/// The call's number within its kernel; 0 for NULL.
///
/// # Safety
/// `task` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_task_id(task: *const sutazai_task) -> u64 {
    // SAFETY: the caller's promise.
    infallible(0, || unsafe { peek(task) }.map_or(0, |task| task.task.id().0))
}

/// How many milliseconds (rounded down) are left until the caller stops waiting: 0 when that has
/// passed or the kernel is gone, `SUTAZAI_FOREVER` when there is no deadline.
///
/// # Safety
/// `task` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_task_left_ms(task: *const sutazai_task) -> u64 {
    infallible(0, || {
        // SAFETY: the caller's promise.
        let Some(task) = (unsafe { peek(task) }) else { return 0 };
        let deadline = task.task.deadline();
        if deadline == Moment::FAR {
            return SUTAZAI_FOREVER;
        }
        let left = task.runtime.upgrade().map(|runtime| deadline.since(runtime.now()));
        left.map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    })
}
