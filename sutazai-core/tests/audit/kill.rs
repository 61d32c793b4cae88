//! `kill -9` at every boundary of a write.
//!
//! The child is this test binary again, with a file layer that counts the operations and kills the
//! process at the one that it was told: before it, after it, or in the middle. It tells what was
//! acknowledged through a file of its own. The parent opens what is left.

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sutazai_core::port::{AuditClass, AuditEvent, AuditValue};
use sutazai_core::security::audit::{AuditLog, Disk, Files, Segment, SegmentFile, verify};

use super::{at, key, number, open, signer, small};

struct Killing {
    disk: Disk,
    at: u64,
    passed: AtomicU64,
}

impl Killing {
    /// Dies here if it is the place.
    fn point(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            die();
        }
    }

    /// Whether to die in the middle of what comes.
    fn middle(&self) -> bool {
        self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.at
    }
}

fn die() -> ! {
    let me = std::process::id().to_string();
    Command::new("kill").args(["-9", &me]).status().unwrap();
    loop {
        std::thread::park();
    }
}

impl Files for Killing {
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path, most)
    }
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.point();
        if self.middle() {
            self.disk.write(path, &bytes[..bytes.len() / 2])?;
            die();
        }
        self.disk.write(path, bytes)?;
        self.point();
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        self.point();
        self.disk.sync()?;
        self.point();
        Ok(())
    }
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.point();
        if self.middle() {
            self.disk.write(&format!("{path}.new"), &bytes[..bytes.len() / 2])?;
            die();
        }
        self.disk.replace(path, bytes)?;
        self.point();
        Ok(())
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.point();
        self.disk.remove(path)?;
        self.point();
        Ok(())
    }
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }
    fn create_segment(&self, path: &str, bytes: usize) -> io::Result<Segment> {
        self.point();
        if self.middle() {
            self.disk.write(&path.replace(".segment", ".new"), &vec![0; bytes / 2])?;
            die();
        }
        let segment = self.disk.create_segment(path, bytes)?;
        self.point();
        Ok(segment)
    }
    fn open_segment(&self, path: &str, written: usize) -> io::Result<Segment> {
        self.point();
        let segment = self.disk.open_segment(path, written)?;
        self.point();
        Ok(segment)
    }
    fn sync_segment(&self, segment: &SegmentFile) -> io::Result<()> {
        self.point();
        self.disk.sync_segment(segment)?;
        self.point();
        Ok(())
    }
}

const RECORDS: u64 = 2600;

/// Records with numbers, from where the log ends, and acknowledges each in a file.
#[test]
fn child() {
    let (Some(dir), Some(at_point)) = (
        std::env::var_os("SUTAZAI_AUDIT_DIR"),
        std::env::var("SUTAZAI_AUDIT_KILL").ok().and_then(|k| k.parse().ok()),
    ) else {
        return;
    };
    let dir = Path::new(&dir);
    let disk = Disk::open(dir.join("audit")).unwrap();
    let files = Arc::new(Killing { disk, at: at_point, passed: AtomicU64::new(0) });
    let log = AuditLog::open_with(files.clone(), signer(), small()).unwrap();
    let mut acknowledged = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("acknowledged"))
        .unwrap();
    let text = "x".repeat(60);
    for n in log.status().records..RECORDS {
        let details =
            [("n", AuditValue::Int(i64::try_from(n).unwrap())), ("text", AuditValue::Text(&text))];
        let class = if n % 97 == 0 { AuditClass::Key } else { AuditClass::Action };
        let event = AuditEvent::new(class, "child.write", "child", at(n)).details(&details);
        assert_eq!(log.record(&event).unwrap(), n);
        acknowledged.write_all(&n.to_le_bytes()).unwrap();
        if n % 700 == 699 {
            log.integrate(at(n)).unwrap();
        }
    }
    log.close(at(0)).unwrap();
    std::fs::write(dir.join("points"), files.passed.load(Ordering::SeqCst).to_string()).unwrap();
}

/// Runs a child; true when it was killed.
fn run(dir: &Path, point: u64) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture"])
        .env("SUTAZAI_AUDIT_DIR", dir)
        .env("SUTAZAI_AUDIT_KILL", point.to_string())
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    killed
}

/// Every record that was acknowledged is there, once, in its place.
fn check(dir: &Path, point: u64) {
    let acknowledged = std::fs::read(dir.join("acknowledged")).unwrap_or_default();
    let last = acknowledged.as_chunks::<8>().0.last().map(|n| u64::from_le_bytes(*n));
    let log = open(&dir.join("audit"));
    let records = log.status().records;
    assert!(last.is_none_or(|last| last < records), "point {point}: {last:?} of {records} lost");
    // At most the one that was being written is there without its acknowledgement.
    assert!(records <= last.map_or(0, |last| last + 1) + 1, "point {point}");
    let kept = log.integrate(at(0)).unwrap();
    let mut lines = Vec::new();
    log.export(0..records, sutazai_core::security::audit::Format::JsonLines, &mut lines).unwrap();
    let mut count = 0;
    for (n, line) in String::from_utf8(lines).unwrap().lines().enumerate() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["details"]["n"], n, "point {point}");
        count += 1;
    }
    assert_eq!(count, records);
    if let Some(last) = last {
        assert_eq!(number(&log.get(last).unwrap().unwrap()), last);
    }
    drop(log);
    let report = verify(&dir.join("audit"), &key(), Some(&kept)).unwrap();
    assert!(report.is_intact(), "point {point}: {report:#?}");
}

#[test]
fn no_acknowledged_record_is_lost_wherever_the_process_is_killed() {
    let whole = tempfile::tempdir().unwrap();
    assert!(!run(whole.path(), u64::MAX));
    let points: u64 =
        std::fs::read_to_string(whole.path().join("points")).unwrap().parse().unwrap();
    check(whole.path(), 0);
    let wanted = if std::env::var_os("SUTAZAI_LONG").is_some() { 200 } else { 16 };
    let mut killed = 0;
    for n in 0..wanted {
        let point = 1 + n * points / wanted;
        let dir = tempfile::tempdir().unwrap();
        killed += u64::from(run(dir.path(), point));
        check(dir.path(), point);
        // The next process may be killed while it finishes the work of the one before.
        run(dir.path(), 1 + n % 23);
        check(dir.path(), point);
    }
    println!("{killed} of {wanted} kills among {points} points");
    assert_eq!(killed, wanted);
}
