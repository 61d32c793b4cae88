//! Decides, with policies and entities that can be changed while it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::answer::Answer;
use super::cache::{Cache, CacheStatus};
use super::entities::Entities;
use super::evaluate::Plane;
use super::request::Request;
use super::set::PolicySet;
use super::shadow::{Shadow, ShadowReport};
use super::uid::EntityUid;
use crate::Result;

/// How a [`PolicyEngine`] works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How many answers the decision cache keeps; 0 turns it off. Rounded up to a power of two. Default 4,096.
    pub cache: usize,
    /// Whether policies are found by an index over their scopes (the default), or all of them evaluated, by
    /// Cedar's own authorizer. The answers are the same.
    pub index: bool,
    /// The generation that it begins with: the last one of an engine that it goes on from. Default 1.
    pub generation: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { cache: 4096, index: true, generation: 1 }
    }
}

/// Decides who may do what: policies, entities, an index, a cache. See the [module's documentation](super).
pub struct PolicyEngine {
    state: ArcSwap<State>,
    /// The generation of `state`, published after it.
    generation: AtomicU64,
    changing: Mutex<()>,
    cache: Option<Cache>,
    index: bool,
}

pub(super) struct State {
    pub(super) generation: u64,
    pub(super) live: Plane,
    shadow: Option<Shadow>,
}

/// An engine's figures.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct EngineStatus {
    /// Which state of policies and entities decides. It grows with every change.
    pub generation: u64,
    /// How many policies decide.
    pub policies: u64,
    /// How many entities are known.
    pub entities: u64,
    /// The decision cache, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStatus>,
}

impl PolicyEngine {
    /// An engine with these policies and entities.
    pub fn new(policies: PolicySet, entities: Entities) -> Self {
        Self::with_options(policies, entities, EngineOptions::default())
    }

    /// An engine that works so.
    pub fn with_options(policies: PolicySet, entities: Entities, options: EngineOptions) -> Self {
        let live = Plane::new(policies, entities);
        Self {
            state: ArcSwap::from_pointee(State {
                generation: options.generation,
                live,
                shadow: None,
            }),
            generation: AtomicU64::new(options.generation),
            changing: Mutex::new(()),
            cache: (options.cache > 0).then(|| Cache::new(options.cache)),
            index: options.index,
        }
    }

    /// Decides. Does not block; what fails in a policy is part of the [`Answer`].
    #[inline]
    pub fn decide(&self, request: &Request) -> Answer {
        let cache = self.cache.as_ref().filter(|_| !request.context.is_heavy());
        let Some(cache) = cache else { return self.decide_anew(request) };
        let hash = request.hash64();
        // Whoever calls after a change has returned reads its generation, or a later one.
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(answer) = cache.get(hash, generation, request) {
            return answer;
        }
        let answer = self.decide_anew(request);
        cache.put(hash, request.clone(), answer.clone());
        answer
    }

    fn decide_anew(&self, request: &Request) -> Answer {
        let state = self.state.load();
        let answer = if self.index {
            state.live.decide(request, state.generation)
        } else {
            state.live.decide_by_authorizer(request, state.generation)
        };
        if let Some(shadow) = &state.shadow {
            shadow.compare(request, &answer);
        }
        answer
    }

    /// Takes other policies, at once and as a whole, and answers their generation. When this returns, no call
    /// of [`decide`](Self::decide) that begins afterwards is answered by the old ones.
    pub fn swap(&self, policies: PolicySet) -> u64 {
        let _changing = self.changing.lock();
        let state = self.state.load_full();
        let live = Plane::new(policies, state.live.entities.clone());
        self.publish(&state, live, state.shadow.clone())
    }

    /// Takes other entities in the place of all, with the same promise as [`swap`](Self::swap).
    pub fn replace_entities(&self, entities: Entities) -> u64 {
        let _changing = self.changing.lock();
        let state = self.state.load_full();
        self.publish_entities(&state, entities)
    }

