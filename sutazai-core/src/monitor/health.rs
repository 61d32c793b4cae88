//! Health: one figure for each component and for all, with its causes. A pure function: [`health`].
//!
//! What is known of a component (utilisation, saturation and errors, as in B. Gregg, "Thinking Methodically about Performance",
//! CACM 56, 2013; how odd its figures are; how soon a resource of it is used up) is each turned into a share of
//! health that it costs: nothing up to a value that is usual, all from one that is not to be borne, in proportion
//! between. A component keeps what all of them leave of it; the system is as healthy as its worst component, by weight.
//!
//! ```
//! use sutazai_core::monitor::{Aspect, ComponentState, HealthPolicy, health};
//!
//! let mut disk = ComponentState::new("disk");
//! disk.utilisation = Some(0.5);
//! disk.exhausted_in_s = Some(1_800.0);
//! let mut agent = ComponentState::new("agent");
//! agent.errors = Some(0.001);
//! let system = health(&[disk, agent], &HealthPolicy::default())?;
//! let worst = &system.causes[0];
//! assert_eq!((worst.component.as_str(), worst.aspect), ("disk", Aspect::Exhaustion));
//! assert!(system.score < 0.2);
//! assert_eq!(system.components[1].score, 1.0);
//! # Ok::<(), sutazai_core::Error>(())
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// What is known of a component. What is not known, and what is not a number, costs nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ComponentState {
    /// Its name.
    pub component: String,
    /// How much it matters, 0 to 1. Default 1.
    pub weight: f64,
    /// The share of its time or room that is in use, 0 to 1.
    pub utilisation: Option<f64>,
    /// Work that waits, as a share of what it can do at once; 0 and more.
    pub saturation: Option<f64>,
    /// The share of its work that fails, 0 to 1.
    pub errors: Option<f64>,
    /// How unusual its figures are: the score of an anomaly detector, 0 to 1.
    pub anomaly: Option<f64>,
    /// Seconds until a resource of it is used up; 0 when it is.
    pub exhausted_in_s: Option<f64>,
}

impl Default for ComponentState {
    fn default() -> Self {
        Self {
            component: String::new(),
            weight: 1.0,
            utilisation: None,
            saturation: None,
            errors: None,
            anomaly: None,
            exhausted_in_s: None,
        }
    }
}

impl ComponentState {
    /// One of which nothing is known.
    pub fn new(component: impl Into<String>) -> Self {
        Self { component: component.into(), ..Self::default() }
    }
}

/// What health may suffer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Too much is in use.
    Utilisation,
    /// Work waits.
    Saturation,
    /// Work fails.
    Errors,
    /// Figures are unusual.
    Anomaly,
    /// A resource will be used up.
    Exhaustion,
}

/// From which value an aspect costs something, and from which it costs all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Costs nothing up to here.
    pub from: f64,
    /// Costs the whole of what the aspect may cost from here.
    pub full: f64,
    /// What it may cost, as a share of the component's health: 0 to 1.
    pub most: f64,
}

/// What each aspect costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HealthPolicy {
    /// Default from 0.8 to 1, half of the health: what is busy still works.
    pub utilisation: Ramp,
    /// Default from 0.5 to 4.
    pub saturation: Ramp,
    /// Default from 0.01 to 0.5.
    pub errors: Ramp,
    /// Default from 0.5 to 1, three tenths of the health: what is unusual need not be bad.
    pub anomaly: Ramp,
    /// In seconds, falling: default from a day to none.
    pub exhaustion: Ramp,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        let ramp = |from, full, most| Ramp { from, full, most };
        Self {
            utilisation: ramp(0.8, 1.0, 0.5),
            saturation: ramp(0.5, 4.0, 0.8),
            errors: ramp(0.01, 0.5, 1.0),
            anomaly: ramp(0.5, 1.0, 0.3),
            exhaustion: ramp(86_400.0, 0.0, 1.0),
        }
    }
}

