//! What the failsafe is told: [`FailsafePolicy`].

use serde::{Deserialize, Serialize};

use crate::base::nearest::nearest;
use crate::{Class, Code, Error, Result};

/// What takes the safe state, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FailsafePolicy {
    /// Milliseconds for all stages together, 1 or more, and no less than `drain_ms`. A stage whose turn
    /// has not come by then is left out. Default 10,000.
    pub total_ms: u64,
    /// Whether a critical error takes it. Default true; a kernel that was given no policy at all goes by none.
    pub on_critical: bool,
    /// The names of codes that do not, critical or not. One that looks like the library's has to be one.
    /// Default `base.panic`: what an agent or a callback
    /// panics with ends where it is caught, and is that call's failure.
    pub ignore: Vec<String>,
    /// Whether a panic takes it that nobody catches: the kernel installs a panic hook, which runs the one
    /// before first. Default false.
    pub on_panic: bool,
    /// Whether SIGTERM takes it. Default false.
    pub on_sigterm: bool,
    /// Whether the process ends by SIGTERM once the safe state is taken, if SIGTERM took it. A second
    /// SIGTERM ends it at once in any case. Default true.
    pub terminate: bool,
    /// Milliseconds of the kernel's stage `stop_admitting`. Default 500.
    pub admit_ms: u64,
    /// Milliseconds that calls under way have to finish, before they are answered with
    /// `recovery.safe_state`. Default 5,000.
    pub drain_ms: u64,
    /// Milliseconds to write out logs, audit trail and store. Default 1,000.
    pub flush_ms: u64,
    /// Milliseconds to write the diagnosis bundle. Default 2,000.
    pub dump_ms: u64,
    /// Diagnosis bundles that are kept in the data directory, 1 or more; the oldest go. Default 10.
    pub bundles: u32,
}

impl Default for FailsafePolicy {
    fn default() -> Self {
        Self {
            total_ms: 10_000,
            on_critical: true,
            ignore: vec![Code::PANIC.name().to_owned()],
            on_panic: false,
            on_sigterm: false,
            terminate: true,
            admit_ms: 500,
            drain_ms: 5_000,
            flush_ms: 1_000,
            dump_ms: 2_000,
            bundles: 10,
        }
    }
}

impl FailsafePolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`] for each that does not, naming the field.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        for (field, value) in [("total_ms", self.total_ms), ("bundles", self.bundles.into())] {
            if value == 0 {
                problems.push(invalid(field, "must be at least 1"));
            }
        }
        if self.total_ms > 0 && self.total_ms < self.drain_ms {
            let error = invalid("drain_ms", "must be at most total_ms, the bound of all stages")
                .with("drain_ms", self.drain_ms)
                .with("total_ms", self.total_ms);
            problems.push(error.advice("give both, and leave time for what comes after the drain"));
        }
        for (index, name) in self.ignore.iter().enumerate() {
            if Code::all().any(|code| code.name() == name) {
                continue;
            }
            // A host may have words of its own; what begins as ours do, or is nearly one, is a mistake.
            let near = nearest(name, Code::all().map(Code::name));
            let family = name.split('.').next().unwrap_or_default();
            if near.is_none() && !Code::all().any(|code| code.family() == family) {
                continue;
            }
            let error = invalid(&format!("ignore[{index}]"), "must be the name of a code")
                .with("value", name);
            problems.push(match near {
                Some(near) => error.advice(format!("did you mean \"{near}\"?")),
                None => error.advice("invoke kernel.codes for those that there are"),
            });
        }
        Error::join(problems).map_or(Ok(()), Err)
    }

    /// Whether this error takes the safe state.
    pub(super) fn is_reason(&self, error: &Error) -> bool {
        self.on_critical
            && error.class() == Class::Critical
            && !self.ignore.iter().any(|name| name == error.code().name())
    }
}

fn invalid(field: &str, rule: &'static str) -> Error {
    Error::new(Code::INVALID, "the failsafe policy is not valid")
        .operation("recovery.failsafe")
        .with("field", field)
        .with("rule", rule)
}
