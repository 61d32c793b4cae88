//! Loads policies: every mistake of every text, at its place.

use std::collections::HashMap;

use cedar_policy::{PolicyId, SlotId, ValidationMode};

use super::super::nesting::{self, on_a_large_stack};
use super::super::problem::{self, Text};
use super::super::{EntityUid, Schema};
use super::PolicySet;
use crate::base::error::Location;
use crate::{Code, Error, Result};

/// Puts a [`PolicySet`] together: texts, links of templates, a schema.
///
/// ```
/// use sutazai_core::security::authz::{EntityUid, PolicySet};
/// let set = PolicySet::builder()
///     .cedar("own.cedar", r#"
///         @id("may read")
///         permit (principal == ?principal, action == Action::"read", resource in ?resource);
///     "#)
///     .link("may read", "alice reads the wiki",
///         Some(&EntityUid::new("User", "alice")?), Some(&EntityUid::new("Space", "wiki")?))
///     .build()?;
/// assert_eq!(set.policy("alice reads the wiki").and_then(|link| link.template()), Some("may read"));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct PolicySetBuilder {
    cedar: cedar_policy::PolicySet,
    schema: Option<Schema>,
    unnamed: usize,
    texts: Vec<(String, String)>,
    /// By policy: the text that it stands in.
    origin: HashMap<String, usize>,
    problems: Vec<Error>,
}

impl PolicySetBuilder {
    /// Checks the policies against this schema, strictly.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Adds the policies and templates of a text in Cedar's syntax; `name` is what errors call it. One is
    /// called what its annotation `@id("…")` says, or else `policy0`, `policy1`, …, counted through all texts.
    pub fn cedar(mut self, name: &str, text: &str) -> Self {
        if let Err(error) = nesting::check(name, text, Code::POLICY_INVALID) {
            self.problems.push(error);
            return self;
        }
        let parsed = on_a_large_stack(|| {
            let place = Some(Text { name, text });
            text.parse::<cedar_policy::PolicySet>().map_err(|errors| {
                let errors = errors.iter();
                errors.map(|error| problem::single(error, Code::POLICY_INVALID, place)).collect()
            })
        });
        match parsed {
            Ok(set) => self.take(name, text, &set),
            Err(errors) => {
                let mut errors: Vec<Error> = errors;
                self.problems.append(&mut errors);
            }
        }
        self
    }

    /// Adds the policies, templates and links of a text in Cedar's JSON form, called what the JSON calls
    /// them; `name` is what errors call the text.
    pub fn json(mut self, name: &str, text: &str) -> Self {
        let parsed = serde_json::from_str::<serde_json::Value>(text).map_err(|error| {
            let before: usize =
                text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = before + error.column().saturating_sub(1);
            Error::new(Code::POLICY_INVALID, format!("not JSON: {error}"))
                .at(Location::in_text(name, text, at))
        });
        let set = parsed.and_then(|json| {
            on_a_large_stack(|| {
                cedar_policy::PolicySet::from_json_value(json).map_err(|error| {
                    problem::single(&error, Code::POLICY_INVALID, None).with("file", name)
                })
            })
        });
        match set {
            Ok(set) => self.take(name, text, &set),
            Err(error) => self.problems.push(error),
        }
        self
    }

    /// Adds a policy: the template of this id with its slots filled.
    pub fn link(
        mut self,
        template: &str,
        id: &str,
        principal: Option<&EntityUid>,
        resource: Option<&EntityUid>,
    ) -> Self {
        let principal = principal.map(|uid| (SlotId::principal(), uid));
        let slots = principal.into_iter().chain(resource.map(|uid| (SlotId::resource(), uid)));
        let slots = slots.map(|(slot, uid)| (slot, uid.core().clone().into())).collect();
        if let Err(error) = self.cedar.link(PolicyId::new(template), PolicyId::new(id), slots) {
            let error = problem::single(&error, Code::POLICY_INVALID, None);
            self.problems.push(error.with("template", template).with("link", id));
        }
        self
    }

    fn take(&mut self, name: &str, text: &str, set: &cedar_policy::PolicySet) {
        let origin = self.texts.len();
        self.texts.push((name.to_owned(), text.to_owned()));
        let first = self.unnamed;
        let mut renamed = HashMap::new();
        for template in set.templates() {
            let id = self.named(template.id(), template.annotation("id"), first);
            let added = self.cedar.add_template(template.new_id(id.clone()));
            self.keep(added.err().as_ref(), &id, origin);
            renamed.insert(template.id().clone(), id);
        }
        for policy in set.policies() {
            let Some((template, slots)) = policy.template_id().zip(policy.template_links()) else {
                let id = self.named(policy.id(), policy.annotation("id"), first);
                let added = self.cedar.add(policy.new_id(id.clone()));
                self.keep(added.err().as_ref(), &id, origin);
                continue;
            };
            let template = renamed.get(template).unwrap_or(template).clone();
            let linked = self.cedar.link(template, policy.id().clone(), slots);
            self.keep(linked.err().as_ref(), policy.id(), origin);
        }
    }

    /// What a policy of a text is called.
    fn named(&mut self, id: &PolicyId, annotation: Option<&str>, first: usize) -> PolicyId {
        // What Cedar calls a policy by its place: those of a later text count on.
        let place = AsRef::<str>::as_ref(id)
            .strip_prefix("policy")
            .and_then(|place| place.parse::<usize>().ok())
            .map(|place| place.saturating_add(first));
        if let Some(place) = place {
            self.unnamed = self.unnamed.max(place.saturating_add(1));
        }
        match (annotation.filter(|id| !id.is_empty()), place) {
            (Some(id), _) => PolicyId::new(id),
            (None, Some(place)) => PolicyId::new(format!("policy{place}")),
            (None, None) => id.clone(),
        }
    }

    fn keep(
        &mut self,
        refused: Option<&cedar_policy::PolicySetError>,
        id: &PolicyId,
        origin: usize,
    ) {
        let id = id.to_string();
        match refused {
            None => _ = self.origin.insert(id, origin),
            Some(error) => {
                let file =
                    self.texts.get(origin).map(|(name, _)| name.as_str()).unwrap_or_default();
                let error = problem::single(error, Code::POLICY_INVALID, None);
                self.problems.push(error.with("policy", id).with("file", file));
            }
        }
    }

    /// The set.
    ///
    /// # Errors
    /// [`Code::POLICY_INVALID`], with every mistake: where a text is not Cedar, where two policies are called
    /// the same, where a link does not fit its template, where a policy does not fit the schema.
    pub fn build(self) -> Result<PolicySet> {
        on_a_large_stack(|| self.checked())
    }

    fn checked(mut self) -> Result<PolicySet> {
        let mut warnings = Vec::new();
        if let (true, Some(schema)) = (self.problems.is_empty(), &self.schema) {
            let validator = cedar_policy::Validator::new(schema.core().clone());
            let found = validator.validate(&self.cedar, ValidationMode::Strict);
            for error in found.validation_errors() {
                let id = error.policy_id().to_string();
                let text = self.origin.get(&id).and_then(|at| self.texts.get(*at));
                let text = text.map(|(name, text)| Text { name, text });
                let error = problem::single(error, Code::POLICY_INVALID, text);
                self.problems.push(error.with("policy", id));
            }
            warnings.extend(found.validation_warnings().map(ToString::to_string));
        }
        match Error::join(self.problems) {
            Some(error) => Err(error.operation("authz.load")),
            None => Ok(PolicySet::new(self.cedar, self.schema, warnings)),
        }
    }
}
