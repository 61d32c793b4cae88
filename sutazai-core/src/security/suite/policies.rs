//! The policies, roles and entities that were set while it ran: kept, and there again after a restart.

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::authz::{Effect, Entities, PolicySet, Roles, Schema, ShadowReport};
use super::kept_policies::{Document, KeptPolicies};
use super::obligations;
use super::security::Security;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};
use crate::{Code, Error, Result};

/// What decides, in the texts that it was made of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Texts {
    pub(super) cedar: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) roles: Option<Roles>,
}

/// A change of what decides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PolicyChange {
    /// Other policies, and the schema that they must fit, in Cedar's syntax; roles stay.
    Policies {
        /// The policies.
        cedar: String,
        /// The schema; without it they need not fit one.
        schema: Option<String>,
    },
    /// Another schema, in Cedar's syntax, for the policies and entities that are there; `None` takes it away.
    Schema(Option<String>),
    /// Other roles, and who has them; policies and entities of their own stay.
    Roles(Roles),
    /// Other entities in the place of all, each in Cedar's JSON form; roles stay.
    Entities(Vec<Value>),
}

/// What decides at present.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PoliciesView {
    /// Whether policies decide about calls.
    pub authorise: bool,
    /// Which state of policies and entities decides.
    pub generation: u64,
    /// The policies in Cedar's syntax, as they were set; absent where the host has set others in its own code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cedar: Option<String>,
    /// The schema, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The policies, those of roles among them.
    pub policies: Vec<PolicyName>,
    /// How many entities are known.
    pub entities: u64,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PolicyName {
    /// What it is called.
    pub id: String,
    /// What it does.
    pub effect: Effect,
}

/// The policies as texts, and where they are kept.
pub(super) struct Policies {
    kept: KeptPolicies,
    held: Mutex<Held>,
}

struct Held {
    texts: Texts,
    /// Policies decide that the host has put together, and of which there is no text.
    foreign: bool,
    known: Known,
    /// The policies were kept, and the entities that the host put together itself were not: nothing is permitted until
    /// it has set them again.
    waits: bool,
    /// The candidate set.
    candidate: Option<String>,
}

/// The entities without roles.
#[derive(Clone)]
enum Known {
    Texts(Vec<Value>),
    /// Put together by the host.
    Foreign(Entities),
}

impl Known {
    fn texts(&self) -> Vec<Value> {
        match self {
            Self::Texts(entities) => entities.clone(),
            Self::Foreign(_) => Vec::new(),
        }
    }
}

/// What an engine begins with.
pub(super) struct Begun {
    pub(super) policies: PolicySet,
    pub(super) entities: Entities,
    pub(super) generation: u64,
    pub(super) authorise: bool,
}

impl Policies {
    /// What the host has configured, in the place of what is kept; whether policies decide is what it was.
    pub(super) fn configured(
        kept: KeptPolicies,
        policies: PolicySet,
        entities: Entities,
    ) -> (Self, Begun) {
        // Where it cannot be read, they decide.
        let authorise = kept.read(false).map_or(true, |found| found.authorise);
        let known = Known::Foreign(entities.clone());
        let texts = Texts::default();
        let held = Held { texts, foreign: true, known, waits: false, candidate: None };
        let begun = Begun { policies, entities, generation: 1, authorise };
        (Self { kept, held: Mutex::new(held) }, begun)
    }

    /// What is kept, if it is to be `restored`.
    pub(super) fn open(kept: KeptPolicies, restore: bool) -> Result<(Self, Begun)> {
        let found = kept.read(restore)?;
        let Document { texts, entities, without_entities: waits, generation } =
            found.document.unwrap_or_default();
        let known = Known::Texts(entities);
        let made = set_of(&texts).and_then(|policies| {
            let entities = entities_of(&known, &texts, policies.schema())?;
            Ok((policies, entities))
        });
        let (policies, entities) = made.map_err(|error| {
            let code = error.code();
            Error::new(code, "the policies that were kept are no longer valid")
                .operation("security.open")
                .advice(
                    "open it without them (SecurityOptions::restore_policies), and set them anew",
                )
                .because(error)
        })?;
        let policies = if waits {
            tracing::warn!("policies wait for the entities that the host puts together itself");
            PolicySet::empty()
        } else {
            policies
        };
        let authorise = found.authorise;
        let held = Held { texts, foreign: false, known, waits, candidate: None };
        let begun = Begun { policies, entities, generation: generation.max(1), authorise };
        Ok((Self { kept, held: Mutex::new(held) }, begun))
    }
}

