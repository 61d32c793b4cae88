//! The detector: [`AnomalyDetector`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Detector;
use super::gap::Gaps;
use super::kind::{AnomalyKind, Follow, name};
use super::parts::Parts;
use super::policy::AnomalyPolicy;
use crate::Result;
use crate::base::time::Timestamp;

/// Values beyond this, in either direction, are taken for it: their differences and sums must be numbers.
const LARGEST: f64 = 1e150;

/// How many times as strong as the last anomaly one must be to count while that rests.
const STRONGER: f64 = 1.3;

/// The least strength that is rested from.
const NOTABLE: f64 = 0.3;

/// Points without any change after which a change is an anomaly.
const STEADY: u64 = 64;

/// What a detector says of a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Verdict {
    /// How unusual the point is, from 0 up to 1; 0 while an anomaly before it rests that was not clearly
    /// weaker. 0.5 is rare in noise; the logarithm of how unlikely the point is goes up with score / (1 − score).
    pub score: f64,
    /// The score without the rest.
    pub unrested: f64,
    /// Whether the score reaches the policy's threshold: once for each anomaly.
    pub alarm: bool,
    /// What kind of anomaly it is: with the alarm, and for some points after it, in which it may become
    /// clearer (what began as a spike and stays is a level shift; a break of a season is followed for a round of it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AnomalyKind>,
}

/// A detector's figures.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct AnomalyView {
    /// Values that it has seen.
    pub points: u64,
    /// Points that were not numbers.
    pub missing: u64,
    /// Points that came with an earlier time than one before, or the same.
    pub disordered: u64,
    /// Alarms that it has raised.
    pub alarms: u64,
    /// The usual level of the values.
    pub level: f64,
    /// Their mean absolute deviation from it.
    pub deviation: f64,
    /// The usual time between points, in seconds; 0 while that is not known.
    pub interval_s: f64,
    /// What it goes by.
    pub policy: AnomalyPolicy,
}

/// Watches one series by an ensemble of streaming detectors. Needs about 100 KB, up to 160 KB with a long season, whatever the length.
#[derive(Clone, Debug)]
pub struct AnomalyDetector {
    policy: AnomalyPolicy,
    parts: Parts,
    points: u64,
    missing: u64,
    missing_run: u32,
    alarms: u64,
    gaps: Gaps,
    /// The gap that lasts was told.
    awaits: bool,
    /// The value that came last, and how often it has come in a row before.
    value: Option<f64>,
    run: u32,
    /// The longest run before this one.
    longest: u32,
    /// The point and strength of the anomaly that rests.
    resting: Option<(u64, f64)>,
    follow: Option<Follow>,
}

impl AnomalyDetector {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) when the policy makes no sense.
    pub fn new(policy: AnomalyPolicy) -> Result<Self> {
        Self::spread(policy, 0.0)
    }

    /// As [`new`](Self::new), of many: by shares from 0 to 1 they look for seasons at different points.
    pub(in crate::monitor) fn spread(policy: AnomalyPolicy, share: f64) -> Result<Self> {
        policy.check()?;
        Ok(Self {
            policy,
            parts: Parts::new(share),
            points: 0,
            missing: 0,
            missing_run: 0,
            alarms: 0,
            gaps: Gaps::new(),
            awaits: false,
            value: None,
            run: 0,
            longest: 0,
            resting: None,
            follow: None,
        })
    }

    /// Its figures.
    pub fn view(&self) -> AnomalyView {
        AnomalyView {
            points: self.points,
            missing: self.missing,
            disordered: self.gaps.disordered(),
            alarms: self.alarms,
            level: self.parts.level().mean(),
            deviation: self.parts.level().deviation(),
            interval_s: self.gaps.interval(),
            policy: self.policy.clone(),
        }
    }

    /// No point has come until now. Data that are missing for too long are told once, here or when the next point has come; nothing is
    /// learned from it. For whoever looks at series at times of their own.
    pub fn wait(&mut self, now: Timestamp) -> Verdict {
        let strength = self.gaps.awaited(now, self.policy.gap);
        let score = strength / (1.0 + strength);
        let warm = self.points + self.missing >= u64::from(self.policy.warm_up);
        if self.awaits || !warm || score < self.policy.alarm {
            return Verdict::default();
        }
        self.awaits = true;
        self.alarms += 1;
        // What is told of the points to come is not of this.
        self.follow = None;
        Verdict { score, unrested: score, alarm: true, kind: Some(AnomalyKind::MissingData) }
    }

    /// A point without a number: it teaches nothing, but too many in a row are an anomaly.
    fn skip(&mut self, gap: f64) -> Verdict {
        self.missing += 1;
        self.missing_run = self.missing_run.saturating_add(1);
        let silent = self.policy.missing > 0 && self.missing_run == self.policy.missing;
        let strength = gap.max(if silent { 2.0 } else { 0.0 });
        let kind = (strength >= 1.0).then_some(AnomalyKind::MissingData);
        self.conclude(strength, kind)
    }

    fn count_run(&mut self, value: f64) {
        if self.value == Some(value) {
            self.run = self.run.saturating_add(1);
        } else {
            self.longest = self.longest.max(self.run);
            self.run = 0;
        }
        self.value = Some(value);
    }

    /// Weighs the strength of a point against the anomaly before it.
    fn conclude(&mut self, strength: f64, kind: Option<AnomalyKind>) -> Verdict {
        let point = self.points + self.missing;
        let strength = if point <= u64::from(self.policy.warm_up) { 0.0 } else { strength };
        let rest = self.policy.rest(point);
        self.resting = self.resting.filter(|(begun, _)| begun + rest >= point);
        let counts = rest == 0 || self.resting.is_none_or(|(_, most)| strength > most * STRONGER);
        if counts && strength > NOTABLE {
            self.resting = Some((point, strength));
        }
        let unrested = strength / (1.0 + strength);
        let score = if counts { unrested } else { 0.0 };
        let alarm = score >= self.policy.alarm;
        let followed = self.follow.as_mut().and_then(|f| f.next(&self.parts));
        if followed.is_none() {
            self.follow = None;
        }
        if alarm {
            self.alarms += 1;
            self.follow = kind.map(|kind| Follow::new(kind, &self.parts));
        }
        Verdict { score, unrested, alarm, kind: if alarm { kind } else { followed } }
    }
}

impl Detector for AnomalyDetector {
    fn name(&self) -> &str {
        "ensemble"
    }

    fn look(&mut self, at: Timestamp, value: f64) -> Verdict {
        let told = std::mem::take(&mut self.awaits);
        let gap = self.gaps.feed(at, self.policy.gap);
        let gap = if told { 0.0 } else { gap };
        if !value.is_finite() {
            return self.skip(gap);
        }
        self.missing_run = 0;
        let value = value.clamp(-LARGEST, LARGEST);
        // What has never changed and does so is an anomaly by itself: there is nothing to measure it by.
        let level = self.parts.level();
        let steady = self.points >= STEADY && level.deviation() == 0.0 && level.mean() != value;
        self.count_run(value);
        let said = self.parts.feed(at, value);
        self.points += 1;
        let own = said.together().max(if steady { 2.0 } else { 0.0 });
        let strength = own.max(gap);
        let kind = match gap >= own {
            true if gap > 0.0 => AnomalyKind::MissingData,
            _ => name(&said, &self.parts, self.run, self.longest),
        };
        self.conclude(strength, Some(kind))
    }
}
