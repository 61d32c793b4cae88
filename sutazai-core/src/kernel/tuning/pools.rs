//! Pools whose size follows their load: what comes in, what waits, and what is forecast.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::super::Change;
use super::super::handle::Kernel;
use super::super::shared::Shared;
use super::ahead::Ahead;
use super::arrivals::Arrivals;
use super::{MOST, every, meant, no_answer, shown};
use crate::base::time::{Moment, Timestamp};
use crate::observe::Level;
use crate::tune::{Autonomy, PoolSample, PoolScaler, ScaleCause, ScaleDecision, ScalePolicy};
use crate::{Code, Error, Result};

/// How a pool is scaled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Scaling {
    /// How far it goes by itself: it only watches, it says what size would be right, it asks, or it acts. Default: it acts.
    pub autonomy: Autonomy,
    /// Bounds, costs, and how ready the pool is to be. The bounds of the pool's own policy hold besides.
    pub policy: ScalePolicy,
    /// Whether it looks ahead, by a forecast of what comes in. Default true.
    pub forecast: bool,
    /// Milliseconds between decisions, 100 to a day. Default 1,000.
    pub every_ms: u64,
    /// Milliseconds in which a change must be approved, 1 to a year. Default 300,000.
    pub approval_ms: u64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            autonomy: Autonomy::Act,
            policy: ScalePolicy::default(),
            forecast: true,
            every_ms: 1_000,
            approval_ms: 300_000,
        }
    }
}

impl Scaling {
    /// Whether it makes sense; where not, and why not.
    pub(in crate::kernel) fn check(&self) -> Result<(), (&'static str, Error)> {
        every(self.every_ms).map_err(|error| ("every", error))?;
        if !(1..=366 * 86_400_000).contains(&self.approval_ms) {
            let rule = "a change is approved within 1 millisecond to a year";
            let error = Error::new(Code::INVALID, rule).with("approval_ms", self.approval_ms);
            return Err(("approval", error));
        }
        self.policy.check().map_err(|error| ("policy", error))
    }
}

/// A size that waits to be approved.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SizeProposal {
    /// Its number, which an answer repeats.
    pub proposal: u64,
    /// The agents that there would be.
    pub target: u32,
    /// Why.
    pub cause: ScaleCause,
    /// Until when an approval counts.
    pub until: Timestamp,
}

/// A pool that is scaled, as hosts see it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ScaledPool {
    /// The pool.
    pub pool: Arc<str>,
    /// How it is scaled.
    pub scaling: Scaling,
    /// What was known of it when it was looked at last.
    pub sample: PoolSample,
    /// What size would be right, and why; none before it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<ScaleDecision>,
    /// The size that it was told to have last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<u32>,
    /// What waits to be approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<SizeProposal>,
}

/// What a pool has to do now.
pub(in crate::kernel) struct PoolFigures {
    pub(in crate::kernel) ready: u32,
    pub(in crate::kernel) starting: u32,
    pub(in crate::kernel) in_flight: u32,
    pub(in crate::kernel) waiting: u32,
    /// Calls that were turned away for want of a free agent, ever.
    pub(in crate::kernel) turned_away: u64,
    /// Tasks that an agent is meant to have at once.
    pub(in crate::kernel) places: u32,
    /// Calls that each of its agents has answered.
    pub(in crate::kernel) done: std::collections::BTreeMap<Arc<str>, u64>,
    /// What a call took them of late, in milliseconds; 0 where none was made.
    pub(in crate::kernel) took_ms: f64,
    /// How many it is to have.
    pub(in crate::kernel) target: u32,
    /// How many its own policy allows, at least and at most.
    pub(in crate::kernel) bounds: (u32, u32),
}

/// One pool that is scaled.
pub(super) struct Scaled {
    pub(super) pool: Arc<str>,
    every: Duration,
    state: Mutex<State>,
}

