//! The authenticate and the authorise step of the guarded call.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::authn::{ApiKeys, KEY};
use super::super::authz::{Context, ContextValue, Effect, EntityUid, PolicyEngine, Request};
use super::super::risk::{RiskSignal, Risks};
use super::super::token::{Revocations, TokenAuthenticator, TokenScheme, Tokens};
use super::security::Security;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::{Access, Authenticator, Decision, Policy, Session, Task};

/// The authenticate step: tokens that were issued or delegated here, and API keys; a call without one is from inside the
/// process.
#[derive(Debug)]
pub struct TokenStep {
    schemes: TokenAuthenticator,
}

impl TokenStep {
    /// Of these parts; `inside` is the session of calls without a token.
    pub fn new(security: &Security, inside: Session) -> Self {
        let tokens: Arc<Tokens> = Arc::clone(security.tokens());
        let revocations = Arc::clone(tokens.revocations());
        let keys = KeyScheme { keys: Arc::clone(security.api_keys()), revocations };
        let schemes = TokenAuthenticator::new().with(tokens).with(Arc::new(keys));
        #[cfg(feature = "biscuit")]
        let schemes = schemes.with(Arc::clone(security.delegations()) as _);
        Self { schemes: schemes.with_inside(inside) }
    }
}

impl Authenticator for TokenStep {
    fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Session> {
        self.schemes.authenticate(token, now)
    }

    fn still_good(&self, session: &Session, now: Timestamp) -> Result<()> {
        self.schemes.still_good(session, now)
    }
}

/// API keys as tokens.
struct KeyScheme {
    keys: Arc<ApiKeys>,
    revocations: Arc<Revocations>,
}

impl KeyScheme {
    /// Whether its owner is not disabled.
    fn counts(&self, session: &Session) -> bool {
        !self.revocations.is_suspended(session.principal())
    }
}

impl TokenScheme for KeyScheme {
    fn name(&self) -> &str {
        ApiKeys::SCHEME
    }

    fn is_mine(&self, token: &str) -> bool {
        ApiKeys::is_key(token)
    }

    fn session(&self, token: &str, now: Timestamp) -> Result<Session> {
        let session = self.keys.session(token, now)?.filter(|session| self.counts(session));
        session.ok_or_else(TokenAuthenticator::refusal)
    }

    fn still_good(&self, session: &Session, now: Timestamp) -> Result<()> {
        let id = session.attributes().get(KEY).map_or("", String::as_str);
        let good = self.counts(session) && self.keys.is_good(id, now)?;
        if good { Ok(()) } else { Err(TokenAuthenticator::refusal()) }
    }
}

/// The authorise step: policies decide, with what is known of the call as their context.
///
/// | part of the request | is |
/// |---|---|
/// | `principal` | `User::"ann"`: the session's principal, or of the type that its attribute `type` names |
/// | `action` | `Action::"call"` |
/// | `resource` | `Skill::"translate"`: the skill that is asked for |
/// | `context.scheme` | how they proved who they are: `v4.public`, `api-key`, … |
/// | `context.methods` | the factors, a set: `["password", "totp"]` |
/// | `context.auth_age_s` | seconds since the login; absent where that is not known |
/// | `context.scopes` | what the token may be used for, a set; empty: whatever its principal may |
/// | `context.attributes` | what else the session says, a record of texts |
/// | `context.actor` | the agent that calls for them, where it is within a call: absent otherwise |
/// | `context.agent` | the agent that is asked for by name: absent otherwise |
/// | `context.risk` | how risky it looks, 0 to 100: whoever asks, with the health of the agents that would act and the [sensitivity](crate::port::SkillCard::sensitivity) of the skill |
/// | `context.input` | the task's input, where it is an object: its fields |
/// | `context.from` | where fields of the input come from, by name: `user`, `agent`, `tool`, `web`, … |
/// | `context.from_rest` | where the input as a whole comes from |
///
/// `input`, `from`, `from_rest` and `risk` are there for policy sets that mention them.
///
/// A `permit` may ask for something in annotations, which the kernel sees to: `@step_up("totp")` (schemes, comma
/// between, and `@step_up_within_s`), `@read_only("")`, `@rate_limit("10/60")` (calls per seconds),
/// `@approval("ops,chief")` (who may; `@approval_within_s`, by default 600), `@redact("ssn,/card/number")`. What any
/// determining permit asks for is asked for.
///
/// A `forbid` that cannot be evaluated forbids: a decision that cannot be made is a refusal.
pub struct PolicyStep {
    engine: Arc<PolicyEngine>,
    risks: Arc<Risks>,
    trust_inside: bool,
    inside: String,
}

impl PolicyStep {
    /// Of these parts; sessions of the principal `inside` are those of the process.
    pub fn new(security: &Security, inside: &str) -> Self {
        Self {
            engine: Arc::clone(security.policies()),
            risks: Arc::clone(security.risks()),
            trust_inside: security.trusts_inside(),
            inside: inside.to_owned(),
        }
    }