    /// Takes other policies and other entities, both at once, with the same promise as [`swap`](Self::swap).
    pub fn replace(&self, policies: PolicySet, entities: Entities) -> u64 {
        let _changing = self.changing.lock();
        let state = self.state.load_full();
        let shadow = state.shadow.as_ref().map(|shadow| shadow.with(entities.clone()));
        self.publish(&state, Plane::new(policies, entities), shadow)
    }

    /// Adds entities, and replaces those that are there, with the same promise as [`swap`](Self::swap). See
    /// [`Entities::upsert`], also for what it costs.
    ///
    /// # Errors
    /// [`Code::ENTITIES_INVALID`](crate::Code::ENTITIES_INVALID); nothing is changed then.
    pub fn upsert_entities(&self, json: &str) -> Result<u64> {
        let _changing = self.changing.lock();
        let state = self.state.load_full();
        let entities = state.live.entities.upsert(json, state.live.set.schema())?;
        Ok(self.publish_entities(&state, entities))
    }

    /// Removes entities, with the same promise as [`swap`](Self::swap). See [`Entities::remove`].
    ///
    /// # Errors
    /// [`Code::ENTITIES_INVALID`](crate::Code::ENTITIES_INVALID); nothing is changed then.
    pub fn remove_entities(&self, uids: &[EntityUid]) -> Result<u64> {
        let _changing = self.changing.lock();
        let state = self.state.load_full();
        let entities = state.live.entities.remove(uids)?;
        Ok(self.publish_entities(&state, entities))
    }

    /// Has every decision also made by a candidate set, and the differences counted; `None` ends that. A
    /// candidate never changes an answer. What the cache answers is not compared again.
    pub fn set_shadow(&self, candidate: Option<PolicySet>) -> u64 {
        let _changing = self.changing.lock();
        let state = self.state.load_full();
        let shadow = candidate.map(|set| Shadow::new(set, state.live.entities.clone()));
        let live = Plane::new(state.live.set.clone(), state.live.entities.clone());
        self.publish(&state, live, shadow)
    }

    /// Where the candidate set differs from the one that decides, since it was set.
    pub fn shadow_report(&self) -> Option<ShadowReport> {
        self.state.load().shadow.as_ref().map(Shadow::report)
    }

    /// Whether those that decide, or the candidate, speak of this part of the context.
    pub(in crate::security) fn mentions(&self, part: &str) -> bool {
        let state = self.state.load();
        let candidate = state.shadow.as_ref();
        state.live.set.mentions(part) || candidate.is_some_and(|shadow| shadow.mentions(part))
    }

    /// Which state of policies and entities decides: it grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The policies that decide.
    pub fn policies(&self) -> PolicySet {
        self.state.load().live.set.clone()
    }

    /// The entities that are known.
    pub fn entities(&self) -> Entities {
        self.state.load().live.entities.clone()
    }

    /// Its figures.
    pub fn status(&self) -> EngineStatus {
        let state = self.state.load();
        EngineStatus {
            generation: state.generation,
            policies: state.live.set.len() as u64,
            entities: state.live.entities.len() as u64,
            cache: self.cache.as_ref().map(Cache::status),
        }
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    fn publish_entities(&self, state: &State, entities: Entities) -> u64 {
        let shadow = state.shadow.as_ref().map(|shadow| shadow.with(entities.clone()));
        let live = Plane::new(state.live.set.clone(), entities);
        self.publish(state, live, shadow)
    }

    /// With `changing` held.
    fn publish(&self, before: &State, live: Plane, shadow: Option<Shadow>) -> u64 {
        let generation = before.generation + 1;
        self.state.store(Arc::new(State { generation, live, shadow }));
        self.generation.store(generation, Ordering::Release);
        generation
    }
}

impl std::fmt::Debug for PolicyEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.status().fmt(f)
    }
}
