//! Disks that are full, or fail.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sutazai_core::Code;
use sutazai_core::port::{AuditClass, AuditEvent};
use sutazai_core::security::audit::{AuditLog, Disk, Files, Segment, SegmentFile, verify};

use super::{at, fill, key, number, open, signer, small};

/// A disk on which things can be made to fail.
pub(super) struct Faulty {
    pub(super) disk: Disk,
    full: AtomicBool,
    sync_fails: AtomicBool,
}

fn failed() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl Faulty {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(failed()) } else { Ok(()) }
    }
}

impl Files for Faulty {
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path, most)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if self.check().is_err() {
            // As a full disk does: some of it is there.
            self.disk.write(path, &bytes[..bytes.len() / 2])?;
            return Err(failed());
        }
        self.disk.write(path, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.disk.replace(path, bytes)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn create_segment(&self, path: &str, bytes: usize) -> io::Result<Segment> {
        self.check()?;
        self.disk.create_segment(path, bytes)
    }
    fn open_segment(&self, path: &str, written: usize) -> io::Result<Segment> {
        self.disk.open_segment(path, written)
    }
    fn sync_segment(&self, segment: &SegmentFile) -> io::Result<()> {
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is on fire"));
        }
        self.disk.sync_segment(segment)
    }
}

fn faulty(dir: &std::path::Path) -> (Arc<Faulty>, AuditLog) {
    let files = Arc::new(Faulty {
        disk: Disk::open(dir).unwrap(),
        full: AtomicBool::new(false),
        sync_fails: AtomicBool::new(false),
    });
    let log = AuditLog::open_with(files.clone(), signer(), small()).unwrap();
    (files, log)
}

#[test]
fn a_full_disk_is_an_error_and_what_was_acknowledged_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (files, log) = faulty(dir.path());
    fill(&log, "ann", 0, 300);
    log.integrate(at(0)).unwrap();
    files.full.store(true, Ordering::SeqCst);
    let event = |n| AuditEvent::new(AuditClass::Action, "a.b", "ann", at(n));
    let mut taken = 300;
    let error = loop {
        match log.record(&event(taken)) {
            Ok(index) => {
                assert_eq!(index, taken);
                taken += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::AUDIT_FULL);
    assert!(taken > 500, "{taken}");
    assert!(log.integrate(at(0)).is_err());
    let status = log.status();
    assert_eq!((status.records, status.refused, status.checkpointed), (taken, 1, 300));
    assert!(status.failures > 0 && status.last_failure.is_some());
    // Room again: it goes on where it was.
    files.full.store(false, Ordering::SeqCst);
    assert_eq!(log.record(&event(taken)).unwrap(), taken);
    let kept = log.integrate(at(0)).unwrap();
    assert_eq!(kept.size(), taken + 1);
    drop(log);
    let report = verify(dir.path(), &key(), Some(&kept)).unwrap();
    assert!(report.is_intact(), "{report:#?}");
}

#[test]
fn after_a_failed_sync_no_record_is_taken_until_it_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (files, log) = faulty(dir.path());
    fill(&log, "ann", 0, 10);
    files.sync_fails.store(true, Ordering::SeqCst);
    let event = AuditEvent::new(AuditClass::Key, "a.b", "ann", at(0));
    assert_eq!(log.record(&event).unwrap_err().code(), Code::AUDIT_FAILED);
    files.sync_fails.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(log.record(&event).unwrap_err().code(), Code::AUDIT_FAILED);
        assert_eq!(log.submit(&event).wait().unwrap_err().code(), Code::AUDIT_FAILED);
    }
    assert_eq!(log.status().refused, 4);
    drop(log);
    let log = open(dir.path());
    assert_eq!(number(&log.get(9).unwrap().unwrap()), 9);
    log.record(&event).unwrap();
}

#[test]
fn tiles_of_hashes_that_were_damaged_are_made_again_and_damaged_records_are_not_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, "ann", 0, 600);
    let kept = log.integrate(at(0)).unwrap();
    drop(log);
    for path in ["tile/0/002.p/88", "tile/1/000.p/2"] {
        std::fs::write(dir.path().join(path), "half").unwrap();
    }
    drop(open(dir.path()));
    assert!(verify(dir.path(), &key(), Some(&kept)).unwrap().is_intact());
    let path = dir.path().join("tile/entries/002.p/88");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let files = Arc::new(Disk::open(dir.path()).unwrap());
    let error = AuditLog::open_with(files, signer(), small()).unwrap_err();
    assert_eq!(error.code(), Code::AUDIT_CORRUPT);
}

#[test]
fn a_torn_end_of_the_journal_is_cut_kept_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, "ann", 0, 20);
    drop(log);
    let path = dir.path().join("journal/000000000000.segment");
    let whole = std::fs::read(&path).unwrap();
    let used = whole.iter().rposition(|&b| b != 0).unwrap() + 1;
    // What is left of the last frame when its process ends while it is written: its beginning, or all
    // of it with a hole.
    for cut in [used - 3, used - 150, used - 100] {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        if cut == used - 150 {
            torn[used - 1] = b'}';
        }
        std::fs::write(&path, &torn).unwrap();
        let log = open(dir.path());
        assert_eq!(log.status().records, 20, "19 and one about the cut ({cut})");
        let told = log.get(19).unwrap().unwrap();
        assert_eq!((told.action.as_str(), told.class), ("audit.cut", AuditClass::Configuration));
        assert_eq!(number(&log.get(18).unwrap().unwrap()), 18);
        drop(log);
        assert!(std::fs::read_dir(dir.path().join("cut")).unwrap().count() > 0);
        let report = verify(dir.path(), &key(), None).unwrap();
        assert!(report.is_intact(), "{report:#?}");
        assert!(!report.notes.is_empty());
        std::fs::remove_dir_all(dir.path().join("cut")).unwrap();
    }
}
