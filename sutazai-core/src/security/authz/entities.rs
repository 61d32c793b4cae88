//! What is known of principals and resources: attributes, and what is in what.

use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast;

use super::nesting::on_a_large_stack;
use super::problem;
use super::{EntityUid, Schema};
use crate::{Code, Error, Result};

/// Entities with their attributes, tags and parents. Does not change; cheap to clone: a change makes another.
///
/// ```
/// use sutazai_core::security::authz::Entities;
/// let entities = Entities::from_json(r#"[
///     {"uid": {"type": "User", "id": "alice"}, "attrs": {"age": 40},
///      "parents": [{"type": "Group", "id": "readers"}]},
///     {"uid": {"type": "Group", "id": "readers"}, "attrs": {}, "parents": []}
/// ]"#, None)?;
/// let more = entities.upsert(r#"[{"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []}]"#, None)?;
/// assert_eq!((entities.len(), more.len()), (2, 3));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Entities(Arc<cedar_policy::Entities>);

impl Entities {
    /// None.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Of a JSON array in Cedar's form. With a schema they are checked against it, and its actions are among
    /// them.
    ///
    /// # Errors
    /// [`Code::ENTITIES_INVALID`]: not in that form, one twice, in one another in a circle, not as the schema
    /// says.
    pub fn from_json(json: &str, schema: Option<&Schema>) -> Result<Self> {
        on_a_large_stack(|| {
            cedar_policy::Entities::from_json_str(json, schema.map(Schema::core))
                .map(Into::into)
                .map_err(|error| invalid(&error))
        })
    }

    /// As a JSON array in Cedar's form.
    ///
    /// # Errors
    /// [`Code::ENTITIES_INVALID`] for a value that JSON has no form for.
    pub fn to_json(&self) -> Result<String> {
        self.0.to_json_value().map(|json| json.to_string()).map_err(|error| invalid(&error))
    }

    /// With these as well; one that is there already is replaced as a whole.
    ///
    /// Costs time in proportion to how many entities there are, not to how many change: bring what changes
    /// together at once.
    ///
    /// # Errors
    /// [`Code::ENTITIES_INVALID`].
    pub fn upsert(&self, json: &str, schema: Option<&Schema>) -> Result<Self> {
        let values: Vec<serde_json::Value> = serde_json::from_str(json).map_err(|error| {
            Error::new(Code::ENTITIES_INVALID, format!("not a JSON array of entities: {error}"))
        })?;
        let schema = schema.map(Schema::core);
        let read = |value| {
            cedar_policy::Entity::from_json_value(value, schema).map_err(|error| invalid(&error))
        };
        let entities: Result<Vec<_>> = on_a_large_stack(|| values.into_iter().map(read).collect());
        let entities = entities?;
        self.with(entities, schema)
    }

    pub(super) fn with(
        &self,
        entities: Vec<cedar_policy::Entity>,
        schema: Option<&cedar_policy::Schema>,
    ) -> Result<Self> {
        let all = cedar_policy::Entities::clone(&self.0);
        all.upsert_entities(entities, schema).map(Into::into).map_err(|error| invalid(&error))
    }

    /// Without these. What was in one of them is no longer in it, nor, through it, in others.
    ///
    /// # Errors
    /// [`Code::ENTITIES_INVALID`]; not for one that is not there.
    pub fn remove(&self, uids: &[EntityUid]) -> Result<Self> {
        let uids = uids.iter().map(|uid| cedar_policy::EntityUid::from(uid.core().clone()));
        let all = cedar_policy::Entities::clone(&self.0);
        all.remove_entities(uids).map(Into::into).map_err(|error| invalid(&error))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this name.
    pub fn contains(&self, uid: &EntityUid) -> bool {
        self.get(uid).is_some()
    }

    /// Whether one is the other, or in it.
    pub fn is_in(&self, uid: &EntityUid, of: &EntityUid) -> bool {
        uid == of || self.get(uid).is_some_and(|entity| entity.is_descendant_of(of.core()))
    }

    /// Their names, in no order.
    pub fn uids(&self) -> impl Iterator<Item = EntityUid> {
        self.core().iter().map(|entity| entity.uid().clone().into())
    }

    pub(super) fn get(&self, uid: &EntityUid) -> Option<&ast::Entity> {
        match self.core().entity(uid.core()) {
            cedar_policy_core::entities::Dereference::Data(entity) => Some(entity),
            _ => None,
        }
    }

    pub(super) fn core(&self) -> &cedar_policy_core::entities::Entities {
        (*self.0).as_ref()
    }

    pub(super) fn cedar(&self) -> &cedar_policy::Entities {
        &self.0
    }
}

fn invalid(error: &dyn miette::Diagnostic) -> Error {
    problem::single(error, Code::ENTITIES_INVALID, None).operation("authz.entities")
}

impl From<cedar_policy::Entities> for Entities {
    fn from(entities: cedar_policy::Entities) -> Self {
        Self(Arc::new(entities))
    }
}

impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entities").field("count", &self.len()).finish_non_exhaustive()
    }
}
