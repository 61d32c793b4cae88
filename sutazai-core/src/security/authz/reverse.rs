//! What may somebody do, and who may do something.

use std::ops::ControlFlow;

use super::context::Context;
use super::engine::{PolicyEngine, State};
use super::request::Request;
use super::scope::{ACTION, PRINCIPAL, RESOURCE};
use super::uid::EntityUid;

/// What a reverse query asks over, and how far it goes at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reverse<K> {
    /// The context of every request that is tried.
    pub context: Context,
    /// The actions that are tried, for [`what_may`](PolicyEngine::what_may). Without them, those of the schema;
    /// without a schema, those that policies name or that are among the entities, and that no other is in.
    pub actions: Option<Vec<EntityUid>>,
    /// The resources (or principals, for [`who_may`](PolicyEngine::who_may)) that are tried. Without them, all
    /// entities that are no actions.
    pub entities: Option<Vec<EntityUid>>,
    /// How many are found at most. Default 100.
    pub limit: usize,
    /// How many requests are tried at most. Default 100,000.
    pub effort: usize,
    /// Goes on behind this one: [`Page::next`] of the page before.
    pub after: Option<K>,
}

impl<K> Default for Reverse<K> {
    fn default() -> Self {
        Self {
            context: Context::empty(),
            actions: None,
            entities: None,
            limit: 100,
            effort: 100_000,
            after: None,
        }
    }
}

/// A part of what a reverse query finds, in order.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Page<K> {
    /// What is allowed.
    pub found: Vec<K>,
    /// What was tried last, when there is more to try.
    pub next: Option<K>,
    /// Which state of policies and entities decided.
    pub generation: u64,
}

impl PolicyEngine {
    /// What the principal may do: pairs of an action and a resource, in order.
    ///
    /// Each pair is decided as a request of its own would be; actions that no policy knows for this
    /// principal are passed over as a whole. With a schema only pairs that it allows for are tried.
    ///
    /// ```
    /// use sutazai_core::security::authz::{Entities, PolicyEngine, PolicySet, Reverse};
    /// let set = PolicySet::from_cedar("p", r#"
    ///     permit (principal == User::"alice", action in [Action::"read", Action::"edit"], resource);
    ///     forbid (principal, action == Action::"edit", resource == Page::"law");
    /// "#)?;
    /// let engine = PolicyEngine::new(set, Entities::empty());
    /// let mut query = Reverse::default();
    /// query.entities = Some(vec!["Page::\"law\"".parse()?, "Page::\"home\"".parse()?]);
    /// let may = engine.what_may(&"User::\"alice\"".parse()?, &query);
    /// let may: Vec<_> = may.found.iter().map(|(action, page)| format!("{} {}", action.id(), page.id())).collect();
    /// assert_eq!(may, ["edit home", "read home", "read law"]);
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    pub fn what_may(
        &self,
        principal: &EntityUid,
        query: &Reverse<(EntityUid, EntityUid)>,
    ) -> Page<(EntityUid, EntityUid)> {
        let state = self.state();
        let actions = ordered(query.actions.clone().unwrap_or_else(|| state.actions()));
        let resources = ordered(query.entities.clone().unwrap_or_else(|| state.entities()));
        let mut search = Search::new(&state, query);
        let _ = actions.iter().try_for_each(|action| {
            let plane = &state.live;
            let known = plane.set.index().any_for_principal(
                plane.reach.of(principal).of(PRINCIPAL),
                plane.reach.of(action).of(ACTION),
            );
            let rows = if known { resources.as_slice() } else { &[] };
            rows.iter().try_for_each(|resource| {
                search.attempt((action.clone(), resource.clone()), |(action, resource)| {
                    [principal.clone(), action.clone(), resource.clone()]
                })
            })
        });
        search.page
    }

    /// Who may do this to that: principals, in order. Each is decided as a request of its own would be.
    pub fn who_may(
        &self,
        action: &EntityUid,
        resource: &EntityUid,
        query: &Reverse<EntityUid>,
    ) -> Page<EntityUid> {
        let state = self.state();
        let plane = &state.live;
        let known = plane.set.index().any_for_resource(
            plane.reach.of(resource).of(RESOURCE),
            plane.reach.of(action).of(ACTION),
        );
        let principals = query.entities.clone().unwrap_or_else(|| state.entities());
        let principals = if known { ordered(principals) } else { Vec::new() };
        let mut search = Search::new(&state, query);
        let _ = principals.into_iter().try_for_each(|principal| {
            search.attempt(principal, |principal| {
                [principal.clone(), action.clone(), resource.clone()]
            })
        });
        search.page
    }
}

struct Search<'q, K> {
    state: &'q State,
    query: &'q Reverse<K>,
    tried: usize,
    last: Option<K>,
    page: Page<K>,
}

impl<'q, K: Ord + Clone> Search<'q, K> {
    fn new(state: &'q State, query: &'q Reverse<K>) -> Self {
        let page = Page { found: Vec::new(), next: None, generation: state.generation };
        Self { state, query, tried: 0, last: None, page }
    }

    fn attempt(&mut self, key: K, request: impl Fn(&K) -> [EntityUid; 3]) -> ControlFlow<()> {
        if self.query.after.as_ref().is_some_and(|after| key <= *after) {
            return ControlFlow::Continue(());
        }
        if self.page.found.len() >= self.query.limit.max(1)
            || self.tried >= self.query.effort.max(1)
        {
            self.page.next = self.last.take();
            return ControlFlow::Break(());
        }
        self.tried += 1;
        let [principal, action, resource] = request(&key);
        let plane = &self.state.live;
        let fits =
            plane.set.schema().is_none_or(|schema| schema.applies(&principal, &action, &resource));
        let request =
            Request::new(principal, action, resource).with_context(self.query.context.clone());
        if fits && plane.decide(&request, self.state.generation).is_allowed() {
            self.page.found.push(key.clone());
        }
        self.last = Some(key);
        ControlFlow::Continue(())
    }
}

impl State {
    fn actions(&self) -> Vec<EntityUid> {
        let plane = &self.live;
        if let Some(schema) = plane.set.schema() {
            return schema.actions().collect();
        }
        let known = plane.entities.uids().filter(|uid| uid.core().is_action());
        let actions: Vec<_> = known.chain(plane.set.scopes().named_actions().cloned()).collect();
        let groups: std::collections::BTreeSet<EntityUid> = actions
            .iter()
            .filter_map(|action| plane.entities.get(action))
            .flat_map(|action| action.ancestors().map(|group| group.clone().into()))
            .collect();
        actions.into_iter().filter(|action| !groups.contains(action)).collect()
    }

    fn entities(&self) -> Vec<EntityUid> {
        self.live.entities.uids().filter(|uid| !uid.core().is_action()).collect()
    }
}

fn ordered(mut uids: Vec<EntityUid>) -> Vec<EntityUid> {
    uids.sort_unstable();
    uids.dedup();
    uids
}
