//! What degradation is told: [`DegradePolicy`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::payload::Payload;
use crate::{Code, Error, Result};

/// Levels, the rules that lead from one to another, and what each feature does at each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DegradePolicy {
    /// The names of the levels, the best first; 1 to 16. Default full, reduced, essential.
    pub levels: Vec<String>,
    /// What asks for a level; at most 64. The lowest level that any rule asks for counts. Default none:
    /// the level changes by hand only.
    pub rules: Vec<DegradeRule>,
    /// For each feature what it does at which level. At a level that is not given it does what it does at
    /// the next better one that is; at the best it is on unless said otherwise.
    pub features: BTreeMap<String, BTreeMap<String, FeatureMode>>,
    /// Milliseconds that it rests at a level before it falls further. Default 1,000.
    pub down_dwell_ms: u64,
    /// Milliseconds that no rule may have asked for so low a level before it rises by one. Default
    /// 30,000.
    pub up_dwell_ms: u64,
    /// A signal that has not been fed in for this many milliseconds asks for nothing any more; 0 for
    /// never. Default 60,000.
    pub silent_ms: u64,
}

/// Asks for a level by a signal. Where `enter` is above `leave` high values are bad (load), where it is
/// below low ones are (health).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DegradeRule {
    /// The level that it asks for; not the best one.
    pub level: String,
    /// The name of the signal. Which there are is up to whoever feeds them in, who is told whether any
    /// rule listens.
    pub signal: String,
    /// Begins to ask when the signal reaches this.
    pub enter: f64,
    /// Stops when the signal is back at this. Not the same as `enter`.
    pub leave: f64,
}

/// What a feature does at a level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureMode {
    /// Everything.
    #[default]
    On,
    /// Nothing.
    Off,
    /// Less, as this parameter says; it means something to the feature only.
    Reduced(Payload),
    /// Something else does it: another feature, an agent, a cached answer, by this name. Where the feature
    /// is one of a kernel's agents, its calls go to the others with the skill, and those that ask for it by
    /// name to the agent of this name.
    Fallback(Arc<str>),
}

impl Default for DegradePolicy {
    fn default() -> Self {
        Self {
            levels: ["full", "reduced", "essential"].map(str::to_owned).into(),
            rules: Vec::new(),
            features: BTreeMap::new(),
            down_dwell_ms: 1_000,
            up_dwell_ms: 30_000,
            silent_ms: 60_000,
        }
    }
}

impl DegradeRule {
    /// Asks for `level` once `signal` reaches `enter`, until it is back at `leave`.
    pub fn new(
        level: impl Into<String>,
        signal: impl Into<String>,
        enter: f64,
        leave: f64,
    ) -> Self {
        Self { level: level.into(), signal: signal.into(), enter, leave }
    }

    /// Whether it asks for its level at this value, given whether it did so before.
    pub(super) fn asks(&self, before: bool, value: f64) -> bool {
        let high_is_bad = self.enter > self.leave;
        match (before, high_is_bad) {
            (false, true) => value >= self.enter,
            (false, false) => value <= self.enter,
            (true, true) => value > self.leave,
            (true, false) => value < self.leave,
        }
    }
}

const MOST_LEVELS: usize = 16;
const MOST_RULES: usize = 64;
const MOST_FEATURES: usize = 1_024;

