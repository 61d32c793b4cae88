//! Logins: attempts, factors, sessions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::api_key::hex;
use super::device::Devices;
use super::login::{Login, Next, goes_of};
use super::names::{is_principal, wrong_attempt};
use super::policy::LoginPolicy;
use super::providers::Providers;
use super::step::{Attempt, LoggedIn, LoginStatus, LoginStep, Offer};
use super::throttle::{Bucket, Throttle, Verdict};
use super::told::Told;
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::port::{AuditOutcome, AuditTrail, AuthProvider, AuthStep, Credential, Session};
use crate::store::Store;
use crate::{Code, Error, Result};

/// Told of every login that ends well.
type Usual = dyn Fn(&str, Option<&str>, Timestamp) + Send + Sync;
/// How risky a login looks: principal, origin, whether the device is known, when; 0 to 1.
type Risk = dyn Fn(&str, Option<&str>, bool, Timestamp) -> f64 + Send + Sync;

/// Why a principal may not log in, whatever they prove; `None` where they may.
type Gate = dyn Fn(&str) -> Option<&'static str> + Send + Sync;

/// The attribute of a session by which a factor says which authenticator it was: one that was used as the first
/// factor is none as the second.
pub(super) const AUTHENTICATOR: &str = "authenticator";

/// Leads logins through their factors. May block: a password is hashed, a code is written to the disk.
pub struct Logins {
    policy: LoginPolicy,
    providers: Providers,
    devices: Devices,
    throttle: Throttle,
    risk: Option<Arc<Risk>>,
    usual: Option<Arc<Usual>>,
    gate: Option<Arc<Gate>>,
    pub(super) audit: Option<Arc<dyn AuditTrail>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logins: HashMap<String, Login>,
    evicted: u64,
}

/// Builds [`Logins`].
pub struct LoginBuilder {
    store: Store,
    policy: LoginPolicy,
    providers: Vec<Arc<dyn AuthProvider>>,
    risk: Option<Arc<Risk>>,
    usual: Option<Arc<Usual>>,
    gate: Option<Arc<Gate>>,
    audit: Option<Arc<dyn AuditTrail>>,
}

impl LoginBuilder {
    /// Adds a factor.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn AuthProvider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// Which factors a login takes.
    #[must_use]
    pub fn policy(mut self, policy: LoginPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What is told of every login that ends well: principal, origin, time.
    #[must_use]
    pub fn usual(
        mut self,
        usual: impl Fn(&str, Option<&str>, Timestamp) + Send + Sync + 'static,
    ) -> Self {
        self.usual = Some(Arc::new(usual));
        self
    }

    /// How risky an attempt looks, from 0 to 1, by principal, origin, whether the device is known, and time.
    #[must_use]
    pub fn risk(
        mut self,
        risk: impl Fn(&str, Option<&str>, bool, Timestamp) -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.risk = Some(Arc::new(risk));
        self
    }

    /// Why a principal may not log in, whatever they prove; `None` where they may. It is asked once a factor was
    /// right, and its answer is for the record: whoever tries learns as much as from a wrong factor.
    #[must_use]
    pub fn gate(
        mut self,
        gate: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static,
    ) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Where every step is put on the record before it is answered.
    #[must_use]
    pub fn audit(mut self, trail: Arc<dyn AuditTrail>) -> Self {
        self.audit = Some(trail);
        self
    }

    /// The logins.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy or a scheme that cannot be, [`Code::ALREADY_EXISTS`] for two providers
    /// of one scheme.
    pub fn build(self) -> Result<Logins> {
        self.policy.check()?;
        let providers = Providers::default();
        for provider in self.providers {
            providers.add(provider)?;
        }
        Ok(Logins {
            throttle: Throttle::new(self.policy.throttle.clone()),
            policy: self.policy,
            providers,
            devices: Devices::new(self.store),
            risk: self.risk,
            usual: self.usual,
            gate: self.gate,
            audit: self.audit,
            state: Mutex::default(),
        })
    }
}

impl Logins {
    /// Logins whose devices are kept in this store.
    pub fn builder(store: Store) -> LoginBuilder {
        LoginBuilder {
            store,
            policy: LoginPolicy::default(),
            providers: Vec::new(),
            risk: None,
            usual: None,
            gate: None,
            audit: None,
        }
    }

