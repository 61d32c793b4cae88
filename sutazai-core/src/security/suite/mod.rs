//! The room's parts, put together over one store and one data directory.
//!
//! [`Security`] holds the keys, the audit log, the logins, the tokens, the policies and the risks of one process,
//! wired to one another: what a login proves goes into its tokens, what fails raises a risk, what is decided is on
//! the record, and every key comes from one [`Keys`](super::keys::Keys).
//!
//! ```
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::port::Credential;
//! use sutazai_core::security::authn::Attempt;
//! use sutazai_core::security::{LoginAnswer, Security, SecurityOptions};
//! use sutazai_core::store::Store;
//!
//! let now = Timestamp::now();
//! let security = Security::open(Store::memory(&[])?, None, SecurityOptions::default(), now)?;
//! security.passwords().set("ann", "correct horse battery", now)?;
//!
//! let credential = Credential::new("password", Some("ann".into()), b"correct horse battery".to_vec());
//! let LoginAnswer::Done { issued, .. } = security.log_in(Attempt::new(credential), now)? else {
//!     panic!("one factor is enough here")
//! };
//! let verified = security.tokens().verify(&issued.access, now)?;
//! assert_eq!(verified.session.principal(), "ann");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod accounts;
mod keys;
mod obligations;
mod options;
mod security;
mod steps;

pub use options::SecurityOptions;
pub use security::{LoginAnswer, Security, SecurityStatus};
pub use steps::{PolicyStep, TokenStep};
