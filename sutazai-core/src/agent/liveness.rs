//! Whether something lives, by what is heard of it: dead is told from slow. No clock, no I/O.
//!
//! It is asked now and then, and its answers' times are remembered. While a question is open, φ says how
//! unlikely it is that the answer is still to come: `φ(t) = −log₁₀ P(answers take longer than t)`, with times
//! taken for normally distributed, mean and deviation from the last ones. This is the φ-accrual failure
//! detector (N. Hayashibara, X. Défago, R. Yared, T. Katayama: The φ Accrual Failure Detector, SRDS 2004) of
//! heartbeats that are asked for, so that this side's own delays are nobody's fault; the normal
//! distribution's tail is that of the logistic approximation that Akka's detector takes as well
//! (S. R. Bowling et al., JIEM 2, 2009).
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::agent::{Detector, Vitality};
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::port::LivenessPolicy;
//!
//! let ms = Duration::from_millis;
//! let mut detector = Detector::new(LivenessPolicy::default());
//! let start = Moment::ZERO;
//! detector.ask(start);
//! detector.answered(start + ms(20));
//! let asked = start + ms(5_000);
//! detector.ask(asked);
//! assert_eq!(detector.judge(asked + ms(50), false), Vitality::Alive);
//! assert_eq!(detector.judge(asked + ms(5_000), false), Vitality::Slow);
//! assert_eq!(detector.judge(asked + ms(15_000), false), Vitality::Dead);
//! assert_eq!(detector.judge(asked + ms(15_000), true), Vitality::Slow, "it may be at work");
//! ```

use std::time::Duration;

use serde::Serialize;

use crate::base::time::Moment;
use crate::port::LivenessPolicy;

/// Answers whose times are remembered, at most.
const MOST: usize = 64;

/// What is thought of an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vitality {
    /// It lives.
    Alive,
    /// It lives, as far as is known, but takes longer than it mostly does.
    Slow,
    /// Nobody listens where it should be.
    Unreachable,
    /// It has ended, or has been silent for too long.
    Dead,
}

/// What is known of an agent's life.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LivenessView {
    /// What is thought of it.
    pub state: Vitality,
    /// Why, where it is not simply alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How unlikely it is that it still answers: −log₁₀ of the probability; 0 while it is not asked.
    pub phi: f64,
    /// Milliseconds since it was heard of last; nothing before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_beat_ms: Option<u64>,
    /// Milliseconds that the answer to the question whether it lives takes, as far as is known.
    pub answers_in_ms: u64,
    /// When it is asked, and what its silence means.
    pub policy: LivenessPolicy,
}

/// Watches one agent. Every method takes the time; the moments that it is told never run backwards by
/// themselves, and those that do count as now.
#[derive(Debug)]
pub struct Detector {
    policy: LivenessPolicy,
    times: Times,
    /// Since when something is to be heard: the first of the questions that have no answer.
    open: Option<Moment>,
    /// When it was heard of last.
    heard: Option<Moment>,
}

impl Detector {
    /// One that has heard nothing yet.
    pub fn new(policy: LivenessPolicy) -> Self {
        let times = Times::new(&policy);
        Self { policy, times, open: None, heard: None }
    }

    /// Takes another policy; what is remembered stays.
    pub fn set_policy(&mut self, policy: LivenessPolicy) {
        self.policy = policy;
    }

    /// The policy.
    pub fn policy(&self) -> &LivenessPolicy {
        &self.policy
    }

    /// It is asked. Silence counts from the first question that nothing was heard after.
    pub fn ask(&mut self, now: Moment) {
        self.open.get_or_insert(now);
    }

    /// It has answered the question.
    pub fn answered(&mut self, now: Moment) {
        if let Some(asked) = self.open {
            self.times.add(now.since(asked));
        }
        self.heard(now);
    }

    /// It gave another sign of life.
    pub fn heard(&mut self, now: Moment) {
        self.open = None;
        self.heard = self.heard.max(Some(now));
    }

