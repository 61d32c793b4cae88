//! What work calls were, and what they waited for: noted when they have their answer, in bounded rings, and looked at when
//! somebody asks what held them up.
//!
//! Of a call that a thread of the pool works on it is noted when the thread began. What the thread does is looked at every [`TICK`]
//! from outside, for a few threads at a time; and how much processor time it had is measured of one call in every
//! [`MEASURED_EVERY`] of each thread. On Linux only; elsewhere, and in virtual time, that remains unknown.

mod api;
mod surroundings;
mod threads;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::shared::Shared;
use crate::agent::Entry;
use crate::base::id::{CallId, SpanId};
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::monitor::{
    Activity, BottleneckDetector, BottleneckPolicy, Failure, Wait, WaitFor, WorkSpan,
};
use crate::port::Trace;
use crate::{Code, Error};
use threads::{Figures, Threads};

/// How often threads that work are looked at.
const TICK: Duration = Duration::from_millis(10);
/// How often a call of each thread is measured.
const MEASURED_EVERY: Duration = Duration::from_millis(10);
/// Threads that are looked at each time, at most.
const LOOKS: usize = 16;
const SHARDS: usize = 8;

/// The books of what work was done.
pub(in crate::kernel) struct Tracing {
    shards: [CachePadded<Mutex<VecDeque<Done>>>; SHARDS],
    /// In each of them, at most.
    most: usize,
    pushed_out: AtomicU64,
    threads: Threads,
    /// Whether the next look is planned.
    looks: AtomicBool,
    detector: Mutex<Option<BottleneckDetector>>,
}

/// A piece of work that has its answer.
struct Done {
    id: SpanId,
    parent: Option<SpanId>,
    skill: Arc<str>,
    agent: Option<Arc<str>>,
    client: u64,
    arrived: Moment,
    /// When it had its place with the agent.
    placed: Moment,
    started: Moment,
    ended: Moment,
    failure: Option<Failure>,
    activity: Activity,
    /// Of calls that are tried: what lay between the tries.
    waits: Option<Box<[Wait]>>,
}

/// A call that a try is of, and since when the try has been on its way.
#[derive(Clone, Copy, Default)]
pub(in crate::kernel) struct PartOf(Option<(CallId, Moment)>);

#[cfg(feature = "recovery")]
impl PartOf {
    pub(in crate::kernel) fn call(id: CallId, since: Moment) -> Self {
        Self(Some((id, since)))
    }
}

/// What is known of a call from its begin on.
#[derive(Clone, Default)]
pub(in crate::kernel) struct Story {
    part_of: PartOf,
    client: u64,
    /// Of one that the pool works on.
    work: Option<Arc<Work>>,
}

/// The work of a thread on a call.
#[derive(Default)]
pub(super) struct Work {
    /// Nanoseconds; 0 before it.
    started: AtomicU64,
    running: AtomicU32,
    locked: AtomicU32,
    disk: AtomicU32,
    asleep: AtomicU32,
}

struct AtWork {
    work: Arc<Work>,
    began: Moment,
    /// What the thread had used by then, of one that is measured.
    used: Option<Figures>,
}

thread_local! {
    /// What this thread works on; within it, what it works on within that.
    static AT_WORK: RefCell<Vec<AtWork>> = const { RefCell::new(Vec::new()) };
    /// When a call of this thread was last measured.
    static MEASURED: RefCell<Option<Moment>> = const { RefCell::new(None) };
    /// Its address is this thread's alone.
    static MARK: u8 = const { 0 };
}

/// Who calls, as far as one can tell.
fn client() -> u64 {
    MARK.try_with(|mark| std::ptr::from_ref(mark) as usize as u64).unwrap_or(0)
}

impl Story {
    pub(in crate::kernel) fn new(part_of: PartOf, on_pool: bool) -> Self {
        Self { part_of, client: client(), work: on_pool.then(Arc::default) }
    }
}

/// What a call has come to.
pub(in crate::kernel) struct Came<'a> {
    pub(in crate::kernel) trace: Trace,
    pub(in crate::kernel) parent: Option<Trace>,
    pub(in crate::kernel) skill: &'a Arc<str>,
    pub(in crate::kernel) entry: Option<&'a Entry>,
    pub(in crate::kernel) began: Moment,
    pub(in crate::kernel) ended: Moment,
    pub(in crate::kernel) failure: Option<&'a Error>,
}

impl Shared {
    /// Notes a call, or a try, that has its answer.
    #[inline]
    pub(in crate::kernel) fn trace(&self, story: &Story, came: &Came<'_>) {
        let parent = match story.part_of.0 {
            Some((call, _)) => Some(self.ids.span(call.0)),
            None => came.parent.map(|parent| parent.span),
        };
        let (started, activity) = match &story.work {
            Some(work) => work.so_far(came.began, came.ended),
            None => (came.began, Activity::default()),
        };
        self.tracing.push(Done {
            id: came.trace.span,
            parent,
            skill: Arc::clone(came.skill),
            agent: came.entry.map(|entry| Arc::clone(entry.name())),
            client: story.client,
            arrived: story.part_of.0.map_or(came.began, |(_, since)| since.min(came.began)),
            placed: came.began,
            started,
            ended: came.ended,
            failure: match came.failure.and_then(why) {
                // Whoever had begun to work had room for it.
                Some(Failure::Full) if story.work.is_some() && started < came.ended => {
                    Some(Failure::Failed)
                }
                other => other,
            },
            activity,
            waits: None,
        });
    }
}

