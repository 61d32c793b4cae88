//! Keysets with purposes and states, sealing, wrapping and rotation.
//!
//! A **keyset** has a name, one [`Purpose`], and keys that succeed one another: one is active and encrypts
//! (or signs, …); those before it still decrypt; what they make carries the number of its key. Purpose,
//! keyset and the caller's context are bound into everything that is made, so that nothing is accepted in
//! another place than it was made for.
//!
//! ```
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::security::keys::{Keys, Master, Purpose, Secret, Spec};
//! use sutazai_core::store::Store;
//!
//! let now = Timestamp::now();
//! let master = Master::key(Secret::random(32)?)?; // or a passphrase, a file, a KMS, …
//! let keys = Keys::open(Store::memory(&[])?, &master, None, now)?;
//! keys.create("notes", Spec::new(Purpose::Encrypt), "me", now)?;
//!
//! let notes = keys.encryptor("notes")?;
//! let sealed = notes.encrypt(b"note 7", b"buy milk")?;
//! keys.rotate("notes", "me", now)?;
//! assert_eq!(notes.decrypt(b"note 7", &sealed)?, b"buy milk");
//! assert!(notes.decrypt(b"note 8", &sealed).is_err()); // moved to another note
//! assert!(keys.signing("notes").is_err()); // not what it is for
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! # Invariants
//!
//! - A key serves one purpose, by its type ([`Encryptor`], [`SigningKeyset`], …), at run time, and in what
//!   it makes.
//! - Using a key takes no lock and does no I/O; rotation never makes a decryption fail.
//! - A keyset is in the store only wrapped, under a root key that is wrapped under the [`Master`] key.
//! - What changes a key is on the audit trail before it is done, and on the disk before it is acknowledged.
//! - Secrets are wiped when dropped, compared in constant time, and in no `Debug`, `Display` or error.
//!
//! # Formats
//!
//! What a key makes begins with a byte for the format and its version, and the eight bytes of the key's number:
//!
//! | first byte | what follows the number |
//! |---|---|
//! | `01`, `02` | a message of [chunked encryption](primitive::chunked) with AES-256-GCM, ChaCha20-Poly1305 |
//! | `11`, `12` | an Ed25519 signature; and behind it one of ML-DSA-65 |
//! | `21`, `22` | a tag of HMAC-SHA-256, HMAC-SHA-512 |
//! | `41`, `42` | a message of [HPKE](primitive::hpke) with X25519, X-Wing |
//!
//! All of it is bound (as context, as a prefix of what is signed, as HPKE's `info`) to `"sutazai.keys.v1"`,
//! the purpose and the keyset's name, each with its length before it, those nine bytes, and then the
//! caller's context.
//!
//! # What is not promised
//!
//! - A destroyed key is gone from memory (once nobody holds a [`Signer`] of before) and from its row. The
//!   old row, *wrapped*, may linger in free pages and the log of the database (the store does not set
//!   `secure_delete`) and in what a disk keeps of overwritten blocks: who has that **and** the master key
//!   gets it back. [Change the master key](Keys::change_master) after destroying, and destroy the old one,
//!   to be rid of it.
//! - Who can write to the database can put back an older row of the same generation, or delete one: a
//!   keyset in an older state, which the version in [`KeysetInfo`] and the audit trail show, but which is
//!   not refused.
//! - Where memory is copied (by moves of the compiler, by swapping, in a core dump) a secret may outlive
//!   its wiping.

mod derive;
mod encrypt;
mod event;
mod lifecycle;
mod mac;
mod master;
mod portable;
mod prepared;
pub mod primitive;
mod secret;
mod service;
mod shelf;
mod sign;
mod spec;
mod stage;
mod stream;
mod wipe;
mod wrap;

pub use derive::DerivingKeyset;
pub use encrypt::Encryptor;
pub use event::{KeyChange, KeyEvent};
pub use lifecycle::{DESTROYED_MAX, KEYS_MAX, KeyInfo, KeyState, KeysetInfo};
pub use mac::MacKeyset;
pub use master::{KeyWrapper, Master};
pub use portable::{Export, ExportTo, ImportWith, Wrapped};
pub use primitive::passphrase::Cost;
pub use secret::Secret;
pub use service::{KEYSETS_MAX, Keys, Ticked};
pub use sign::{PublicKey, Signer, SigningKeyset};
pub use spec::{Algorithm, KeyId, Purpose, Schedule, Spec};
pub use stream::{Opener, Progress, Sealer};
pub use wrap::WrappingKeyset;
