//! Who is watched: when each is asked, what came of it, and what there is to tell. No clock, no I/O.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Question;
use crate::agent::{Detector, Entry, LivenessView, Stall, Vitality};
use crate::base::id::TimerId;
use crate::base::time::Moment;
use crate::port::{Beat, Candidate as _, LivenessPolicy};
use crate::{Code, Error, Result};

/// The timer is set no more often than this.
const TICK: Duration = Duration::from_millis(50);
/// How often one is looked at whose question is open.
const LOOK: Duration = Duration::from_secs(1);
/// A timer that is so late says that this side did not run.
const LATE: Duration = Duration::from_millis(500);
/// Questions that are being put at once, at most: one that waits for a machine that does not answer holds a
/// thread of the pool.
const MOST: usize = 64;
/// After a failure that may be an end, an agent is asked no sooner than this after the last time.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Table {
    watched: HashMap<usize, Watched>,
    due: BTreeSet<(Moment, usize)>,
    /// The timer that is set, and for when; no number while it is being set.
    pub(super) timer: Option<(Moment, TimerId)>,
    wanted: Option<Moment>,
    /// Questions that are being put.
    under_way: usize,
    questions: u64,
    /// What the host said of agents, by name.
    pub(super) own: HashMap<Arc<str>, Option<LivenessPolicy>>,
    /// What has not been told.
    pub(super) news: VecDeque<News>,
    pub(super) telling: bool,
    pub(super) stopped: bool,
}

struct Watched {
    entry: Weak<Entry>,
    detector: Detector,
    stall: Stall,
    due: Moment,
    asked: Moment,
    /// The number of the question that is open.
    question: Option<u64>,
    /// Whether the agent has got it: before that nobody is silent.
    put: bool,
    /// What it said itself that is no sign of life, until it gives one.
    said: Option<(Vitality, Error)>,
    thought: Vitality,
    /// Whether that is by its own words, which say more than its silence.
    by_itself: bool,
    why: Option<Error>,
}

/// What is thought of an agent has changed.
pub(super) struct News {
    pub(super) entry: Arc<Entry>,
    pub(super) from: Vitality,
    pub(super) to: Vitality,
    pub(super) phi: f64,
    /// Why, unless it is alive.
    pub(super) why: Option<Error>,
    /// Whether it says so itself.
    pub(super) said: bool,
}

fn key(entry: &Arc<Entry>) -> usize {
    Arc::as_ptr(entry) as usize
}

impl Table {
    pub(super) fn view(&self, entry: &Arc<Entry>, now: Moment) -> Option<LivenessView> {
        let watched = self.watched.get(&key(entry))?;
        let why = watched.why.as_ref().map(ToString::to_string);
        Some(watched.detector.view(now, watched.thought, why))
    }

    pub(super) fn lives(&self, entry: &Arc<Entry>) -> bool {
        let thought = self.watched.get(&key(entry)).map(|watched| watched.thought);
        matches!(thought, None | Some(Vitality::Alive | Vitality::Slow))
    }

