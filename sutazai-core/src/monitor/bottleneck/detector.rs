//! The window of spans, and the looks at it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::policy::BottleneckPolicy;
use super::rank::{Looked, Surroundings};
use super::span::WorkSpan;
use super::view::{Bottlenecks, Improvement, ResourceFigures, WhatIf};
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// Resources that somebody states figures of, at most.
const RESOURCES_MAX: usize = 256;

/// Remembers what work was done, and says what held it up.
#[derive(Clone, Debug)]
pub struct BottleneckDetector {
    policy: BottleneckPolicy,
    /// A copy of the detector has the same ones.
    spans: VecDeque<Arc<WorkSpan>>,
    forgotten: u64,
    stated: BTreeMap<String, (ResourceFigures, Moment)>,
}

impl BottleneckDetector {
    /// One that has seen nothing.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that makes no sense.
    pub fn new(policy: BottleneckPolicy) -> Result<Self> {
        policy.check()?;
        Ok(Self { policy, spans: VecDeque::new(), forgotten: 0, stated: BTreeMap::new() })
    }

    /// The same, with another policy from here on.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that makes no sense.
    pub fn with_policy(mut self, policy: BottleneckPolicy) -> Result<Self> {
        policy.check()?;
        let beyond = self.spans.len().saturating_sub(policy.spans as usize);
        self.spans.drain(..beyond);
        self.forgotten += beyond as u64;
        self.policy = policy;
        Ok(self)
    }

    /// So many spans were lost on their way here.
    pub fn lost(&mut self, spans: u64) {
        self.forgotten = self.forgotten.saturating_add(spans);
    }

    /// Its policy.
    pub fn policy(&self) -> &BottleneckPolicy {
        &self.policy
    }

    /// Remembers a piece of work. Those that end may be told in any order. Times that go back count as none.
    pub fn record(&mut self, span: WorkSpan) {
        if self.spans.len() >= self.policy.spans as usize {
            self.spans.pop_front();
            self.forgotten += 1;
        }
        self.spans.push_back(Arc::new(span));
    }

    /// Spans that are remembered.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Forgets all spans and what was stated.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.stated.clear();
    }

    /// States figures of a resource, in the place of those before. They count for a window's time.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is none, or a figure that is no share; [`Code::OVERLOADED`] for one resource too many.
    pub fn resource(&mut self, figures: ResourceFigures, now: Moment) -> Result<()> {
        let refused = |code, problem| {
            Err(Error::new(code, problem)
                .operation("monitor.resource")
                .with("resource", figures.name.escape_debug()))
        };
        if figures.name.is_empty()
            || figures.name.len() > 200
            || figures.name.contains(char::is_control)
        {
            return refused(
                Code::INVALID,
                "a resource's name has 1 to 200 bytes and no control characters",
            );
        }
        let said = [figures.utilisation, figures.saturation, figures.errors];
        if !said.iter().flatten().all(|share| (0.0..=1.0).contains(share)) {
            return refused(
                Code::INVALID,
                "utilisation, saturation and errors are shares from 0 to 1",
            );
        }
        let window = self.window();
        self.stated.retain(|_, (_, at)| now.since(*at) <= window);
        if self.stated.len() >= RESOURCES_MAX && !self.stated.contains_key(&figures.name) {
            return refused(
                Code::OVERLOADED,
                "there are figures of as many resources as there may be",
            );
        }
        self.stated.insert(figures.name.clone(), (figures, now));
        Ok(())
    }

    /// What held up the tasks that ended within the window.
    pub fn look(&self, now: Moment, around: &Surroundings) -> Bottlenecks {
        let around = self.around(now, around);
        Looked::at(self.recent(now), &around, &self.policy).answer(self.forgotten)
    }

    /// What the tasks of the window would have done, had a component (an agent, or a step without one) been better; of a component
    /// with several steps in this one alone, if it is given. Nothing where no task has ended.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a share that is not 0 or more and below 1; [`Code::NOT_FOUND`] where no task of the window has anything to do with
    /// the component, or with this step of it.
    pub fn what_if(
        &self,
        now: Moment,
        around: &Surroundings,
        component: &str,
        step: Option<&str>,
        change: Improvement,
    ) -> Result<Option<WhatIf>> {
        if let Improvement::Faster(share) = change
            && !(share.is_finite() && (0.0..1.0).contains(&share))
        {
            return Err(Error::new(
                Code::INVALID,
                "what is faster takes a share of its time less: 0 or more, and below 1",
            )
            .operation("monitor.what_if")
            .with("faster", share)
            .advice("0.5 is half the time; nothing takes none"));
        }
        let around = self.around(now, around);
        let looked = Looked::at(self.recent(now), &around, &self.policy);
        if !looked.has_tasks() {
            return Ok(None);
        }
        looked.check_known(component, step)?;
        Ok(looked.what_if(component, step, change, None))
    }

    fn recent(&self, now: Moment) -> impl Iterator<Item = &WorkSpan> {
        let window = self.window();
        self.spans.iter().map(Arc::as_ref).filter(move |span| now.since(span.ended) <= window)
    }

    fn window(&self) -> Duration {
        Duration::try_from_secs_f64(self.policy.window_s).unwrap_or(Duration::MAX)
    }

    fn around(&self, now: Moment, around: &Surroundings) -> Surroundings {
        let window = self.window();
        let mut around = around.clone();
        let stated = self.stated.values().filter(|(_, at)| now.since(*at) <= window);
        around.resources.extend(stated.map(|(figures, _)| figures.clone()));
        around
    }
}
