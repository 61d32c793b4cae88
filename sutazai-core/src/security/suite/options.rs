//! How the room is set up.

use std::sync::Arc;

use super::super::audit;
#[cfg(feature = "webauthn")]
use super::super::authn::WebauthnPolicy;
use super::super::authn::{LoginPolicy, OidcIssuer, PasswordPolicy, TotpPolicy};
use super::super::authz::{Entities, PolicySet};
use super::super::keys::Master;
use super::super::risk::RiskPolicy;
use super::super::token::TokenConfig;
use crate::port::AuthProvider;

/// How [`Security`](super::Security) is set up. Everything has a default. [`SecuritySpec`](super::SecuritySpec) is
/// the form of it that can be written down.
#[non_exhaustive]
pub struct SecurityOptions {
    /// What it is called: the issuer and the audience of its tokens, and the origin of its audit log. Default:
    /// `sutazai`.
    pub name: String,
    /// What all keys are wrapped under. Default: the file `master.key` in the data directory, which is made with
    /// a random key for its owner only: it keeps the keys from who sees the database alone, and from nobody
    /// who may read the directory. In memory: a random key.
    pub master: Option<Master>,
    /// Whether policies decide about calls: what none permits is refused. Default: no, every call may be made.
    pub authorise: bool,
    /// Whether policies, roles and entities that were set while it ran before decide again. Default: yes. Without
    /// them nothing is permitted but by what is set anew, and whether policies decide at all stays as it was; for the
    /// case that they cannot be read any more.
    pub restore_policies: bool,
    /// Whether a call without a token, from inside the process, may be made whatever the policies say. Default:
    /// yes; whoever runs code in the process needs no permission of it.
    pub trust_inside: bool,
    /// Whether a call that is allowed is on the record as a decision, too, and not only as what came of it.
    /// Default: no. Refusals are in any case.
    pub record_allowed: bool,
    /// Whether what agents do is on the record. Default: yes.
    pub record_actions: bool,
    /// What passwords have to be.
    pub passwords: PasswordPolicy,
    /// How one-time codes are made.
    pub totp: TotpPolicy,
    /// For which relying party authenticators sign, as passkeys and as second factors. Default: none; they are not set
    /// up then.
    #[cfg(feature = "webauthn")]
    pub webauthn: Option<WebauthnPolicy>,
    /// Which issuers of ID tokens may say who somebody is. Default: none.
    pub oidc: Vec<OidcIssuer>,
    /// Which factors a login takes.
    pub logins: LoginPolicy,
    /// How tokens are issued; by default as [`TokenConfig::new`] says, of [`name`](Self::name).
    pub tokens: Option<TokenConfig>,
    /// What raises a risk.
    pub risk: RiskPolicy,
    /// How the audit log is kept. Personal details are kept under keys in the store, unless others are given.
    pub audit: audit::Options,
    /// The policies that there are from the start. Default: none, which permit nothing. Where there are any, or
    /// [`entities`](Self::entities), they hold at every start, and what was set while it ran before does not.
    pub policies: PolicySet,
    /// What policies know from the start. Default: nothing.
    pub entities: Entities,
    /// Factors that the host has written.
    pub providers: Vec<Arc<dyn AuthProvider>>,
}

impl Default for SecurityOptions {
    fn default() -> Self {
        Self {
            name: "sutazai".to_owned(),
            master: None,
            authorise: false,
            restore_policies: true,
            trust_inside: true,
            record_allowed: false,
            record_actions: true,
            passwords: PasswordPolicy::default(),
            totp: TotpPolicy::default(),
            #[cfg(feature = "webauthn")]
            webauthn: None,
            oidc: Vec::new(),
            logins: LoginPolicy::default(),
            tokens: None,
            risk: RiskPolicy::default(),
            audit: audit::Options::default(),
            policies: PolicySet::empty(),
            entities: Entities::empty(),
            providers: Vec::new(),
        }
    }
}

impl std::fmt::Debug for SecurityOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecurityOptions")
            .field("name", &self.name)
            .field("authorise", &self.authorise)
            .field("trust_inside", &self.trust_inside)
            .finish_non_exhaustive()
    }
}
