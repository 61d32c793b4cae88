//! Witnesses: others who sign a checkpoint once they have seen that it grew from the one before, so
//! that the log cannot show different histories to different people (C2SP tlog-cosignature, tlog-witness).

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::merkle::{Hash, verify_consistency};
use super::{Checkpoint, CheckpointSigner as _, Ed25519Signer, VerifierKey};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// Co-signs the checkpoints of a log. Called with no lock held; may block.
pub trait Witness: Send + Sync + 'static {
    /// The public half of its key.
    fn key(&self) -> &VerifierKey;

    /// Signs `checkpoint`, having checked that `proof` leads to it from the one of `old` records that it
    /// signed last.
    ///
    /// # Errors
    /// [`Code::AUDIT_PROOF`] when it does not; whatever else prevents it.
    fn cosign(
        &self,
        old: u64,
        proof: &[Hash],
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Result<Cosigned>;

    /// How many records its last checkpoint of this log had; 0 where it knows none.
    ///
    /// # Errors
    /// Whatever prevents it from telling.
    fn seen(&self, origin: &str) -> Result<u64>;
}

/// A co-signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// When, in seconds since 1970.
    pub seconds: u64,
    /// Ed25519 over `cosignature/v1`, the time and the checkpoint's text.
    pub signature: [u8; 64],
}

/// The witnesses of a log, and how many of them must sign.
#[derive(Clone, Default)]
pub struct Witnesses {
    /// They are asked one after the other.
    pub all: Vec<Arc<dyn Witness>>,
    /// A checkpoint that fewer have signed is not published, and its records stay in the journal. 0: as
    /// many as can be had.
    pub required: usize,
}

impl std::fmt::Debug for Witnesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.all.iter().map(|w| w.key().name()).collect();
        f.debug_struct("Witnesses").field("all", &names).field("required", &self.required).finish()
    }
}

impl Witnesses {
    /// The checkpoint with as many co-signatures as can be had; `prove` makes the proof from an older
    /// size. Co-signatures that do not verify do not count.
    pub(in crate::security::audit) fn cosign(
        &self,
        mut checkpoint: Checkpoint,
        now: Timestamp,
        prove: &mut dyn FnMut(u64) -> Result<Vec<Hash>>,
    ) -> Result<Checkpoint> {
        use signed_note::Verifier as _;
        let (bare, mut signed, mut last) = (checkpoint.clone(), 0, None);
        for witness in &self.all {
            let key = witness.key();
            let mut ask = || {
                let old = witness.seen(bare.origin())?;
                let cosigned = witness.cosign(old, &prove(old)?, &bare, now)?;
                let mut signature = cosigned.seconds.to_be_bytes().to_vec();
                signature.extend(cosigned.signature);
                if !key.is_witness() || !key.verify(bare.body().as_bytes(), &signature) {
                    return Err(Error::new(Code::AUDIT_PROOF, "the co-signature does not verify"));
                }
                checkpoint.with(key, signature)
            };
            match ask() {
                Ok(more) => {
                    checkpoint = more;
                    signed += 1;
                }
                Err(error) => {
                    tracing::warn!(witness = key.name(), %error, "a witness did not co-sign");
                    last = Some(error.with("witness", key.name()));
                }
            }
        }
        if signed < self.required {
            let mut error =
                Error::new(Code::AUDIT_WITNESS, "too few witnesses signed the checkpoint")
                    .operation("audit.checkpoint")
                    .with("signed", signed)
                    .with("required", self.required)
                    .advice("make the witnesses reachable, or require fewer");
            if let Some(last) = last {
                error = error.because(last);
            }
            return Err(error);
        }
        Ok(checkpoint)
    }
}

/// A witness of one log that keeps what it has seen in memory: for a second process, or a test.
pub struct KeptWitness {
    signer: Ed25519Signer,
    key: VerifierKey,
    log: VerifierKey,
    seen: Mutex<(u64, Hash)>,
}

impl KeptWitness {
    /// A witness of `log` with this seed and name.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that a key cannot have.
    pub fn new(name: &str, seed: &[u8; 32], log: VerifierKey) -> Result<Self> {
        let signer = Ed25519Signer::from_seed(name, seed)?;
        let key = VerifierKey::of_witness(name, *signer.key().key())?;
        Ok(Self { signer, key, log, seen: Mutex::new((0, Hash::EMPTY)) })
    }
}

impl Witness for KeptWitness {
    fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn cosign(
        &self,
        old: u64,
        proof: &[Hash],
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Result<Cosigned> {
        let checkpoint = Checkpoint::read(checkpoint.note(), &self.log)?;
        let mut seen = self.seen.lock();
        if seen.0 != old {
            return Err(Error::new(Code::AUDIT_PROOF, "the proof begins at another size")
                .with("seen", seen.0)
                .with("offered", old));
        }
        verify_consistency(old, checkpoint.size(), &seen.1, checkpoint.root(), proof)?;
        *seen = (checkpoint.size(), *checkpoint.root());
        drop(seen);
        let seconds = u64::try_from(now.as_millis().div_euclid(1000)).unwrap_or(0);
        let message = VerifierKey::timed(checkpoint.body(), seconds);
        let mut signature = [0; 64];
        signature.copy_from_slice(self.signer.pair().sign(&message).as_ref());
        Ok(Cosigned { seconds, signature })
    }

    fn seen(&self, _origin: &str) -> Result<u64> {
        Ok(self.seen.lock().0)
    }
}
