//! Single processes, such as those of agents.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::process::{Process, Units, gone};
use crate::base::time::Timestamp;
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// Processes that are followed at once, at most.
const MOST: usize = 10_000;
/// Of so many the two files stay open; those of the others are opened in each sample. Systems let a process have 1,024 open, usually.
const KEPT: usize = 128;

/// Follows processes by their numbers. A number that the system gives to another process is not followed there: what
/// began later is somebody else.
///
/// For a process followed as `x`: `process_cpu_seconds_total{name="x"}`, `process_resident_memory_bytes{…}`,
/// `process_threads{…}`, `process_open_fds{…}`, `process_read_bytes_total{…}` and `process_written_bytes_total{…}`; what
/// cannot be read, as of another user's process, is left out.
pub struct Processes {
    proc: PathBuf,
    units: Units,
    name: fn(&str, &str) -> String,
    followed: Mutex<BTreeMap<Arc<str>, Followed>>,
}

struct Followed {
    pid: u32,
    began: u64,
    process: Process,
    names: [Arc<str>; 6],
}

impl Default for Processes {
    fn default() -> Self {
        Self::new()
    }
}

impl Processes {
    /// Follows none as yet.
    pub fn new() -> Self {
        Self::in_folder("/proc".into())
    }

    /// Names series otherwise: `name` is given how the process is called, and what is measured, such as
    /// `cpu_seconds_total`.
    #[must_use]
    pub fn named(mut self, name: fn(&str, &str) -> String) -> Self {
        self.name = name;
        self
    }

    fn in_folder(proc: PathBuf) -> Self {
        let name = |of: &str, what: &str| format!("process_{what}{{name=\"{of}\"}}");
        Self { proc, units: Units::of_this_system(), name, followed: Mutex::default() }
    }

    /// Follows the process of this number from now on, in the place of the one of this name.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no such process, [`Code::IO`] when it cannot be read, [`Code::INVALID`] for a name that is empty, too long or has
    /// quotes, backslashes or control characters, [`Code::OVERLOADED`] beyond ten thousand.
    pub fn follow(&self, name: &str, pid: u32) -> Result<()> {
        const OPERATION: &str = "monitor.follow";
        let odd = |c: char| c.is_control() || c == '"' || c == '\\';
        if name.is_empty() || name.len() > 256 || name.contains(odd) {
            return Err(Error::new(Code::INVALID, "a name has 1 to 256 bytes, without quotes")
                .operation(OPERATION)
                .with("bytes", name.len()));
        }
        let mut process = Process::new(self.proc.join(pid.to_string()), self.units);
        let usage = process.usage().map_err(|error| unreadable(error, OPERATION, pid))?;
        // Whose files stay open is said in each sample.
        process.close();
        let series = |what: &str| Arc::from((self.name)(name, what));
        let names = [
            "cpu_seconds_total",
            "resident_memory_bytes",
            "threads",
            "open_fds",
            "read_bytes_total",
            "written_bytes_total",
        ];
        let mut followed = self.followed.lock();
        if followed.len() >= MOST && !followed.contains_key(name) {
            return Err(Error::new(Code::OVERLOADED, "too many processes are followed")
                .operation(OPERATION)
                .with("most", MOST));
        }
        let one = Followed { pid, began: usage.began, process, names: names.map(series) };
        followed.insert(name.into(), one);
        Ok(())
    }

    /// Follows it no more; whether it was.
    pub fn leave(&self, name: &str) -> bool {
        self.followed.lock().remove(name).is_some()
    }

    /// The names and numbers of those that are followed, by name.
    pub fn followed(&self) -> Vec<(Arc<str>, u32)> {
        self.followed.lock().iter().map(|(name, one)| (Arc::clone(name), one.pid)).collect()
    }
}

impl Monitor for Processes {
    fn name(&self) -> &str {
        "processes"
    }

    /// Those that have ended are followed no more. Those that cannot be read are, without figures, and the first of them is told.
    fn sample(&self, _now: Timestamp, out: &mut Samples) -> Result<()> {
        let mut first = Ok(());
        let mut place = 0;
        self.followed.lock().retain(|_, one| {
            let there = one.take(out).unwrap_or_else(|error| {
                if first.is_ok() {
                    first = Err(unreadable(error, "monitor.sample", one.pid));
                }
                true
            });
            place += usize::from(there);
            if place > KEPT {
                one.process.close();
            }
            there
        });
        first
    }
}

/// Why a process is not followed.
fn unreadable(error: std::io::Error, operation: &'static str, pid: u32) -> Error {
    let problem = match gone(&error) {
        true => Error::new(Code::NOT_FOUND, "there is no process of this number"),
        false => Error::new(Code::IO, "the process cannot be read").because(error),
    };
    problem.operation(operation).with("pid", pid)
}