    /// This side did not run for so long, and would not have heard anything: it was suspended, or its machine
    /// was.
    pub fn paused(&mut self, length: Duration) {
        self.open = self.open.map(|asked| asked + length);
    }

    /// Begins anew, with another life of what is watched.
    pub fn restarted(&mut self) {
        self.open = None;
    }

    /// When it was heard of last; `None` before the first time.
    pub fn last(&self) -> Option<Moment> {
        self.heard
    }

    /// For how long a question has been open.
    pub fn silent_for(&self, now: Moment) -> Option<Duration> {
        self.open.map(|asked| now.since(asked))
    }

    /// How long its answers take, as far as is known.
    pub fn usual(&self) -> Duration {
        Duration::from_secs_f64(self.times.mean().max(0.0))
    }

    /// How unlikely it is that an answer still comes; 0 while there is no question.
    pub fn phi(&self, now: Moment) -> f64 {
        self.silent_for(now).map_or(0.0, |silence| self.phi_of(silence))
    }

    /// What its silence says. `busy` is one that has work.
    pub fn judge(&self, now: Moment, busy: bool) -> Vitality {
        let Some(silence) = self.silent_for(now) else { return Vitality::Alive };
        let policy = &self.policy;
        let pause = match busy {
            true => policy.busy_pause_ms.map(|busy| busy.max(policy.pause_ms)),
            false => Some(policy.pause_ms),
        };
        let beyond = pause.and_then(|pause| silence.checked_sub(Duration::from_millis(pause)));
        if beyond.is_some_and(|beyond| self.phi_of(beyond) >= policy.dead_phi) {
            return Vitality::Dead;
        }
        match self.phi_of(silence) >= policy.slow_phi {
            true => Vitality::Slow,
            false => Vitality::Alive,
        }
    }

    /// As hosts see it, with what is thought of it.
    pub fn view(&self, now: Moment, state: Vitality, why: Option<String>) -> LivenessView {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        LivenessView {
            state,
            why,
            phi: self.phi(now),
            last_beat_ms: self.heard.map(|heard| ms(now.since(heard))),
            answers_in_ms: ms(self.usual()),
            policy: self.policy.clone(),
        }
    }

    fn phi_of(&self, silence: Duration) -> f64 {
        let least = Duration::from_millis(self.policy.deviation_ms).as_secs_f64();
        let y = (silence.as_secs_f64() - self.times.mean()) / self.times.deviation().max(least);
        // P(longer) = e / (1 + e) with e = exp(−x); its logarithm is taken before e is too small for a number.
        let x = y * (1.5976 + 0.070566 * y * y);
        (if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }) / std::f64::consts::LN_10
    }
}

/// The times of the last answers, in seconds.
#[derive(Debug)]
struct Times {
    /// Made with the first answer.
    last: Vec<f32>,
    next: usize,
    /// What is expected before there are enough answers: as if there had been two, a quarter of their time
    /// above and below it.
    first: f64,
    sum: f64,
    squares: f64,
}

impl Times {
    fn new(policy: &LivenessPolicy) -> Self {
        let first = Duration::from_millis(policy.first_ms).as_secs_f64();
        Self { last: Vec::new(), next: 0, first, sum: 0.0, squares: 0.0 }
    }

    fn add(&mut self, time: Duration) {
        let time = time.as_secs_f32();
        match self.last.get_mut(self.next) {
            Some(oldest) => *oldest = time,
            None => self.last.push(time),
        }
        self.next = (self.next + 1) % MOST;
        // Summed anew, which is quick enough for what is rare: differences would gather errors.
        self.sum = self.last.iter().copied().map(f64::from).sum();
        self.squares = self.last.iter().map(|t| f64::from(*t) * f64::from(*t)).sum();
    }

    /// The weight of what is expected: it goes as answers come.
    fn expected(&self) -> f64 {
        2.0_f64.min((MOST - self.last.len()) as f64)
    }

    fn count(&self) -> f64 {
        self.last.len() as f64 + self.expected()
    }

    fn mean(&self) -> f64 {
        (self.sum + self.expected() * self.first) / self.count()
    }

