//! Disks: `/proc/diskstats` (the kernel's Documentation/admin-guide/iostats.rst), and the space of a file system.

use std::path::Path;
use std::sync::Arc;

use rustix::fs::{StatVfs, StatVfsMountFlags};

use super::grown::Grown;
use super::number::{lines, numbers, words};
use crate::port::Samples;

/// What the kernel calls a sector here, whatever the device has.
const SECTOR: u64 = 512;

/// What is told of the disks.
pub(super) struct Disks {
    names: [Arc<str>; 5],
    space: [Arc<str>; 3],
    counted: Grown<5>,
}

impl Disks {
    pub(super) fn new() -> Self {
        let names = [
            "disk_read_bytes_total",
            "disk_written_bytes_total",
            "disk_reads_total",
            "disk_writes_total",
            "disk_busy_seconds_total",
        ];
        let space = ["disk_size_bytes", "disk_free_bytes", "disk_free_ratio"];
        let (names, space) = (names.map(Arc::from), space.map(Arc::from));
        Self { names, space, counted: Grown::new() }
    }

    /// `major minor name reads merged sectors ms writes merged sectors ms under_way ms_busy …`; partitions stand behind what they are
    /// parts of.
    pub(super) fn take(&mut self, text: &[u8], out: &mut Samples) {
        let mut whole: &[u8] = b"";
        for line in lines(text) {
            let mut words = words(line).skip(2);
            let Some(name) = words.next().filter(|name| is_device(name)) else { continue };
            if is_part(name, whole) {
                continue;
            }
            whole = name;
            let Some([reads, _, read_sectors, _, writes, _, written_sectors, _, _, busy]) =
                numbers(words)
            else {
                continue;
            };
            self.counted.add(name, [read_sectors, written_sectors, reads, writes, busy]);
        }
        let Some([read, written, reads, writes, busy]) = self.counted.sums() else { return };
        let values = [
            read.saturating_mul(SECTOR) as f64,
            written.saturating_mul(SECTOR) as f64,
            reads as f64,
            writes as f64,
            busy as f64 / 1_000.0,
        ];
        for (name, value) in self.names.iter().zip(values) {
            out.add(Arc::clone(name), value);
        }
    }

    /// What the file system of a path has, and has left for who is not root.
    pub(super) fn take_space(&self, path: &Path, out: &mut Samples) {
        if let Ok(stat) = rustix::fs::statvfs(path) {
            self.space(&stat, out);
        }
    }

    /// One that is only read is full by nature, as an image is: nothing is told of what is free.
    fn space(&self, stat: &StatVfs, out: &mut Samples) {
        let size = stat.f_blocks.saturating_mul(stat.f_frsize) as f64;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize) as f64;
        // What root may use besides is of no use.
        let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize) as f64;
        let [size_name, free_name, ratio_name] = &self.space;
        out.add(Arc::clone(size_name), size);
        if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return;
        }
        out.add(Arc::clone(free_name), free);
        if used + free > 0.0 {
            out.add(Arc::clone(ratio_name), free / (used + free));
        }
    }
}

/// Whether it is a device of its own, which stands neither on others nor on memory, or a part of one.
fn is_device(name: &[u8]) -> bool {
    let other: [&[u8]; 7] = [b"loop", b"ram", b"zram", b"dm-", b"md", b"sr", b"fd"];
    !other.iter().any(|other| name.starts_with(other))
}

