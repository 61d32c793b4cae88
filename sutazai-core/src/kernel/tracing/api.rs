//! What hosts ask, and tell, of bottlenecks.

use std::sync::Arc;
use std::time::Duration;

use super::{Came, PartOf, Story};
use crate::Result;
use crate::base::id::CallId;
use crate::base::lineage::{self, Lineage, Place};
use crate::base::payload::Payload;
use crate::base::time::Moment;
use crate::kernel::Kernel;
use crate::monitor::{
    Activity, BottleneckPolicy, Bottlenecks, Improvement, ResourceFigures, Wait, WaitFor, WhatIf,
};
use crate::port::Trace;

impl Kernel {
    /// What holds tasks up: one ranked answer, with evidence, and what would change if it were better. It goes by the calls of the
    /// last [`Limits::spans`](crate::kernel::Limits::spans), by what the threads were seen to do that worked on them, and by what
    /// is measured where [samples](Self::sample) are taken. Calls that have no answer yet are not among them; the parts of what goes on
    /// for longer than any task that has ended, such as a step around a main loop, are tasks of their own. Takes milliseconds; with
    /// 4,096 calls some ten.
    ///
    /// ```
    /// use sutazai_core::agent::from_fn;
    /// use sutazai_core::kernel::Kernel;
    /// use sutazai_core::monitor::BottleneckPolicy;
    /// use sutazai_core::port::{AgentCard, Task};
    ///
    /// let slow = from_fn(AgentCard::new("writer", ["write"]), |_: &Task| {
    ///     std::thread::sleep(std::time::Duration::from_millis(5));
    ///     Ok("a text")
    /// });
    /// let kernel = Kernel::builder().agent(slow).build()?;
    /// kernel.start()?;
    /// kernel.call(Task::new("write", "about Rome")).wait()?;
    /// let found = kernel.bottlenecks(&BottleneckPolicy::default())?;
    /// assert_eq!(found.ranked[0].component, "writer");
    /// # kernel.stop(std::time::Duration::from_secs(1))?;
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that makes no sense.
    pub fn bottlenecks(&self, policy: &BottleneckPolicy) -> Result<Bottlenecks> {
        let shared = &self.shared;
        policy.check()?;
        let around = shared.surroundings(window(policy));
        let now = shared.runtime.now();
        shared.tracing.with_detector(policy, |detector| Ok(detector.look(now, &around)))
    }

    /// What the tasks of the window would have done, had an agent (or a step) been better. Nothing where no task has ended.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a policy that makes no sense, or a share that is not 0 or more and below 1;
    /// [`Code::NOT_FOUND`](crate::Code::NOT_FOUND) where no task of the window has anything to do with the component or the step.
    pub fn what_if(
        &self,
        component: &str,
        step: Option<&str>,
        change: Improvement,
        policy: &BottleneckPolicy,
    ) -> Result<Option<WhatIf>> {
        let shared = &self.shared;
        policy.check()?;
        let around = shared.surroundings(window(policy));
        let now = shared.runtime.now();
        shared.tracing.with_detector(policy, |detector| {
            detector.what_if(now, &around, component, step, change)
        })
    }

    /// States how much a resource of the host's is used: for a window's time, or until it is stated anew.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a name that is none, or a figure that is no share;
    /// [`Code::OVERLOADED`](crate::Code::OVERLOADED) for one resource too many.
    pub fn state_resource(&self, figures: ResourceFigures) -> Result<()> {
        let now = self.shared.runtime.now();
        self.shared.tracing.state(figures, now)
    }

    /// Does a step of the host's own work: within a call it is a part of that, else a task. Calls that are made within it are parts
    /// of it. A control character of the name is shown as U+FFFD.
    pub fn step<R>(&self, name: impl Into<Arc<str>>, work: impl FnOnce() -> R) -> R {
        let (shared, name) = (&self.shared, plain(name.into()));
        let outer = lineage::current();
        let id = CallId(shared.ids.next());
        let parent = outer.as_ref().map(Lineage::place);
        let trace = parent.map_or_else(|| shared.ids.trace(id.0), |parent| parent.trace);
        let span = shared.ids.span(id.0);
        let story = Story::new(PartOf::default(), false);
        let began = shared.runtime.now();
        let place = Place { call: id, trace, span };
        let who = outer.as_ref().map_or_else(|| Arc::clone(&name), |outer| Arc::clone(outer.who()));
        let here = Lineage::new(outer, place, who, Arc::clone(&name), Payload::default());
        let done = lineage::within(Some(here), work);
        shared.trace(
            &story,
            &Came {
                trace: Trace { trace, span },
                parent: parent.map(|parent| Trace { trace: parent.trace, span: parent.span }),
                skill: &name,
                entry: None,
                began,
                ended: shared.runtime.now(),
                failure: None,
            },
        );
        done
    }

    /// A step, or a wait for this, that took so long and ends now.
    pub(crate) fn told_step(&self, name: &str, took: Duration, waited_for: Option<WaitFor>) {
        let (shared, name) = (&self.shared, Arc::<str>::from(name));
        let ended = shared.runtime.now();
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // A clock that began later has no such time: of a longer step it counts what is since then.
        let began = Moment::from_nanos(ended.as_nanos().saturating_sub(nanos));
        if let Some(on) = waited_for {
            return shared.tell_of_wait(on, name, began, ended);
        }
        let parent = lineage::current().map(|outer| outer.place());
        let id = shared.ids.next();
        let trace = parent.map_or_else(|| shared.ids.trace(id), |parent| parent.trace);
        shared.trace(
            &Story::new(PartOf::default(), false),
            &Came {
                trace: Trace { trace, span: shared.ids.span(id) },
                parent: parent.map(|parent| Trace { trace: parent.trace, span: parent.span }),
                skill: &name,
                entry: None,
                began,
                ended,
                failure: None,
            },
        );
    }

    /// Waits for something that has a name (a lock, a connection, a limit of the host's own), so that the time is put down to that.
    pub fn waiting<R>(
        &self,
        on: WaitFor,
        what: impl Into<Arc<str>>,
        wait: impl FnOnce() -> R,
    ) -> R {
        let began = self.shared.runtime.now();
        let done = wait();
        let ended = self.shared.runtime.now();
        self.shared.tell_of_wait(on, plain(what.into()), began, ended);
        done
    }
}

impl crate::kernel::shared::Shared {
    /// A wait is a part of the work that waits, and no task.
    fn tell_of_wait(&self, on: WaitFor, what: Arc<str>, began: Moment, ended: Moment) {
        let Some(place) = lineage::current().map(|outer| outer.place()) else { return };
        let wait = Wait { on, what: Arc::clone(&what), from: began, to: ended };
        self.tracing.push(super::Done {
            id: self.ids.span(self.ids.next()),
            parent: Some(place.span),
            skill: what,
            agent: None,
            client: 0,
            arrived: began,
            placed: began,
            started: ended,
            ended,
            failure: None,
            activity: Activity::default(),
            waits: Some(Box::new([wait])),
        });
    }
}

/// A name as it may be shown: control characters are replaced, for a step cannot be refused.
fn plain(name: Arc<str>) -> Arc<str> {
    match name.contains(char::is_control) {
        true => name.replace(char::is_control, "\u{fffd}").into(),
        false => name,
    }
}

fn window(policy: &BottleneckPolicy) -> Duration {
    Duration::try_from_secs_f64(policy.window_s).unwrap_or(Duration::MAX)
}
