//! An audit log's files, and the texts that are handed about: records, checkpoints, proofs, keys.

use std::sync::{Arc, OnceLock};

use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuditClass, AuditEvent, AuditValue};
use sutazai_core::security::audit::{
    AuditLog, Checkpoint, CheckpointSigner as _, Consistency, Ed25519Signer, Evidence, Files,
    Memory, Options, Record, VerifierKey, verify_files,
};

fn signer() -> Arc<Ed25519Signer> {
    Arc::new(Ed25519Signer::from_seed("test.example/audit", &[7; 32]).unwrap())
}

fn key() -> &'static VerifierKey {
    static KEY: OnceLock<VerifierKey> = OnceLock::new();
    KEY.get_or_init(|| signer().key().clone())
}

/// Reads the bytes as each of the files of a log, and as each of the texts.
pub fn run(data: &[u8]) {
    let key = key();
    if let Ok(record) = Record::parse(data) {
        let _ = record.canonical();
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = text.parse::<VerifierKey>();
        let _ = Checkpoint::read(text, key);
    }
    if let Ok(evidence) = Evidence::read(data) {
        let _ = evidence.verify(key);
    }
    if let Ok(consistency) = serde_json::from_slice::<Consistency>(data) {
        let _ = Checkpoint::read(&consistency.checkpoint, key);
    }
    let files = Memory::new();
    // A log whose files are all of it: cut in two where its first byte says.
    let at = data.first().map_or(0, |&b| usize::from(b) * data.len() / 256);
    let (one, two) = data.split_at(at);
    for (path, bytes) in [
        ("checkpoint", one),
        ("tile/entries/000", two),
        ("tile/0/000", one),
        ("tile/entries/001.p/44", two),
        ("tile/0/001.p/44", two),
        ("index/000", one),
        ("journal/000000000000.segment", data),
        ("journal/000000000001.segment", two),
    ] {
        files.write(path, bytes).unwrap();
    }
    let report = verify_files(&files, key, None).unwrap();
    assert!(report.findings.len() <= 1000);
}

/// The files of a log with 305 records, and what it gives away.
pub fn seeds() -> Vec<Vec<u8>> {
    let files = Arc::new(Memory::new());
    let mut options = Options::default();
    options.segment_bytes = 128 << 10;
    let log = AuditLog::open_with(files.clone(), signer(), options).unwrap();
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let fill = |from: i64, count: i64| {
        for n in from..from + count {
            let details = [("n", AuditValue::Int(n)), ("text", AuditValue::Text("ü\n"))];
            let event = AuditEvent::new(AuditClass::Action, "agent.act", "ann", now)
                .object("object")
                .details(&details);
            log.record(&event).unwrap();
        }
    };
    fill(0, 300);
    let checkpoint = log.integrate(now).unwrap();
    let consistency = log.prove_consistency(7).unwrap();
    fill(300, 5);
    let evidence = log.prove(7, now).unwrap().to_json().unwrap();
    let record = log.get(3).unwrap().unwrap().canonical().unwrap();
    let mut seeds = vec![
        checkpoint.note().as_bytes().to_vec(),
        evidence.into_bytes(),
        serde_json::to_vec(&consistency).unwrap(),
        key().to_string().into_bytes(),
        record,
    ];
    for path in [
        "tile/entries/001.p/44",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "index/000",
        "journal/000000000000.segment",
    ] {
        if let Some(mut bytes) = files.read(path, 1 << 20).unwrap() {
            bytes.truncate(4096);
            seeds.push(bytes);
        }
    }
    seeds
}