impl DegradePolicy {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        if !(1..=MOST_LEVELS).contains(&self.levels.len()) {
            return Err(invalid("levels", self.levels.len(), "must be 1 to 16 names"));
        }
        let mut names = BTreeSet::new();
        for level in &self.levels {
            if level.is_empty() || !names.insert(level.as_str()) {
                return Err(invalid("levels", level, "must be names that differ"));
            }
        }
        if self.rules.len() > MOST_RULES {
            return Err(invalid("rules", self.rules.len(), "must be at most 64"));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let field = |name| format!("rules[{index}].{name}");
            if self.position(&rule.level).is_none_or(|at| at == 0) {
                return Err(invalid(
                    &field("level"),
                    &rule.level,
                    "must be a level below the best",
                ));
            }
            if rule.signal.is_empty() {
                return Err(invalid(&field("signal"), "", "must be a name"));
            }
            if !rule.enter.is_finite() || !rule.leave.is_finite() || rule.enter == rule.leave {
                let rule_is = "must be two numbers that differ: the gap keeps it from flapping";
                return Err(invalid(&field("leave"), rule.leave, rule_is));
            }
        }
        if self.features.len() > MOST_FEATURES {
            return Err(invalid("features", self.features.len(), "must be at most 1,024"));
        }
        for (feature, modes) in &self.features {
            if feature.is_empty() {
                return Err(invalid("features", "", "must be features with names"));
            }
            if let Some(level) = modes.keys().find(|level| self.position(level).is_none()) {
                let field = format!("features.{feature}");
                return Err(invalid(&field, level, "must be the name of a level"));
            }
            for (level, mode) in modes {
                let FeatureMode::Fallback(other) = mode else { continue };
                if other.is_empty() || **other == **feature {
                    let field = format!("features.{feature}.{level}.fallback");
                    return Err(invalid(&field, other, "must be the name of something else"));
                }
            }
        }
        self.check_fallbacks()?;
        for (field, ms) in
            [("down_dwell_ms", self.down_dwell_ms), ("up_dwell_ms", self.up_dwell_ms)]
        {
            if ms == 0 {
                return Err(invalid(field, ms, "must be at least 1"));
            }
        }
        Ok(())
    }

    /// What stands in for something does not lead back to it, at any level.
    fn check_fallbacks(&self) -> Result<()> {
        for (position, level) in self.levels.iter().enumerate() {
            let modes = self.modes_at(position);
            let next = |feature: &str| match modes.get(feature) {
                Some(FeatureMode::Fallback(other)) => Some(&**other),
                _ => None,
            };
            for feature in modes.keys() {
                let mut way = vec![feature.as_str()];
                while let Some(other) = way.last().copied().and_then(next) {
                    if other == feature {
                        way.push(other);
                        let field = format!("features.{feature}.{level}.fallback");
                        let rule = "must not lead back to where it began";
                        return Err(invalid(&field, way.join(" → "), rule));
                    }
                    // One that this one only leads into is found from where it begins.
                    if way.contains(&other) {
                        break;
                    }
                    way.push(other);
                }
            }
        }
        Ok(())
    }

    /// Where a level stands, from 0 for the best.
    pub(super) fn position(&self, level: &str) -> Option<usize> {
        self.levels.iter().position(|name| name == level)
    }

    /// What the features do at the level of this position.
    pub(super) fn modes_at(&self, position: usize) -> BTreeMap<String, FeatureMode> {
        let mode = |modes: &BTreeMap<String, FeatureMode>| {
            self.levels
                .iter()
                .take(position + 1)
                .rev()
                .find_map(|level| modes.get(level))
                .cloned()
                .unwrap_or_default()
        };
        self.features.iter().map(|(name, modes)| (name.clone(), mode(modes))).collect()
    }

    pub(super) fn down_dwell(&self) -> Duration {
        Duration::from_millis(self.down_dwell_ms)
    }

    pub(super) fn up_dwell(&self) -> Duration {
        Duration::from_millis(self.up_dwell_ms)
    }

    /// `None` when a signal counts for good.
    pub(super) fn silent(&self) -> Option<Duration> {
        (self.silent_ms > 0).then(|| Duration::from_millis(self.silent_ms))
    }
}

fn invalid(field: &str, value: impl std::fmt::Display, rule: &'static str) -> Error {
    Error::new(Code::INVALID, "the degradation policy is not valid")
        .operation("recovery.degrade")
        .with("field", field)
        .with("value", value)
        .with("rule", rule)
}