    fn deviation(&self) -> f64 {
        // (f − f/4)² + (f + f/4)² = 2 f² (1 + 1/16)
        let expected = self.expected() * self.first * self.first * 1.0625;
        let mean = self.mean();
        ((self.squares + expected) / self.count() - mean * mean).max(0.0).sqrt()
    }
}

/// Whether there is work that nothing comes of. No clock.
#[derive(Debug, Default)]
pub struct Stall {
    /// Since when there has been work, as far as was seen.
    since: Option<Moment>,
}

impl Stall {
    /// It is seen with so much work, after its last answer; says for how long nothing has come of it.
    pub fn see(&mut self, now: Moment, work: u32, last: Option<Moment>) -> Duration {
        if work == 0 {
            self.since = None;
            return Duration::ZERO;
        }
        let since = *self.since.get_or_insert(now);
        now.since(last.map_or(since, |last| last.max(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(n: u64) -> Moment {
        Moment::ZERO + ms(n)
    }

    /// Answers after each of these times, a question a second.
    fn taught(policy: LivenessPolicy, times: &[u64]) -> (Detector, Moment) {
        let mut detector = Detector::new(policy);
        let mut now = at(1);
        for time in times {
            detector.ask(now);
            detector.answered(now + ms(*time));
            now = now + ms(1_000 + time);
        }
        detector.ask(now);
        (detector, now)
    }

    #[test]
    fn an_agent_is_measured_by_its_own_history() {
        let policy = LivenessPolicy::default();
        let (quick, now) = taught(policy.clone(), &[10; 64]);
        let (slow, then) = taught(policy, &[4_000; 64]);
        assert_eq!(quick.judge(now + ms(1_500), false), Vitality::Slow);
        assert_eq!(slow.judge(then + ms(4_200), false), Vitality::Alive);
        assert_eq!(quick.judge(now + ms(11_500), false), Vitality::Dead);
        assert_eq!(slow.judge(then + ms(11_500), false), Vitality::Slow);
        assert_eq!(slow.judge(then + ms(15_000), false), Vitality::Dead);
        assert_eq!(quick.usual(), ms(10));
    }

    #[test]
    fn what_has_work_may_be_silent_for_longer() {
        let (detector, now) = taught(LivenessPolicy::default(), &[10; 5]);
        assert_eq!(detector.judge(now + ms(100_000), true), Vitality::Slow);
        assert_eq!(detector.judge(now + ms(100_000), false), Vitality::Dead);
        assert_eq!(detector.judge(now + ms(305_000), true), Vitality::Dead);
        let patient = LivenessPolicy::default().pauses(ms(10_000), None);
        let (detector, now) = taught(patient, &[10; 5]);
        assert_eq!(detector.judge(now + ms(10_000_000), true), Vitality::Slow);
    }

    #[test]
    fn a_pause_of_this_side_is_not_silence_of_the_other() {
        let (mut detector, now) = taught(LivenessPolicy::default(), &[10; 5]);
        let later = now + ms(3_600_000);
        detector.paused(ms(3_600_000));
        assert_eq!(detector.judge(later + ms(20), false), Vitality::Alive);
        assert_eq!(detector.judge(later + ms(20_000), false), Vitality::Dead);
    }

    #[test]
    fn the_tail_is_that_of_the_normal_distribution() {
        // P(z > 2) = 0.02275, P(z > 3) = 0.00135, and 0.5 at the mean; the approximation is within 0.00014.
        let policy = LivenessPolicy { first_ms: 1_000, ..LivenessPolicy::default() };
        let detector = Detector::new(policy);
        let z = |z: f64| detector.phi_of(Duration::from_secs_f64(1.0 + z * 0.25));
        assert!((z(0.0) - 0.5_f64.log10().abs()).abs() < 1e-6);
        assert!((z(2.0) - 1.643).abs() < 0.02, "{}", z(2.0));
        assert!((z(3.0) - 2.870).abs() < 0.05, "{}", z(3.0));
        assert!(z(1e6).is_finite() && z(1e6) > z(1e5), "there is no end to it");
    }

    #[test]
    fn a_stall_is_counted_from_the_last_answer_or_the_work() {
        let mut stall = Stall::default();
        assert_eq!(stall.see(at(0), 0, None), ms(0));
        assert_eq!(stall.see(at(1_000), 2, Some(at(10))), ms(0), "the work is new");
        assert_eq!(stall.see(at(5_000), 2, Some(at(10))), ms(4_000));
        assert_eq!(stall.see(at(6_000), 1, Some(at(5_500))), ms(500));
        assert_eq!(stall.see(at(7_000), 0, Some(at(5_500))), ms(0));
        assert_eq!(stall.see(at(8_000), 1, Some(at(5_500))), ms(0));
    }

    /// What happens to one that is watched.
    #[derive(Clone, Debug)]
    enum Event {
        Ask,
        Answer,
        Hear,
        Pause(u64),
        Restart,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Ask),
            Just(Event::Answer),
            Just(Event::Hear),
            (0_u64..10_000_000).prop_map(Event::Pause),
            Just(Event::Restart),
        ]
    }

    proptest! {
        /// Whatever the schedule: φ is a number from 0, and grows with silence; whom nothing was asked, or who
        /// was heard of since, lives; nobody is dead before the pause is over, or by a pause of this side;
        /// work makes nobody dead sooner; and who is silent for ever is dead in the end.
        #[test]
        fn verdicts_follow_from_silence(
            steps in prop::collection::vec((event(), 0_u64..60_000), 1..200),
            pause in 0_u64..30_000,
            first in 1_u64..5_000,
        ) {
            let policy = LivenessPolicy { pause_ms: pause, first_ms: first, ..LivenessPolicy::default() };
            let mut detector = Detector::new(policy);
            let mut now = at(0);
            // Since when it has been asked and not heard of, without this side's pauses.
            let mut silent: Option<u64> = None;
            for (event, then) in steps {
                match event {
                    Event::Ask => {
                        detector.ask(now);
                        silent.get_or_insert(0);
                    }
                    Event::Answer => {
                        detector.answered(now);
                        silent = None;
                    }
                    Event::Hear => {
                        detector.heard(now);
                        silent = None;
                    }
                    Event::Pause(length) => {
                        now = now + ms(length);
                        detector.paused(ms(length));
                    }
                    Event::Restart => {
                        detector.restarted();
                        silent = None;
                    }
                }
                now = now + ms(then);
                silent = silent.map(|silent| silent + then);
                let phi = detector.phi(now);
                prop_assert!(phi.is_finite() && phi >= 0.0);
                prop_assert_eq!(detector.silent_for(now), silent.map(ms));
                prop_assert!(detector.times.last.len() <= MOST);
                match silent {
                    None => prop_assert_eq!(detector.judge(now, false), Vitality::Alive),
                    Some(silent) => {
                        prop_assert!(detector.phi(now + ms(1_000)) >= phi);
                        let verdict = detector.judge(now, false);
                        if silent <= pause {
                            prop_assert!(verdict != Vitality::Dead);
                        }
                        if detector.judge(now, true) == Vitality::Dead {
                            prop_assert_eq!(verdict, Vitality::Dead);
                        }
                        let ever = now + ms(1_000_000_000_000);
                        prop_assert_eq!(detector.judge(ever, false), Vitality::Dead);
                        prop_assert_eq!(detector.judge(ever, true), Vitality::Dead);
                    }
                }
            }
        }

        /// Answers that come as ever are never late: no verdict but alive up to three deviations.
        #[test]
        fn who_answers_as_ever_lives(times in prop::collection::vec(1_u64..500, 64..200)) {
            let (detector, now) = taught(LivenessPolicy::default(), &times);
            let longest = times.iter().copied().max().unwrap_or(0);
            let usual = detector.usual() + ms(100);
            prop_assert_eq!(detector.judge(now + usual.min(ms(longest)), false), Vitality::Alive);
        }
    }
}
