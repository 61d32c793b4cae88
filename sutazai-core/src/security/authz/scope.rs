//! What the scopes of a set's policies ask for, as numbers.
//!
//! The scope of a policy asks for one thing each of principal, action and resource: nothing, that it is an
//! entity (`==`), that it is in one (`in`), of a type (`is`), of a type and in an entity, or, of an action,
//! in one of several. Each such thing that a set's policies ask for is an *atom* of its dimension, and an
//! entity *has* those atoms that hold for it. A scope holds exactly when principal, action and resource have
//! its three atoms.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use cedar_policy_core::ast::{
    self, ActionConstraint, EntityReference, PrincipalOrResourceConstraint as Constraint,
};

use super::uid::{ByUid, EntityUid, Hashed};

/// Principal, action, resource.
pub(super) const DIMENSIONS: usize = 3;
pub(super) const PRINCIPAL: usize = 0;
pub(super) const ACTION: usize = 1;
pub(super) const RESOURCE: usize = 2;

/// The atom that everything has: the scope asks for nothing.
pub(super) const ANY: u32 = 0;

/// The atoms that a scope asks for.
pub(super) type Triple = [u32; DIMENSIONS];

#[derive(Clone, PartialEq, Eq, Hash)]
enum Atom {
    Is(ast::EntityType),
    Eq(EntityUid),
    In(EntityUid),
    IsIn(ast::EntityType, EntityUid),
    InOneOf(Vec<EntityUid>),
}

/// One atom that has to do with an entity which is named in a scope.
struct Mention {
    dimension: usize,
    atom: u32,
    /// Only the entity itself has it, and not those that are in it.
    itself: bool,
    /// Only entities of this type have it.
    of: Option<ast::EntityType>,
}

/// The scopes of all policies of a set.
pub(super) struct Scopes {
    triples: Vec<Triple>,
    /// How many atoms each dimension has.
    atoms: [u32; DIMENSIONS],
    mentions: ByUid<Vec<Mention>>,
    /// By the hash of the type: the atoms that being of a type gives.
    types: HashMap<u64, Vec<(ast::EntityType, Triple)>, BuildHasherDefault<Hashed>>,
}

impl Scopes {
    pub(super) fn new<'p>(policies: impl Iterator<Item = &'p ast::Policy>) -> Self {
        let mut interned = Interned::default();
        let triples = policies
            .map(|policy| {
                let action = match policy.action_constraint() {
                    ActionConstraint::Any => None,
                    ActionConstraint::Eq(uid) => Some(Atom::Eq(Arc::clone(uid).into())),
                    ActionConstraint::In(uids) => {
                        let mut uids: Vec<EntityUid> =
                            uids.iter().map(|uid| Arc::clone(uid).into()).collect();
                        uids.sort_unstable();
                        uids.dedup();
                        Some(Atom::InOneOf(uids))
                    }
                };
                [
                    interned.number(PRINCIPAL, atom(policy.principal_constraint().as_inner())),
                    interned.number(ACTION, action),
                    interned.number(RESOURCE, atom(policy.resource_constraint().as_inner())),
                ]
            })
            .collect();
        interned.into_scopes(triples)
    }

    /// What each policy asks for.
    pub(super) fn triples(&self) -> &[Triple] {
        &self.triples
    }

    /// How many atoms each dimension has, [`ANY`] among them.
    pub(super) fn atoms(&self) -> [u32; DIMENSIONS] {
        self.atoms
    }

    /// The entities that scopes name.
    pub(super) fn named(&self) -> impl Iterator<Item = &EntityUid> {
        self.mentions.keys()
    }

    /// The entities that scopes name as actions.
    pub(super) fn named_actions(&self) -> impl Iterator<Item = &EntityUid> {
        let named = self.mentions.iter();
        named
            .filter(|(_, mentions)| mentions.iter().any(|mention| mention.dimension == ACTION))
            .map(|(uid, _)| uid)
    }

    /// The types that scopes name.
    pub(super) fn types(&self) -> impl Iterator<Item = (u64, &ast::EntityType)> {
        self.types.iter().flat_map(|(hash, types)| types.iter().map(|(ty, _)| (*hash, ty)))
    }

    /// The atoms of an entity, whose ancestors these are.
    pub(super) fn of_entity<'a>(
        &self,
        uid: &EntityUid,
        ancestors: impl Iterator<Item = &'a ast::EntityUID>,
    ) -> Has {
        let mut lists = self.lists_of_type(uid.type_hash(), uid.core().entity_type());
        for mention in self.mentions.get(uid).into_iter().flatten() {
            mention.add(uid, &mut lists);
        }
        if !self.mentions.is_empty() {
            for ancestor in ancestors {
                let ancestor = EntityUid::from(ancestor.clone());
                let mentions = self.mentions.get(&ancestor).into_iter().flatten();
                for mention in mentions.filter(|mention| !mention.itself) {
                    mention.add(uid, &mut lists);
                }
            }
        }
        Has::new(lists)
    }

    /// The atoms of an entity of which nothing but the type matters.
    pub(super) fn of_type(&self, hash: u64, ty: &ast::EntityType) -> Has {
        Has::new(self.lists_of_type(hash, ty))
    }

    fn lists_of_type(&self, hash: u64, ty: &ast::EntityType) -> [Vec<u32>; DIMENSIONS] {
        let atoms = self.types.get(&hash).into_iter().flatten();
        let atoms = atoms.filter(|(known, _)| known == ty).map(|(_, atoms)| *atoms).next();
        atoms.unwrap_or_default().map(|atom| if atom == ANY { vec![ANY] } else { vec![ANY, atom] })
    }
}

