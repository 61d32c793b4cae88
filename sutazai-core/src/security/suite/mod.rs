//! The room's parts, put together over one store and one data directory.
//!
//! [`Security`] holds the keys, the audit log, the logins, the tokens, the policies and the risks of one process,
//! wired to one another: what a login proves goes into its tokens, what fails raises a risk, what is decided is on
//! the record, and every key comes from one [`Keys`](super::keys::Keys).

mod accounts;
mod begin;
#[cfg(feature = "biscuit")]
mod delegations;
mod kept_policies;
mod keys;
mod keysets;
mod obligations;
mod oidc;
mod options;
#[cfg(feature = "webauthn")]
mod passkeys;
mod policies;
mod principals;
mod security;
mod spec;
mod steps;

pub use options::SecurityOptions;
#[cfg(feature = "webauthn")]
pub use passkeys::Registered;
pub use policies::{PoliciesView, PolicyChange, PolicyName};
pub use security::{LoginAnswer, Security, SecurityStatus};
pub use spec::{AuditSpec, CedarText, DataText, MasterSpec, RefreshSpec, SecuritySpec, TokenSpec};
pub use steps::{PolicyStep, TokenStep};
