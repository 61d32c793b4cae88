//! A log over its life: opened again, queried, exported, proven, bounded.

use std::sync::OnceLock;
use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuditClass, AuditEvent, AuditOutcome, AuditTrail, AuditValue};

use sutazai_core::security::audit::{
    AuditLog, Checkpoint, CheckpointSigner, Ed25519Signer, Evidence, Format, Options, Query,
    VerifierKey, verify,
};
use sutazai_core::store::DataDir;

use super::{at, fill, key, number, open, signer, small};

#[test]
fn what_is_recorded_is_there_after_opening_again_and_proven() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, "ann", 0, 700);
    let first = log.integrate(at(700)).unwrap();
    assert_eq!(first.size(), 700);
    fill(&log, "bob", 700, 50);
    drop(log);

    let log = open(dir.path());
    assert_eq!(log.checkpoint().unwrap(), first);
    assert_eq!(log.status().records, 750);
    fill(&log, "ann", 750, 350);
    let second = log.integrate(at(2000)).unwrap();
    assert_eq!(second.size(), 1100);
    for index in [0, 1, 255, 256, 699, 700, 749, 1023, 1099] {
        assert_eq!(number(&log.get(index).unwrap().unwrap()), index);
        let evidence = log.prove(index, at(0)).unwrap();
        let json = evidence.to_json().unwrap();
        let (record, checkpoint) = Evidence::read(json.as_bytes()).unwrap().verify(&key()).unwrap();
        assert_eq!((number(&record), &checkpoint), (index, &second));
        // Another record in the same place is not proven by it, nor the same one in another.
        let other = json.replace("agent.act", "agent.ACT");
        let error = Evidence::read(other.as_bytes()).unwrap().verify(&key()).unwrap_err();
        assert_eq!(error.code(), Code::AUDIT_PROOF);
        let mut moved = evidence;
        moved.index ^= 1;
        assert!(moved.verify(&key()).is_err());
    }
    assert!(log.get(1100).unwrap().is_none());
    assert_eq!(log.prove(1100, at(0)).unwrap_err().code(), Code::NOT_FOUND);
    for old in [0, 1, 255, 256, 257, 700, 1100] {
        log.prove_consistency(old).unwrap();
    }
    let grown = log.prove_consistency(700).unwrap().verify(&key(), &first).unwrap();
    assert_eq!(grown, second);
    assert!(log.prove_consistency(1101).is_err());
    log.close(at(3000)).unwrap();
    let refused = log.record(&AuditEvent::new(AuditClass::Action, "a", "p", at(0)));
    assert_eq!(refused.unwrap_err().code(), Code::NOT_RUNNING);
    drop(log);
    let report = verify(dir.path(), &key(), Some(&first)).unwrap();
    assert!(report.is_intact(), "{report:#?}");
    assert_eq!((report.records, report.continues), (1100, Some(700)));
    assert!(report.notes.is_empty(), "{report:#?}");
}

#[test]
fn an_older_checkpoint_is_read_from_its_note() {
    let log = AuditLog::memory(signer(), Options::default()).unwrap();
    fill(&log, "ann", 0, 3);
    let checkpoint = log.integrate(at(1)).unwrap();
    assert_eq!(Checkpoint::read(checkpoint.note(), &key()).unwrap(), checkpoint);
    let text = checkpoint.note().to_owned();
    for byte in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[byte] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(Checkpoint::read(&changed, &key()).is_err(), "byte {byte}");
        }
    }
}

#[test]
fn queries_find_the_newest_first_and_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    for block in 0..6 {
        fill(&log, if block == 2 { "eve" } else { "ann" }, block * 200, 200);
    }
    let denied = AuditEvent::new(AuditClass::Decision, "kernel.call", "ann", at(1200))
        .outcome(AuditOutcome::Denied)
        .object("agent/1");
    log.record(&denied).unwrap();
    log.integrate(at(0)).unwrap();
    fill(&log, "eve", 1201, 5);

    let eve = Query { principal: Some("eve".into()), limit: 50, ..Query::default() };
    let (mut seen, mut query) = (Vec::new(), eve.clone());
    loop {
        let page = log.query(&query).unwrap();
        seen.extend(page.records.iter().map(|f| f.index));
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    let wanted: Vec<u64> = (400..600).chain(1201..1206).rev().collect();
    assert_eq!(seen, wanted);

    // An index that is gone is made again, and finds the same.
    std::fs::remove_file(dir.path().join("index/001")).unwrap();
    std::fs::write(dir.path().join("index/002"), "garbage").unwrap();
    let page = log.query(&Query { limit: 1000, ..eve }).unwrap();
    assert_eq!(page.records.len(), 205);
    drop(log);
    let log = open(dir.path());

    let one = |query: Query| log.query(&query).unwrap().records;
    let found = one(Query { outcome: Some(AuditOutcome::Denied), ..Query::default() });
    assert_eq!((found.len(), found[0].index), (1, 1200));
    let found = one(Query { class: Some(AuditClass::Decision), ..Query::default() });
    assert_eq!(found.len(), 1);
    let found = one(Query { action: Some("kernel.call".into()), ..Query::default() });
    assert_eq!(found.len(), 1);
    let found = one(Query { object: Some("object-3".into()), limit: 3, ..Query::default() });
    assert!(found.iter().all(|f| number(&f.record) % 7 == 3));
    let found =
        one(Query { from: Some(at(300)), until: Some(at(310)), limit: 100, ..Query::default() });
    assert_eq!(
        found.iter().map(|f| f.index).collect::<Vec<_>>(),
        (300..310).rev().collect::<Vec<_>>()
    );

    let mut lines = Vec::new();
    assert_eq!(log.export(250..260, Format::JsonLines, &mut lines).unwrap(), 10);
    assert_eq!(String::from_utf8(lines).unwrap().lines().count(), 10);
    let mut lines = Vec::new();
    assert_eq!(log.export(1195..9999, Format::Cef, &mut lines).unwrap(), 6);
    assert!(String::from_utf8(lines).unwrap().lines().all(|l| l.starts_with("CEF:0|")));
}

