//! The room `security` in the kernel: opened when it starts, asked at each call, told of what came of it.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::handle::Kernel;
use super::shared::Shared;
use super::steps::Local;
use crate::base::runtime::Runtime;
use crate::base::time::Timestamp;
use crate::observe::Level;
use crate::port::{
    Access, AuditClass, AuditEvent, AuditOutcome, AuditValue, AuthProvider, Authenticator,
    CallRecord, Decision, Policy, Session,
};
use crate::security::authn::{scheme_of_host, taken};
use crate::security::{PolicyStep, Security, SecurityOptions, TokenStep};
use crate::store::{DataDir, Store};
use crate::{Code, Error, Result};

/// How often keys are looked at whose time has come.
const TICK: Duration = Duration::from_secs(60);

/// The room, once the kernel has started.
#[derive(Clone, Default)]
pub(super) struct Secured(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<Option<Waiting>>,
    open: OnceLock<Open>,
}

/// What it is opened with, until it is.
struct Waiting {
    options: SecurityOptions,
    /// Of the host's providers.
    schemes: Vec<String>,
}

struct Open {
    security: Arc<Security>,
    tokens: TokenStep,
    policies: PolicyStep,
}

impl Secured {
    /// To be opened with these options, and providers beside those of the options.
    pub(super) fn new(
        options: Option<SecurityOptions>,
        providers: Vec<Arc<dyn AuthProvider>>,
    ) -> Result<Self> {
        let mut options = options.unwrap_or_else(|| {
            let mut options = SecurityOptions::default();
            // Nobody has asked for it: what is in memory is kept short.
            options.audit.memory_records = 4_096;
            options
        });
        let given = std::mem::take(&mut options.providers);
        let waiting = Mutex::new(Some(Waiting { options, schemes: Vec::new() }));
        let secured = Self(Arc::new(Inner { waiting, open: OnceLock::new() }));
        given.into_iter().chain(providers).try_for_each(|one| secured.wait_for_start(one))?;
        Ok(secured)
    }

    /// Adds a factor that the host has written, to what it is opened with or to what is open.
    pub(super) fn add_provider(
        &self,
        provider: Arc<dyn AuthProvider>,
        now: Timestamp,
    ) -> Result<()> {
        match self.get() {
            Some(security) => security.add_provider(provider, now),
            None => self.wait_for_start(provider),
        }
    }

    fn wait_for_start(&self, provider: Arc<dyn AuthProvider>) -> Result<()> {
        let scheme = scheme_of_host(&*provider)?;
        let mut waiting = self.0.waiting.lock();
        let waiting = waiting.as_mut().ok_or_else(|| {
            Error::new(Code::NOT_RUNNING, "the kernel is starting, or has failed to")
                .operation("security.provider")
                .with("scheme", &scheme)
                .advice("add providers before the start, or once it has returned")
        })?;
        if waiting.schemes.contains(&scheme) {
            return Err(taken(&scheme));
        }
        waiting.schemes.push(scheme);
        waiting.options.providers.push(provider);
        Ok(())
    }

    /// The authenticate step.
    pub(super) fn authenticator(&self) -> impl Authenticator {
        Tokens { secured: self.clone(), local: Local::new() }
    }

    /// The authorise step.
    pub(super) fn policy(&self) -> impl Policy {
        Policies(self.clone())
    }

    pub(super) fn start(
        &self,
        store: &Store,
        dir: Option<&DataDir>,
        runtime: &Arc<dyn Runtime>,
    ) -> Result<()> {
        let waiting = self.0.waiting.lock().take();
        let Some(Waiting { options, .. }) = waiting else { return Ok(()) };
        let now = runtime.timestamp();
        let security = Arc::new(Security::open(store.clone(), dir, options, now)?);
        // In virtual time nothing happens by itself.
        if runtime.virtual_time().is_none() {
            security.start()?;
            tick_later(Arc::downgrade(runtime), Arc::downgrade(&security));
        }
        let inside = Local::new().authenticate(None, now)?;
        let tokens = TokenStep::new(&security, inside);
        let policies = PolicyStep::new(&security, Local::PRINCIPAL);
        // It is started once.
        let _ = self.0.open.set(Open { security, tokens, policies });
        Ok(())
    }

    /// Lets go of what it was to be opened with, where it has not been.
    pub(super) fn forget(&self) {
        let waiting = self.0.waiting.lock().take();
        drop(waiting);
    }

