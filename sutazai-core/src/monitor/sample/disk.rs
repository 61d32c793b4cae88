//! Disks: `/proc/diskstats` (the kernel's Documentation/admin-guide/iostats.rst), and the space of a file system.

use std::path::Path;
use std::sync::Arc;

use super::number::{lines, numbers, words};
use crate::port::Samples;

/// What the kernel calls a sector here, whatever the device has.
const SECTOR: u64 = 512;

/// What is told of the disks.
pub(super) struct Disks {
    names: [Arc<str>; 5],
    space: [Arc<str>; 3],
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
        Self { names: names.map(Arc::from), space: space.map(Arc::from) }
    }

    /// `major minor name reads merged sectors ms writes merged sectors ms under_way ms_busy …`
    pub(super) fn take(&self, text: &[u8], out: &mut Samples) {
        let (mut sums, mut any) = ([0_u64; 5], false);
        for line in lines(text) {
            let mut words = words(line).skip(2);
            let Some(name) = words.next() else { continue };
            if !is_whole(name) {
                continue;
            }
            let Some([reads, _, read_sectors, _, writes, _, written_sectors, _, _, busy]) =
                numbers(words)
            else {
                continue;
            };
            any = true;
            for (sum, field) in
                sums.iter_mut().zip([read_sectors, written_sectors, reads, writes, busy])
            {
                *sum = sum.saturating_add(field);
            }
        }
        if !any {
            return;
        }
        let [read, written, reads, writes, busy] = sums;
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
        let Ok(stat) = rustix::fs::statvfs(path) else { return };
        let size = stat.f_blocks.saturating_mul(stat.f_frsize) as f64;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize) as f64;
        // What root may use besides is of no use.
        let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize) as f64;
        let [size_name, free_name, ratio_name] = &self.space;
        out.add(Arc::clone(size_name), size);
        out.add(Arc::clone(free_name), free);
        if used + free > 0.0 {
            out.add(Arc::clone(ratio_name), free / (used + free));
        }
    }
}

/// Whether it is a device of its own: no partition of one, and none that stands on others or on memory.
fn is_whole(name: &[u8]) -> bool {
    let begins = |with: &[&[u8]]| with.iter().any(|with| name.starts_with(with));
    if begins(&[b"loop", b"ram", b"zram", b"dm-", b"md", b"sr", b"fd"]) {
        return false;
    }
    let ends_in_digit = name.last().is_some_and(u8::is_ascii_digit);
    match () {
        // nvme0n1, mmcblk0, nbd0: their partitions are …p1.
        () if begins(&[b"nvme", b"mmcblk", b"nbd"]) => {
            let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
            let before = name.len().checked_sub(digits + 1).and_then(|at| name.get(at));
            before != Some(&b'p')
        }
        // sda, vda, xvda, hda: their partitions end in a number.
        () => !ends_in_digit,
    }
}

#[cfg(test)]
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
    fn partitions_are_parts() {
        let whole: [&[u8]; 6] = [b"sda", b"vdb", b"xvda", b"nvme10n2", b"mmcblk0", b"nbd3"];
        let part: [&[u8]; 6] = [b"sda1", b"vdb12", b"nvme0n1p3", b"mmcblk0p1", b"dm-0", b"zram0"];
        assert!(whole.iter().all(|name| is_whole(name)));
        assert!(!part.iter().any(|name| is_whole(name)));
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