impl Work {
    /// When it was begun, and what the thread has done since, if this is the one.
    fn so_far(self: &Arc<Self>, began: Moment, ended: Moment) -> (Moment, Activity) {
        let started = match self.started.load(Ordering::Relaxed) {
            // Nobody got to it.
            0 => return (ended, Activity::default()),
            nanos => Moment::from_nanos(nanos).max(began),
        };
        let count = |of: &AtomicU32| of.load(Ordering::Relaxed);
        let mut activity = Activity {
            running: count(&self.running),
            locked: count(&self.locked),
            disk: count(&self.disk),
            asleep: count(&self.asleep),
            ..Activity::default()
        };
        let measured = AT_WORK.try_with(|all| {
            let all = all.try_borrow().ok()?;
            let here = all.last().filter(|it| Arc::ptr_eq(&it.work, self))?;
            let used = here.used?;
            Some((ended.since(here.began), Figures::of_this_thread()?.since(&used)))
        });
        if let Ok(Some((took, used))) = measured {
            activity.measured_s = took.as_secs_f64();
            activity.cpu_s = used.cpu_s;
            activity.runnable_s = used.runnable_s;
            activity.memory_s = used.memory_s();
        }
        (started, activity)
    }
}

/// Ends the thread's work on a call, however it ends.
struct Leaves<'a>(&'a Tracing);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        let outer = AT_WORK.try_with(|all| {
            let mut all = all.try_borrow_mut().ok()?;
            let gone = all.pop();
            let outer = all.last().map(|outer| Arc::clone(&outer.work));
            drop(all);
            drop(gone);
            outer
        });
        self.0.threads.works_on(outer.ok().flatten());
    }
}

impl Tracing {
    pub(in crate::kernel) fn new(spans: usize) -> Self {
        Self {
            shards: Default::default(),
            most: (spans / SHARDS).max(8),
            pushed_out: AtomicU64::new(0),
            threads: Threads::default(),
            looks: AtomicBool::new(false),
            detector: Mutex::default(),
        }
    }

    #[inline]
    fn push(&self, done: Done) {
        let index = done.id.0 as usize % SHARDS;
        let Some(shard) = self.shards.get(index) else { return };
        let gone = {
            let mut shard = shard.lock();
            let gone = if shard.len() >= self.most { shard.pop_front() } else { None };
            shard.push_back(done);
            gone
        };
        if gone.is_some() {
            self.pushed_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does the work of a call on this thread of the pool.
    pub(in crate::kernel) fn at_work<R>(
        self: &Arc<Self>,
        story: &Story,
        runtime: &Arc<dyn Runtime>,
        work: impl FnOnce() -> R,
    ) -> R {
        let Some(of) = &story.work else { return work() };
        let now = runtime.now();
        of.started.store(now.as_nanos().max(1), Ordering::Relaxed);
        if runtime.virtual_time().is_some() {
            return work();
        }
        let due = MEASURED.try_with(|last| {
            let mut last = last.try_borrow_mut().ok()?;
            let due = last.is_none_or(|last| now.since(last) >= MEASURED_EVERY);
            due.then(|| *last = Some(now))
        });
        let used = due.ok().flatten().and_then(|()| Figures::of_this_thread());
        let here = AtWork { work: Arc::clone(of), began: now, used };
        let _ = AT_WORK.try_with(|all| {
            if let Ok(mut all) = all.try_borrow_mut() {
                all.push(here);
            }
        });
        self.threads.works_on(Some(Arc::clone(of)));
        let _leaves = Leaves(self);
        self.look_later(runtime);
        work()
    }

    /// Plans the next look at the threads, where there is none.
    fn look_later(self: &Arc<Self>, runtime: &Arc<dyn Runtime>) {
        if threads::CAN_LOOK && !self.looks.swap(true, Ordering::AcqRel) {
            self.plan_look(runtime);
        }
    }

    fn plan_look(self: &Arc<Self>, runtime: &Arc<dyn Runtime>) {
        let weak = (Arc::downgrade(self), Arc::downgrade(runtime));
        let job = Box::new(move || {
            let (Some(tracing), Some(runtime)) = (weak.0.upgrade(), weak.1.upgrade()) else {
                return;
            };
            if tracing.threads.look(LOOKS) {
                tracing.plan_look(&runtime);
            } else {
                // Who begins to work from here on plans it anew.
                tracing.looks.store(false, Ordering::Release);
            }
        });
        runtime.spawn_at(runtime.now() + TICK, job);
    }

    /// Takes what was noted.
    fn drain(&self) -> Vec<Done> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(std::mem::take(&mut *shard.lock()));
        }
        all.sort_by_key(|done| done.ended);
        all
    }

