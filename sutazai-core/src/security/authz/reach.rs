//! Which atoms each entity has: where the policies of a set and the entities meet.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use cedar_policy_core::ast;

use super::entities::Entities;
use super::index::Held;
use super::request::Request;
use super::scope::{ACTION, Has, PRINCIPAL, RESOURCE, Scopes, count};
use super::uid::{ByUid, EntityUid, Hashed};

/// The atoms of every entity. Made anew when the policies or the entities change; a request then only looks
/// up, whatever the depth of the hierarchy.
pub(super) struct Reach {
    /// Entities with the same atoms share them.
    sets: Vec<Has>,
    /// Of those in the store, and those that scopes name.
    known: ByUid<u32>,
    /// Of all others, by the hash of their type.
    by_type: HashMap<u64, Vec<(ast::EntityType, Has)>, BuildHasherDefault<Hashed>>,
    /// Of those whose type no scope names.
    nothing: Has,
}

impl Reach {
    pub(super) fn new(scopes: &Scopes, entities: &Entities) -> Self {
        let mut shared: HashMap<Has, u32> = HashMap::new();
        let mut known = ByUid::default();
        let mut number = |has: Has| {
            let next = count(shared.len());
            *shared.entry(has).or_insert(next)
        };
        for entity in entities.core().iter() {
            let uid = EntityUid::from(entity.uid().clone());
            let has = number(scopes.of_entity(&uid, entity.ancestors()));
            known.insert(uid, has);
        }
        for uid in scopes.named() {
            known
                .entry(uid.clone())
                .or_insert_with(|| number(scopes.of_entity(uid, std::iter::empty())));
        }
        let mut sets: Vec<_> = shared.into_iter().collect();
        sets.sort_unstable_by_key(|(_, at)| *at);
        let mut by_type: HashMap<_, Vec<_>, _> = HashMap::default();
        for (hash, ty) in scopes.types() {
            by_type.entry(hash).or_default().push((ty.clone(), scopes.of_type(hash, ty)));
        }
        let sets = sets.into_iter().map(|(has, _)| has).collect();
        Self { sets, known, by_type, nothing: Has::nothing() }
    }

    /// The atoms of an entity.
    #[inline]
    pub(super) fn of(&self, uid: &EntityUid) -> &Has {
        if let Some(has) = self.known.get(uid).and_then(|at| self.sets.get(*at as usize)) {
            return has;
        }
        let types = self.by_type.get(&uid.type_hash()).into_iter().flatten();
        let mut has = types.filter(|(ty, _)| ty == uid.core().entity_type()).map(|(_, has)| has);
        has.next().unwrap_or(&self.nothing)
    }

    /// The atoms of a request.
    #[inline]
    pub(super) fn held(&self, request: &Request) -> Held<'_> {
        [
            self.of(&request.principal).of(PRINCIPAL),
            self.of(&request.action).of(ACTION),
            self.of(&request.resource).of(RESOURCE),
        ]
    }
}
