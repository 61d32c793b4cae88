//! What the threads that work on calls do, as the system tells: looked at from outside, and measured from within.
//!
//! Linux shows of each thread of the process the system call that it is in, and how long it was on a processor and waited for one
//! (proc(5), `task/[tid]/syscall`, `schedstat` and `stat`). Looks taken at even times see each state as often as it takes time.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Work;

/// Whether threads can be looked at here.
pub(super) const CAN_LOOK: bool = cfg!(target_os = "linux");

/// The threads that have worked on calls.
pub(super) struct Threads {
    /// Which of all lists of this process it is.
    list: u64,
    all: Mutex<Vec<Weak<Thread>>>,
    /// Where the next look begins.
    next: AtomicUsize,
}

struct Thread {
    /// Its number in the system.
    number: i32,
    works_on: Mutex<Option<Arc<Work>>>,
}

thread_local! {
    /// This thread, for each kernel that it works for: known by the number of its list.
    static HERE: RefCell<Vec<(u64, Arc<Thread>)>> = const { RefCell::new(Vec::new()) };
}

/// Kernels that a thread remembers to have worked for, at most.
const KERNELS: usize = 8;

impl Default for Threads {
    fn default() -> Self {
        static LISTS: AtomicU64 = AtomicU64::new(0);
        let list = LISTS.fetch_add(1, Ordering::Relaxed);
        Self { list, all: Mutex::default(), next: AtomicUsize::new(0) }
    }
}

impl Threads {
    /// This thread works on something else, or nothing.
    pub(super) fn works_on(&self, work: Option<Arc<Work>>) {
        if !CAN_LOOK {
            return;
        }
        let here = HERE.try_with(|all| {
            let mut all = all.try_borrow_mut().ok()?;
            if let Some((_, thread)) = all.iter().find(|(of, _)| *of == self.list) {
                return Some(Arc::clone(thread));
            }
            if all.len() >= KERNELS {
                all.remove(0);
            }
            let thread = Arc::new(Thread { number: number(), works_on: Mutex::default() });
            self.add(&thread);
            all.push((self.list, Arc::clone(&thread)));
            Some(thread)
        });
        if let Ok(Some(thread)) = here {
            let before = std::mem::replace(&mut *thread.works_on.lock(), work);
            drop(before);
        }
    }

    fn add(&self, thread: &Arc<Thread>) {
        let mut all = self.all.lock();
        all.retain(|thread| thread.strong_count() > 0);
        all.push(Arc::downgrade(thread));
    }

    /// Looks at some of the threads that work; whether any does.
    pub(super) fn look(&self, most: usize) -> bool {
        let mut working: Vec<(Arc<Thread>, Arc<Work>)> = Vec::new();
        {
            let all = self.all.lock();
            for thread in all.iter().filter_map(Weak::upgrade) {
                let work = thread.works_on.lock().clone();
                working.extend(work.map(|work| (Arc::clone(&thread), work)));
            }
        }
        let n = working.len();
        if n == 0 {
            return false;
        }
        let from = self.next.fetch_add(most, Ordering::Relaxed) % n;
        for (thread, work) in working.iter().cycle().skip(from).take(most.min(n)) {
            let counter = match look_at(thread.number) {
                Some(Doing::Runs) => &work.running,
                Some(Doing::WaitsForThread) => &work.locked,
                Some(Doing::WaitsForDisk) => &work.disk,
                Some(Doing::Sleeps) => &work.asleep,
                None => continue,
            };
            count(counter);
        }
        true
    }
}

fn count(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Runs,
    WaitsForThread,
    WaitsForDisk,
    Sleeps,
}

/// What a thread has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) cpu_s: f64,
    pub(super) runnable_s: f64,
    /// In the system.
    pub(super) system_s: f64,
    /// Pages that it was given.
    pub(super) pages: f64,
}

/// Pages that a call has to be given before its time in the system is put down to them.
const PAGES: f64 = 256.0;

impl Figures {
    pub(super) fn since(&self, before: &Self) -> Self {
        let more = |now: f64, then: f64| (now - then).max(0.0);
        Self {
            cpu_s: more(self.cpu_s, before.cpu_s),
            runnable_s: more(self.runnable_s, before.runnable_s),
            system_s: more(self.system_s, before.system_s),
            pages: more(self.pages, before.pages),
        }
    }

