//! Samples of a [`Watch`].

use std::sync::Arc;
use std::time::Duration;

use super::asking::{Member, Out, Round, Turn, check_outside};
use super::refused::refused_by;
use super::watching::{Measured, Sampled, Watch};
use crate::base::time::{Moment, Timestamp};
use crate::monitor::series::Appended;
use crate::port::Samples;
use crate::{Code, Error, Result};

/// Samples in a row that have not asked a monitor for want of time, from which on that is a failure.
const UNASKED_FAILS: u32 = 3;
/// How long a sample waits for another one.
const PATIENCE: Duration = Duration::from_secs(10);

impl Watch {
    /// Refuses where this thread is within one of this watch's monitors.
    ///
    /// # Errors
    /// [`Code::WOULD_DEADLOCK`], naming the monitor.
    pub(crate) fn check_outside(&self) -> Result<()> {
        check_outside(self.number)
    }

    /// Takes a measurement from each monitor, keeps it and judges it. Waits for monitors as long as it has
    /// [patience](super::WatchPolicy::patience_ms). One that has not returned by then is [away](Sampled::away): the sample ends without
    /// it, and it is asked again once it has returned. Where slow ones use the patience up, those that were [not asked](Sampled::unasked)
    /// come first the next time. One that fails or
    /// panics takes its own figures away; so does a series that cannot be kept, by its name or for want of room.
    ///
    /// # Errors
    /// [`Code::WOULD_DEADLOCK`] within one of its monitors; [`Code::OVERLOADED`] where other samples are under way for ten
    /// seconds.
    pub fn sample(&self, now: Timestamp) -> Result<Sampled> {
        self.sample_at(now, Moment::now(), None)
    }

    /// As [`sample`](Self::sample), at this moment of the clock that says how long monitors have been away; `every`: the time between
    /// samples, where they are taken by themselves.
    pub(crate) fn sample_at(
        &self,
        now: Timestamp,
        moment: Moment,
        every: Option<Duration>,
    ) -> Result<Sampled> {
        self.check_outside()?;
        let began = std::time::Instant::now();
        let Some(mut asker) = self.sampling.try_lock_for(PATIENCE) else {
            return Err(Error::new(
                Code::OVERLOADED,
                "other samples have been under way for ten seconds",
            )
            .operation("monitor.sample")
            .advice("take samples on fewer threads, or let the kernel take them"));
        };
        let members = self.members.lock().present.clone();
        let mut taken = Taken::default();
        let (mut asked, mut away) = (Vec::new(), Vec::new());
        for one in members {
            match one.out() {
                Some(out) => away.push((one, out)),
                None => {
                    self.take_late(&one, &mut taken);
                    asked.push(one);
                }
            }
        }
        let number = asker.next_number();
        let mut failed = None;
        if !asked.is_empty() {
            let round = Round::new(number, now, moment, asked.clone());
            *self.round.lock() = Some(Arc::clone(&round));
            // Whoever takes them away from here on ends the round.
            if self.members.lock().present.is_empty() {
                round.end();
            }
            failed = asker.ask(&round, self.policy.patience(every)).err();
            self.round.lock().take();
        }
        if self.members.lock().present.is_empty() {
            asker.end();
        }
        let mut unasked = Vec::new();
        for one in asked {
            match one.end_turn() {
                Turn::Said(said) => {
                    let refused = self.keep(&one, &said.samples, now, &mut taken.values);
                    one.give_back(said.samples);
                    taken.failed(&one, said.failed.or(refused));
                }
                Turn::Away(out) => away.push((one, out)),
                Turn::Unasked(None) => {}
                Turn::Unasked(Some(times)) => {
                    let long = (times >= UNASKED_FAILS).then(|| kept_waiting(times));
                    taken.failed(&one, failed.clone().or(long));
                    unasked.push(one.name.to_string());
                }
            }
        }
        let deadline = self.policy.hangs_after(every);
        for (one, out) in &away {
            let (long, news) = (moment.since(out.since), one.out().is_some());
            if long >= deadline && news {
                taken.failures.push((one.name.to_string(), hangs(out, long)));
                taken.counted += u64::from(one.tell());
            }
        }
        drop(asker);
        let Taken { values, failures, late, counted } = taken;
        let mut anomalies = Vec::new();
        for (at, values) in &late {
            anomalies.extend(self.judge(*at, values.iter().map(|one| (&*one.series, one.value))));
        }
        anomalies.extend(self.judge(now, values.iter().map(|one| (&*one.series, one.value))));
        let mut missing = self.judges.lock().wait(now);
        missing.sort_by(|a, b| a.series.cmp(&b.series));
        anomalies.extend(self.remember(missing));
        let mut figures = self.figures.lock();
        figures.samples += 1;
        figures.failures += counted;
        figures.last = Some(now);
        figures.seconds = began.elapsed().as_secs_f64();
        let away = away.iter().map(|(one, _)| one.name.to_string()).collect();
        Ok(Sampled { values, anomalies, failures, unasked, away })
    }