    pub(super) fn close(&self, now: Timestamp) -> Result<()> {
        self.forget();
        self.0.open.get().map_or(Ok(()), |open| open.security.close(now))
    }

    pub(super) fn get(&self) -> Option<&Arc<Security>> {
        self.0.open.get().map(|open| &open.security)
    }

    /// Puts what came of a call on the record.
    pub(super) fn record(&self, call: &CallRecord<'_>) -> Result<()> {
        let Some(security) = self.get() else { return Ok(()) };
        let code = call.failure.map(Error::code);
        let refused = code.is_some_and(is_refusal);
        if !refused && !security.records_actions() {
            return Ok(());
        }
        let (class, outcome) = match code {
            None => (AuditClass::Action, AuditOutcome::Success),
            Some(_) if refused => (AuditClass::Decision, AuditOutcome::Denied),
            Some(_) => (AuditClass::Action, AuditOutcome::Failure),
        };
        let principal = call.session.map_or("-", Session::principal);
        let agent = call.agent.map_or("", |card| &card.name);
        let took = i64::try_from(call.took.as_micros()).unwrap_or(i64::MAX);
        let id = i64::try_from(call.call.0).unwrap_or(i64::MAX);
        let why = call.failure.filter(|_| refused).and_then(|error| {
            error.context().find_map(|(key, value)| (key == "reason").then_some(value))
        });
        let why = why.unwrap_or("");
        let details = [
            ("agent", AuditValue::Text(agent)),
            ("call", AuditValue::Int(id)),
            ("took_us", AuditValue::Int(took)),
            ("code", AuditValue::Text(code.map_or("", Code::name))),
            ("why", AuditValue::Text(why)),
        ];
        let details = match code {
            None => &details[..3],
            Some(_) if why.is_empty() => &details[..4],
            Some(_) => &details[..],
        };
        let event = AuditEvent::new(class, "kernel.call", principal, call.began)
            .object(call.skill)
            .outcome(outcome)
            .trace(call.trace)
            .details(details);
        security.audit().record(&event).map(drop)
    }
}

/// Whether the caller was refused, and not the call failed.
fn is_refusal(code: Code) -> bool {
    [Code::UNAUTHENTICATED, Code::DENIED, Code::STEP_UP, Code::NOT_APPROVED].contains(&code)
}

struct Tokens {
    secured: Secured,
    local: Local,
}

impl Authenticator for Tokens {
    fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Session> {
        match (token, self.secured.0.open.get()) {
            (Some(_), Some(open)) => open.tokens.authenticate(token, now),
            _ => self.local.authenticate(token, now),
        }
    }

    fn still_good(&self, session: &Session, now: Timestamp) -> Result<()> {
        match self.secured.0.open.get() {
            Some(open) => open.tokens.still_good(session, now),
            None => Ok(()),
        }
    }
}

/// The refusal of a call that its delegated token does not cover.
#[cfg(feature = "biscuit")]
fn not_delegated(open: &Open, access: &Access<'_>) -> Option<Decision> {
    if access.session.scheme() != "biscuit" {
        return None;
    }
    let value = access.task.input().value().unwrap_or_default();
    let (session, skill) = (access.session, access.task.skill());
    let permitted = open.security.delegations().permit(session, skill, &value, access.now);
    permitted.err().map(|error| Decision::Deny { reason: error.to_string() })
}

/// Whether a session may be used for a skill: that one of its scopes names it, itself or by how it begins
/// (`mail.*`); without scopes, it may.
fn in_scope(session: &Session, skill: &str) -> bool {
    let names = |scope: &str| match scope.strip_suffix('*') {
        Some(begins) => skill.starts_with(begins),
        None => scope == skill,
    };
    let mut scopes = session.scopes().peekable();
    scopes.peek().is_none() || scopes.any(names)
}

struct Policies(Secured);

impl Policy for Policies {
    fn decide(&self, access: &Access<'_>) -> Decision {
        if !in_scope(access.session, access.task.skill()) {
            return Decision::Deny { reason: "the skill is not in the token's scopes".to_owned() };
        }
        let open = self.0.0.open.get();
        #[cfg(feature = "biscuit")]
        if let Some(refused) = open.and_then(|open| not_delegated(open, access)) {
            return refused;
        }
        let Some(open) = open else { return Decision::Allow };
        let decision = match open.security.authorises() {
            true => open.policies.decide(access),
            false => Decision::Allow,
        };
        if !matches!(decision, Decision::Deny { .. })
            && open.security.records_allowed()
            && let Err(error) = open.security.audit().record(&allowed(access))
        {
            return Decision::Deny { reason: format!("it cannot be put on the record: {error}") };
        }
        decision
    }
}