struct State {
    scaling: Scaling,
    scaler: PoolScaler,
    arrivals: Arrivals,
    next: Moment,
    sample: PoolSample,
    decision: Option<ScaleDecision>,
    /// What it was told to have, and the bounds of its own that held then.
    told: Option<(u32, (u32, u32))>,
    bounds: (u32, u32),
    /// What comes in ahead.
    ahead: Ahead,
    /// The proposal that waits, and until when.
    waiting: Option<(SizeProposal, Moment)>,
    /// What was suggested, or denied until then: it is not said again and again.
    said: Option<(u32, Moment)>,
}

impl Kernel {
    /// Has a pool's size follow its load, in the place of the pool's own rule (its bounds hold): see [`PoolScaler`]. What is decided is told by the events
    /// `tune.scale`, `tune.ask` and `tune.suggest`, and by `agent.pool` when it is done. Said again, it is changed.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a pool that there is not, [`Code::INVALID`] for what makes no sense, [`Code::OVERLOADED`]
    /// beyond a hundred, [`Code::NOT_RUNNING`] and [`Code::DRAINING`].
    pub fn scale_pool(&self, pool: &str, scaling: Scaling) -> Result<()> {
        let change = Change::configuration("tune.scale", pool);
        let done = self.shared.changes(change, || self.shared.scale_pool(pool, scaling));
        done.map_err(|error| error.operation("tune.scale").with("pool", shown(pool)))
    }

    /// Leaves a pool to its own rule again.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] where it is not scaled, and [`Code::NOT_RUNNING`] of a kernel that does not run.
    pub fn unscale_pool(&self, pool: &str) -> Result<()> {
        let unscale = || {
            // With the lock: a look that is under way tells it no other size afterwards.
            let mut pools = self.shared.tuning.pools.lock();
            if pools.remove(pool).is_none() {
                return Err(self.shared.none_or_stopped(not_scaled(pool, pools.keys())));
            }
            self.shared.creation.pools.steer(pool, None);
            Ok(())
        };
        let done = self.shared.changes(Change::configuration("tune.unscale", pool), unscale);
        done.map_err(|error: Error| error.operation("tune.unscale"))
    }

    /// The pools that are scaled, sorted by name.
    pub fn scaled_pools(&self) -> Vec<ScaledPool> {
        let all: Vec<_> = self.shared.tuning.pools.lock().values().cloned().collect();
        all.iter().map(|scaled| scaled.view()).collect()
    }

    /// Answers what was asked of a pool: whether it may have the size that waits to be approved. `proposal` is the number of what was
    /// asked, and `by` says who answers, for the record.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], [`Code::NOT_RUNNING`], and [`Code::INVALID`] where that proposal does not wait (any more).
    pub fn answer_scaling(
        &self,
        pool: &str,
        proposal: u64,
        approved: bool,
        by: &str,
    ) -> Result<()> {
        let word = if approved { "approved" } else { "denied" };
        let answer = || {
            let scaled = {
                let pools = self.shared.tuning.pools.lock();
                let found = pools.get(pool).cloned();
                let found = found.ok_or_else(|| not_scaled(pool, pools.keys()));
                found.map_err(|none| self.shared.none_or_stopped(none))?
            };
            let now = self.shared.runtime.now();
            let target = {
                let mut state = scaled.state.lock();
                let waiting = (state.waiting)
                    .take_if(|(one, until)| one.proposal == proposal && now < *until);
                let Some((proposal, _)) = waiting else {
                    let waits = state.waiting.as_ref().map(|(one, _)| one.proposal);
                    return Err(no_answer("this change of the pool", waits)
                        .with("pool", shown(pool))
                        .with("proposal", proposal));
                };
                let again = now + Duration::from_millis(state.scaling.approval_ms);
                state.said = (!approved).then_some((proposal.target, again));
                proposal
            };
            match approved {
                true => self.shared.resize(&scaled, target.target, target.cause),
                false => Ok(()),
            }
        };
        let change = Change::forced("tune.scale_answer", pool).by(by).with("answer", word);
        let done = self.shared.changes(change, answer);
        done.map_err(|error: Error| error.operation("tune.scale_answer"))
    }
}

fn not_scaled<'a>(pool: &str, scaled: impl Iterator<Item = &'a Arc<str>>) -> Error {
    let none = Error::new(Code::NOT_FOUND, "this pool is not scaled").with("pool", shown(pool));
    meant(none, pool, scaled.map(|name| &**name))
}

