//! The room's parts, wired to one another.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::audit::{AuditLog, AuditStatus, StoredSubjectKeys, VerifierKey};
use super::super::authn::{
    ApiKeys, Attempt, Certificates, LoggedIn, LoginStatus, LoginStep, Logins, Offer, Oidc,
    Passwords, Principals, RecoveryCodes, Totp,
};
#[cfg(feature = "webauthn")]
use super::super::authn::{Passkeys, SecurityKeys};
use super::super::authz::{EngineOptions, EngineStatus, PolicyEngine};
use super::super::keys::{KeyEvent, Keys, Ticked};
use super::super::risk::{RiskStatus, Risks, Visit};
#[cfg(feature = "biscuit")]
use super::super::token::delegate::{DelegationConfig, Delegations, RootSeed};
use super::super::token::{Grant, Issued, TokenConfig, TokenStatus, Tokens};
use super::super::{Clock, ClockPolicy};
use super::begin::{decides_from_the_start, own_master};
use super::kept_policies::KeptPolicies;
use super::keys::{self, KeysetTokens};
use super::options::SecurityOptions;
use super::policies::{Begun, Policies};
use crate::base::time::Timestamp;
use crate::port::{AuditTrail, Credential};
use crate::store::{DataDir, Store};
use crate::{Code, Error, Result};

/// The room's parts, wired to one another.
///
/// ```
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::port::Credential;
/// use sutazai_core::security::authn::Attempt;
/// use sutazai_core::security::{LoginAnswer, Security, SecurityOptions};
/// use sutazai_core::store::Store;
///
/// let now = Timestamp::now();
/// let security = Security::open(Store::memory(&[])?, None, SecurityOptions::default(), now)?;
/// security.passwords().set("ann", "correct horse battery", now)?;
///
/// let credential = Credential::new("password", Some("ann".into()), b"correct horse battery".to_vec());
/// let LoginAnswer::Done { issued, .. } = security.log_in(Attempt::new(credential), now)? else {
///     panic!("one factor is enough here")
/// };
/// let verified = security.tokens().verify(&issued.access, now)?;
/// assert_eq!(verified.session.principal(), "ann");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct Security {
    options: Kept,
    /// The data directory, if there is one.
    pub(super) directory: Option<PathBuf>,
    keys: Keys,
    token_keys: Arc<KeysetTokens>,
    audit: AuditLog,
    audit_key: VerifierKey,
    clock: Arc<Clock>,
    passwords: Arc<Passwords>,
    totp: Arc<Totp>,
    recovery: Arc<RecoveryCodes>,
    api_keys: Arc<ApiKeys>,
    certificates: Arc<Certificates>,
    pub(super) oidc: Arc<Oidc>,
    #[cfg(feature = "webauthn")]
    pub(super) passkeys: Arc<Passkeys>,
    pub(super) principals: Arc<Principals>,
    logins: Logins,
    tokens: Arc<Tokens>,
    #[cfg(feature = "biscuit")]
    delegations: Arc<Delegations>,
    pub(super) engine: Arc<PolicyEngine>,
    pub(super) policies: Policies,
    risks: Arc<Risks>,
}

/// What is left of the options.
struct Kept {
    authorise: AtomicBool,
    trust_inside: bool,
    record_allowed: bool,
    record_actions: bool,
}

/// Where a login stands.
#[derive(Debug)]
pub enum LoginAnswer {
    /// They are who they say, and have tokens for it.
    Done {
        /// Who, how, and what the device is to keep.
        login: LoggedIn,
        /// The tokens.
        issued: Box<Issued>,
    },
    /// One more factor is wanted: any of these.
    Next {
        /// Which login this is, for the answer.
        login: String,
        /// What may come next.
        offers: Vec<Offer>,
        /// When it is over.
        ends: Timestamp,
    },
    /// They are not, or not now.
    Refused {
        /// Attempts like this one are not looked at before so long; `None` where the next may come at once.
        retry_after: Option<Duration>,
    },
}

