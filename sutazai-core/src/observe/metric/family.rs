//! [`Family`]: one metric's series, told apart by the values of its labels.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::snapshot::Kind;
use super::value::{Cell, Metric, Unit};

/// How many series a family may have before further ones are counted together.
pub const SERIES_MAX: usize = 1000;

/// Longer values of labels are cut off, in bytes.
const VALUE_MAX: usize = 200;

/// What every label of the series says that stands for all beyond [`SERIES_MAX`].
const OTHER: &str = "other";

/// A metric with `N` labels; a handle on what the registry keeps.
#[derive(Clone)]
pub struct Family<M, const N: usize> {
    core: Arc<Core>,
    metric: PhantomData<fn() -> M>,
}

impl<M: Metric, const N: usize> Family<M, N> {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, metric: PhantomData }
    }

    /// The series with these values of the labels, made when it is not there. Looks it up: keep
    /// the handle where it is used often.
    ///
    /// Beyond [`SERIES_MAX`] series, all further ones are one, whose labels say `other`, and each
    /// look-up that ended there is counted. Values are cut off after 200 bytes.
    pub fn with(&self, values: [&str; N]) -> M {
        self.core.series(&values)
    }

    /// Takes a series out, that of an agent that has gone for example; handles on it go on
    /// counting unseen.
    pub fn remove(&self, values: [&str; N]) {
        let removed = self.core.series.write().remove(&key(&values));
        drop(removed);
    }

    /// How many look-ups ended at the series `other`.
    pub fn overflowed(&self) -> u64 {
        self.core.overflowed.load(Ordering::Relaxed)
    }
}

impl<M, const N: usize> std::fmt::Debug for Family<M, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("name", &self.core.name).finish_non_exhaustive()
    }
}

type Key = Box<[Box<str>]>;

/// What the registry keeps of a metric.
pub(super) struct Core {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) labels: Vec<String>,
    pub(super) overflowed: AtomicU64,
    series: RwLock<BTreeMap<Key, Cell>>,
}

impl Core {
    pub(super) fn new(name: &str, help: &str, kind: Kind, unit: Unit, labels: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            unit,
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            overflowed: AtomicU64::new(0),
            series: RwLock::default(),
        }
    }

    /// A family whose only series is asked for its value.
    pub(super) fn asked(mut self, ask: Arc<dyn Fn() -> f64 + Send + Sync>) -> Self {
        self.series.get_mut().insert(Key::default(), Cell::Asked(ask));
        self
    }

    /// Whether a function tells its value.
    pub(super) fn is_asked(&self) -> bool {
        self.series.read().values().any(|cell| matches!(cell, Cell::Asked(_)))
    }

    pub(super) fn series<M: Metric>(&self, values: &[&str]) -> M {
        let key = key(values);
        if let Some(found) = self.series.read().get(&key).and_then(M::of) {
            return found;
        }
        let mut series = self.series.write();
        let full = series.len() >= SERIES_MAX && !series.contains_key(&key);
        let key = if full {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            values.iter().map(|_| OTHER.into()).collect()
        } else {
            key
        };
        let cell = series.entry(key).or_insert_with(|| M::make(self.unit).cell());
        // The kind was checked when the family was looked up, so the cell is of it.
        M::of(cell).unwrap_or_else(|| M::make(self.unit))
    }

    /// The series as they are, in order of their labels' values.
    pub(super) fn cells(&self) -> Vec<(Key, Cell)> {
        self.series.read().iter().map(|(key, cell)| (key.clone(), cell.clone())).collect()
    }
}

fn key(values: &[&str]) -> Key {
    values.iter().map(|value| value[..value.floor_char_boundary(VALUE_MAX)].into()).collect()
}
