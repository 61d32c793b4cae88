//! Encryption of messages of any length in chunks, with a key of its own for each message.
//!
//! This is C2SP's *chunked encryption* (<https://c2sp.org/chunked-encryption>), version 1, with
//! HKDF-SHA-512 and AES-256-GCM ("Cobblestone-256") or, the same way, ChaCha20-Poly1305. It has the purpose
//! and the properties of STREAM (V. T. Hoang, R. Reyhanitabar, P. Rogaway, D. Vizár, "Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015), and public attack
//! vectors.
//!
//! ```text
//! salt (24 random bytes) ‖ commitment (32) ‖ chunk 0 ‖ chunk 1 ‖ …     a chunk: up to 16 KiB, then its tag (16)
//! key ‖ nonce ‖ commitment = HKDF-Expand(input key, "c2sp.org/chunked-encryption@v1+" ‖ AEAD ‖ 0 ‖ salt ‖ context)
//! ```
//!
//! **Nonces.** Chunk *i* takes `nonce XOR i` under a key that no other message has, so within a message no
//! nonce repeats; two messages share key and nonces only when their salts of 192 bits do, which among 2³²
//! messages happens with a chance of 2⁻¹²⁹, and reaches NIST's bound of 2⁻³² (SP 800-38D, §8) at 2⁸⁰
//! messages. No counter of uses has to survive a crash.
//!
//! **What is detected.** The last chunk is the only one shorter than 16 KiB: a message that is cut off at a
//! chunk's end lacks it, one that is longer has it in its midst; chunks in another order meet the wrong
//! nonce. The commitment ties a message to one key and context, which AES-GCM and ChaCha20-Poly1305 alone
//! do not (A. Albertini et al., "How to Abuse and Fix Authenticated Encryption Without Key Commitment",
//! USENIX Security 2022).

use std::io::{Read, Write};

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::aead::{Aead, AeadKey, not_authentic};
use super::kdf::{Hash, Hkdf};
use super::random;
use crate::security::keys::stream::{Opener, Sealer};
use crate::{Code, Error, Result};

/// Bytes of plain text in a full chunk.
pub const CHUNK: usize = 16 * 1024;
/// Bytes of a full chunk with its tag.
pub const SEALED_CHUNK: usize = CHUNK + Aead::TAG;
/// Bytes of the salt.
pub const SALT: usize = 24;
/// Bytes of the commitment.
pub const COMMITMENT: usize = 32;
/// Bytes in front of the first chunk.
pub const PREFIX: usize = SALT + COMMITMENT;
/// The most chunks of a message: 2³⁸, or 4 PiB.
const MOST: u64 = 1 << 38;

/// An input key, from which each message's key is derived.
pub struct ChunkedKey {
    hkdf: Hkdf,
    aead: Aead,
}

/// What of a message is known before its chunks: see [`ChunkedKey::begin`].
pub(in crate::security::keys) type Prefix = [u8; PREFIX];

impl ChunkedKey {
    /// An input key: 32 uniformly random bytes.
    ///
    /// # Errors
    /// [`Code::INVALID`] for another length, or a cipher whose nonces have not 12 bytes.
    pub fn new(aead: Aead, key: &[u8]) -> Result<Self> {
        if key.len() != Aead::KEY || aead.nonce_len() != 12 {
            return Err(Error::new(
                Code::INVALID,
                "chunked encryption takes a key of 32 bytes and an AEAD with nonces of 12",
            ));
        }
        Ok(Self { hkdf: Hkdf::of_random(Hash::Sha512, key), aead })
    }