    /// Seconds that went to providing memory.
    pub(super) fn memory_s(&self) -> f64 {
        if self.pages >= PAGES { self.system_s.min(self.cpu_s) } else { 0.0 }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of_this_thread() -> Option<Self> {
        None
    }

    #[cfg(target_os = "linux")]
    pub(super) fn of_this_thread() -> Option<Self> {
        let mut buffer = [0_u8; 1024];
        let text = read("/proc/thread-self/schedstat", &mut buffer)?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        let (cpu, runnable) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        #[allow(clippy::cast_precision_loss, reason = "a thread's nanoseconds")]
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let (cpu_s, runnable_s) = (seconds(cpu), seconds(runnable));
        let text = read("/proc/thread-self/stat", &mut buffer)?;
        // The name stands in parentheses, and may have any character.
        let (_, text) = text.rsplit_once(')')?;
        let mut fields = text.split_ascii_whitespace();
        let pages = fields.nth(7)?.parse::<f64>().ok()?;
        let system = fields.nth(4)?.parse::<f64>().ok()?;
        #[allow(clippy::cast_precision_loss, reason = "a hundred or a thousand")]
        let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
        Some(Self { cpu_s, runnable_s, system_s: system / ticks, pages })
    }
}

#[cfg(target_os = "linux")]
fn read<'b>(path: &str, buffer: &'b mut [u8]) -> Option<&'b str> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).ok()?;
    let n = file.read(buffer).ok()?;
    std::str::from_utf8(buffer.get(..n)?).ok()
}

#[cfg(target_os = "linux")]
fn number() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

#[cfg(not(target_os = "linux"))]
fn number() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
fn look_at(_: i32) -> Option<Doing> {
    None
}

/// What a thread of this process does at this moment.
#[cfg(target_os = "linux")]
fn look_at(thread: i32) -> Option<Doing> {
    let mut buffer = [0_u8; 256];
    let text = read(&format!("/proc/self/task/{thread}/syscall"), &mut buffer)?;
    let text = text.trim();
    if text == "running" {
        return Some(Doing::Runs);
    }
    let mut words = text.split_ascii_whitespace();
    let call = words.next()?.parse::<i64>().ok()?;
    Some(match call {
        // Stopped outside of a system call: a page has to come from somewhere.
        -1 => Doing::WaitsForDisk,
        libc::SYS_futex | libc::SYS_futex_waitv => Doing::WaitsForThread,
        libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_sync
        | libc::SYS_syncfs
        | libc::SYS_sync_file_range
        | libc::SYS_msync
        | libc::SYS_fallocate
        | libc::SYS_ftruncate
        | libc::SYS_openat
        | libc::SYS_unlinkat
        | libc::SYS_renameat2
        | libc::SYS_pread64
        | libc::SYS_pwrite64
        | libc::SYS_preadv
        | libc::SYS_pwritev
        | libc::SYS_copy_file_range => Doing::WaitsForDisk,
        libc::SYS_read | libc::SYS_write | libc::SYS_readv | libc::SYS_writev => {
            let file = words.next().and_then(|word| word.strip_prefix("0x"));
            let file = file.and_then(|word| u64::from_str_radix(word, 16).ok());
            match file.is_some_and(is_file) {
                true => Doing::WaitsForDisk,
                false => Doing::Sleeps,
            }
        }
        _ => Doing::Sleeps,
    })
}

/// Whether it is neither a socket nor a pipe.
#[cfg(target_os = "linux")]
fn is_file(number: u64) -> bool {
    let target = std::fs::read_link(format!("/proc/self/fd/{number}"));
    target.is_ok_and(|target| target.is_absolute())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn seen(work: impl FnOnce() + Send + 'static, wanted: Doing) -> bool {
        let (tell, number) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(super::number()).unwrap();
            work();
        });
        let number = number.recv().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let mut found = false;
        while !found && Instant::now() < end && !thread.is_finished() {
            found = look_at(number) == Some(wanted);
        }
        thread.join().unwrap();
        found
    }

    #[test]
    fn states_are_told_apart() {
        assert!(seen(|| std::thread::sleep(Duration::from_millis(300)), Doing::Sleeps));
        let lock = Arc::new(std::sync::Mutex::new(()));
        let other = Arc::clone(&lock);
        let held = lock.lock().unwrap();
        let waits =
            std::thread::spawn(move || seen(move || drop(other.lock()), Doing::WaitsForThread));
        std::thread::sleep(Duration::from_millis(200));
        drop(held);
        assert!(waits.join().unwrap());
        let spins = || {
            let end = Instant::now() + Duration::from_millis(300);
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        };
        assert!(seen(spins, Doing::Runs));
    }

    #[test]
    fn a_threads_processor_time_is_measured() {
        let before = Figures::of_this_thread().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let used = loop {
            let used = Figures::of_this_thread().unwrap().since(&before);
            if used.cpu_s > 0.05 || Instant::now() > end {
                break used;
            }
        };
        assert!(used.cpu_s > 0.05 && used.memory_s() <= used.cpu_s, "{used:?}");
        let pages = vec![1_u8; 8 << 20];
        let after = Figures::of_this_thread().unwrap().since(&before);
        assert!(after.pages >= 1024.0 && pages.len() > 1, "{after:?}");
    }
}