impl Security {
    /// Changes what decides, at once and as a whole. It is on the record before, and kept in the store: after a
    /// restart it decides again. It answers the generation, and what is no mistake but may not have been meant.
    ///
    /// # Errors
    /// [`Code::POLICY_INVALID`], [`Code::POLICY_SCHEMA`], [`Code::ENTITIES_INVALID`] and [`Code::ROLE_INVALID`], with
    /// every mistake, where what would decide does not fit together; [`Code::UNSUPPORTED`] for roles or a
    /// schema beside policies that the host has [put together itself](Self::set_policies); what store and audit log
    /// answer. What decided before does then still.
    pub fn change_policies(
        &self,
        change: PolicyChange,
        by: &str,
        now: Timestamp,
    ) -> Result<(u64, Vec<String>)> {
        self.change_policies_and(change, None, by, now)
    }

    /// As [`change_policies`](Self::change_policies), and says with it whether policies decide about calls from then
    /// on: both at once, or neither.
    ///
    /// # Errors
    /// As [`change_policies`](Self::change_policies).
    pub fn change_policies_and(
        &self,
        change: PolicyChange,
        authorise: Option<bool>,
        by: &str,
        now: Timestamp,
    ) -> Result<(u64, Vec<String>)> {
        let mut held = self.policies.held.lock();
        self.change_held(&mut held, change, authorise, by, now)
    }

    fn change_held(
        &self,
        held: &mut Held,
        change: PolicyChange,
        authorise: Option<bool>,
        by: &str,
        now: Timestamp,
    ) -> Result<(u64, Vec<String>)> {
        let (action, object) = match &change {
            PolicyChange::Policies { .. } => ("policy.set", "policies"),
            PolicyChange::Schema(_) => ("schema.set", "schema"),
            PolicyChange::Roles(_) => ("roles.set", "roles"),
            PolicyChange::Entities(_) => ("entities.set", "entities"),
        };
        let (mut texts, mut known, mut foreign) =
            (held.texts.clone(), held.known.clone(), held.foreign);
        let waits = held.waits && !matches!(change, PolicyChange::Entities(_));
        match change {
            PolicyChange::Policies { cedar, schema } => {
                (texts.cedar, texts.schema, foreign) = (cedar, schema, false);
            }
            PolicyChange::Schema(_) | PolicyChange::Roles(_) if foreign => {
                return Err(Error::new(
                    Code::UNSUPPORTED,
                    "the host has put the policies together itself: there is no text to add this to",
                )
                .operation("security.change_policies")
                .advice("set the policies as a text first"));
            }
            PolicyChange::Schema(schema) => texts.schema = schema,
            PolicyChange::Roles(roles) => texts.roles = Some(roles),
            PolicyChange::Entities(entities) => known = Known::Texts(entities),
        }
        let policies = if foreign { self.engine.policies() } else { set_of(&texts)? };
        let entities = entities_of(&known, &texts, policies.schema())?;
        let warnings = policies.warnings().to_vec();
        let count = |len: usize| AuditValue::Int(i64::try_from(len).unwrap_or(i64::MAX));
        let on = authorise.unwrap_or_else(|| self.authorises());
        let details = [
            ("authorise", AuditValue::Bool(on)),
            ("entities", count(entities.len())),
            ("policies", count(policies.len())),
        ];
        let event = AuditEvent::new(AuditClass::Configuration, action, by, now)
            .object(object)
            .details(&details);
        let next = self.engine.status().generation + 1;
        let foreign_entities = waits || matches!(known, Known::Foreign(_));
        self.keeping(&event, || {
            let document = Document {
                texts: texts.clone(),
                entities: known.texts(),
                without_entities: foreign_entities,
                generation: next,
            };
            self.policies.kept.write(&document, on, now)
        })?;
        (held.texts, held.known, held.foreign, held.waits) = (texts, known, foreign, waits);
        let policies = if waits { PolicySet::empty() } else { policies };
        // Before they decide they are there; and they are gone after they did.
        if authorise == Some(false) {
            self.decide_calls(false);
        }
        let generation = self.engine.replace(policies, entities);
        if authorise == Some(true) {
            self.decide_calls(true);
        }
        Ok((generation, warnings))
    }

