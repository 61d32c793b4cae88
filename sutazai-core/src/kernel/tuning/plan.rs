//! What is tuned from the start: as a builder or a manifest says.

use std::sync::Arc;

use super::super::Change;
use super::super::shared::Shared;
#[cfg(feature = "agent")]
use super::Scaling;
use super::{ShareSpec, TuneSpec};
use crate::Result;
use crate::kernel::Builder;
use crate::observe::Level;

/// What was said before the start, by name.
#[derive(Default)]
pub(in crate::kernel) struct Plan {
    tuners: Vec<(String, TuneSpec)>,
    #[cfg(feature = "agent")]
    pools: Vec<(String, Scaling)>,
    shares: Vec<(String, ShareSpec)>,
}

impl Builder {
    /// Adds a tuner, as [`Kernel::add_tuner`](super::super::Kernel::add_tuner) does, when the kernel has started. One that cannot be
    /// is logged then.
    pub fn tuner(mut self, name: impl Into<String>, spec: TuneSpec) -> Self {
        self.tuning.tuners.push((name.into(), spec));
        self
    }

    /// Has a pool's size follow its load, as [`Kernel::scale_pool`](super::super::Kernel::scale_pool) does, when the kernel has
    /// started. One that cannot be is logged then.
    #[cfg(feature = "agent")]
    pub fn scale_pool(mut self, pool: impl Into<String>, scaling: Scaling) -> Self {
        self.tuning.pools.push((pool.into(), scaling));
        self
    }

    /// Divides something scarce, as [`Kernel::share_out`](super::super::Kernel::share_out) does, when the kernel has started. What
    /// cannot be divided is logged then.
    pub fn share_out(mut self, name: impl Into<String>, spec: ShareSpec) -> Self {
        self.tuning.shares.push((name.into(), spec));
        self
    }
}

impl Shared {
    /// Begins with what was planned: agents and pools are there.
    pub(in crate::kernel) fn start_tuning(self: &Arc<Self>) {
        let plan = std::mem::take(&mut *self.tuning.plan.lock());
        let begin = |operation: &'static str, name: &str, begin: &dyn Fn() -> Result<()>| {
            let change = Change::configuration(operation, name).by(Change::KERNEL);
            if let Err(error) = self.changes(change, begin) {
                let fields = [("name", name.to_owned()), ("error", format!("{error:#}"))];
                let log = self.kept.log();
                log.record(Level::Error, "sutazai.tune", "what was planned is not tuned", fields);
            }
        };
        for (name, spec) in plan.tuners {
            begin("tune.add", &name, &|| self.add_tuner(&name, spec.clone()));
        }
        #[cfg(feature = "agent")]
        for (pool, scaling) in plan.pools {
            begin("tune.scale", &pool, &|| self.scale_pool(&pool, scaling.clone()));
        }
        for (name, spec) in plan.shares {
            begin("tune.share", &name, &|| self.share_out(&name, spec.clone()));
        }
    }
}
