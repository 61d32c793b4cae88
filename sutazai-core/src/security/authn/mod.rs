//! Who somebody is: factors, and the way through several of them.
//!
//! Each factor is an [`AuthProvider`](crate::port::AuthProvider): [`Passwords`], [`Totp`], [`RecoveryCodes`],
//! [`ApiKeys`], [`Certificates`], [`Oidc`], `Passkeys` (feature `webauthn`), and what a host writes. [`Logins`] leads through as many of them as
//! the [`LoginPolicy`] and the risk of the attempt demand, slows down who guesses, and ends in a
//! [`Session`](crate::port::Session).
//!
//! # What is promised
//!
//! - A wrong secret and a principal that does not exist have one answer, and take the same time: a password is
//!   hashed in any case.
//! - A code is used once: of any number of threads that bring the same one, one succeeds, and the use is
//!   on the disk before it counts. A clock set back does not make it good again.
//! - Guessing is slowed where it comes from, and in what it aims at; whoever comes from a device that is known
//!   (OWASP's "device cookies") is neither slowed nor asked for more by what strangers do in their name.
//! - Secrets are kept hashed (passwords: Argon2id, RFC 9106; high-entropy secrets: SHA-256) or, where they
//!   must be read, sealed by a [`Sealer`].
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::port::Credential;
//! use sutazai_core::security::authn::{Attempt, LoginStep, Logins, PasswordPolicy, Passwords};
//! use sutazai_core::store::Store;
//!
//! let store = Store::memory(&[])?;
//! let passwords = Arc::new(Passwords::new(store.clone(), PasswordPolicy::default())?);
//! let now = Timestamp::now();
//! passwords.set("ann", "correct horse battery", now)?;
//!
//! let logins = Logins::builder(store).provider(passwords).build()?;
//! let credential = |text: &str| Credential::new("password", Some("ann".into()), text.into());
//! let wrong = logins.begin(Attempt::new(credential("guess")), now)?;
//! assert!(matches!(wrong, LoginStep::Refused { .. }));
//! let LoginStep::Done(login) = logins.begin(Attempt::new(credential("correct horse battery")), now)?
//! else { panic!("one factor is enough here") };
//! assert_eq!(login.session.principal(), "ann");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod api_key;
mod certificate;
mod device;
mod login;
mod logins;
mod names;
mod oidc;
#[cfg(feature = "webauthn")]
mod passkey;
mod password;
mod pending;
mod policy;
mod principals;
mod providers;
mod records;
mod recovery;
mod seal;
mod step;
mod throttle;
mod told;
mod totp;

pub(super) use api_key::KEY;
pub use api_key::{ApiKeyId, ApiKeyOrder, ApiKeyView, ApiKeys, MadeApiKey};
pub(super) use certificate::fingerprint;
pub use certificate::{CertificateView, Certificates};
pub use device::Devices;
pub use logins::{LoginBuilder, Logins};
pub(super) use names::check_principal;
pub use oidc::{Oidc, OidcChallenge, OidcIssuer, OidcLink, OidcPrincipal};
#[cfg(feature = "webauthn")]
pub use passkey::{
    PasskeyChallenge, PasskeyKind, PasskeyOrder, PasskeyRequest, PasskeyView, Passkeys,
    SecurityKeys, VerifiedPasskey, WebauthnPolicy,
};
pub use password::{PasswordPolicy, Passwords};
pub use policy::{LoginPolicy, SecondFactor};
pub use principals::{DisabledView, PrincipalView, Principals};
pub(super) use providers::scheme_of;
pub(crate) use providers::{scheme_of_host, taken};
pub(super) use records::written;
pub use recovery::RecoveryCodes;
pub use seal::Sealer;
pub use step::{Attempt, LoggedIn, LoginStatus, LoginStep, Offer};
pub use throttle::{Bucket, Throttle, ThrottlePolicy, Verdict};
pub use totp::{Totp, TotpAlgorithm, TotpEnrolment, TotpPolicy};