    /// Takes other policies that the host has put together, at once and as a whole; it is on the record before.
    /// It answers their generation. They are not kept: a host that sets them so sets them each time that it starts.
    /// [`change_policies`](Self::change_policies) keeps what it sets.
    ///
    /// # Errors
    /// As [`check_policies`](Self::check_policies), and what the audit log answers; the policies are as they were then.
    pub fn set_policies(&self, policies: PolicySet, by: &str, now: Timestamp) -> Result<u64> {
        obligations::check(&policies)?;
        let mut held = self.policies.held.lock();
        let count = i64::try_from(policies.len()).unwrap_or(i64::MAX);
        let details = [("policies", AuditValue::Int(count))];
        let event = AuditEvent::new(AuditClass::Configuration, "policy.set", by, now)
            .object("policies")
            .details(&details);
        self.audit().record(&event)?;
        (held.foreign, held.waits) = (true, false);
        Ok(self.engine.swap(policies))
    }

    /// Looks for annotations that were meant to ask for something and do not.
    ///
    /// # Errors
    /// [`Code::POLICY_INVALID`] for each that is nearly the name of an obligation, that says more of one that is missing, or
    /// that stands on a policy that forbids.
    pub fn check_policies(policies: &PolicySet) -> Result<()> {
        obligations::check(policies)
    }

    /// Takes other entities in the place of all, those of roles apart; not kept, as
    /// [`set_policies`](Self::set_policies) says: policies that are kept beside them permit nothing after a restart,
    /// until the host has set entities again. It answers their generation.
    ///
    /// # Errors
    /// What the audit log answers, and [`Code::ENTITIES_INVALID`] where roles and they are in one another in a circle;
    /// the entities are as they were then.
    pub fn set_entities(&self, entities: Entities, by: &str, now: Timestamp) -> Result<u64> {
        let mut held = self.policies.held.lock();
        let known = Known::Foreign(entities);
        let entities = entities_of(&known, &held.texts, None)?;
        let waited = held.waits.then(|| set_of(&held.texts)).transpose()?;
        let count = i64::try_from(entities.len()).unwrap_or(i64::MAX);
        let details = [("entities", AuditValue::Int(count))];
        let event = AuditEvent::new(AuditClass::Configuration, "entities.set", by, now)
            .object("entities")
            .details(&details);
        self.audit().record(&event)?;
        (held.known, held.waits) = (known, false);
        Ok(match waited {
            Some(policies) => self.engine.replace(policies, entities),
            None => self.engine.replace_entities(entities),
        })
    }

    /// Whether policies decide about calls from now on; it is on the record before, and kept: what was turned on
    /// is on after a restart. Turning it off does not outlive one where the options turn it on.
    ///
    /// # Errors
    /// What store and audit log answer; it is as it was then.
    pub fn set_authorise(&self, on: bool, by: &str, now: Timestamp) -> Result<()> {
        let _held = self.policies.held.lock();
        let details = [("on", AuditValue::Bool(on))];
        let event = AuditEvent::new(AuditClass::Configuration, "policy.authorise", by, now)
            .object("policies")
            .details(&details);
        self.keeping(&event, || self.policies.kept.write_authorise(on, now))?;
        self.decide_calls(on);
        Ok(())
    }