impl HealthPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let rising = [
            ("utilisation", self.utilisation, false),
            ("saturation", self.saturation, false),
            ("errors", self.errors, false),
            ("anomaly", self.anomaly, false),
            ("exhaustion", self.exhaustion, true),
        ];
        let wrong = rising.into_iter().find(|(_, ramp, falls)| {
            let ordered = if *falls { ramp.full < ramp.from } else { ramp.from < ramp.full };
            let finite = ramp.from.is_finite() && ramp.full.is_finite();
            !(ordered && finite && (0.0..=1.0).contains(&ramp.most))
        });
        let Some((field, ..)) = wrong else { return Ok(()) };
        let error = Error::new(Code::INVALID, "the policy of health is not valid");
        let rule =
            "from and full must differ in the aspect's direction, most must be between 0 and 1";
        Err(error.operation("monitor.health").with("field", field).with("rule", rule))
    }

    fn costs(&self, state: &ComponentState) -> [(Aspect, Ramp, Option<f64>); 5] {
        [
            (Aspect::Utilisation, self.utilisation, state.utilisation),
            (Aspect::Saturation, self.saturation, state.saturation),
            (Aspect::Errors, self.errors, state.errors),
            (Aspect::Anomaly, self.anomaly, state.anomaly),
            (Aspect::Exhaustion, self.exhaustion, state.exhausted_in_s),
        ]
    }
}

/// What health suffers from.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Cause {
    /// Where.
    pub component: String,
    /// In what respect.
    pub aspect: Aspect,
    /// The figure that says so, in the unit of the component's state.
    pub value: f64,
    /// The share of the component's health that it costs.
    pub costs: f64,
}

/// The health of one component.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ComponentHealth {
    /// Its name.
    pub component: String,
    /// Whether anything is known of it.
    pub known: bool,
    /// 1 where nothing is wrong, 0 where nothing is left.
    pub score: f64,
    /// What it suffers from, the worst first.
    pub causes: Vec<Cause>,
}

/// The health of all.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Health {
    /// That of the worst component, by weight: 0 to 1; 1 where there is none.
    pub score: f64,
    /// The components, in the order in which they were given.
    pub components: Vec<ComponentHealth>,
    /// What the system suffers from, the worst by weight first.
    pub causes: Vec<Cause>,
}

