//! Roles as data: made into policies and entities.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::ast;
use serde::{Deserialize, Serialize};

use super::entities::Entities;
use super::set::PolicySetBuilder;
use super::uid::EntityUid;
use crate::{Code, Error, Result};

/// Roles, what they permit, and who has them: role-based access control (after the NIST model, R. Sandhu et al.,
/// 2000: core and hierarchical).
///
/// A role becomes an entity `Role::"name"`. Who has it everywhere is in it, and a role that inherits from another is
/// in that one: membership is a matter of entities, and is changed without touching policies. Who has it on a
/// resource only is linked to the role's templates. What a role permits is a policy that any forbid overrides.
///
/// ```
/// use sutazai_core::security::authz::{Entities, PolicyEngine, PolicySet, Request, Roles};
/// let roles = Roles::from_json(r#"{
///     "roles": [
///         {"name": "reader", "permits": [{"actions": ["Action::\"read\""], "on": {"type": "Page"}}]},
///         {"name": "editor", "permits": [{"actions": ["Action::\"edit\""]}], "inherits": ["reader"]}],
///     "assignments": [
///         {"principal": "User::\"alice\"", "role": "reader"},
///         {"principal": "User::\"alice\"", "role": "editor", "on": "Space::\"wiki\""}]
/// }"#)?;
/// let entities = Entities::from_json(r#"[{"uid": {"type": "Page", "id": "home"}, "attrs": {},
///     "parents": [{"type": "Space", "id": "wiki"}]}]"#, None)?;
/// let policies = roles.policies(PolicySet::builder())?.build()?;
/// let engine = PolicyEngine::new(policies, roles.entities(&entities)?);
/// let alice = |action: &str, page: &str| -> sutazai_core::Result<bool> {
///     let request = Request::new("User::\"alice\"".parse()?, action.parse()?, page.parse()?);
///     Ok(engine.decide(&request).is_allowed())
/// };
/// assert!(alice("Action::\"edit\"", "Page::\"home\"")?);
/// assert!(alice("Action::\"read\"", "Page::\"elsewhere\"")?);
/// assert!(!alice("Action::\"edit\"", "Page::\"elsewhere\"")?);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The roles.
    pub roles: Vec<Role>,
    /// Who has which.
    #[serde(default)]
    pub assignments: Vec<Assignment>,
    /// The type of the roles' entities: `Role`, unless it says otherwise.
    #[serde(default = "role")]
    pub entity_type: String,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What it is called.
    pub name: String,
    /// What who has it may do.
    #[serde(default)]
    pub permits: Vec<Grant>,
    /// The roles whose permissions it has as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<String>,
}

/// Something that a role permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The actions, or groups of actions.
    #[schemars(with = "Vec<String>")]
    pub actions: Vec<EntityUid>,
    /// On what.
    #[serde(default)]
    pub on: Target,
}

/// On what a role permits something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Any resource.
    #[default]
    Any,
    /// Resources of a type.
    Type(String),
    /// An entity, and all that is in it.
    In(#[schemars(with = "String")] EntityUid),
    /// One entity.
    Only(#[schemars(with = "String")] EntityUid),
}

/// Somebody has a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Who; with a group, all that are in it.
    #[schemars(with = "String")]
    pub principal: EntityUid,
    /// The role.
    pub role: String,
    /// On which resource, and all that is in it; everywhere, when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub on: Option<EntityUid>,
}

fn role() -> String {
    "Role".to_owned()
}

impl Roles {
    /// Of a JSON text.
    ///
    /// # Errors
    /// [`Code::ROLE_INVALID`], also for what [`check`](Self::check) finds.
    pub fn from_json(text: &str) -> Result<Self> {
        let roles: Self = serde_json::from_str(text)
            .map_err(|error| Error::new(Code::ROLE_INVALID, format!("not roles: {error}")))?;
        roles.check()?;
        Ok(roles)
    }

