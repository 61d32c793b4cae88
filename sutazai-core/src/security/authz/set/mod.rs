//! Sets of policies: loaded, checked and indexed as a whole.

mod builder;
mod clauses;
mod mentions;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast::{self, Expr, ExprKind, Literal};
use serde::{Deserialize, Serialize};

pub use builder::PolicySetBuilder;
pub(super) use clauses::{Clause, ClauseKind};

use super::Schema;
use super::index::Index;
use super::scope::{Scopes, count};
use crate::Result;

/// A set of policies, checked and indexed. Does not change; cheap to clone.
///
/// ```
/// use sutazai_core::security::authz::PolicySet;
/// let set = PolicySet::from_cedar("team.cedar", r#"
///     @id("readers may read")
///     permit (principal in Group::"readers", action == Action::"read", resource);
///     forbid (principal, action, resource) when { context.risk > 80 };
/// "#)?;
/// assert_eq!(set.len(), 2);
/// assert!(set.policy("readers may read").is_some() && set.policy("policy1").is_some());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct PolicySet(Arc<Inner>);

struct Inner {
    cedar: cedar_policy::PolicySet,
    rules: Vec<Rule>,
    by_id: HashMap<Arc<str>, u32>,
    scopes: Scopes,
    index: Index,
    schema: Option<Schema>,
    warnings: Vec<String>,
    mentions: HashSet<Box<str>>,
}

/// What a policy does when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids, whatever else permits.
    Forbid,
}

/// One policy as it is evaluated.
pub(super) struct Rule {
    pub(super) id: Arc<str>,
    pub(super) effect: Effect,
    /// What stands behind the scope; `None` when that is nothing, or `true`.
    pub(super) condition: Option<Arc<Expr>>,
    /// An error's place may come from the policy as a whole, so that the condition alone would not tell it.
    pub(super) placed_by_policy: bool,
    pub(super) core: ast::Policy,
}

/// A policy of a set.
#[derive(Clone, Copy)]
pub struct PolicyView<'a>(&'a Rule);

impl PolicySet {
    /// A set that permits nothing.
    pub fn empty() -> Self {
        Self::new(cedar_policy::PolicySet::new(), None, Vec::new())
    }

    /// Makes a set out of several texts, templates' links and a schema.
    pub fn builder() -> PolicySetBuilder {
        PolicySetBuilder::default()
    }

    /// Of one text in Cedar's syntax; `name` is what errors call it. A policy is called what its annotation
    /// `@id("…")` says, or else `policy0`, `policy1`, … by its place in the text.
    ///
    /// # Errors
    /// [`Code::POLICY_INVALID`](crate::Code::POLICY_INVALID), with every mistake and its place.
    pub fn from_cedar(name: &str, text: &str) -> Result<Self> {
        Self::builder().cedar(name, text).build()
    }

    /// Of one text in Cedar's JSON form: `{"staticPolicies": {…}, "templates": {…}, "templateLinks": […]}`.
    ///
    /// # Errors
    /// [`Code::POLICY_INVALID`](crate::Code::POLICY_INVALID).
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        Self::builder().json(name, text).build()
    }

    pub(super) fn new(
        cedar: cedar_policy::PolicySet,
        schema: Option<Schema>,
        warnings: Vec<String>,
    ) -> Self {
        let rules: Vec<Rule> = cedar.policies().map(|policy| Rule::new(policy.as_ref())).collect();
        let by_id =
            rules.iter().enumerate().map(|(at, rule)| (Arc::clone(&rule.id), count(at))).collect();
        let scopes = Scopes::new(rules.iter().map(|rule| &rule.core));
        let index = Index::new(scopes.triples(), scopes.atoms());
        let mentions = mentions::of(rules.iter().map(|rule| &rule.core));
        Self(Arc::new(Inner { cedar, rules, by_id, scopes, index, schema, warnings, mentions }))
    }

    /// How many policies it has, links of templates among them.
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    /// Whether it has none, and so permits nothing.
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    /// The policies, in the order in which they were loaded.
    pub fn policies(&self) -> impl Iterator<Item = PolicyView<'_>> {
        self.0.rules.iter().map(PolicyView)
    }

    /// The policy of this id.
    pub fn policy(&self, id: &str) -> Option<PolicyView<'_>> {
        self.0.by_id.get(id).and_then(|at| self.rule(*at)).map(PolicyView)
    }

    /// Whether an attribute of this name stands in a policy, of whatever it is one. What a set does not mention
    /// need not be in the context of its requests.
    pub fn mentions(&self, attribute: &str) -> bool {
        self.0.mentions.contains(attribute)
    }

    /// The schema that it was checked against.
    pub fn schema(&self) -> Option<&Schema> {
        self.0.schema.as_ref()
    }

    /// What the check against the schema found that is no mistake but may be none that was meant.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    pub(super) fn rule(&self, at: u32) -> Option<&Rule> {
        self.0.rules.get(at as usize)
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.0.rules
    }

    pub(super) fn number(&self, id: &str) -> Option<u32> {
        self.0.by_id.get(id).copied()
    }

    pub(super) fn scopes(&self) -> &Scopes {
        &self.0.scopes
    }

    pub(super) fn index(&self) -> &Index {
        &self.0.index
    }

    pub(super) fn cedar(&self) -> &cedar_policy::PolicySet {
        &self.0.cedar
    }

    pub(super) fn view(&self, at: u32) -> Option<PolicyView<'_>> {
        self.rule(at).map(PolicyView)
    }

    /// The conditions of a policy, as they stand in it.
    pub(super) fn clauses(&self, at: u32) -> Vec<Clause> {
        let Some(rule) = self.rule(at) else { return Vec::new() };
        let id = cedar_policy::PolicyId::new(&rule.id);
        clauses::of(rule, self.0.cedar.policy(&id))
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet").field("policies", &self.len()).finish_non_exhaustive()
    }
}

impl Rule {
    fn new(policy: &ast::Policy) -> Self {
        let condition = policy
            .non_scope_constraints_arc()
            .filter(|condition| {
                !matches!(condition.expr_kind(), ExprKind::Lit(Literal::Bool(true)))
            })
            .cloned();
        let placeless = |condition: &Arc<Expr>| {
            condition.subexpressions().any(|part| part.source_loc().is_none())
        };
        Self {
            id: Arc::from(policy.id().as_ref()),
            effect: match policy.effect() {
                ast::Effect::Permit => Effect::Permit,
                ast::Effect::Forbid => Effect::Forbid,
            },
            placed_by_policy: policy.loc().is_some() && condition.as_ref().is_some_and(placeless),
            condition,
            core: policy.clone(),
        }
    }
}

impl<'a> PolicyView<'a> {
    /// What it is called.
    pub fn id(self) -> &'a str {
        &self.0.id
    }

    /// Whether it permits or forbids.
    pub fn effect(self) -> Effect {
        self.0.effect
    }

    /// The annotation of this name: `@name("value")`.
    pub fn annotation(self, name: &str) -> Option<&'a str> {
        self.annotations().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All annotations.
    pub fn annotations(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.core.annotations().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The template that it is a link of.
    pub fn template(self) -> Option<&'a str> {
        (!self.0.core.is_static()).then(|| self.0.core.template().id().as_ref())
    }
}

impl fmt::Debug for PolicyView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.core, f)
    }
}