impl Followed {
    /// Whether it is still there.
    fn take(&mut self, out: &mut Samples) -> std::io::Result<bool> {
        let usage = match self.process.usage() {
            Ok(usage) if usage.began == self.began => usage,
            Ok(_) => return Ok(false),
            Err(error) if gone(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        let [cpu, resident, threads, files, read, written] = &self.names;
        out.add(Arc::clone(cpu), usage.cpu_seconds);
        out.add(Arc::clone(resident), usage.resident_bytes as f64);
        out.add(Arc::clone(threads), usage.threads as f64);
        if let Some(open) = self.process.open_files() {
            out.add(Arc::clone(files), open as f64);
        }
        if let Some((from, to)) = self.process.device_bytes() {
            out.add(Arc::clone(read), from as f64);
            out.add(Arc::clone(written), to as f64);
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("followed", &self.followed()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::super::system::tests::value;
    use super::*;

    fn sample(processes: &Processes) -> Samples {
        let mut samples = Samples::default();
        processes.sample(Timestamp::EPOCH, &mut samples).unwrap();
        samples
    }

    #[test]
    fn a_process_is_followed_until_it_ends() {
        let processes = Processes::new();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        processes.follow("it", child.id()).unwrap();
        let series = "process_resident_memory_bytes{name=\"it\"}";
        // Linux counts pages in batches: a process that has just begun may have none yet.
        while value(&sample(&processes), series).unwrap() == 0.0 {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(sample(&processes).iter().count(), 0);
        assert!(processes.followed().is_empty() && !processes.leave("it"));
        assert_eq!(processes.follow("it", u32::MAX).unwrap_err().code(), Code::NOT_FOUND);
        assert_eq!(processes.follow("a\"b", 1).unwrap_err().code(), Code::INVALID);
    }

    #[test]
    fn a_number_that_is_given_again_is_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("7");
        fs::create_dir(&folder).unwrap();
        let stat = |began: u32| {
            format!("7 (x) S 1 7 7 0 -1 0 0 0 0 0 100 0 0 0 20 0 1 0 {began} 4096 1 0\n")
        };
        fs::write(folder.join("stat"), stat(1000)).unwrap();
        let processes = Processes::in_folder(dir.path().to_owned());
        processes.follow("x", 7).unwrap();
        assert_eq!(value(&sample(&processes), "process_threads{name=\"x\"}"), Some(1.0));
        fs::write(folder.join("stat"), stat(2000)).unwrap();
        assert_eq!(sample(&processes).iter().count(), 0);
        assert!(processes.followed().is_empty());
    }

    /// Whether a process keeps files of this folder open here.
    fn open_below(folder: &std::path::Path) -> usize {
        let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
        files
            .filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.starts_with(folder)))
            .count()
    }

    #[test]
    fn of_many_only_some_keep_their_files_open() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::in_folder(dir.path().to_owned());
        let all = 2 * KEPT;
        for pid in 1..=all {
            let folder = dir.path().join(pid.to_string());
            fs::create_dir(&folder).unwrap();
            let stat =
                format!("{pid} (x) S 1 7 7 0 -1 0 0 0 0 0 100 0 0 0 20 0 1 0 {pid} 4096 1 0\n");
            fs::write(folder.join("stat"), stat).unwrap();
            fs::write(folder.join("io"), "read_bytes: 1\nwrite_bytes: 2\n").unwrap();
            processes.follow(&format!("p{pid}"), u32::try_from(pid).unwrap()).unwrap();
        }
        assert_eq!(open_below(dir.path()), 0);
        for _ in 0..2 {
            // Five figures of each: there is no folder of its files.
            assert_eq!(sample(&processes).iter().count(), 5 * all);
            assert_eq!(open_below(dir.path()), 2 * KEPT);
        }
        // Those that end make room for others.
        for pid in 1..=KEPT {
            processes.leave(&format!("p{pid}"));
        }
        sample(&processes);
        assert_eq!(open_below(dir.path()), 2 * KEPT);
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_gone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |pid: u32| dir.path().join(pid.to_string());
        let stat = "7 (x) S 1 7 7 0 -1 0 0 0 0 0 100 0 0 0 20 0 1 0 5 4096 1 0\n";
        for pid in [7, 8] {
            fs::create_dir(folder(pid)).unwrap();
            fs::write(folder(pid).join("stat"), stat).unwrap();
        }
        let processes = Processes::in_folder(dir.path().to_owned());
        // A folder is there, and cannot be read as a file is.
        fs::create_dir_all(folder(9).join("stat")).unwrap();
        assert_eq!(processes.follow("z", 9).unwrap_err().code(), Code::IO);
        processes.follow("x", 7).unwrap();
        processes.follow("y", 8).unwrap();
        fs::remove_file(folder(7).join("stat")).unwrap();
        fs::create_dir(folder(7).join("stat")).unwrap();
        let mut out = Samples::default();
        let error = processes.sample(Timestamp::EPOCH, &mut out).unwrap_err();
        assert_eq!(error.code(), Code::IO);
        assert_eq!(value(&out, "process_threads{name=\"y\"}"), Some(1.0));
        assert_eq!(processes.followed().len(), 2);
        fs::remove_dir(folder(7).join("stat")).unwrap();
        assert_eq!(sample(&processes).iter().count(), 3);
        assert_eq!(processes.followed().len(), 1);
    }
}