    fn state(&self, figures: crate::monitor::ResourceFigures, now: Moment) -> crate::Result<()> {
        let mut detector = self.detector.lock();
        let mut known = match detector.take() {
            Some(known) => known,
            None => BottleneckDetector::new(BottleneckPolicy::default())?,
        };
        let stated = known.resource(figures, now);
        *detector = Some(known);
        stated
    }

    /// Runs with the detector, which knows all that has ended.
    fn with_detector<R>(
        &self,
        policy: &BottleneckPolicy,
        f: impl FnOnce(&mut BottleneckDetector) -> crate::Result<R>,
    ) -> crate::Result<R> {
        policy.check()?;
        let mut detector = self.detector.lock();
        // As much is kept as anybody has asked for; who asks for less takes nothing from the others.
        let kept = detector.as_ref().map_or(0, |known| known.policy().spans);
        let mut keeps = BottleneckPolicy::default();
        keeps.spans = keeps.spans.max(kept).max(policy.spans);
        keeps.window_s = keeps.window_s.max(policy.window_s);
        let mut known = match detector.take() {
            Some(known) => known.with_policy(keeps)?,
            None => BottleneckDetector::new(keeps)?,
        };
        self.drain().into_iter().for_each(|done| known.record(done.span()));
        known.lost(self.pushed_out.swap(0, Ordering::Relaxed));
        let asked = known.clone();
        *detector = Some(known);
        drop(detector);
        f(&mut asked.with_policy(policy.clone())?)
    }
}

impl Done {
    fn span(self) -> WorkSpan {
        let mut span = WorkSpan::new(self.id.0, self.skill, self.arrived);
        span.parent = self.parent.map(|parent| parent.0);
        span.client = self.client;
        (span.started, span.ended) = (self.started, self.ended);
        span.activity = self.activity;
        span.failure = self.failure;
        span.waits = self.waits.map(Vec::from).unwrap_or_default();
        if let Some(agent) = &self.agent {
            let waits = [
                (WaitFor::Place, Arc::clone(agent), self.arrived, self.placed),
                (WaitFor::Pool, Arc::from("pool"), self.placed, self.started),
            ];
            for (on, what, from, to) in waits.into_iter().filter(|(_, _, from, to)| from < to) {
                span.waits.push(Wait { on, what, from, to });
            }
        }
        span.agent = self.agent;
        span
    }
}

/// Why it came to nothing; a caller who goes away or asks for nonsense holds nothing up.
fn why(error: &Error) -> Option<Failure> {
    #[cfg(feature = "recovery")]
    if error.context().any(|(key, why)| {
        key == crate::recovery::GAVE_UP && why == crate::recovery::GaveUp::Budget.name()
    }) {
        return Some(Failure::Budget);
    }
    match error.code() {
        Code::CANCELLED | Code::INVALID | Code::NOT_FOUND | Code::AGENT_NO_SKILL => None,
        Code::DEADLINE_EXCEEDED => Some(Failure::Late),
        Code::OVERLOADED => Some(Failure::Full),
        #[cfg(feature = "recovery")]
        Code::BULKHEAD_FULL => Some(Failure::Full),
        #[cfg(feature = "recovery")]
        Code::RATE_LIMITED => Some(Failure::RateLimit),
        _ => Some(Failure::Failed),
    }
}

/// What a failed try is waited after for.
#[cfg(feature = "recovery")]
pub(in crate::kernel) fn pause_for(error: &Error) -> WaitFor {
    match why(error) {
        Some(Failure::RateLimit) => WaitFor::RateLimit,
        _ => WaitFor::Retry,
    }
}

/// A call that is tried, as often as it takes.
#[cfg(feature = "recovery")]
pub(in crate::kernel) struct TriedCall<'a> {
    pub(in crate::kernel) id: CallId,
    pub(in crate::kernel) parent: Option<Trace>,
    pub(in crate::kernel) skill: &'a Arc<str>,
    pub(in crate::kernel) client: &'a Story,
    pub(in crate::kernel) began: Moment,
    pub(in crate::kernel) waits: Vec<Wait>,
    pub(in crate::kernel) failure: Option<&'a Error>,
}

#[cfg(feature = "recovery")]
impl Shared {
    /// Notes a call that was tried, and has its answer.
    pub(in crate::kernel) fn trace_tried(&self, call: TriedCall<'_>) {
        self.tracing.push(Done {
            id: self.ids.span(call.id.0),
            parent: call.parent.map(|parent| parent.span),
            skill: Arc::clone(call.skill),
            agent: None,
            client: call.client.client,
            arrived: call.began,
            placed: call.began,
            started: call.began,
            ended: self.runtime.now(),
            failure: call.failure.and_then(why),
            activity: Activity::default(),
            waits: (!call.waits.is_empty()).then(|| call.waits.into_boxed_slice()),
        });
    }
}