    /// Checks that every role that is named exists, once, and that none inherits from itself, be it through
    /// others.
    ///
    /// # Errors
    /// [`Code::ROLE_INVALID`], with every mistake.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut problem = |message: String| problems.push(Error::new(Code::ROLE_INVALID, message));
        let mut named: BTreeMap<&str, &Role> = BTreeMap::new();
        for role in &self.roles {
            if named.insert(&role.name, role).is_some() {
                problem(format!("there are two roles {:?}", role.name));
            }
            for grant in role.permits.iter().filter(|grant| grant.actions.is_empty()) {
                problem(format!("the role {:?} permits no action on {:?}", role.name, grant.on));
            }
            for grant in &role.permits {
                if let Target::Type(ty) = &grant.on
                    && let Err(error) = EntityUid::new(ty, "")
                {
                    problem(format!("the role {:?}: {}", role.name, error.message()));
                }
            }
        }
        for role in &self.roles {
            for from in role.inherits.iter().filter(|from| !named.contains_key(from.as_str())) {
                problem(format!(
                    "the role {:?} inherits from {from:?}, which there is not",
                    role.name
                ));
            }
        }
        for Assignment { principal, role, .. } in &self.assignments {
            if !named.contains_key(role.as_str()) {
                problem(format!("{principal} has the role {role:?}, which there is not"));
            }
        }
        if let Some(circle) = self.circle(&named) {
            problem(format!("roles inherit in a circle: {}", circle.join(" from ")));
        }
        match Error::join(problems) {
            Some(error) => Err(error.operation("authz.roles")),
            None => Ok(()),
        }
    }

    /// Roles that inherit in a circle, the first again at the end. Without recursion: roles come from outside.
    fn circle<'r>(&'r self, named: &BTreeMap<&str, &'r Role>) -> Option<Vec<&'r str>> {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for start in &self.roles {
            // Each entry: a role on the way, and how many of those it inherits from have been gone into.
            let mut way: Vec<(&Role, usize)> = vec![(start, 0)];
            while let Some((role, next)) = way.last_mut() {
                let Some(from) = role.inherits.get(*next) else {
                    done.insert(&role.name);
                    way.pop();
                    continue;
                };
                *next += 1;
                if let Some(at) = way.iter().position(|(role, _)| role.name == *from) {
                    let circle = way.iter().skip(at).map(|(role, _)| role.name.as_str());
                    return Some(
                        circle
                            .chain(named.get(from.as_str()).map(|role| role.name.as_str()))
                            .collect(),
                    );
                }
                match named.get(from.as_str()) {
                    Some(role) if !done.contains(from.as_str()) => way.push((*role, 0)),
                    _ => {}
                }
            }
        }
        None
    }

    /// Adds what the roles permit: a policy and a template for each grant, and a link for each assignment on
    /// a resource. Policies have the annotation `@role("name")`.
    ///
    /// # Errors
    /// [`Code::ROLE_INVALID`]: see [`check`](Self::check).
    pub fn policies(&self, mut builder: PolicySetBuilder) -> Result<PolicySetBuilder> {
        self.check()?;
        for role in &self.roles {
            let entity = EntityUid::new(&self.entity_type, &role.name)?;
            let mut text = String::new();
            for (grant, at) in role.permits.iter().zip(0..) {
                text += &grant.policy(&role.name, at, &entity)?;
            }
            builder = builder.cedar(&format!("role {}", role.name), &text);
        }
        for assignment in &self.assignments {
            let Some(on) = &assignment.on else { continue };
            for role in self.with_inherited(&assignment.role) {
                for at in 0..role.permits.len() {
                    let id = format!("role {} {at}: {} on {on}", role.name, assignment.principal);
                    let id = if role.name == assignment.role {
                        id
                    } else {
                        format!("{id} as {}", assignment.role)
                    };
                    let template = template_id(&role.name, at);
                    builder = builder.link(&template, &id, Some(&assignment.principal), Some(on));
                }
            }
        }
        Ok(builder)
    }

    /// The entities with the roles among them, and everybody in the roles that they have everywhere. Who was
    /// in a role before and no longer has it is in it no more.
    ///
    /// # Errors
    /// [`Code::ROLE_INVALID`]: see [`check`](Self::check). [`Code::ENTITIES_INVALID`] when entities are in one
    /// another in a circle then.
    pub fn entities(&self, entities: &Entities) -> Result<Entities> {
        self.check()?;
        let ours = EntityUid::new(&self.entity_type, "")?;
        let is_role = |uid: &ast::EntityUID| uid.entity_type() == ours.core().entity_type();
        let mut parents: BTreeMap<EntityUid, Vec<EntityUid>> = BTreeMap::new();
        for role in &self.roles {
            let inherited =
                role.inherits.iter().map(|from| EntityUid::new(&self.entity_type, from));
            let entity = EntityUid::new(&self.entity_type, &role.name)?;
            parents.insert(entity, inherited.collect::<Result<_>>()?);
        }
        // Roles that are no longer there go, and with them who was in them.
        let gone: Vec<EntityUid> = entities
            .uids()
            .filter(|uid| is_role(uid.core()) && !parents.contains_key(uid))
            .collect();
        let entities = entities.remove(&gone)?;
        for entity in entities.core().iter().filter(|entity| entity.parents().any(is_role)) {
            parents.entry(entity.uid().clone().into()).or_default();
        }
        for assignment in self.assignments.iter().filter(|assignment| assignment.on.is_none()) {
            let role = EntityUid::new(&self.entity_type, &assignment.role)?;
            parents.entry(assignment.principal.clone()).or_default().push(role);
        }
        let changed = parents.into_iter().map(|(uid, roles)| {
            let known = entities.get(&uid);
            let keeps = known.into_iter().flat_map(ast::Entity::parents);
            let keeps = keeps.filter(|parent| !is_role(parent)).cloned();
            let roles = roles.iter().map(|role| role.core().clone());
            let attributes = |of: fn(&ast::Entity) -> Vec<(String, ast::PartialValue)>| {
                let pairs = known.map(of).unwrap_or_default();
                pairs.into_iter().map(|(key, value)| (key.into(), value))
            };
            ast::Entity::new_with_attr_partial_value(
                uid.core().clone(),
                attributes(|entity| {
                    entity.attrs().map(|(k, v)| (k.to_string(), v.clone())).collect()
                }),
                std::collections::HashSet::new(),
                keeps.chain(roles).collect(),
                attributes(|entity| {
                    entity.tags().map(|(k, v)| (k.to_string(), v.clone())).collect()
                }),
            )
            .into()
        });
        entities.with(changed.collect(), None)
    }

    /// The role of this name and all that it inherits from, each once.
    fn with_inherited(&self, name: &str) -> Vec<&Role> {
        let mut found: Vec<&Role> = Vec::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if found.iter().any(|role| role.name == name) {
                continue;
            }
            if let Some(role) = self.roles.iter().find(|role| role.name == name) {
                found.push(role);
                open.extend(role.inherits.iter().map(String::as_str));
            }
        }
        found
    }
}