/// Whether it is a partition of a device: `sda1` of `sda`; `nvme0n1p1` of `nvme0n1`, which ends in a digit itself.
fn is_part(name: &[u8], whole: &[u8]) -> bool {
    let Some((rest, last)) = name.strip_prefix(whole).zip(whole.last()) else { return false };
    let number = if last.is_ascii_digit() { rest.strip_prefix(b"p") } else { Some(rest) };
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::system::tests::value;
    use super::*;

    #[test]
    fn whole_devices_are_summed() {
        let mut out = Samples::default();
        let text = b"   7 0 loop0 9 9 9 9 9 9 9 9 9 9 9\n 254 0 vda 10 1 100 5 20 2 200 6 0 1500 11\n 254 1 vda1 9 1 90 5 19 2 190 6 0 1400 11\n 259 0 nvme0n1 1 0 10 0 2 0 20 0 0 500 0 1 2 3 4\n 259 1 nvme0n1p1 1 0 10 0 2 0 20 0 0 500 0\n 8 0 sdz 1 2\n";
        Disks::new().take(text, &mut out);
        assert_eq!(value(&out, "disk_read_bytes_total"), Some(110.0 * 512.0));
        assert_eq!(value(&out, "disk_written_bytes_total"), Some(220.0 * 512.0));
        assert_eq!(value(&out, "disk_reads_total"), Some(11.0));
        assert_eq!(value(&out, "disk_writes_total"), Some(22.0));
        assert_eq!(value(&out, "disk_busy_seconds_total"), Some(2.0));
        out.clear();
        Disks::new().take(b"\n 1 2\n\xff\n", &mut out);
        assert_eq!(out.iter().count(), 0);
    }

    #[test]
    fn partitions_are_parts_of_what_is_there() {
        let lines = |names: &[&str]| -> String {
            names.iter().map(|name| format!("8 0 {name} 1 0 0 0 0 0 0 0 0 0\n")).collect()
        };
        let counted = |names: &[&str]| {
            let mut out = Samples::default();
            Disks::new().take(lines(names).as_bytes(), &mut out);
            value(&out, "disk_reads_total")
        };
        let whole = ["sda", "vdb", "nvme10n2", "mmcblk0", "mmcblk0boot0", "nbd3", "sdaa"];
        assert_eq!(counted(&whole), Some(7.0));
        // Names that end in a number without being a part.
        assert_eq!(
            counted(&["rbd0", "rbd0p1", "pmem0", "zd0", "zd16", "xvda1", "xvda2"]),
            Some(6.0)
        );
        let parts =
            ["sda", "sda1", "sda12", "nvme0n1", "nvme0n1p1", "nvme0n1p15", "mmcblk0", "mmcblk0p1"];
        assert_eq!(counted(&parts), Some(3.0));
        assert_eq!(counted(&["dm-0", "zram0", "md127", "md127p1", "loop0p1", "sr0"]), None);
    }

    #[test]
    fn a_disk_that_goes_takes_nothing_away() {
        let mut disks = Disks::new();
        let mut told = |text: &[u8]| {
            let mut out = Samples::default();
            disks.take(text, &mut out);
            value(&out, "disk_read_bytes_total")
        };
        let sda = b"8 0 sda 1 0 10 0 0 0 0 0 0 0\n";
        assert_eq!(
            told(&[&sda[..], b"8 16 sdb 5 0 50 0 0 0 0 0 0 0\n"].concat()),
            Some(60.0 * 512.0)
        );
        assert_eq!(told(sda), Some(60.0 * 512.0));
        assert_eq!(told(b"8 0 sda 1 0 15 0 0 0 0 0 0 0\n"), Some(65.0 * 512.0));
    }

    #[test]
    fn of_what_is_only_read_nothing_is_free() {
        let mut stat = rustix::fs::statvfs("/").unwrap();
        (stat.f_blocks, stat.f_bfree, stat.f_bavail, stat.f_frsize) = (100, 0, 0, 4_096);
        let told = |stat: &StatVfs| {
            let mut out = Samples::default();
            Disks::new().space(stat, &mut out);
            ["disk_size_bytes", "disk_free_bytes", "disk_free_ratio"].map(|name| value(&out, name))
        };
        stat.f_flag.remove(StatVfsMountFlags::RDONLY);
        assert_eq!(told(&stat), [Some(409_600.0), Some(0.0), Some(0.0)]);
        stat.f_flag.insert(StatVfsMountFlags::RDONLY);
        assert_eq!(told(&stat), [Some(409_600.0), None, None]);
    }

    #[test]
    fn space_is_told_where_there_is_a_file_system() {
        let mut out = Samples::default();
        Disks::new().take_space(Path::new("/"), &mut out);
        let free = value(&out, "disk_free_ratio").unwrap_or(-1.0);
        assert!((0.0..=1.0).contains(&free), "{free}");
        out.clear();
        Disks::new().take_space(Path::new("/nowhere/at/all"), &mut out);
        assert_eq!(out.iter().count(), 0);
    }
}