impl Mention {
    fn add(&self, uid: &EntityUid, lists: &mut [Vec<u32>; DIMENSIONS]) {
        let fits = self.of.as_ref().is_none_or(|ty| ty == uid.core().entity_type());
        if let (true, Some(list)) = (fits, lists.get_mut(self.dimension)) {
            list.push(self.atom);
        }
    }
}

/// What a constraint asks for. Those of a policy (a template that is linked, or has no slots) have no slot.
fn atom(constraint: &Constraint) -> Option<Atom> {
    let uid = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => Some(EntityUid::from(Arc::clone(uid))),
        EntityReference::Slot(_) => None,
    };
    match constraint {
        Constraint::Any => None,
        Constraint::Eq(reference) => uid(reference).map(Atom::Eq),
        Constraint::In(reference) => uid(reference).map(Atom::In),
        Constraint::Is(ty) => Some(Atom::Is(ty.as_ref().clone())),
        Constraint::IsIn(ty, reference) => {
            uid(reference).map(|uid| Atom::IsIn(ty.as_ref().clone(), uid))
        }
    }
}

/// Atoms as they are numbered.
#[derive(Default)]
struct Interned {
    numbers: [HashMap<Atom, u32>; DIMENSIONS],
}

impl Interned {
    fn number(&mut self, dimension: usize, atom: Option<Atom>) -> u32 {
        let (Some(atom), Some(numbers)) = (atom, self.numbers.get_mut(dimension)) else {
            return ANY;
        };
        let next = count(numbers.len()) + 1;
        *numbers.entry(atom).or_insert(next)
    }

    fn into_scopes(self, triples: Vec<Triple>) -> Scopes {
        let atoms = self.numbers.each_ref().map(|numbers| count(numbers.len()) + 1);
        let mut scopes =
            Scopes { triples, atoms, mentions: HashMap::default(), types: HashMap::default() };
        for (dimension, numbers) in self.numbers.into_iter().enumerate() {
            for (key, atom) in numbers {
                let (itself, of, uids) = match key {
                    Atom::Is(ty) => {
                        scopes.add_type(ty, dimension, atom);
                        continue;
                    }
                    Atom::Eq(uid) => (true, None, vec![uid]),
                    Atom::In(uid) => (false, None, vec![uid]),
                    Atom::IsIn(ty, uid) => (false, Some(ty), vec![uid]),
                    Atom::InOneOf(uids) => (false, None, uids),
                };
                for uid in uids {
                    let mention = Mention { dimension, atom, itself, of: of.clone() };
                    scopes.mentions.entry(uid).or_default().push(mention);
                }
            }
        }
        scopes
    }
}

impl Scopes {
    fn add_type(&mut self, ty: ast::EntityType, dimension: usize, atom: u32) {
        let types = self.types.entry(super::uid::keyed(&ty)).or_default();
        let at = types.iter().position(|(known, _)| *known == ty).unwrap_or_else(|| {
            types.push((ty, [ANY; DIMENSIONS]));
            types.len() - 1
        });
        if let Some(slot) = types.get_mut(at).and_then(|(_, atoms)| atoms.get_mut(dimension)) {
            *slot = atom;
        }
    }
}

/// The atoms that an entity has: of each dimension in order, each once, [`ANY`] first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Has {
    atoms: Box<[u32]>,
    ends: [u32; DIMENSIONS],
}

impl Has {
    fn new(lists: [Vec<u32>; DIMENSIONS]) -> Self {
        let (mut atoms, mut ends) = (Vec::new(), [0; DIMENSIONS]);
        for (mut list, end) in lists.into_iter().zip(&mut ends) {
            list.sort_unstable();
            list.dedup();
            atoms.append(&mut list);
            *end = count(atoms.len());
        }
        Self { atoms: atoms.into(), ends }
    }

    /// Of an entity for which nothing holds.
    pub(super) fn nothing() -> Self {
        Self::new(std::array::from_fn(|_| vec![ANY]))
    }

    #[inline]
    pub(super) fn of(&self, dimension: usize) -> &[u32] {
        let end = self.ends.get(dimension).copied().unwrap_or_default();
        let start = dimension.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        self.atoms.get(start.unwrap_or_default() as usize..end as usize).unwrap_or_default()
    }
}

/// A number of things that is bounded far below 2³².
pub(super) fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