    /// Adds a factor, for the attempts that come from now on. Which factors a login takes is the policy's to
    /// say: without a word of it, a login may begin with this one.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a scheme that is no name, [`Code::ALREADY_EXISTS`] where there is a provider of its
    /// scheme, [`Code::NOT_RUNNING`] once logins have [ended](Self::close).
    pub fn add_provider(&self, provider: Arc<dyn AuthProvider>) -> Result<()> {
        self.providers.add(provider)
    }

    /// Begins a login with its first factor.
    ///
    /// # Errors
    /// When it cannot be told who they are: a store that does not answer, an audit trail that does not keep
    /// it, a provider that fails. Wrong credentials are [`LoginStep::Refused`].
    pub fn begin(&self, attempt: Attempt, now: Timestamp) -> Result<LoginStep> {
        let Attempt { mut credential, origin, device } = attempt;
        credential.login = None;
        let claimed = credential.principal.clone().unwrap_or_default();
        let wrong = wrong_attempt(&claimed, origin.as_deref());
        let shown = origin.as_deref().filter(|_| wrong.is_none());
        let told = Told { action: "login.begin", origin: shown, seen: None, now };
        if let Some(why) = wrong {
            let claimed = if is_principal(&claimed) { &*claimed } else { "-" };
            return self.refuse(&told, claimed, &credential.scheme, why, None);
        }
        let device_known = match &device {
            Some(token) => self.devices.knows(&claimed, token)?,
            None => false,
        };
        let buckets = Bucket::of(&claimed, origin.as_deref(), device.as_deref(), device_known);
        let doubtful = match self.throttle.admit(&buckets, now) {
            Verdict::Go { doubtful } => doubtful,
            Verdict::Wait(wait) => {
                let why = "too many failures";
                return self.refuse(&told, &claimed, &credential.scheme, why, Some(wait));
            }
        };
        if !self.policy.begins(&credential.scheme) {
            let why = "no login begins with this factor";
            return self.refuse(&told, &claimed, &credential.scheme, why, None);
        }
        let session = match self.prove(&credential, now)? {
            // Whoever is somebody else than they say would end the throttling of that other.
            Ok(session) if claimed.is_empty() || session.principal() == claimed => session,
            Ok(_) => {
                let why = "the factor is another principal's";
                return self.refuse(&told, &claimed, &credential.scheme, why, None);
            }
            Err(why) => return self.refuse(&told, &claimed, &credential.scheme, &why, None),
        };
        if let Some(why) = self.shut(session.principal())? {
            return self.refuse(&told, session.principal(), &credential.scheme, why, None);
        }
        self.throttle.succeeded(&buckets);
        let principal = session.principal().to_owned();
        // Whoever did not say who they are has a device of their own all the same.
        let device_known = match &device {
            Some(token) if principal != claimed => self.devices.knows(&principal, token)?,
            _ => device_known,
        };
        let risk = match &self.risk {
            None => 0.0,
            Some(risk) => contain::run("the risk panicked", || {
                risk(&principal, origin.as_deref(), device_known, now)
            })?,
        };
        let login = Login {
            principal,
            proved: vec![credential.scheme.clone()],
            attributes: session.attributes().clone(),
            origin,
            device,
            device_known,
            // What cannot be compared is as risky as can be.
            risk: if risk.is_nan() { 1.0 } else { risk.clamp(0.0, 1.0) },
            doubtful,
            tries: 0,
            began: now,
        };
        self.go_on(None, login, now)
    }

