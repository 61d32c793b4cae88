//! Bytes from outside: whatever they are, reading them ends without a panic.

use sutazai_core::security::audit::{Files as _, Memory, verify_files};

#[path = "../../../fuzz/src/audit.rs"]
mod target;

use super::{at, fill, key, open};

/// A small generator of our own: the same bytes each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn mangled_files_are_read_without_a_panic() {
    let seeds = target::seeds();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let rounds = if std::env::var_os("SUTAZAI_LONG").is_some() { 200_000 } else { 1500 };
    for round in 0..rounds {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..random.next() % 8 {
            if bytes.is_empty() {
                break;
            }
            let at = random.next() as usize % bytes.len();
            match random.next() % 5 {
                0 => bytes[at] ^= 1 << (random.next() % 8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes.truncate(at),
                3 => bytes.splice(at..at, random.next().to_le_bytes()).for_each(drop),
                _ => bytes[at..].fill(0xff),
            }
        }
        target::run(&bytes);
    }
}

/// With the log's own files around, each replaced by what is left of another.
#[test]
fn a_log_whose_files_are_mangled_is_verified_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, "ann", 0, 300);
    let kept = log.integrate(at(0)).unwrap();
    drop(log);
    let paths = [
        "checkpoint",
        "tile/entries/000",
        "tile/entries/001.p/44",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "index/000",
        "journal/000000000000.segment",
    ];
    let all: Vec<_> = paths.iter().map(|p| std::fs::read(dir.path().join(p)).unwrap()).collect();
    let mut random = Random(7);
    for _ in 0..200 {
        let files = Memory::new();
        for (path, bytes) in paths.iter().zip(&all) {
            files.write(path, bytes).unwrap();
        }
        let (to, from) = (random.next() as usize % all.len(), random.next() as usize % all.len());
        let mut bytes = all[from].clone();
        bytes.truncate(random.next() as usize % (bytes.len() + 1));
        let same = bytes == all[to];
        files.write(paths[to], &bytes).unwrap();
        let report = verify_files(&files, &key(), Some(&kept)).unwrap();
        assert_eq!(report.is_intact(), same);
    }
}
