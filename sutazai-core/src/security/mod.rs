//! Who may do what, and proof of what was done.
//!
//! One way, in process: [`authn`] says who somebody is, [`token`] lets them carry that about,
//! [`authz`] decides what they may do, [`risk`] says how doubtful it looks, [`audit`] keeps what was decided and
//! done, and [`keys`] holds the keys of all. Each is useful alone; [`Security`] is all of them, wired to one another.
//!
//! **Invariants.** No primitive of cryptography is written here: ring, and for what it does not
//! have, crates that are tested against the same vectors. A decision that cannot be made is a refusal.
//! What is on the record is there before it is acknowledged, as durably as its class demands.

pub mod audit;
pub mod authn;
pub mod authz;
mod clock;
pub mod keys;
pub mod risk;
mod suite;
pub mod token;
mod whole;

pub use clock::{Clock, ClockPolicy};
#[cfg(feature = "webauthn")]
pub use suite::Registered;
pub use suite::{
    AuditSpec, CedarText, DataText, LoginAnswer, MasterSpec, PoliciesView, PolicyChange,
    PolicyName, PolicyStep, RefreshSpec, Security, SecurityOptions, SecuritySpec, SecurityStatus,
    TokenSpec, TokenStep,
};