    /// What decides at present.
    pub fn policies_view(&self) -> PoliciesView {
        let held = self.policies.held.lock();
        let (policies, status) = (self.engine.policies(), self.engine.status());
        let name = |policy: super::super::authz::PolicyView<'_>| PolicyName {
            id: policy.id().to_owned(),
            effect: policy.effect(),
        };
        PoliciesView {
            authorise: self.authorises(),
            generation: status.generation,
            cedar: (!held.foreign).then(|| held.texts.cedar.clone()),
            schema: held.texts.schema.clone().filter(|_| !held.foreign),
            policies: policies.policies().map(name).collect(),
            entities: status.entities,
        }
    }

    /// The roles as they were set last.
    pub fn roles(&self) -> Option<Roles> {
        self.policies.held.lock().texts.roles.clone()
    }

    /// Has every decision also made by other policies (with the schema and roles that there are), and the
    /// differences counted; what decides is not changed. It answers the generation, and the warnings of the
    /// candidate. Not kept: after a restart there is no candidate.
    ///
    /// # Errors
    /// [`Code::POLICY_INVALID`], and what the audit log answers.
    pub fn set_shadow(&self, cedar: &str, by: &str, now: Timestamp) -> Result<(u64, Vec<String>)> {
        let mut held = self.policies.held.lock();
        let texts = Texts { cedar: cedar.to_owned(), ..held.texts.clone() };
        let candidate = set_of(&texts)?;
        let warnings = candidate.warnings().to_vec();
        self.audit().record(&shadow_event("shadow.set", by, now))?;
        held.candidate = Some(texts.cedar);
        Ok((self.engine.set_shadow(Some(candidate)), warnings))
    }

    /// Where the candidate differs from what decides.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is none.
    pub fn shadow_report(&self) -> Result<ShadowReport> {
        self.engine.shadow_report().ok_or_else(|| no_candidate("security.shadow"))
    }

    /// Lets the candidate decide; it is no candidate any more. As [`change_policies`](Self::change_policies).
    ///
    /// # Errors
    /// As [`change_policies`](Self::change_policies); [`Code::NOT_FOUND`] when there is none.
    pub fn promote_shadow(&self, by: &str, now: Timestamp) -> Result<(u64, Vec<String>)> {
        let mut held = self.policies.held.lock();
        let cedar =
            held.candidate.clone().ok_or_else(|| no_candidate("security.shadow_promote"))?;
        let change = PolicyChange::Policies { cedar, schema: held.texts.schema.clone() };
        let (_, warnings) = self.change_held(&mut held, change, None, by, now)?;
        held.candidate = None;
        Ok((self.engine.set_shadow(None), warnings))
    }

    /// Ends the comparison with the candidate; whether there was one.
    ///
    /// # Errors
    /// What the audit log answers.
    pub fn drop_shadow(&self, by: &str, now: Timestamp) -> Result<bool> {
        let mut held = self.policies.held.lock();
        if self.engine.shadow_report().is_none() {
            return Ok(false);
        }
        self.audit().record(&shadow_event("shadow.drop", by, now))?;
        held.candidate = None;
        self.engine.set_shadow(None);
        Ok(true)
    }

    /// Keeps something once it is on the record; where it fails, that is on the record as well.
    fn keeping(&self, event: &AuditEvent<'_>, keep: impl FnOnce() -> Result<()>) -> Result<()> {
        self.audit().record(event)?;
        let kept = keep();
        if let Err(error) = &kept {
            let details = [("code", AuditValue::Text(error.code().name()))];
            self.audit().record(&event.outcome(AuditOutcome::Failure).details(&details))?;
        }
        kept
    }
}

fn shadow_event<'a>(action: &'a str, by: &'a str, now: Timestamp) -> AuditEvent<'a> {
    AuditEvent::new(AuditClass::Configuration, action, by, now).object("policies")
}

fn no_candidate(operation: &'static str) -> Error {
    Error::new(Code::NOT_FOUND, "there is no candidate set")
        .operation(operation)
        .advice("set one by security.shadow_set")
}

/// The policies of texts, those of roles among them.
fn set_of(texts: &Texts) -> Result<PolicySet> {
    let mut builder = PolicySet::builder();
    if let Some(schema) = &texts.schema {
        builder = builder.schema(Schema::from_cedar("schema", schema)?);
    }
    builder = builder.cedar("policies", &texts.cedar);
    if let Some(roles) = &texts.roles {
        builder = roles.policies(builder)?;
    }
    let policies = builder.build()?;
    obligations::check(&policies)?;
    Ok(policies)
}

/// The entities, with everybody in the roles that they have.
fn entities_of(known: &Known, texts: &Texts, schema: Option<&Schema>) -> Result<Entities> {
    let own = match known {
        Known::Texts(entities) => {
            Entities::from_json(&Value::from(entities.clone()).to_string(), schema)?
        }
        Known::Foreign(entities) => entities.clone(),
    };
    match &texts.roles {
        Some(roles) => roles.entities(&own),
        None => Ok(own),
    }
}
