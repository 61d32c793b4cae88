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

/// The soft limit of open files, of `/proc/PID/limits`; none where there is no limit.
pub(super) fn file_limit(text: &[u8]) -> Option<u64> {
    lines(text)
        .find_map(|line| words(line.strip_prefix(b"Max open files")?).next().and_then(number))
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

    pub(super) fn usage(&mut self) -> Option<Usage> {
        usage(self.stat.read(&mut self.buffer).ok()?, self.units)
    }

    pub(super) fn device_bytes(&mut self) -> Option<(u64, u64)> {
        device_bytes(self.io.read(&mut self.buffer).ok()?)
    }

    pub(super) fn open_files(&self) -> Option<u64> {
        open_files(&self.folder.join("fd")).ok()
    }

    pub(super) fn file_limit(&mut self) -> Option<u64> {
        let mut limits = Kept::new(self.folder.join("limits"));
        file_limit(limits.read(&mut self.buffer).ok()?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
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
        let limits = b"Limit   Soft   Hard\nMax open files            1024  4096  files\n";
        assert_eq!(file_limit(limits), Some(1024));
        assert_eq!(file_limit(b"Max open files   unlimited unlimited files\n"), None);
    }

    #[test]
    fn this_process_is_told_as_it_is() {
        let mut process = Process::new("/proc/self".into(), Units::of_this_system());
        let before = process.usage().unwrap();
        assert!(before.resident_bytes > 100_000 && before.threads >= 1);
        let files = process.open_files().unwrap();
        let more: Vec<_> =
            (0..10).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        // Other tests open files as well.
        assert!(process.open_files().unwrap() >= 10 && files >= 3, "{files}");
        drop(more);
        assert!(process.file_limit().is_none_or(|limit| limit >= files));
    }
}
