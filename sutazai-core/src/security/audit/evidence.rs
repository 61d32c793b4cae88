//! One record with all that proves it, without its neighbours.

use serde::{Deserialize, Serialize};

use super::merkle::{Hash, verify_consistency, verify_inclusion};
use super::note::{Checkpoint, VerifierKey};
use super::record::Record;
use crate::{Code, Error, Result};

/// What the first field says.
const FORM: &str = "sutazai.audit.evidence/1";
/// The longest evidence that is read, in bytes.
const EVIDENCE_MAX: usize = 1 << 20;

/// A record, the proof that it is in the log, and the signed checkpoint that the proof leads to: one JSON
/// object, which anybody who has the log's public key can check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    form: String,
    /// The record's number in the log.
    pub index: u64,
    /// The record's canonical bytes, which are a JSON text.
    pub record: String,
    /// RFC 6962's audit path, deepest hash first.
    pub proof: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

impl Evidence {
    pub(super) fn new(
        index: u64,
        record: String,
        proof: Vec<Hash>,
        checkpoint: &Checkpoint,
    ) -> Self {
        let checkpoint = checkpoint.note().to_owned();
        Self { form: FORM.to_owned(), index, record, proof, checkpoint }
    }

    /// Reads evidence; it is not checked yet.
    ///
    /// # Errors
    /// [`Code::INVALID`] when it is none.
    pub fn read(json: &[u8]) -> Result<Self> {
        let bad = |why: String| Error::new(Code::INVALID, "not evidence").with("reason", why);
        if json.len() > EVIDENCE_MAX {
            return Err(bad("it is too long".to_owned()));
        }
        let evidence: Self = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        if evidence.form != FORM {
            return Err(bad("of a form that is not known here".to_owned()));
        }
        Ok(evidence)
    }

    /// The JSON text.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] if it has none.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::new(Code::INTERNAL, "evidence has no JSON form").because(e))
    }

    /// Checks it with nothing but the log's key, and answers what it proves: that this record was in the
    /// log when that checkpoint was signed.
    ///
    /// # Errors
    /// [`Code::AUDIT_PROOF`] when it proves nothing.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Record, Checkpoint)> {
        let checkpoint = Checkpoint::read(&self.checkpoint, key)?;
        let leaf = Hash::leaf(self.record.as_bytes());
        verify_inclusion(&leaf, self.index, checkpoint.size(), checkpoint.root(), &self.proof)?;
        let record = Record::parse(self.record.as_bytes())?;
        Ok((record, checkpoint))
    }
}

/// The proof that one checkpoint of a log grew out of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// How many records there were.
    pub old: u64,
    /// RFC 6962's consistency proof.
    pub proof: Vec<Hash>,
    /// The newer checkpoint, as a signed note.
    pub checkpoint: String,
}

impl Consistency {
    /// Checks it against the checkpoint that was kept, and answers the newer one.
    ///
    /// # Errors
    /// [`Code::AUDIT_PROOF`] when the newer one does not continue the one that was kept.
    pub fn verify(&self, key: &VerifierKey, kept: &Checkpoint) -> Result<Checkpoint> {
        let newer = Checkpoint::read(&self.checkpoint, key)?;
        verify_consistency(kept.size(), newer.size(), kept.root(), newer.root(), &self.proof)?;
        Ok(newer)
    }
}