#[test]
fn a_log_in_memory_is_bounded_and_says_what_is_gone() {
    let mut options = Options::default();
    options.memory_records = 1000;
    options.segment_bytes = 128 << 10;
    let log = AuditLog::memory(signer(), options).unwrap();
    // Nobody integrates: whoever fills the journal does.
    fill(&log, "ann", 0, 20_000);
    let checkpoint = log.integrate(at(0)).unwrap();
    assert_eq!(checkpoint.size(), 20_000);
    let status = log.status();
    assert!(status.first > 0 && status.first <= 19_000, "{status:?}");
    assert_eq!(status.pruned, status.first);
    assert!(status.segments <= 4, "{status:?}");
    assert_eq!(log.get(0).unwrap_err().code(), Code::AUDIT_PRUNED);
    assert_eq!(number(&log.get(19_500).unwrap().unwrap()), 19_500);
    let found = log.query(&Query { limit: 5, ..Query::default() }).unwrap();
    assert_eq!(found.records[0].index, 19_999);
    let all = log.query(&Query { object: Some("nothing".into()), ..Query::default() }).unwrap();
    assert_eq!((all.records.len(), all.next), (0, None));
}

/// A signer that keeps a record itself each time.
struct Recording(std::sync::Arc<Ed25519Signer>, OnceLock<AuditLog>);

impl CheckpointSigner for Recording {
    fn key(&self) -> &VerifierKey {
        self.0.key()
    }
    fn sign(&self, message: &[u8]) -> sutazai_core::Result<[u8; 64]> {
        if let Some(log) = self.1.get() {
            log.record(&AuditEvent::new(AuditClass::Key, "key.sign", "signer", at(0)))?;
        }
        self.0.sign(message)
    }
}

#[test]
fn the_tree_may_end_wherever_a_segment_of_the_journal_does() {
    let signer = std::sync::Arc::new(Recording(signer(), OnceLock::new()));
    let log = AuditLog::memory(signer.clone(), small()).unwrap();
    assert!(signer.1.set(log.clone()).is_ok());
    // A segment after the other is full while the checkpoint of its last record is signed.
    for n in 0..3000 {
        assert_eq!(log.integrate(at(0)).unwrap().size(), n);
    }
    assert!(log.status().journal_bytes > 2 * (128 << 10));
}

#[test]
fn every_class_goes_through_the_port_and_durability_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let log = AuditLog::open(&data, signer(), small()).unwrap();
    log.start().unwrap();
    let trail: &dyn AuditTrail = &log;
    for class in AuditClass::ALL {
        trail.record(&AuditEvent::new(class, "test.class", "ann", Timestamp::now())).unwrap();
    }
    let status = log.status();
    assert_eq!(status.records, 9);
    // The last, a deployment, was synced with all before it.
    assert_eq!(status.synced, 9);
    log.set_durability(AuditClass::Deployment, sutazai_core::store::Durability::Process);
    let syncs = log.status().syncs;
    trail.record(&AuditEvent::new(AuditClass::Deployment, "a.b", "p", at(1))).unwrap();
    assert_eq!(log.status().syncs, syncs);
    let text = "x".repeat(5000);
    let details = [("text", AuditValue::Text(&text))];
    let index =
        log.record(&AuditEvent::new(AuditClass::Key, "a.b", "p", at(1)).details(&details)).unwrap();
    assert_eq!(log.get(index).unwrap().unwrap().cut["text"], 5000);
    // The data directory has one owner.
    assert_eq!(DataDir::open(dir.path()).unwrap_err().code(), Code::STORE_LOCKED);
    log.close(at(2)).unwrap();
    drop((log, data));
    assert!(verify(&dir.path().join("audit"), &key(), None).unwrap().is_intact());
}

#[test]
fn a_log_of_another_key_or_without_its_checkpoint_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    fill(&log, "ann", 0, 2000);
    log.integrate(at(0)).unwrap();
    fill(&log, "ann", 2000, 1000);
    log.integrate(at(0)).unwrap();
    drop(log);
    let files =
        || std::sync::Arc::new(sutazai_core::security::audit::Disk::open(dir.path()).unwrap());
    let other = Ed25519Signer::ephemeral("test.example/audit");
    let error =
        AuditLog::open_with(files(), std::sync::Arc::new(other.unwrap()), small()).unwrap_err();
    assert_eq!(error.code(), Code::AUDIT_CORRUPT);
    std::fs::remove_file(dir.path().join("checkpoint")).unwrap();
    let error = AuditLog::open_with(files(), signer(), small()).unwrap_err();
    assert_eq!(error.code(), Code::AUDIT_CORRUPT);
}
