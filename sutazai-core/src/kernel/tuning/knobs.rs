//! Knobs: those of the kernel's rooms and of the host, listed and set.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::super::Change;
use super::super::handle::Kernel;
use super::super::shared::Shared;
use super::kinds::{allowed, fitted};
use super::{MOST, about, meant, shown};
use crate::base::contain;
use crate::tune::{Adjust, Knob, KnobKind, KnobValue};
use crate::{Code, Error, Result};

/// How names of the kernel's own knobs begin.
pub(super) const OWN: [&str; 6] = ["batch/", "guard/", "limits/", "monitor/", "pool/", "store/"];

/// How long somebody who sets a knob waits for the tuner that has it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A knob as hosts see it.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct KnobView {
    /// Its name.
    pub name: String,
    /// Its type, with the values that it may take.
    pub kind: KnobKind,
    /// What it is set to; none where the host could not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<KnobValue>,
    /// The tuner that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuner: Option<Arc<str>>,
}

impl Kernel {
    /// Adds a knob of the host's.
    ///
    /// # Errors
    /// [`Code::INVALID`] for one that is not valid, or has a name of the kernel's own (`batch/`, `guard/`, `limits/`, `monitor/`, `pool/`, `store/`),
    /// [`Code::ALREADY_EXISTS`], and [`Code::OVERLOADED`] beyond a hundred.
    pub fn add_knob(&self, knob: Arc<dyn Adjust>) -> Result<()> {
        let knob = Contained::new(knob).map_err(|error| error.operation("tune.add_knob"))?;
        let name = knob.name.clone();
        let refused = |code, problem| {
            Err(Error::new(code, problem).operation("tune.add_knob").with("knob", shown(&name)))
        };
        if OWN.iter().any(|own| name.starts_with(own)) {
            return refused(Code::INVALID, "knobs of this name are the kernel's own");
        }
        let present = knob.value().map_err(|error| error.operation("tune.add_knob"))?;
        let valid = Knob::new(name.clone(), knob.kind(), present).check();
        valid.map_err(|error| error.operation("tune.add_knob"))?;
        let mut knobs = self.shared.tuning.knobs.lock();
        if knobs.contains_key(&name) {
            return refused(Code::ALREADY_EXISTS, "there is a knob of this name");
        }
        if knobs.len() >= MOST {
            return refused(Code::OVERLOADED, "a kernel has at most 100 knobs of its host's");
        }
        knobs.insert(name, Arc::new(knob));
        Ok(())
    }

    /// The knobs that can be set now, sorted by name: `guard/…` and `pool/…` of the policies in force, `monitor/every_ms` where
    /// samples are taken, `limits/…`, `batch/…`, `store/…`, and the host's.
    pub fn knobs(&self) -> Vec<KnobView> {
        let shared = &self.shared;
        let mut all = shared.own_knobs();
        all.extend(shared.tuning.knobs.lock().values().cloned());
        let mut views: Vec<_> = (all.iter())
            .map(|knob| KnobView {
                name: knob.name().to_owned(),
                kind: knob.kind(),
                value: knob.value().ok(),
                tuner: shared.tuning.tuner_of(knob.name()),
            })
            .collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// Sets a knob. A tuner that has it takes this for the setting in use, and learns anew. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`], [`Code::INVALID`] for a value that it may not take, and what its room or the host answers.
    pub fn set_knob(&self, name: &str, value: &KnobValue) -> Result<()> {
        let word = word(value);
        let change = Change::configuration("tune.set", name).with("value", &word);
        // The tuner that has it waits, and is told: what it tries may be this very value.
        let tuned = self.shared.tuning.tuner_with(name);
        let turn = tuned.as_ref().and_then(|tuned| tuned.turn.try_lock_for(PATIENCE));
        let set = || {
            let knob = self.shared.knob(name)?;
            let value = fitted(value, &knob.kind());
            allowed(name, &knob.kind(), &value)?;
            knob.set(&value)?;
            if let (Some(tuned), Some(_)) = (&tuned, &turn) {
                self.shared.set_by_hand(tuned, &*knob, value);
            }
            Ok(())
        };
        let done = self.shared.changes(change, set);
        done.map_err(|error| about(error.operation("tune.set"), "knob", shown(name)))
    }
}

/// A knob of the host's: what it panics with is an error.
struct Contained {
    knob: Arc<dyn Adjust>,
    name: String,
    kind: KnobKind,
}

const PANICKED: &str = "a knob panicked";

impl Contained {
    fn new(knob: Arc<dyn Adjust>) -> Result<Self> {
        let (name, kind) = contain::run(PANICKED, || (knob.name().to_owned(), knob.kind()))?;
        Ok(Self { knob, name, kind })
    }
}

impl Adjust for Contained {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> KnobKind {
        contain::run(PANICKED, || self.knob.kind()).unwrap_or_else(|_| self.kind.clone())
    }

    fn value(&self) -> Result<KnobValue> {
        contain::run(PANICKED, || self.knob.value()).flatten()
    }

    fn set(&self, value: &KnobValue) -> Result<()> {
        contain::run(PANICKED, || self.knob.set(value)).flatten()
    }
}

/// A value as it is written on the record.
pub(super) fn word(value: &KnobValue) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Shared {
    fn own_knobs(self: &Arc<Self>) -> Vec<Arc<dyn Adjust>> {
        #[cfg_attr(
            not(any(feature = "recovery", feature = "agent")),
            expect(unused_mut, reason = "of policies there are none")
        )]
        let mut all = super::figures::all(self);
        #[cfg(any(feature = "recovery", feature = "agent"))]
        all.extend(super::own::all(self));
        all
    }

    pub(super) fn knob(self: &Arc<Self>, name: &str) -> Result<Arc<dyn Adjust>> {
        if let Some(knob) = self.tuning.knobs.lock().get(name) {
            return Ok(Arc::clone(knob));
        }
        let own = self.own_knobs();
        if let Some(knob) = own.iter().find(|knob| knob.name() == name) {
            return Ok(Arc::clone(knob));
        }
        let hosts: Vec<String> = self.tuning.knobs.lock().keys().cloned().collect();
        let names = own.iter().map(|knob| knob.name()).chain(hosts.iter().map(String::as_str));
        let none = Error::new(Code::NOT_FOUND, "there is no knob of this name")
            .with("knob", shown(name))
            .advice("tune.knobs lists those that there are");
        Err(meant(none, name, names))
    }
}