    /// Answers with another factor.
    ///
    /// # Errors
    /// [`Code::LOGIN_UNKNOWN`] where no such login is under way; otherwise as [`begin`](Self::begin).
    pub fn answer(
        &self,
        login: &str,
        mut credential: Credential,
        now: Timestamp,
    ) -> Result<LoginStep> {
        let unknown = || {
            Error::new(Code::LOGIN_UNKNOWN, "no such login is under way")
                .operation("security.login_answer")
                .advice("it is over, took too long or had too many wrong answers: begin again")
        };
        let (one, last) = {
            let mut state = self.state.lock();
            let one = state.logins.get_mut(login).ok_or_else(unknown)?;
            if one.is_over(&self.policy, now) {
                state.logins.remove(login);
                return Err(unknown());
            }
            // Counted before it is looked at: answers that come at once are not free.
            one.tries += 1;
            let one = one.clone();
            let last = one.tries >= self.policy.tries;
            if last {
                state.logins.remove(login);
            }
            (one, last)
        };
        let told = Told { action: "login.answer", origin: one.origin.as_deref(), seen: None, now };
        let scheme = credential.scheme.clone();
        let principal = one.principal.clone();
        let mut buckets =
            Bucket::of(&principal, one.origin.as_deref(), one.device.as_deref(), one.device_known);
        if !one.device_known {
            buckets.push(Bucket::Second { principal: &principal });
        }
        if let Verdict::Wait(wait) = self.throttle.admit(&buckets, now) {
            return self.refuse(&told, &principal, &scheme, "too many failures", Some(wait));
        }
        if !self.enrolled(&principal, login, now)?.iter().any(|offer| offer.scheme == scheme)
            || one.proved.contains(&scheme)
        {
            let why = "not a factor that was offered";
            return self.refuse(&told, &principal, &scheme, why, None);
        }
        credential.principal = Some(principal.clone());
        credential.login = Some(login.to_owned());
        let session = match self.prove(&credential, now)? {
            Ok(session) if session.principal() == principal => session,
            Ok(_) => {
                let why = "the factor is another principal's";
                return self.refuse(&told, &principal, &scheme, why, None);
            }
            Err(why) => return self.refuse(&told, &principal, &scheme, &why, None),
        };
        let same = session.attributes().get(AUTHENTICATOR);
        if same.is_some() && same == one.attributes.get(AUTHENTICATOR) {
            let why = "the authenticator that was used before";
            return self.refuse(&told, &principal, &scheme, why, None);
        }
        if let Some(why) = self.shut(&principal)? {
            return self.refuse(&told, &principal, &scheme, why, None);
        }
        self.throttle.succeeded(&buckets);
        let mut one = one.clone();
        one.proved.push(scheme);
        one.attributes.extend(session.attributes().clone());
        one.tries = 0;
        // Of answers that were right at once, one goes on.
        let mut state = self.state.lock();
        if state.logins.remove(login).is_none() && !last {
            return Err(unknown());
        }
        drop(state);
        self.go_on(Some(login), one, now)
    }

    /// Gives up a login; whether it was under way.
    pub fn cancel(&self, login: &str) -> bool {
        self.state.lock().logins.remove(login).is_some()
    }

    /// Gives up all logins of somebody that are under way: what they have proved so far does not count any more. How
    /// many there were.
    pub fn cancel_of(&self, principal: &str) -> usize {
        let mut state = self.state.lock();
        let before = state.logins.len();
        state.logins.retain(|_, login| login.principal != principal);
        before - state.logins.len()
    }

    /// Who has got so far with a login that is under way.
    pub fn principal(&self, login: &str) -> Option<String> {
        self.state.lock().logins.get(login).map(|one| one.principal.clone())
    }

    /// The devices that people have logged in from.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The schemes that have a provider, sorted.
    pub fn schemes(&self) -> Vec<String> {
        self.providers.schemes()
    }

    /// Ends logins: all factors are let go of, and every attempt is refused from here on.
    pub fn close(&self) {
        self.providers.close();
    }

    /// The policy.
    pub fn policy(&self) -> &LoginPolicy {
        &self.policy
    }

    /// Figures.
    pub fn status(&self) -> LoginStatus {
        let (buckets, buckets_evicted, throttled) = self.throttle.counts();
        let state = self.state.lock();
        LoginStatus {
            under_way: state.logins.len(),
            evicted: state.evicted,
            buckets,
            buckets_evicted,
            throttled,
        }
    }