/// That somebody may, as a decision of its own.
fn allowed<'a>(access: &Access<'a>) -> AuditEvent<'a> {
    let principal = access.session.principal();
    AuditEvent::new(AuditClass::Decision, "kernel.authorise", principal, access.now)
        .object(access.task.skill())
}

fn tick_later(runtime: Weak<dyn Runtime>, security: Weak<Security>) {
    let Some(there) = runtime.upgrade() else { return };
    let at = there.now() + TICK;
    let job = move || {
        let (Some(there), Some(open)) = (runtime.upgrade(), security.upgrade()) else { return };
        let work = Box::new(move || {
            let ticked = open.tick(Timestamp::now());
            for (what, error) in ticked.failures {
                tracing::warn!(what, %error, "security: what was due could not be done");
            }
        });
        // Where the pool is full it is done the next time.
        drop(there.spawn_blocking(work));
        tick_later(runtime, security);
    };
    there.spawn_at(at, Box::new(job));
}

impl Shared {
    /// Puts something on the record, as durably as its class demands.
    pub(super) fn put_on_record(&self, event: &AuditEvent<'_>) -> Result<()> {
        self.secured.get().map_or(Ok(()), |security| security.audit().record(event).map(drop))
    }

    /// Puts what came of a call on the record. Where it cannot be, that is logged: the call has been.
    #[inline]
    pub(super) fn audit_call(&self, call: &CallRecord<'_>) {
        if let Err(error) = self.secured.record(call) {
            let fields = [("call", call.call.to_string()), ("error", error.to_string())];
            let message = "a call is not on the audit record";
            self.kept.log().record(Level::Error, "sutazai.security", message, fields);
        }
    }
}

impl Kernel {
    /// Adds a factor that the host has written: before the start, or while the kernel runs, for the attempts that
    /// come from then on. Which factors a login takes, [`LoginPolicy`](crate::security::authn::LoginPolicy) says:
    /// without a word of it, a login may begin with this one.
    ///
    /// ```
    /// use sutazai_core::Result;
    /// use sutazai_core::base::time::Timestamp;
    /// use sutazai_core::kernel::Kernel;
    /// use sutazai_core::port::{AuthProvider, AuthStep, Credential, Session};
    ///
    /// struct Badges;
    ///
    /// impl AuthProvider for Badges {
    ///     fn scheme(&self) -> &str {
    ///         "badge"
    ///     }
    ///     fn authenticate(&self, credential: &Credential, _now: Timestamp) -> Result<AuthStep> {
    ///         Ok(match &*credential.secret {
    ///             b"0815" => AuthStep::Accepted(Session::new("ann", "badge")),
    ///             _ => AuthStep::Refused("not a badge of ours".to_owned()),
    ///         })
    ///     }
    /// }
    ///
    /// let kernel = Kernel::builder().build()?;
    /// kernel.add_auth_provider(Badges)?;
    /// assert!(kernel.add_auth_provider(Badges).is_err(), "one of a scheme");
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::INVALID`] for a scheme that is no name, [`Code::ALREADY_EXISTS`] where there is a provider of its
    /// scheme, [`Code::NOT_RUNNING`] while the kernel starts and after it has stopped, and what the audit log
    /// answers.
    pub fn add_auth_provider(&self, provider: impl AuthProvider) -> Result<()> {
        self.add_shared_auth_provider(Arc::new(provider))
    }

    /// As [`add_auth_provider`](Self::add_auth_provider), for one that is shared.
    ///
    /// # Errors
    /// As there.
    pub fn add_shared_auth_provider(&self, provider: Arc<dyn AuthProvider>) -> Result<()> {
        self.shared.secured.add_provider(provider, self.shared.runtime.timestamp())
    }

    /// The room `security`: keys, audit log, logins, tokens, policies and risks.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] before the kernel has started.
    pub fn security(&self) -> Result<&Arc<Security>> {
        self.shared.secured.get().ok_or_else(|| {
            Error::new(Code::NOT_RUNNING, "the kernel opens its security when it starts")
                .operation("kernel.security")
                .advice("start the kernel first")
        })
    }
}
