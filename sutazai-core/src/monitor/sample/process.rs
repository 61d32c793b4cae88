//! One process: `/proc/PID/stat`, `statm`, `io`, `limits`, `fd` (proc_pid(5)).

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::kept::Kept;
use super::number::{lines, number, words};

/// How the system counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    /// Ticks of a second.
    pub(super) hz: u64,
    /// Bytes of a page.
    pub(super) page: u64,
}

impl Units {
    pub(super) fn of_this_system() -> Self {
        Self {
            hz: rustix::param::clock_ticks_per_second().max(1),
            page: rustix::param::page_size() as u64,
        }
    }
}

/// What a process has used and has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Processor time, its own and that of its children that have ended and been waited for.
    pub(super) cpu_seconds: f64,
    pub(super) ended_children_seconds: f64,
    pub(super) threads: u64,
    /// When it began, in ticks since the system's start: it tells it from another one of the same number.
    pub(super) began: u64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
}

/// Reads `/proc/PID/stat`. The name, in parentheses, may hold anything.
pub(super) fn usage(text: &[u8], units: Units) -> Option<Usage> {
    let name = text.iter().rposition(|byte| *byte == b')')?;
    // From `state`, the third field, on.
    let mut fields = words(text.get(name + 1..)?);
    let mut skip = |n: usize| fields.nth(n).and_then(number);
    let (user, system) = (skip(11)?, skip(0)?);
    let (children_user, children_system) = (skip(0)?, skip(0)?);
    let threads = skip(2)?;
    let began = skip(1)?;
    let (size, pages) = (skip(0)?, skip(0)?);
    let seconds = |ticks: u64| ticks as f64 / units.hz as f64;
    Some(Usage {
        cpu_seconds: seconds(user.saturating_add(system)),
        ended_children_seconds: seconds(children_user.saturating_add(children_system)),
        threads,
        began,
        resident_bytes: pages.saturating_mul(units.page),
        virtual_bytes: size,
    })
}

/// Bytes that went to and came from devices: `read_bytes`, `write_bytes` of `/proc/PID/io`.
pub(super) fn device_bytes(text: &[u8]) -> Option<(u64, u64)> {
    let field = |name: &[u8]| {
        lines(text).find_map(|line| words(line.strip_prefix(name)?).next().and_then(number))
    };
    Some((field(b"read_bytes:")?, field(b"write_bytes:")?))
}

/// How many files it has open. Linux 6.2 and later answer without listing them.
pub(super) fn open_files(folder: &Path) -> io::Result<u64> {
    let size = std::fs::metadata(folder)?.size();
    if size > 0 {
        return Ok(size);
    }
    Ok(std::fs::read_dir(folder)?.filter(Result::is_ok).count() as u64)
}

/// A process that is read again and again.
pub(super) struct Process {
    folder: PathBuf,
    stat: Kept,
    io: Kept,
    units: Units,
    buffer: Vec<u8>,
}

impl Process {
    /// Of a folder of `/proc`.
    pub(super) fn new(folder: PathBuf, units: Units) -> Self {
        Self {
            stat: Kept::new(folder.join("stat")),
            io: Kept::new(folder.join("io")),
            folder,
            units,
            buffer: Vec::new(),
        }
    }

    /// # Errors
    /// Why it cannot be read; [`gone`] tells whether that is because there is no such process.
    pub(super) fn usage(&mut self) -> io::Result<Usage> {
        let text = self.stat.read(&mut self.buffer)?;
        usage(text, self.units).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn device_bytes(&mut self) -> Option<(u64, u64)> {
        device_bytes(self.io.read(&mut self.buffer).ok()?)
    }

    pub(super) fn open_files(&self) -> Option<u64> {
        open_files(&self.folder.join("fd")).ok()
    }

    /// Keeps no file open until it is read again.
    pub(super) fn close(&mut self) {
        self.stat.close();
        self.io.close();
    }
}

/// Whether a process could not be read because it has ended.
pub(super) fn gone(error: &io::Error) -> bool {
    let ended = rustix::io::Errno::SRCH.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ended)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Read as _;

    use super::*;

    const UNITS: Units = Units { hz: 100, page: 4096 };

    #[test]
    fn the_fields_are_where_they_are() {
        let text = b"42 (a ) b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 30 20 20 0 7 0 12345 1000000 256 18446744073709551615 1 1 0";
        let usage = usage(text, UNITS).unwrap();
        assert_eq!((usage.cpu_seconds, usage.ended_children_seconds), (3.0, 0.5));
        assert_eq!((usage.threads, usage.began), (7, 12345));
        assert_eq!((usage.virtual_bytes, usage.resident_bytes), (1_000_000, 256 * 4096));
        for rubbish in [&b""[..], b"1 (x", b"1 (x) S 1", b"1 (x) S 1 1 1 1 1 1 1 1 1 1 x 1"] {
            assert_eq!(super::usage(rubbish, UNITS), None);
        }
        assert_eq!(device_bytes(b"rchar: 1\nread_bytes: 10\nwrite_bytes: 20\n"), Some((10, 20)));
        assert_eq!(device_bytes(b"read_bytes: 10\n"), None);
    }

    #[test]
    fn this_process_is_told_as_it_is() {
        let mut process = Process::new("/proc/self".into(), Units::of_this_system());
        let before = process.usage().unwrap();
        assert!(before.resident_bytes > 100_000 && before.threads >= 1);
        // Other tests open files as well: another process tells how many there are.
        let files = |script: &str| {
            let mut child = std::process::Command::new("sh")
                .args(["-c", script])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = [0; 3];
            child.stdout.take().unwrap().read_exact(&mut said).unwrap();
            let folder = format!("/proc/{}", child.id());
            let counted = std::fs::read_dir(format!("{folder}/fd")).unwrap().count() as u64;
            let told = Process::new(folder.into(), Units::of_this_system()).open_files();
            drop(child.stdin.take());
            child.wait().unwrap();
            assert_eq!(told, Some(counted));
            counted
        };
        let few = files("echo ok; read line");
        assert!(few >= 3);
        assert_eq!(files("exec 7</dev/null 8</dev/null; echo ok; read line"), few + 2);
    }
}