impl Scaled {
    fn view(&self) -> ScaledPool {
        let state = self.state.lock();
        ScaledPool {
            pool: Arc::clone(&self.pool),
            scaling: state.scaling.clone(),
            sample: state.sample.clone(),
            decision: state.decision,
            told: state.told.map(|(size, _)| size),
            waiting: state.waiting.as_ref().map(|(proposal, _)| proposal.clone()),
        }
    }
}

impl Shared {
    pub(super) fn scale_pool(self: &Arc<Self>, pool: &str, scaling: Scaling) -> Result<()> {
        self.tunes()?;
        scaling.check().map_err(|(_, error)| error)?;
        let every = every(scaling.every_ms)?;
        let scaler = PoolScaler::new(scaling.policy.clone())?;
        let figures = self.pool_figures(pool).ok_or_else(|| {
            let none = Error::new(Code::NOT_FOUND, "there is no pool of this name");
            let pools = self.creation.pools.policies();
            meant(none, pool, pools.iter().map(|(name, _)| &**name))
        })?;
        let name: Arc<str> = pool.into();
        let mut arrivals = Arrivals::default();
        let now = self.runtime.now();
        let pending = u64::from(figures.in_flight) + u64::from(figures.waiting);
        arrivals.look(figures.done, pending, figures.turned_away, figures.ready, now);
        let state = Mutex::new(State {
            scaling,
            scaler,
            arrivals,
            next: now + every,
            sample: PoolSample::default(),
            decision: None,
            told: None,
            bounds: figures.bounds,
            ahead: Ahead::default(),
            waiting: None,
            said: None,
        });
        {
            let mut pools = self.tuning.pools.lock();
            if !pools.contains_key(&name) && pools.len() >= MOST {
                return Err(Error::new(Code::OVERLOADED, "as many pools are scaled as may be")
                    .with("most", MOST)
                    .advice("leave another one to its own rule first (tune.unscale)"));
            }
            pools.insert(Arc::clone(&name), Arc::new(Scaled { pool: name, every, state }));
        }
        // Until it decides the pool keeps the size that it has.
        self.creation
            .pools
            .steer(pool, Some((figures.target, "it is scaled by its load".to_owned())));
        self.tune_later();
        Ok(())
    }

    pub(super) fn look_at_scaled(self: &Arc<Self>, scaled: &Arc<Scaled>) {
        let now = self.runtime.now();
        if now < scaled.state.lock().next {
            return;
        }
        let Some(figures) = self.pool_figures(&scaled.pool) else {
            // It was removed. Another one may have its name, and be scaled, by now.
            let mut pools = self.tuning.pools.lock();
            if pools.get(&scaled.pool).is_some_and(|one| Arc::ptr_eq(one, scaled)) {
                pools.remove(&scaled.pool);
            }
            return;
        };
        #[cfg(feature = "monitor")]
        self.look_ahead(scaled);
        let mut state = scaled.state.lock();
        state.next = now + scaled.every;
        let pending = u64::from(figures.in_flight) + u64::from(figures.waiting);
        let rates =
            state.arrivals.look(figures.done, pending, figures.turned_away, figures.ready, now);
        let Some(rates) = rates else { return };
        state.bounds = figures.bounds;
        state.sample = PoolSample {
            ready: figures.ready,
            starting: figures.starting,
            queue: u64::from(figures.waiting),
            arrivals_per_s: rates.taken,
            refused_per_s: rates.refused,
            service_ms: figures.took_ms / f64::from(figures.places.max(1)),
            forecast: state.ahead.from(now),
        };
        let sample = state.sample.clone();
        let decision = state.scaler.decide(&sample, now);
        state.decision = Some(decision);
        let next = state.next_step(figures.target, decision, now);
        drop(state);
        #[cfg(feature = "monitor")]
        self.keep_rate(&scaled.pool, sample.offered_per_s());
        self.step(scaled, next, now);
    }