/// Figures of the room.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SecurityStatus {
    /// Whether policies decide about calls.
    pub authorise: bool,
    /// Of logins.
    pub logins: LoginStatus,
    /// Of tokens.
    pub tokens: TokenStatus,
    /// Of policies.
    pub policies: EngineStatus,
    /// Of risks.
    pub risks: RiskStatus,
    /// Of the audit log.
    pub audit: AuditStatus,
    /// How often the system's clock was found to be set back.
    pub clock_steps_back: u64,
}

impl Security {
    /// Opens what is in the store and in the data directory, or begins it there; without a directory everything
    /// is in memory. Starts no thread: see [`start`](Self::start).
    ///
    /// # Errors
    /// What the parts say of their options, [`Code::MASTER_KEY`] where the master key is not the one that was set
    /// last, and what store and files answer.
    pub fn open(
        store: Store,
        dir: Option<&DataDir>,
        options: SecurityOptions,
        now: Timestamp,
    ) -> Result<Self> {
        let SecurityOptions { name, master, passwords, totp, logins, tokens, risk, .. } = options;
        let master = match master {
            Some(master) => master,
            None => own_master(dir, &store)?,
        };
        let keys = Keys::open(store.clone(), &master, None, now)?;
        keys::ensure(&keys, now)?;
        let mut audit = options.audit;
        if audit.subjects.is_none() {
            let master = keys::derived(&keys, keys::SUBJECTS, b"subjects")?;
            audit.subjects = Some(Arc::new(StoredSubjectKeys::new(store.clone(), &master)?));
        }
        let signer = Arc::new(keys::audit_signer(&keys, &format!("{name}/audit"))?);
        let audit_key = super::super::audit::CheckpointSigner::key(&*signer).clone();
        let audit = match dir {
            Some(dir) => AuditLog::open(dir, signer, audit)?,
            None => AuditLog::memory(signer, audit)?,
        };
        let trail: Arc<dyn AuditTrail> = Arc::new(audit.clone());
        keys.audit_to(Arc::clone(&trail))?;
        let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default())?);
        let token_keys = Arc::new(KeysetTokens::new(&keys)?);
        let config = tokens.unwrap_or_else(|| TokenConfig::new(&*name, &*name));
        #[cfg(feature = "biscuit")]
        let delegating = DelegationConfig::new(&*name, &*name);
        // What is revoked stays so as long as what was made of it could be good.
        #[cfg(feature = "biscuit")]
        let config = config.outlasting(delegating.longest + delegating.leeway);
        let tokens = Tokens::open(config, token_keys.clone(), store.clone(), Arc::clone(&clock))?
            .with_audit(Arc::clone(&trail));
        #[cfg(feature = "biscuit")]
        let delegations = {
            let seed = keys::derived(&keys, keys::DELEGATIONS, b"biscuit")?;
            let root = Arc::new(RootSeed::new(&seed)?);
            let revocations = Arc::clone(tokens.revocations());
            Delegations::new(delegating, root, revocations, Arc::clone(&clock))?
                .with_audit(Arc::clone(&trail))
        };

        let kept = KeptPolicies::new(store.clone());
        let restore = options.restore_policies;
        let configured = !(options.policies.is_empty() && options.entities.is_empty());
        let (policies, begun) = match configured {
            false => Policies::open(kept, restore)?,
            true => Policies::configured(kept, options.policies, options.entities),
        };
        let Begun { policies: set, entities, generation, authorise } = begun;
        let authorise = options.authorise || authorise;
        if configured || options.authorise || !restore {
            decides_from_the_start(&audit, &set, &entities, authorise, now)?;
        }
        let engine = EngineOptions { generation, ..EngineOptions::default() };
        let engine = Arc::new(PolicyEngine::with_options(set, entities, engine));

        let risks = Arc::new(Risks::new(risk)?);
        let sealer = Arc::new(keys.encryptor(keys::SECRETS)?);
        let passwords = Arc::new(Passwords::new(store.clone(), passwords)?);
        let totp = Arc::new(Totp::new(store.clone(), totp, sealer)?);
        let recovery = Arc::new(RecoveryCodes::new(store.clone()));
        let api_keys = Arc::new(ApiKeys::new(store.clone()));
        let certificates = Arc::new(Certificates::new(store.clone()));
        let oidc = Arc::new(Oidc::new(store.clone(), options.oidc)?);
        #[cfg(feature = "webauthn")]
        let passkeys = {
            let key = keys::derived(&keys, keys::ACCOUNTS, b"webauthn")?;
            Arc::new(Passkeys::new(store.clone(), &key, options.webauthn)?)
        };
        let principals =
            Arc::new(Principals::open(store.clone(), Arc::clone(tokens.revocations()))?);
        let mut builder = Logins::builder(store)
            .policy(logins)
            .audit(Arc::clone(&trail))
            .provider(passwords.clone())
            .provider(totp.clone())
            .provider(recovery.clone())
            .provider(api_keys.clone())
            .provider(certificates.clone())
            .provider(oidc.clone());
        #[cfg(feature = "webauthn")]
        {
            builder = builder
                .provider(passkeys.clone())
                .provider(Arc::new(SecurityKeys::new(passkeys.clone())));
        }
        for provider in options.providers {
            builder = builder.provider(provider);
        }
        let (scored, usual) = (Arc::clone(&risks), Arc::clone(&risks));
        let shut = Arc::clone(&principals);
        let logins = builder
            .risk(move |principal, origin, device_known, now| {
                scored.visited(principal, Visit { place: origin, device_known }, now)
            })
            .usual(move |principal, origin, now| usual.logged_in(principal, origin, now))
            .gate(move |principal| {
                shut.is_disabled(principal).then_some("the principal is disabled")
            })
            .build()?;
        Ok(Self {
            options: Kept {
                authorise: AtomicBool::new(authorise),
                trust_inside: options.trust_inside,
                record_allowed: options.record_allowed,
                record_actions: options.record_actions,
            },
            directory: dir.map(|dir| dir.path().to_path_buf()),
            keys,
            token_keys,
            audit,
            audit_key,
            clock,
            passwords,
            totp,
            recovery,
            api_keys,
            certificates,
            oidc,
            #[cfg(feature = "webauthn")]
            passkeys,
            principals,
            logins,
            tokens: Arc::new(tokens),
            #[cfg(feature = "biscuit")]
            delegations: Arc::new(delegations),
            engine,
            policies,
            risks,
        })
    }

    /// Starts the threads of the audit log.
    ///
    /// # Errors
    /// As [`AuditLog::start`].
    pub fn start(&self) -> Result<()> {
        self.audit.start()
    }

    /// Ends it: the clock's place and the audit log are on the disk, with a checkpoint over everything, and what the
    /// host has provided is let go of.
    ///
    /// # Errors
    /// What clock and log answer.
    pub fn close(&self, now: Timestamp) -> Result<()> {
        let tokens = self.tokens.close();
        let audit = self.audit.close(now);
        self.logins().close();
        audit?;
        tokens
    }

    /// What is due by now: keys that come and go by their schedules, and what is forgotten because it is over.
    pub fn tick(&self, now: Timestamp) -> Ticked {
        let now = self.clock.observe(now);
        let mut ticked = self.keys.tick(keys::BY, now);
        if let Err(error) = self.token_keys.renew() {
            ticked.failures.push((keys::TOKENS.to_owned(), error));
        }
        if let Err(error) = self.tokens.sweep(now) {
            ticked.failures.push((keys::TOKENS.to_owned(), error));
        }
        ticked
    }

    // ---- who somebody is ----

    /// Begins a login with its first factor. May block: a password is hashed, records reach the disk.
    ///
    /// # Errors
    /// As [`Logins::begin`].
    pub fn log_in(&self, attempt: Attempt, now: Timestamp) -> Result<LoginAnswer> {
        let now = self.clock.observe(now);
        let named = attempt.credential.principal.clone();
        let step = self.logins.begin(attempt, now)?;
        self.went(step, named.as_deref(), now)
    }

    /// Answers with another factor. May block.
    ///
    /// # Errors
    /// As [`Logins::answer`].
    pub fn log_in_answer(
        &self,
        login: &str,
        credential: Credential,
        now: Timestamp,
    ) -> Result<LoginAnswer> {
        let now = self.clock.observe(now);
        let principal = self.logins.principal(login);
        let step = self.logins.answer(login, credential, now)?;
        self.went(step, principal.as_deref(), now)
    }

    fn went(&self, step: LoginStep, named: Option<&str>, now: Timestamp) -> Result<LoginAnswer> {
        Ok(match step {
            LoginStep::Done(login) => {
                let issued = self.tokens.login(&Grant::of(&login.session, now)?, now)?;
                LoginAnswer::Done { login, issued: Box::new(issued) }
            }
            LoginStep::Next { login, offers, ends } => LoginAnswer::Next { login, offers, ends },
            LoginStep::Refused { retry_after } => {
                if let Some(principal) = named {
                    self.risks.failed(principal, now);
                }
                LoginAnswer::Refused { retry_after }
            }
        })
    }

    // ---- keys ----

    /// A fresh key takes over in a keyset at once, the room's own included.
    ///
    /// # Errors
    /// As [`Keys::rotate`]; [`Code::INVALID`] for the keysets that stay as they are.
    pub fn rotate(&self, keyset: &str, by: &str, now: Timestamp) -> Result<KeyEvent> {
        if keys::stays(keyset) {
            return Err(Error::new(Code::INVALID, "this keyset stays as it is")
                .operation("security.key_rotate")
                .with("keyset", keyset)
                .advice("the audit log is known by its key; what is sealed for subjects is not sealed anew; authenticators know users by it; delegated tokens are of its one key: revoke them instead"));
        }
        let event = self.keys.rotate(keyset, by, self.clock.observe(now))?;
        if keyset == keys::TOKENS {
            self.token_keys.renew()?;
        }
        Ok(event)
    }

    // ---- the parts ----

    /// The keysets.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// The key by which the audit log's checkpoints are verified: give it to whoever is to verify.
    pub fn audit_key(&self) -> &VerifierKey {
        &self.audit_key
    }

    /// The clock that does not go back.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// The logins.
    pub fn logins(&self) -> &Logins {
        &self.logins
    }

    /// The passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// The one-time codes.
    pub fn totp(&self) -> &Totp {
        &self.totp
    }

    /// The recovery codes.
    pub fn recovery_codes(&self) -> &RecoveryCodes {
        &self.recovery
    }

    /// The API keys.
    pub fn api_keys(&self) -> &Arc<ApiKeys> {
        &self.api_keys
    }

    /// The client certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The tokens.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// The tokens that somebody hands an agent, less than their own.
    #[cfg(feature = "biscuit")]
    pub fn delegations(&self) -> &Arc<Delegations> {
        &self.delegations
    }

    /// The policies.
    pub fn policies(&self) -> &Arc<PolicyEngine> {
        &self.engine
    }

    /// The risks.
    pub fn risks(&self) -> &Arc<Risks> {
        &self.risks
    }

    /// From now on.
    pub(super) fn decide_calls(&self, on: bool) {
        self.options.authorise.store(on, Ordering::Release);
    }

    /// Whether policies decide about calls.
    pub fn authorises(&self) -> bool {
        self.options.authorise.load(Ordering::Acquire)
    }

    /// Whether calls from inside the process may be made whatever the policies say.
    pub fn trusts_inside(&self) -> bool {
        self.options.trust_inside
    }

    /// Whether a call that is allowed is on the record as a decision, too.
    pub fn records_allowed(&self) -> bool {
        self.options.record_allowed
    }

    /// Whether what agents do is on the record.
    pub fn records_actions(&self) -> bool {
        self.options.record_actions
    }

    /// Figures.
    pub fn status(&self) -> SecurityStatus {
        SecurityStatus {
            authorise: self.authorises(),
            logins: self.logins.status(),
            tokens: self.tokens.status(),
            policies: self.engine.status(),
            risks: self.risks.status(),
            audit: self.audit.status(),
            clock_steps_back: self.clock.steps_back(),
        }
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Security").field("audit_key", &self.audit_key).finish_non_exhaustive()
    }
}