    /// The request that a wish is.
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`](crate::Code::ACCESS_INVALID) for what cannot be one.
    pub fn request(&self, access: &Access<'_>) -> Result<Request> {
        let (session, task) = (access.session, access.task);
        let type_of = session.attributes().get("type").map_or("User", String::as_str);
        let principal = EntityUid::new(type_of, session.principal())?;
        let action = EntityUid::new("Action", access.action)?;
        let resource = EntityUid::new("Skill", task.skill())?;
        let methods: Vec<&str> = session.methods().collect();
        let scopes: Vec<&str> = session.scopes().collect();
        let mut pairs = vec![
            ("scheme", ContextValue::Text(session.scheme())),
            ("methods", ContextValue::Texts(&methods)),
            ("scopes", ContextValue::Texts(&scopes)),
            ("attributes", ContextValue::Record(session.attributes())),
        ];
        if self.engine.mentions("auth_age_s")
            && let Some(at) = session.authenticated_at()
        {
            let age = access.now.as_nanos().saturating_sub(at.as_nanos()) / 1_000_000_000;
            pairs.push(("auth_age_s", ContextValue::Int(age)));
        }
        if let Some(actor) = access.actor {
            pairs.push(("actor", ContextValue::Text(actor)));
        }
        if let Some(agent) = task.wanted_agent() {
            pairs.push(("agent", ContextValue::Text(agent)));
        }
        if self.engine.mentions("risk") {
            let extra = access.means.map_or([(RiskSignal::AgentHealth, 0.0); 2], |means| {
                [
                    (RiskSignal::AgentHealth, means.trouble()),
                    (RiskSignal::DataSensitivity, means.sensitivity()),
                ]
            });
            let score = self.risks.called(session.principal(), &extra, access.now);
            pairs.push(("risk", ContextValue::Int((score * 100.0).round() as i64)));
        }
        let input = if self.engine.mentions("input") { task.input().value().ok() } else { None };
        if let Some(input) = input.as_deref().filter(|input| input.is_object()) {
            pairs.push(("input", ContextValue::Json(input)));
        }
        let rest = rest(access);
        let told = self.engine.mentions("from") || self.engine.mentions("from_rest");
        let from = if told { sources(access, rest) } else { BTreeMap::new() };
        if told {
            pairs.push(("from", ContextValue::Record(&from)));
            pairs.push(("from_rest", ContextValue::Text(rest)));
        }
        Ok(Request::new(principal, action, resource).with_context(Context::of(pairs)))
    }
}

impl Policy for PolicyStep {
    fn decide(&self, access: &Access<'_>) -> Decision {
        if self.trust_inside
            && access.session.principal() == self.inside
            && access.session.scheme() == "local"
        {
            return Decision::Allow;
        }
        let denied = |reason: String| Decision::Deny { reason };
        let answer = loop {
            let generation = self.engine.generation();
            let request = match self.request(access) {
                Ok(request) => request,
                Err(error) => return denied(error.to_string()),
            };
            let answer = self.engine.decide(&request);
            // What the policies do not mention is left out of the request: it is for those that were asked only.
            if answer.generation() == generation {
                break answer;
            }
        };
        let broken = answer.errors().find(|fault| fault.policy().effect() == Effect::Forbid);
        if let Some(fault) = broken {
            return denied(format!("the forbid {} could not be evaluated", fault.policy().id()));
        }
        if !answer.is_allowed() {
            let ids: Vec<&str> = answer.reasons().map(|policy| policy.id()).collect();
            return denied(if ids.is_empty() {
                "no policy permits it".to_owned()
            } else {
                format!("forbidden by {}", ids.join(", "))
            });
        }
        let mut obligations = Vec::new();
        for policy in answer.reasons() {
            if let Err(what) = super::obligations::of(policy, &mut obligations) {
                return denied(format!(
                    "the permit {} asks for what cannot be: {what}",
                    policy.id()
                ));
            }
        }
        if obligations.is_empty() { Decision::Allow } else { Decision::AllowIf(obligations.into()) }
    }
}

impl std::fmt::Debug for PolicyStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyStep")
            .field("trust_inside", &self.trust_inside)
            .finish_non_exhaustive()
    }
}

/// Where the input comes from, but for what is told of its parts.
fn rest<'a>(access: &Access<'a>) -> &'a str {
    let within = if access.actor.is_some() { "agent" } else { "user" };
    let task: &'a Task = access.task;
    task.given_terms().and_then(|terms| terms.sources.get("")).map_or(within, String::as_str)
}

/// Where the fields of the input come from. What lies deeper is told of the field that it is in: the first that
/// does not come from where the field does counts, since who may not be trusted with a part may not with the
/// whole.
fn sources(access: &Access<'_>, rest: &str) -> BTreeMap<String, String> {
    let task = access.task;
    let told = task.given_terms().map(|terms| &terms.sources);
    let input = task.input().value().ok();
    let fields = input.as_deref().and_then(|input| input.as_object());
    let of = |field: &String| {
        let own = format!("/{}", field.replace('~', "~0").replace('/', "~1"));
        let whole = told.and_then(|told| told.get(&own)).map_or(rest, String::as_str);
        let deeper = format!("{own}/");
        let parts = told.into_iter().flatten().filter(|(pointer, _)| pointer.starts_with(&deeper));
        let other = parts.map(|(_, from)| &**from).find(|from| *from != whole);
        (field.clone(), other.unwrap_or(whole).to_owned())
    };
    fields.into_iter().flat_map(|fields| fields.keys()).map(of).collect()
}