    /// Asks the provider. The inner result is what it says of the credential.
    fn prove(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<std::result::Result<Session, String>> {
        let Some(provider) = self.providers.of(&credential.scheme) else {
            return Ok(Err("there is no such factor".to_owned()));
        };
        let _asking = self.providers.ask(&credential.scheme)?;
        let step =
            contain::run("the provider panicked", || provider.authenticate(credential, now))??;
        Ok(match step {
            AuthStep::Accepted(session) if is_principal(session.principal()) => Ok(session),
            AuthStep::Accepted(_) => Err("the provider's session has no name".to_owned()),
            AuthStep::Challenge { .. } => {
                Err("the provider wants more before it decides".to_owned())
            }
            AuthStep::Refused(why) => Err(why),
        })
    }

    /// Why they may not log in, whatever they prove.
    fn shut(&self, principal: &str) -> Result<Option<&'static str>> {
        match &self.gate {
            None => Ok(None),
            Some(gate) => contain::run("the gate panicked", || gate(principal)),
        }
    }

    /// The second factors that somebody has.
    fn enrolled(&self, principal: &str, login: &str, now: Timestamp) -> Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for scheme in &self.policy.second {
            let Some(provider) = self.providers.of(scheme) else { continue };
            let _asking = self.providers.ask(scheme)?;
            let challenge = contain::run("the provider panicked", || {
                provider.challenge(principal, login, now)
            })??;
            if let Some(parameters) = challenge {
                offers.push(Offer { scheme: scheme.clone(), parameters });
            }
        }
        Ok(offers)
    }

    fn go_on(&self, id: Option<&str>, login: Login, now: Timestamp) -> Result<LoginStep> {
        let id = match id {
            Some(id) => id.to_owned(),
            None => fresh_id()?,
        };
        let offers = self.enrolled(&login.principal, &id, now)?;
        let names: Vec<String> = offers.iter().map(|offer| offer.scheme.clone()).collect();
        let proved = login.proved.join(",");
        let told = Told {
            action: "login.factor",
            origin: login.origin.as_deref(),
            seen: Some(&login.attributes),
            now,
        };
        match login.next(&self.policy, &names) {
            Next::Dead(why) => self.refuse(&told, &login.principal.clone(), &proved, why, None),
            Next::Factor(wanted) => {
                self.tell(&told, &login.principal, AuditOutcome::Success, &proved, "")?;
                let ends = now + Duration::from_millis(self.policy.lasts_ms);
                self.enter(&id, login);
                let offers =
                    offers.into_iter().filter(|one| wanted.contains(&one.scheme)).collect();
                Ok(LoginStep::Next { login: id, offers, ends })
            }
            Next::Done => {
                let told = Told { action: "login.done", ..told };
                self.tell(&told, &login.principal, AuditOutcome::Success, &proved, "")?;
                let device = self.devices.seen(&login.principal, login.device.as_deref(), now)?;
                if let Some(usual) = &self.usual {
                    let told = || usual(&login.principal, login.origin.as_deref(), now);
                    contain::run("what is told of logins panicked", told)?;
                }
                Ok(LoginStep::Done(LoggedIn { session: session(login, now), device }))
            }
        }
    }

    fn enter(&self, id: &str, login: Login) {
        let mut state = self.state.lock();
        let of_one = state.logins.values().filter(|one| one.principal == login.principal).count();
        let crowded = state.logins.len() >= self.policy.at_once;
        if crowded || of_one >= self.policy.of_one {
            let goes = match of_one >= self.policy.of_one {
                true => goes_of(&state.logins, &login.principal),
                false => state.logins.iter().min_by_key(|(_, one)| one.began),
            };
            let goes = goes.map(|(id, _)| id.clone());
            goes.map(|goes| state.logins.remove(&goes));
            state.evicted += 1;
        }
        state.logins.insert(id.to_owned(), login);
    }
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins").field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn session(login: Login, now: Timestamp) -> Session {
    let mut attributes = login.attributes;
    let mut set = |name: &str, value: String| attributes.insert(name.to_owned(), value);
    set(Session::METHODS, login.proved.join(" "));
    set(Session::AUTHENTICATED_AT, now.to_string());
    set("device", if login.device_known { "known" } else { "new" }.to_owned());
    set("risk", format!("{:.3}", login.risk));
    let scheme = login.proved.last().cloned().unwrap_or_default();
    Session::new(login.principal, scheme).with_attributes(attributes)
}

fn fresh_id() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        Error::new(Code::IO, "the operating system gave no random bytes")
            .operation("security.login")
    })?;
    Ok(hex(&bytes))
}