    /// Seals a message; the parts of the context count as one text. 56 bytes longer, and 16 a chunk.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] when the system gives no random bytes.
    pub fn seal(&self, context: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>> {
        self.seal_behind(&[], context, plain)
    }

    /// The same, with something in front.
    pub(in crate::security::keys) fn seal_behind(
        &self,
        front: &[u8],
        context: &[&[u8]],
        plain: &[u8],
    ) -> Result<Vec<u8>> {
        let (prefix, mut chunks) = self.begin(context)?;
        let tags = (plain.len() / CHUNK + 1) * Aead::TAG;
        let mut out = Vec::with_capacity(front.len() + PREFIX + plain.len() + tags);
        out.extend_from_slice(front);
        out.extend_from_slice(&prefix);
        let (full, rest) = plain.as_chunks::<CHUNK>();
        for chunk in full.iter().map(|chunk| chunk.as_slice()).chain([rest]) {
            chunks.seal(chunk, &mut out)?;
        }
        Ok(out)
    }

    /// Opens a message.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`] when anything of it was altered, cut off, added or put into another
    /// order, or when it was made with another key or context.
    pub fn open(&self, context: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>> {
        let (prefix, body) = sealed.split_first_chunk::<PREFIX>().ok_or_else(not_authentic)?;
        let mut chunks = self.resume(context, prefix)?;
        let mut out = Zeroizing::new(Vec::with_capacity(body.len()));
        let (full, rest) = body.as_chunks::<SEALED_CHUNK>();
        for chunk in full.iter().map(|chunk| chunk.as_slice()).chain([rest]) {
            chunks.open(chunk, &mut out)?;
        }
        Ok(std::mem::take(&mut *out))
    }

    /// A writer that seals what is written to it; see [`Sealer`].
    ///
    /// # Errors
    /// When the writer fails at once, or as [`seal`](Self::seal).
    pub fn sealer<W: Write>(&self, context: &[&[u8]], output: W) -> Result<Sealer<W>> {
        Sealer::new(self, &[], context, output)
    }

    /// A reader that opens what it reads; see [`Opener`].
    ///
    /// # Errors
    /// When the reader fails at once, or as [`open`](Self::open).
    pub fn opener<R: Read>(&self, context: &[&[u8]], input: R) -> Result<Opener<R>> {
        Opener::new(self, context, input)
    }

    /// Begins to seal a message: what comes before its chunks, and what seals them.
    pub(in crate::security::keys) fn begin(&self, context: &[&[u8]]) -> Result<(Prefix, Chunks)> {
        let salt = random::bytes::<SALT>()?;
        let (chunks, commitment) = self.derive(&salt, context)?;
        let mut prefix = [0; PREFIX];
        let (left, right) = prefix.split_at_mut(SALT);
        left.copy_from_slice(&salt);
        right.copy_from_slice(&commitment);
        Ok((prefix, chunks))
    }

    /// Begins to open a message: checks the commitment.
    pub(in crate::security::keys) fn resume(
        &self,
        context: &[&[u8]],
        prefix: &Prefix,
    ) -> Result<Chunks> {
        let (salt, commitment) = prefix.split_at(SALT);
        let (chunks, expected) = self.derive(salt, context)?;
        if expected.ct_eq(commitment).into() { Ok(chunks) } else { Err(not_authentic()) }
    }

    fn derive(&self, salt: &[u8], context: &[&[u8]]) -> Result<(Chunks, [u8; COMMITMENT])> {
        const LABEL: &[u8] = b"c2sp.org/chunked-encryption@v1+";
        let mut okm = Zeroizing::new([0u8; Aead::KEY + 12 + COMMITMENT]);
        let mut info = [&[][..]; 12];
        let fixed = [LABEL, self.aead.iana().as_bytes(), &[0], salt];
        let parts = fixed.iter().chain(context);
        let count = fixed.len() + context.len();
        let (Some(info), true) = (info.get_mut(..count), context.len() <= 8) else {
            return Err(Error::new(Code::INTERNAL, "the context has more than eight parts"));
        };
        info.iter_mut().zip(parts).for_each(|(place, part)| *place = part);
        self.hkdf.expand(info, &mut *okm)?;
        let (key, rest) = okm.split_at(Aead::KEY);
        let (start, end) = rest.split_at(12);
        let (mut nonce, mut commitment) = ([0; 12], [0; COMMITMENT]);
        nonce.copy_from_slice(start);
        commitment.copy_from_slice(end);
        let key = AeadKey::new(self.aead, key)?;
        Ok((Chunks { key, nonce, next: 0, ended: false }, commitment))
    }
}

/// Seals or opens the chunks of one message, in their order.
pub(in crate::security::keys) struct Chunks {
    key: AeadKey,
    nonce: [u8; 12],
    next: u64,
    ended: bool,
}

impl Chunks {
    /// Seals a chunk behind what is in `out`; one that is not full is the last.
    pub(in crate::security::keys) fn seal(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let nonce = self.turn(chunk.len() < CHUNK)?;
        let start = out.len();
        out.extend_from_slice(chunk);
        let text = out.get_mut(start..).unwrap_or_default();
        let tag = self.key.seal(&nonce, &[], text)?;
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens a chunk behind what is in `out`; one that is not full is the last.
    pub(in crate::security::keys) fn open(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let nonce = self.turn(chunk.len() < SEALED_CHUNK)?;
        let start = out.len();
        out.extend_from_slice(chunk);
        let text = out.get_mut(start..).unwrap_or_default();
        match self.key.open(&nonce, &[], text) {
            Ok(len) => {
                out.truncate(start + len);
                Ok(())
            }
            Err(e) => {
                text.zeroize();
                out.truncate(start);
                self.ended = true;
                Err(e)
            }
        }
    }

    /// The nonce of the next chunk. After the last one, and after a failure, there is none.
    fn turn(&mut self, last: bool) -> Result<[u8; 12]> {
        if self.ended || self.next >= MOST {
            return Err(not_authentic());
        }
        let mut nonce = self.nonce;
        let counter = self.next.to_be_bytes();
        nonce.iter_mut().skip(4).zip(counter).for_each(|(n, c)| *n ^= c);
        self.next += 1;
        self.ended = last;
        Ok(nonce)
    }
}
