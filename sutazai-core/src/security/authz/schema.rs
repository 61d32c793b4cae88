//! What entities and actions there are.

use std::fmt;

use super::nesting::{self, on_a_large_stack};
use super::problem::{self, Text};
use super::request::Request;
use super::uid::EntityUid;
use crate::{Code, Result};

/// A schema of Cedar: which types of entities there are, with which attributes, and which actions apply to
/// which of them. With one, policies are checked when they are loaded, and not when they fail.
#[derive(Clone)]
pub struct Schema(cedar_policy::Schema);

impl Schema {
    /// Of text in Cedar's schema syntax; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Code::POLICY_SCHEMA`], with the place.
    pub fn from_cedar(name: &str, text: &str) -> Result<Self> {
        nesting::check(name, text, Code::POLICY_SCHEMA)?;
        on_a_large_stack(|| {
            let found = cedar_policy::Schema::from_cedarschema_str(text);
            let (schema, _warnings) = found.map_err(|error| {
                problem::of(&error, Code::POLICY_SCHEMA, Some(Text { name, text }))
            })?;
            Ok(Self(schema))
        })
    }

    /// Of text in Cedar's JSON form; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Code::POLICY_SCHEMA`], with the place when it is not JSON at all.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        on_a_large_stack(|| {
            cedar_policy::Schema::from_json_str(text).map(Self).map_err(|error| {
                problem::of(&error, Code::POLICY_SCHEMA, Some(Text { name, text }))
            })
        })
    }

    /// Checks that a request fits: the action exists and applies to such a principal and resource, and the
    /// context is as it declares.
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`].
    pub fn check(&self, request: &Request) -> Result<()> {
        let uid = |uid: &EntityUid| cedar_policy::EntityUid::from(uid.core().clone());
        cedar_policy::Request::new(
            uid(&request.principal),
            uid(&request.action),
            uid(&request.resource),
            request.context.core().clone().into(),
            Some(&self.0),
        )
        .map(drop)
        .map_err(|error| problem::of(&error, Code::ACCESS_INVALID, None).with("request", request))
    }

    /// Whether the action applies to such a principal and resource.
    pub(super) fn applies(
        &self,
        principal: &EntityUid,
        action: &EntityUid,
        resource: &EntityUid,
    ) -> bool {
        use cedar_policy_core::validator::ValidatorSchema;
        let schema: &ValidatorSchema = self.0.as_ref();
        schema.get_action_id(action.core()).is_some_and(|action| {
            action.is_applicable_principal_type(principal.core().entity_type())
                && action.is_applicable_resource_type(resource.core().entity_type())
        })
    }

    /// The actions that something may be done by: groups of actions are not among them.
    pub(super) fn actions(&self) -> impl Iterator<Item = EntityUid> {
        self.0.actions().map(|action| {
            let core: &cedar_policy_core::ast::EntityUID = action.as_ref();
            core.clone().into()
        })
    }

    pub(super) fn core(&self) -> &cedar_policy::Schema {
        &self.0
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}