/// The health of a system with these components.
///
/// # Errors
/// [`Code::INVALID`] when the policy makes no sense.
pub fn health(states: &[ComponentState], policy: &HealthPolicy) -> Result<Health> {
    policy.check()?;
    let mut score: f64 = 1.0;
    let (mut components, mut weighed) = (Vec::with_capacity(states.len()), Vec::new());
    for state in states {
        let weight = if state.weight.is_nan() { 1.0 } else { state.weight.clamp(0.0, 1.0) };
        let cause = |(aspect, ramp, value): (Aspect, Ramp, Option<f64>)| {
            let value = value.filter(|value| !value.is_nan())?;
            let costs = ramp.most * ((value - ramp.from) / (ramp.full - ramp.from)).clamp(0.0, 1.0);
            let component = state.component.clone();
            (costs > 0.0).then_some(Cause { component, aspect, value, costs })
        };
        let mut causes: Vec<Cause> = policy.costs(state).into_iter().filter_map(cause).collect();
        causes.sort_by(|a, b| b.costs.total_cmp(&a.costs));
        let own: f64 = causes.iter().map(|cause| 1.0 - cause.costs).product();
        score = score.min(1.0 - weight * (1.0 - own));
        weighed.extend(causes.iter().map(|cause| (weight * cause.costs, cause.clone())));
        let component = state.component.clone();
        let known =
            policy.costs(state).iter().any(|(.., value)| value.is_some_and(|v| !v.is_nan()));
        components.push(ComponentHealth { component, known, score: own, causes });
    }
    weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
    let causes =
        weighed.into_iter().filter(|(costs, _)| *costs > 0.0).map(|(_, cause)| cause).collect();
    Ok(Health { score, components, causes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, change: impl Fn(&mut ComponentState)) -> ComponentState {
        let mut state = ComponentState::new(name);
        change(&mut state);
        state
    }

    fn score(change: impl Fn(&mut ComponentState)) -> f64 {
        let all = [state("a", change)];
        health(&all, &HealthPolicy::default()).expect("a policy").score
    }

    #[test]
    fn nothing_known_is_healthy() {
        let none = health(&[], &HealthPolicy::default()).expect("a policy");
        assert_eq!((none.score, none.causes.len()), (1.0, 0));
        assert_eq!(score(|_| ()), 1.0);
        assert_eq!(score(|s| s.errors = Some(f64::NAN)), 1.0);
        let known =
            [Some(0.0), Some(f64::NAN), None].map(|errors| state("a", |s| s.errors = errors));
        let known = health(&known, &HealthPolicy::default()).expect("a policy").components;
        assert_eq!(known.iter().map(|one| one.known).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn worse_is_never_healthier() {
        type Set = fn(&mut ComponentState, f64);
        let rising: [Set; 4] = [
            |s, v| s.utilisation = Some(v),
            |s, v| s.saturation = Some(v),
            |s, v| s.errors = Some(v),
            |s, v| s.anomaly = Some(v),
        ];
        for set in rising {
            let scores: Vec<f64> =
                (0..100).map(|i| score(|s| set(s, f64::from(i) * 0.05))).collect();
            assert!(
                scores.windows(2).all(|w| w[0] >= w[1]) && scores[0] == 1.0 && scores[99] < 0.8
            );
        }
        let sooner = |s: f64| score(|state| state.exhausted_in_s = Some(s));
        assert_eq!(
            [sooner(1e9), sooner(43_200.0), sooner(0.0), sooner(-5.0)],
            [1.0, 0.5, 0.0, 0.0]
        );
        assert!(
            [f64::INFINITY, f64::NEG_INFINITY].iter().all(|s| (0.0..=1.0).contains(&sooner(*s)))
        );
    }

    #[test]
    fn the_worst_component_decides_by_weight_and_causes_are_ranked() {
        let mut errors = state("agent", |s| s.errors = Some(0.255));
        let busy = state("cpu", |s| s.utilisation = Some(1.0));
        let both = |errors: &ComponentState| {
            health(&[busy.clone(), errors.clone()], &HealthPolicy::default()).expect("a policy")
        };
        let all = both(&errors);
        assert!((all.score - 0.5).abs() < 1e-9, "{all:?}");
        errors.errors = Some(0.4);
        let all = both(&errors);
        assert_eq!(
            all.causes.iter().map(|c| c.aspect).collect::<Vec<_>>(),
            [Aspect::Errors, Aspect::Utilisation]
        );
        errors.weight = 0.1;
        let all = both(&errors);
        assert_eq!(all.causes[0].component, "cpu");
        assert!((all.score - 0.5).abs() < 1e-9);
    }

    #[test]
    fn policies_that_make_no_sense_are_named() {
        let turned = Ramp { from: 1.0, full: 0.5, most: 1.0 };
        let wrong = [
            ("errors", HealthPolicy { errors: turned, ..Default::default() }),
            (
                "exhaustion",
                HealthPolicy {
                    exhaustion: Ramp { from: 0.0, full: 1.0, most: 1.0 },
                    ..Default::default()
                },
            ),
            (
                "anomaly",
                HealthPolicy {
                    anomaly: Ramp { from: 0.0, full: 1.0, most: f64::NAN },
                    ..Default::default()
                },
            ),
        ];
        for (field, policy) in wrong {
            let error = health(&[], &policy).expect_err(field);
            assert_eq!(error.code(), Code::INVALID);
            assert!(format!("{error:?}").contains(field));
        }
    }
}
