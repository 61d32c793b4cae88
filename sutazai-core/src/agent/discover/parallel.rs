//! Doing the same with many things, several side by side.

use parking_lot::Mutex;

use crate::base::contain;

/// Does `f` with each item, on this thread and as many others as make `most` together. What `f` panics with is
/// left out of the answers, which come in no particular order.
pub(crate) fn side_by_side<T: Send, R: Send>(
    items: Vec<T>,
    most: usize,
    f: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let threads = items.len().min(most).saturating_sub(1);
    let queue = Mutex::new(items.into_iter());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(item) = queue.lock().next() else { return };
            if let Ok(answer) = contain::catch(|| f(item)) {
                done.lock().push(answer);
            }
        }
    };
    std::thread::scope(|scope| {
        for n in 1..=threads {
            let thread = std::thread::Builder::new().name(format!("sutazai-find-{n}"));
            // Without the thread the others do its share.
            let _ = thread.spawn_scoped(scope, work);
        }
        work();
    });
    done.into_inner()
}