    /// What a monitor said that a sample before had left: of the time when it was asked.
    fn take_late(&self, one: &Member, taken: &mut Taken) {
        let Some(said) = one.said() else { return };
        let (mut values, mut failure) = (Vec::new(), None);
        for sample in said.samples.iter().filter(|one| one.value.is_finite()) {
            match self.append(one.own, &sample.series, said.asked, sample.value, false) {
                Appended::Kept => {
                    let series = Arc::clone(&sample.series);
                    values.push(Measured { series, value: sample.value });
                }
                refused => {
                    failure = failure.or_else(|| {
                        refused_by(refused, &sample.series, &self.history, self.room())
                    });
                }
            }
        }
        taken.late.push((said.asked, values));
        one.give_back(said.samples);
        taken.failed(one, said.failed.or(failure));
    }

    /// Keeps what a monitor says of now; why that of some series was not.
    fn keep(
        &self,
        one: &Member,
        samples: &Samples,
        now: Timestamp,
        values: &mut Vec<Measured>,
    ) -> Option<Error> {
        let mut failure = None;
        for sample in samples.iter().filter(|one| one.value.is_finite()) {
            match self.append(one.own, &sample.series, now, sample.value, true) {
                // The clock stands, or was set back: the series has this time.
                Appended::Kept | Appended::SetBack | Appended::Late => {
                    let series = Arc::clone(&sample.series);
                    values.push(Measured { series, value: sample.value });
                }
                refused => {
                    failure = failure.or_else(|| {
                        refused_by(refused, &sample.series, &self.history, self.room())
                    });
                }
            }
        }
        failure
    }
}

/// What a sample has got so far.
#[derive(Default)]
struct Taken {
    values: Vec<Measured>,
    failures: Vec<(String, Error)>,
    /// Of samples before, by their times.
    late: Vec<(Timestamp, Vec<Measured>)>,
    /// Failures that were not counted before.
    counted: u64,
}

impl Taken {
    fn failed(&mut self, one: &Member, failure: Option<Error>) {
        if let Some(error) = failure {
            self.failures.push((one.name.to_string(), error));
            self.counted += 1;
        }
    }
}

fn hangs(out: &Out, long: Duration) -> Error {
    Error::new(Code::TIMEOUT, "it hangs: it was asked, and has not returned")
        .operation("monitor.sample")
        .with("asked", out.asked)
        .with("seconds", long.as_secs())
        .advice("samples go on without it, and it is asked again once it has returned; monitor.remove takes it away")
}

fn kept_waiting(times: u32) -> Error {
    Error::new(
        Code::TIMEOUT,
        "it was not asked: those before it kept the samples waiting for too long",
    )
    .operation("monitor.sample")
    .with("samples", times)
    .advice("samples have more patience with [monitor] watch.patience, or where they are taken more seldom")
}
