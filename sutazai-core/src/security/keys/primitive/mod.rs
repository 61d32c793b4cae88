//! The primitives, for who writes a protocol. **Everybody else wants a keyset.**
//!
//! Nothing here chooses a nonce, separates purposes or rotates a key. It is public because protocols of the
//! library (tokens, the audit log, exports) and of hosts need it, and so that the public attack vectors
//! (Wycheproof) run through the very code that keysets use; `docs/vectors.md` has the table.
//!
//! | what | of which library |
//! |---|---|
//! | [`aead`]: AES-256-GCM, ChaCha20-Poly1305 | ring |
//! | [`aead`]: XChaCha20-Poly1305 | orion |
//! | [`chunked`]: C2SP chunked encryption over an AEAD | written here over ring's HKDF and AEADs |
//! | [`ed25519`] | ring |
//! | [`mac`]: HMAC-SHA-256, HMAC-SHA-512 | ring |
//! | [`kdf`]: HKDF and PBKDF2 (for what others have made) over SHA-256, SHA-512 | ring |
//! | [`passphrase`]: Argon2id | argon2 |
//! | [`x25519`], [`hpke`]: agreement with a kept key, HPKE to a public key | orion |
//! | `ml_kem`, `ml_dsa`: ML-KEM-768, ML-DSA-65 (feature `post-quantum`) | orion |
//! | [`random`] | ring, of the operating system |

pub mod aead;
pub mod chunked;
pub mod ed25519;
pub mod hpke;
pub mod kdf;
pub mod mac;
#[cfg(feature = "post-quantum")]
pub mod ml_dsa;
#[cfg(feature = "post-quantum")]
pub mod ml_kem;
pub mod passphrase;
pub mod random;
pub mod x25519;
