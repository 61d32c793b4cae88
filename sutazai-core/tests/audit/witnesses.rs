//! Witnesses.

use std::sync::Arc;

use sutazai_core::base::time::Timestamp;
use sutazai_core::security::audit::{
    AuditLog, Checkpoint, Cosigned, Hash, KeptWitness, VerifierKey, Witness, Witnesses,
};
use sutazai_core::{Code, Error, Result};

use super::{at, fill, key, signer, small};

struct Away(VerifierKey);

impl Witness for Away {
    fn key(&self) -> &VerifierKey {
        &self.0
    }
    fn cosign(&self, _: u64, _: &[Hash], _: &Checkpoint, _: Timestamp) -> Result<Cosigned> {
        Err(Error::new(Code::IO, "away"))
    }
    fn seen(&self, _: &str) -> Result<u64> {
        Ok(0)
    }
}

fn witnesses(required: usize) -> Witnesses {
    let away = VerifierKey::of_witness("away.example", [1; 32]).unwrap();
    let all: Vec<Arc<dyn Witness>> = vec![
        Arc::new(KeptWitness::new("one.example", &[1; 32], key()).unwrap()),
        Arc::new(Away(away)),
        Arc::new(KeptWitness::new("two.example", &[2; 32], key()).unwrap()),
    ];
    Witnesses { all, required }
}

#[test]
fn as_many_sign_as_must_or_nothing_is_published() {
    for (required, works) in [(0, true), (2, true), (3, false)] {
        let mut options = small();
        options.witnesses = witnesses(required);
        let keys: Vec<_> = options.witnesses.all.iter().map(|w| w.key().clone()).collect();
        let log = AuditLog::memory(signer(), options).unwrap();
        for round in 0..3 {
            fill(&log, "ann", round * 300, 300);
            match log.integrate(at(round)) {
                Ok(checkpoint) => {
                    assert!(works);
                    assert_eq!(checkpoint.size(), (round + 1) * 300);
                    assert_eq!(checkpoint.note().matches("— ").count(), 3);
                    // Each co-signature verifies by itself, as of a note that its key signed.
                    for key in [&keys[0], &keys[2]] {
                        let error = Checkpoint::read(checkpoint.note(), key).unwrap_err();
                        assert!(format!("{error}").contains("another log"), "{error}");
                    }
                    Checkpoint::read(checkpoint.note(), &key()).unwrap();
                }
                Err(error) => {
                    assert!(!works);
                    assert_eq!(error.code(), Code::AUDIT_WITNESS);
                    assert!(log.checkpoint().is_none());
                    assert_eq!(log.status().failures, round + 1);
                }
            }
        }
        assert_eq!(log.get(899).unwrap().map(|r| super::number(&r)), Some(899));
    }
}

#[test]
fn a_witness_does_not_sign_another_history() {
    let witness = Arc::new(KeptWitness::new("one.example", &[1; 32], key()).unwrap());
    let log = |who: &str| {
        let mut options = small();
        options.witnesses = Witnesses { all: vec![witness.clone()], required: 1 };
        let log = AuditLog::memory(signer(), options).unwrap();
        fill(&log, who, 0, 300);
        log
    };
    log("ann").integrate(at(0)).unwrap();
    assert_eq!(log("eve").integrate(at(0)).unwrap_err().code(), Code::AUDIT_WITNESS);
}