impl Grant {
    /// The policy for who is in the role, and the template for who has it on a resource.
    fn policy(&self, role: &str, at: usize, entity: &EntityUid) -> Result<String> {
        let actions: Vec<String> = self.actions.iter().map(ToString::to_string).collect();
        let actions = actions.join(", ");
        let (anywhere, within, condition) = match &self.on {
            Target::Any => (String::new(), String::new(), String::new()),
            Target::Type(ty) => {
                // As it was read, and not as it was written.
                let ty = EntityUid::new(ty, "")?.type_name();
                (format!(" is {ty}"), format!(" is {ty}"), String::new())
            }
            Target::In(uid) => {
                (format!(" in {uid}"), String::new(), format!(" when {{ resource in {uid} }}"))
            }
            Target::Only(uid) => {
                (format!(" == {uid}"), String::new(), format!(" when {{ resource == {uid} }}"))
            }
        };
        let annotated = |id: &str| format!("@id({})\n@role({})\n", quoted(id), quoted(role));
        Ok(format!(
            "{}permit (principal in {entity}, action in [{actions}], resource{anywhere});\n\
             {}permit (principal in ?principal, action in [{actions}], resource{within} in ?resource){condition};\n",
            annotated(&format!("role {role} {at}")),
            annotated(&template_id(role, at)),
        ))
    }
}

fn template_id(role: &str, at: usize) -> String {
    format!("role {role} {at} on a resource")
}

/// A text as Cedar writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", ast::Eid::new(text).escaped())
}