    /// Forecasts anew, where it is time to.
    #[cfg(feature = "monitor")]
    fn look_ahead(&self, scaled: &Scaled) {
        let (every, start_up) = {
            let mut state = scaled.state.lock();
            if !state.ahead.is_due() || !state.scaling.forecast {
                return;
            }
            (state.scaling.every_ms, state.scaling.policy.start_up_ms)
        };
        let ahead = self.rates_ahead(&scaled.pool, every, start_up);
        scaled.state.lock().ahead = ahead;
    }

    fn step(&self, scaled: &Scaled, next: Step, now: Moment) {
        match next {
            Step::Nothing => {}
            // What failed is logged, and tried again at the next look.
            Step::Resize(target, cause) => drop(self.resize(scaled, target, cause)),
            Step::Suggest(decision) => self.publish(
                "tune.suggest",
                serde_json::json!({"pool": &*scaled.pool, "decision": decision}),
            ),
            Step::Ask(decision, within) => {
                let until = self.clock.wall(now + within);
                let ScaleDecision { target, cause, .. } = decision;
                let proposal = self.next_proposal();
                let asked = SizeProposal { proposal, target, cause, until };
                scaled.state.lock().waiting = Some((asked, now + within));
                self.publish(
                    "tune.ask",
                    serde_json::json!({
                        "pool": &*scaled.pool, "proposal": proposal, "decision": decision, "until": until,
                    }),
                );
            }
        }
    }

    /// The room `agent` carries it out.
    fn resize(&self, scaled: &Scaled, target: u32, cause: ScaleCause) -> Result<()> {
        let pool = &scaled.pool;
        let cause = serde_json::to_value(cause).unwrap_or_default();
        let cause = cause.as_str().unwrap_or_default();
        let word = target.to_string();
        let change = Change::deployment("tune.scaled", pool).by(Change::KERNEL);
        let steered = self.changes(change.with("target", &word), || {
            let pools = self.tuning.pools.lock();
            if pools.contains_key(pool) {
                let why = format!("scaled by its load: {cause}");
                self.creation.pools.steer(pool, Some((target, why)));
            }
            Ok(())
        });
        if let Err(error) = steered {
            let fields = [("pool", pool.to_string()), ("error", format!("{error:#}"))];
            self.kept.log().record(Level::Warn, "sutazai.tune", "a pool was not scaled", fields);
            return Err(error);
        }
        {
            let mut state = scaled.state.lock();
            state.told = Some((target, state.bounds));
        }
        self.publish(
            "tune.scale",
            serde_json::json!({"pool": &**pool, "target": target, "cause": cause}),
        );
        Ok(())
    }
}

/// What is done about a decision.
enum Step {
    Nothing,
    Resize(u32, ScaleCause),
    Suggest(ScaleDecision),
    Ask(ScaleDecision, Duration),
}

impl State {
    fn next_step(&mut self, present: u32, decision: ScaleDecision, now: Moment) -> Step {
        if self.waiting.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.waiting = None;
        }
        if self.said.is_some_and(|(_, until)| now >= until) {
            self.said = None;
        }
        // Where it is not known what a task takes, agents that are missing are none too many.
        let unknown = decision.cause == ScaleCause::Unknown && decision.target < present;
        // Told so already: the pool's own bounds, which are what they were, are in the way.
        let told = self.told == Some((decision.target, self.bounds));
        if unknown || told || decision.target == present {
            self.waiting = None;
            return Step::Nothing;
        }
        let within = Duration::from_millis(self.scaling.approval_ms);
        let said = self.said.is_some_and(|(target, _)| target == decision.target);
        match self.scaling.autonomy {
            Autonomy::Observe => Step::Nothing,
            Autonomy::Suggest if said => Step::Nothing,
            Autonomy::Suggest => {
                self.said = Some((decision.target, now + within));
                Step::Suggest(decision)
            }
            Autonomy::Approve => {
                // Who answers answers what was asked: it stays so until then, or until its time is over.
                if self.waiting.is_some() || said {
                    Step::Nothing
                } else {
                    Step::Ask(decision, within)
                }
            }
            Autonomy::Act => Step::Resize(decision.target, decision.cause),
        }
    }
}
