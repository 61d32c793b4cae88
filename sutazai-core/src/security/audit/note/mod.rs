//! Signed checkpoints: the C2SP formats tlog-checkpoint, signed-note, and tlog-cosignature.

mod key;
mod signer;
mod witness;

pub use key::VerifierKey;
pub use signer::{CheckpointSigner, Ed25519Signer};
pub use witness::{Cosigned, KeptWitness, Witness, Witnesses};

use signed_note::{Note, VerifierList};

use super::merkle::Hash;
use crate::{Code, Error, Result};

/// The longest signed checkpoint that is read, in bytes.
const NOTE_MAX: usize = 64 * 1024;

/// A state of a log that its key has signed: how many records there are, and the root of the tree over
/// them. Whoever keeps one can prove later what was in the log then. Its text is a note that people
/// can read, mail and print:
///
/// ```text
/// example.org/audit
/// 923748
/// nND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=
///
/// — example.org/audit oiOiqYyjnaiamVBjMqE2mRXDZ5dlJxkNL9ZS9C7L4g8Y…
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    note: String,
}

impl Checkpoint {
    /// Reads a note and checks that `key` signed it, for the log of that name.
    ///
    /// # Errors
    /// [`Code::AUDIT_PROOF`] when it is not a checkpoint, or not one of this log.
    pub fn read(note: &str, key: &VerifierKey) -> Result<Self> {
        if note.len() > NOTE_MAX {
            return Err(bad("it is too long"));
        }
        let parsed =
            Note::from_bytes(note.as_bytes()).map_err(|e| bad("no signed note").because(e))?;
        parsed
            .verify(&VerifierList::new(vec![Box::new(key.clone())]))
            .map_err(|e| bad("not signed by the key of the log").because(e))?;
        // Two spellings of one note would be two files with the same meaning.
        if parsed.to_bytes() != note.as_bytes() {
            return Err(bad("not in the form that a note has"));
        }
        let body = tlog_tiles::Checkpoint::from_bytes(parsed.text())
            .map_err(|_| bad("the note is no checkpoint"))?;
        if body.origin() != key.name() {
            return Err(bad("a checkpoint of another log").with("origin", body.origin()));
        }
        Ok(Self {
            origin: body.origin().to_owned(),
            size: body.size(),
            root: Hash(body.hash().0),
            note: note.to_owned(),
        })
    }

    /// The checkpoint of this state, signed.
    pub(super) fn sign(size: u64, root: Hash, signer: &dyn CheckpointSigner) -> Result<Self> {
        let origin = signer.key().name().to_owned();
        let body = tlog_tiles::Checkpoint::new(&origin, size, tlog_tiles::Hash(root.0), "")
            .map_err(|_| Error::new(Code::INVALID, "the log has no name to sign with"))?;
        let body = body.to_bytes();
        let note = Note::new(&body, &[])
            .map_err(|e| Error::new(Code::INVALID, "the log's name cannot be signed").because(e))?;
        let signature = signer.sign(note.text())?;
        let mut text = note.to_bytes();
        text.extend(line(signer.key(), signature.to_vec())?);
        let note = String::from_utf8(text).map_err(|e| bad("it is no text").because(e))?;
        Ok(Self { origin, size, root, note })
    }

    /// With one more signature.
    fn with(&self, key: &VerifierKey, signature: Vec<u8>) -> Result<Self> {
        let mut more = self.clone();
        more.note.push_str(&String::from_utf8_lossy(&line(key, signature)?));
        Ok(more)
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many records the log had.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over them.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The signed note, signatures of witnesses among its lines.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The signed text: the note without its signatures.
    fn body(&self) -> &str {
        self.note.find("\n\n").and_then(|at| self.note.get(..=at)).unwrap_or_default()
    }
}

/// The line of a signature.
fn line(key: &VerifierKey, signature: Vec<u8>) -> Result<Vec<u8>> {
    signed_note::Signature::new(key.name().to_owned(), key.id(), signature)
        .map(|signature| signature.to_bytes())
        .map_err(|e| Error::new(Code::INVALID, "the key has no name for a note").because(e))
}

fn bad(why: &'static str) -> Error {
    Error::new(Code::AUDIT_PROOF, format!("not a checkpoint to trust: {why}"))
        .operation("audit.checkpoint")
        .advice("compare the key with the one that the log's owner gave out")
}
