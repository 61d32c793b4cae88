//! Rows of the room `security`: roles, and what somebody may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use super::security_policy::{Changed, SETTING};
use super::security_shape::a_page;
use super::who::By;
use crate::security::PolicyChange;
use crate::security::authz::{Assignment, Context, EntityUid, Reverse, Role, Roles};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.roles_set",
            "Takes other roles, what they permit, and who has them; beside the policies, any of which may forbid.",
            SETTING,
            roles_set,
        ),
        Operation::blocking(
            "security.roles",
            "The roles as they were set last, and who has them.",
            &[Code::NOT_RUNNING],
            roles,
        ),
        Operation::blocking(
            "security.what_may",
            "What somebody may do: pairs of an action and a resource, in order, page by page.",
            &[Code::ACCESS_INVALID],
            what_may,
        ),
        Operation::blocking(
            "security.who_may",
            "Who may do something to a resource, in order, page by page.",
            &[Code::ACCESS_INVALID],
            who_may,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleSetting {
    /// The roles.
    roles: Vec<Role>,
    /// Who has which.
    #[serde(default)]
    assignments: Vec<Assignment>,
    /// The type of the roles' entities: `Role` without it.
    entity_type: Option<String>,
    /// Who sets them.
    by: By,
}

fn entity_type() -> String {
    "Role".to_owned()
}

fn roles_set(surface: &Surface, request: RoleSetting) -> Result<Changed> {
    let kernel = surface.kernel();
    let (security, now) = (kernel.security()?, kernel.runtime().timestamp());
    let roles = Roles {
        roles: request.roles,
        assignments: request.assignments,
        entity_type: request.entity_type.unwrap_or_else(entity_type),
    };
    Ok(security.change_policies(PolicyChange::Roles(roles), &request.by, now)?.into())
}

fn roles(surface: &Surface, _: Nothing) -> Result<Roles> {
    Ok(surface.kernel().security()?.roles().unwrap_or_else(|| Roles {
        roles: Vec::new(),
        assignments: Vec::new(),
        entity_type: entity_type(),
    }))
}

/// The most that a page holds.
const PAGE: usize = 1_000;

fn uid(text: &str) -> Result<EntityUid> {
    text.parse()
}

fn uids(texts: Option<Vec<String>>) -> Result<Option<Vec<EntityUid>>> {
    texts.map(|texts| texts.iter().map(|text| uid(text)).collect()).transpose()
}

fn context(context: Option<Value>) -> Result<Context> {
    context.map_or_else(|| Ok(Context::empty()), Context::from_json)
}

fn limited(limit: usize, operation: &'static str) -> Result<usize> {
    match limit {
        0 => Err(Error::new(Code::ACCESS_INVALID, "a page of nothing finds nothing")
            .operation(operation)),
        limit => Ok(limit.min(PAGE)),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct What {
    /// Who: `User::"ann"`.
    principal: String,
    /// What else is known, of every request that is tried: an object.
    context: Option<Value>,
    /// The actions that are tried; without them those of the schema, or those that policies and entities name.
    actions: Option<Vec<String>>,
    /// The resources that are tried; without them all entities that are no actions.
    resources: Option<Vec<String>>,
    /// How many are found, at most; 100 without it, never more than 1,000.
    #[serde(default = "a_page")]
    limit: usize,
    /// Goes on behind this one: `next` of the page before.
    after: Option<Pair>,
}

/// An action on a resource.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pair {
    /// The action: `Action::"call"`.
    action: String,
    /// The resource: `Skill::"translate"`.
    resource: String,
}

impl Pair {
    fn of((action, resource): &(EntityUid, EntityUid)) -> Self {
        Self { action: action.to_string(), resource: resource.to_string() }
    }
}

#[derive(Serialize, JsonSchema)]
struct WhatMay {
    /// What is allowed.
    found: Vec<Pair>,
    /// What was tried last, where there is more to try: `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Pair>,
    /// Which state of policies and entities decided.
    generation: u64,
}

fn what_may(surface: &Surface, request: What) -> Result<WhatMay> {
    let engine = surface.kernel().security()?.policies();
    let query = Reverse {
        context: context(request.context)?,
        actions: uids(request.actions)?,
        entities: uids(request.resources)?,
        limit: limited(request.limit, "security.what_may")?,
        after: match request.after {
            Some(pair) => Some((uid(&pair.action)?, uid(&pair.resource)?)),
            None => None,
        },
        ..Reverse::default()
    };
    let page = engine.what_may(&uid(&request.principal)?, &query);
    Ok(WhatMay {
        found: page.found.iter().map(Pair::of).collect(),
        next: page.next.as_ref().map(Pair::of),
        generation: page.generation,
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Who {
    /// Does what: `Action::"call"`.
    action: String,
    /// To what: `Skill::"translate"`.
    resource: String,
    /// What else is known, of every request that is tried: an object.
    context: Option<Value>,
    /// Who is tried; without them all entities that are no actions.
    principals: Option<Vec<String>>,
    /// How many are found, at most; 100 without it, never more than 1,000.
    #[serde(default = "a_page")]
    limit: usize,
    /// Goes on behind this one: `next` of the page before.
    after: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct WhoMay {
    /// Who may.
    found: Vec<String>,
    /// Who was tried last, where there are more to try: `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Which state of policies and entities decided.
    generation: u64,
}

fn who_may(surface: &Surface, request: Who) -> Result<WhoMay> {
    let engine = surface.kernel().security()?.policies();
    let query = Reverse {
        context: context(request.context)?,
        entities: uids(request.principals)?,
        limit: limited(request.limit, "security.who_may")?,
        after: request.after.as_deref().map(uid).transpose()?,
        ..Reverse::default()
    };
    let page = engine.who_may(&uid(&request.action)?, &uid(&request.resource)?, &query);
    Ok(WhoMay {
        found: page.found.iter().map(ToString::to_string).collect(),
        next: page.next.as_ref().map(ToString::to_string),
        generation: page.generation,
    })
}
