//! Knobs of the kernel that are numbers by themselves: its bounds, and how much is done in one go.

#[cfg(feature = "agent")]
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
#[cfg(any(feature = "monitor", feature = "store"))]
use std::time::Duration;

use super::super::shared::Shared;
use crate::tune::{Adjust, KnobKind, KnobScale, KnobValue};
use crate::{Code, Error, Result};

/// A number of the kernel's that stands by itself.
struct Figure {
    name: &'static str,
    low: i64,
    high: i64,
    /// None where it is not in use.
    get: fn(&Shared) -> Option<u64>,
    set: fn(&Arc<Shared>, u64) -> Result<()>,
}

const FIGURES: &[Figure] = &[
    #[cfg(feature = "agent")]
    Figure {
        name: "batch/side_by_side",
        low: 1,
        high: 4_096,
        get: |shared| Some(shared.side_by_side.load(Ordering::Relaxed) as u64),
        set: |shared, most| {
            shared.side_by_side.store(size(most), Ordering::Relaxed);
            Ok(())
        },
    },
    Figure {
        name: "limits/calls",
        low: 1,
        high: 10_000_000,
        get: |shared| Some(shared.load.most() as u64),
        set: |shared, most| {
            shared.load.set_most(size(most));
            Ok(())
        },
    },
    #[cfg(feature = "monitor")]
    Figure {
        name: "monitor/every_ms",
        low: 10,
        high: 60_000,
        get: |shared| shared.sampled_every().map(millis),
        set: |shared, every| shared.take_samples_every(Some(Duration::from_millis(every))),
    },
    #[cfg(feature = "store")]
    Figure {
        name: "store/batch",
        low: 1,
        high: 65_536,
        get: |shared| Some(shared.store.batch() as u64),
        set: |shared, batch| {
            shared.store.set_batch(size(batch));
            Ok(())
        },
    },
    #[cfg(feature = "store")]
    Figure {
        name: "store/sync_ms",
        low: 1,
        high: 3_600_000,
        // In memory there is nothing to sync.
        get: |shared| shared.data_dir.is_some().then(|| millis(shared.store.sync_every())),
        set: |shared, every| {
            shared.store.set_sync_every(Duration::from_millis(every));
            Ok(())
        },
    },
];

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(any(feature = "monitor", feature = "store"))]
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Those that are in use.
pub(super) fn all(shared: &Arc<Shared>) -> Vec<Arc<dyn Adjust>> {
    let used = FIGURES.iter().filter(|figure| (figure.get)(shared).is_some());
    used.map(|figure| {
        let own: Arc<dyn Adjust> = Arc::new(OwnFigure { shared: Arc::downgrade(shared), figure });
        own
    })
    .collect()
}

/// One of these numbers.
struct OwnFigure {
    shared: Weak<Shared>,
    figure: &'static Figure,
}

impl OwnFigure {
    fn shared(&self) -> Result<Arc<Shared>> {
        self.shared.upgrade().ok_or_else(|| Error::new(Code::NOT_RUNNING, "the kernel is gone"))
    }
}

impl Adjust for OwnFigure {
    fn name(&self) -> &str {
        self.figure.name
    }

    fn kind(&self) -> KnobKind {
        let Figure { low, high, .. } = *self.figure;
        KnobKind::Integer { low, high, scale: KnobScale::Log }
    }

    fn value(&self) -> Result<KnobValue> {
        let present = (self.figure.get)(&*self.shared()?);
        let present = present.ok_or_else(|| {
            Error::new(Code::NOT_FOUND, "there is no such knob any more")
                .with("knob", self.figure.name)
        })?;
        Ok(KnobValue::Integer(i64::try_from(present).unwrap_or(i64::MAX)))
    }

    fn set(&self, value: &KnobValue) -> Result<()> {
        match value {
            KnobValue::Integer(value) => (self.figure.set)(&self.shared()?, value.unsigned_abs()),
            _ => Err(Error::new(Code::INVALID, "the knob is a whole number")
                .with("knob", self.figure.name)),
        }
    }
}