    pub(super) fn watch(&mut self, entry: &Arc<Entry>, policy: LivenessPolicy, now: Moment) {
        if self.stopped {
            return;
        }
        if let Some(watched) = self.watched.get_mut(&key(entry))
            && watched.thought != Vitality::Dead
        {
            watched.detector.set_policy(policy);
            let due = now + watched.interval();
            let before = std::mem::replace(&mut watched.due, due);
            self.due.remove(&(before, key(entry)));
            self.due.insert((due, key(entry)));
            return;
        }
        self.forget(entry);
        // Those that begin together are asked one after the other: at steps of the golden ratio.
        let step = (self.watched.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let share = 0.5 + step as f64 / f64::from(u32::MAX) / 2.0;
        let due = now + Duration::from_millis(policy.interval_ms).mul_f64(share);
        let watched = Watched {
            entry: Arc::downgrade(entry),
            detector: Detector::new(policy),
            stall: Stall::default(),
            due,
            asked: now,
            question: None,
            put: false,
            said: None,
            thought: Vitality::Alive,
            by_itself: false,
            why: None,
        };
        self.watched.insert(key(entry), watched);
        self.due.insert((due, key(entry)));
    }

    pub(super) fn forget(&mut self, entry: &Arc<Entry>) {
        if let Some(watched) = self.watched.remove(&key(entry)) {
            self.due.remove(&(watched.due, key(entry)));
        }
    }

    /// When the timer is to be set for; `None` when it is set for so soon.
    pub(super) fn wants_timer(&mut self, now: Moment) -> Option<Moment> {
        let (due, _) = self.due.first()?;
        let at = (*due).max(now + TICK);
        if self.wanted.is_some_and(|wanted| wanted <= at) {
            return None;
        }
        self.wanted = Some(at);
        Some(at)
    }

    /// The timer was set; gives back one that is not needed any more.
    pub(super) fn armed(&mut self, at: Moment, timer: TimerId) -> Option<TimerId> {
        if self.wanted != Some(at) {
            return Some(timer);
        }
        self.timer.replace((at, timer)).map(|(_, before)| before)
    }

    /// The timer that was set for `at` fires: whether it is the one that counts.
    pub(super) fn fires(&mut self, at: Moment) -> bool {
        if self.timer.is_some_and(|(when, _)| when == at) {
            self.timer = None;
        }
        let counts = self.wanted == Some(at);
        if counts {
            self.wanted = None;
        }
        counts
    }

    /// Looks at those that are due, and says whom to ask.
    pub(super) fn tick(&mut self, at: Moment, now: Moment) -> Vec<Question> {
        let late = now.since(at);
        if late >= LATE {
            self.watched.values_mut().for_each(|watched| watched.detector.paused(late));
        }
        let mut questions = Vec::new();
        while let Some((due, key)) = self.due.first().copied()
            && due <= now
        {
            self.due.pop_first();
            let room = self.under_way < MOST;
            let Some(watched) = self.watched.get_mut(&key) else { continue };
            let Some(entry) = watched.entry.upgrade() else {
                self.watched.remove(&key);
                continue;
            };
            let recent = watched.look(&entry, now);
            let pause = match watched.question {
                Some(_) => LOOK.min(watched.interval()),
                None if recent => watched.interval(),
                None if room => {
                    self.questions += 1;
                    self.under_way += 1;
                    (watched.question, watched.put) = (Some(self.questions), false);
                    watched.asked = now;
                    let number = self.questions;
                    questions.push(Question { entry: Arc::clone(&entry), number });
                    LOOK.min(watched.interval())
                }
                None => TICK,
            };
            watched.due = now + pause;
            self.due.insert((watched.due, key));
            let news = watched.judge(&entry, now);
            self.news.extend(news);
        }
        questions
    }

    /// A question comes to its agent: whether it is still to be asked.
    pub(super) fn is_put(&mut self, entry: &Arc<Entry>, number: u64, now: Moment) -> bool {
        let watched = self.watched.get_mut(&key(entry));
        match watched.filter(|watched| watched.question == Some(number)) {
            Some(watched) => {
                watched.put = true;
                watched.detector.ask(now);
                true
            }
            None => {
                self.was_put();
                false
            }
        }
    }

    /// A question is on its way no longer; the kernel may have stopped meanwhile, and counts none.
    pub(super) fn was_put(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A question could not be put.
    pub(super) fn not_put(&mut self, entry: &Arc<Entry>, number: u64) {
        self.was_put();
        let watched = self.watched.get_mut(&key(entry));
        if let Some(watched) = watched.filter(|watched| watched.question == Some(number)) {
            watched.question = None;
        }
    }

    pub(super) fn answered(
        &mut self,
        entry: &Arc<Entry>,
        number: u64,
        answer: Result<Beat>,
        now: Moment,
    ) {
        let watched = self.watched.get_mut(&key(entry));
        let Some(watched) = watched.filter(|watched| watched.question == Some(number)) else {
            return;
        };
        watched.question = None;
        let mut soon = false;
        match answer {
            Ok(Beat::Alive) => {
                watched.said = None;
                watched.detector.answered(now);
            }
            Ok(Beat::Heard) => {
                watched.said = None;
                watched.detector.heard(now);
            }
            Ok(Beat::Unreachable(error)) => {
                watched.said = Some((Vitality::Unreachable, error));
                watched.detector.restarted();
            }
            Ok(Beat::Dead(error)) => watched.end(error),
            // No sign of life: its silence goes on, and it is asked again soon.
            Err(_) => soon = true,
        }
        let news = watched.judge(entry, now);
        let due = match watched.thought {
            // It does not come back by itself, and is not asked again.
            Vitality::Dead if watched.said.is_some() => None,
            _ if soon => Some(now + LOOK.min(watched.interval())),
            _ => Some(now + watched.interval()),
        };
        self.news.extend(news);
        self.is_due(entry, due);
    }

    /// An agent has ended, as it says itself.
    pub(super) fn ended(&mut self, entry: &Arc<Entry>, error: Error, now: Moment) {
        let Some(watched) = self.watched.get_mut(&key(entry)) else { return };
        watched.question = None;
        watched.end(error);
        let news = watched.judge(entry, now);
        self.news.extend(news);
        self.is_due(entry, None);
    }

    /// A call failed in a way that may be its agent's end: it is asked soon.
    pub(super) fn hurry(&mut self, entry: &Arc<Entry>, now: Moment) {
        let Some(watched) = self.watched.get(&key(entry)) else { return };
        let (ended, at) = (watched.said.is_some(), (watched.asked + AGAIN).max(now));
        if !ended && watched.question.is_none() && at < watched.due {
            self.is_due(entry, Some(at));
        }
    }

    /// It was found dead, and starts again by itself: its silence is over.
    pub(super) fn revived(&mut self, entry: &Arc<Entry>) {
        if let Some(watched) = self.watched.get_mut(&key(entry)) {
            watched.question = None;
            watched.detector.restarted();
        }
    }

    fn is_due(&mut self, entry: &Arc<Entry>, due: Option<Moment>) {
        let Some(watched) = self.watched.get_mut(&key(entry)) else { return };
        self.due.remove(&(watched.due, key(entry)));
        watched.due = due.unwrap_or(Moment::FAR);
        if let Some(due) = due {
            self.due.insert((due, key(entry)));
        }
    }
}

impl Watched {
    fn interval(&self) -> Duration {
        Duration::from_millis(self.detector.policy().interval_ms)
    }

    fn end(&mut self, error: Error) {
        self.said = Some((Vitality::Dead, error));
        self.detector.restarted();
    }

    /// Takes in what its calls say; whether it was heard of since it would have been asked last.
    fn look(&mut self, entry: &Entry, now: Moment) -> bool {
        let heard = entry.last_heard();
        if heard > self.detector.last() {
            self.detector.heard(heard.unwrap_or(now));
            if self.said.as_ref().is_some_and(|(said, _)| *said == Vitality::Unreachable) {
                self.said = None;
            }
        }
        if self.question.is_some() && self.put {
            // What was heard of its calls answers no question, and silence begins anew with it.
            self.detector.ask(now);
        }
        self.detector.last().is_some_and(|last| now.since(last) < self.interval())
    }

    /// What is thought of it now; tells where that has changed.
    fn judge(&mut self, entry: &Arc<Entry>, now: Moment) -> Option<News> {
        let work = entry.in_flight();
        let stalled = self.stall.see(now, work, entry.last_heard());
        let silence = self.detector.silent_for(now).unwrap_or_default();
        let (thought, why) = match (&self.said, self.detector.judge(now, work > 0)) {
            (Some((said, error)), _) => (*said, Some(error.clone())),
            (None, Vitality::Alive) => match self.is_stalled(entry, stalled, now) {
                true => (Vitality::Slow, Some(stalls(stalled, work))),
                false => (Vitality::Alive, None),
            },
            (None, verdict) => (verdict, Some(silent(silence, self.detector.usual()))),
        };
        let from = std::mem::replace(&mut self.thought, thought);
        self.why.clone_from(&why);
        let why = why.map(|why| why.with("agent", entry.name()));
        let said = self.said.is_some();
        let before = std::mem::replace(&mut self.by_itself, said);
        let changed = from != thought || (said && !before);
        let phi = self.detector.phi(now);
        changed.then(|| News { entry: Arc::clone(entry), from, to: thought, phi, why, said })
    }

    fn is_stalled(&self, entry: &Entry, stalled: Duration, now: Moment) -> bool {
        if stalled < Duration::from_millis(self.detector.policy().stall_ms) {
            return false;
        }
        // What takes its time has not stalled.
        let usual = entry.ledger().stats(now).latency.map_or(0, |latency| latency.p99_ns);
        stalled >= Duration::from_nanos(usual).saturating_mul(3)
    }
}

fn silent(silence: Duration, usual: Duration) -> Error {
    Error::new(Code::AGENT_EXITED, "the agent gives no sign of life")
        .operation("agent.liveness")
        .with("silent_ms", silence.as_millis())
        .with("answers_in_ms", usual.as_millis())
}

fn stalls(stalled: Duration, work: u32) -> Error {
    Error::new(Code::AGENT_FAILED, "the agent has work, and nothing has come of it for long")
        .operation("agent.liveness")
        .with("stalled_ms", stalled.as_millis())
        .with("tasks", work)
}
