//! [`Registry`]: where every room registers its figures.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::family::{Core, Family};
use super::name::{check_labels, check_metric};
use super::snapshot::{self, Kind, MetricSnapshot};
use super::text;
use super::value::{Counter, Gauge, Metric, MetricHistogram, Unit};
use crate::{Code, Error, Result};

/// How many metrics a registry holds.
pub const FAMILIES_MAX: usize = 4096;

/// The metrics of one kernel. Clones are handles on the same one.
///
/// Registering a name again with the same kind, unit and labels returns what is there; the help
/// text of the first stays. A function-backed metric can be registered once only.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<BTreeMap<String, Arc<Core>>>>);

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter without labels.
    ///
    /// # Errors
    /// For all registrations: [`Code::METRIC_INVALID`] for a name or label that Prometheus does
    /// not permit; [`Code::METRIC_CONFLICT`] when the name, or one it implies (a histogram `x`
    /// implies `x_bucket`, `x_sum` and `x_count`), is taken by another kind, unit or set of
    /// labels; [`Code::OVERLOADED`] beyond [`FAMILIES_MAX`].
    pub fn counter(&self, name: &str, help: &str) -> Result<Counter> {
        Ok(self.counter_family(name, help, [])?.with([]))
    }

    /// A gauge without labels.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<Gauge> {
        Ok(self.gauge_family(name, help, [])?.with([]))
    }

    /// A histogram without labels.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn histogram(&self, name: &str, help: &str, unit: Unit) -> Result<MetricHistogram> {
        Ok(self.histogram_family(name, help, unit, [])?.with([]))
    }

    /// Counters that `labels` tell apart.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn counter_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Family<Counter, N>> {
        self.family(name, help, Kind::Counter, Unit::Number, labels)
    }

    /// Gauges that `labels` tell apart.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn gauge_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&str; N],
    ) -> Result<Family<Gauge, N>> {
        self.family(name, help, Kind::Gauge, Unit::Number, labels)
    }

    /// Histograms that `labels` tell apart.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn histogram_family<const N: usize>(
        &self,
        name: &str,
        help: &str,
        unit: Unit,
        labels: [&str; N],
    ) -> Result<Family<MetricHistogram, N>> {
        self.family(name, help, Kind::Histogram, unit, labels)
    }

    /// A counter that `ask` tells when somebody looks: for what counts anyway. A panic of `ask` is
    /// shown as not-a-number.
    ///
    /// # Errors
    /// As [`Registry::counter`]; the name must be free.
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        ask: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' values are floats")]
        let ask = move || ask() as f64;
        self.asked(name, help, Kind::Counter, Arc::new(ask))
    }

    /// A gauge that `ask` tells when somebody looks.
    ///
    /// # Errors
    /// As [`Registry::counter_fn`].
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        ask: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<()> {
        self.asked(name, help, Kind::Gauge, Arc::new(ask))
    }

    /// All figures as text in Prometheus' exposition format, version 0.0.4
    /// (`text/plain; version=0.0.4`), in order of name and labels.
    pub fn prometheus(&self) -> String {
        text::write(&self.families())
    }

    /// All figures, in order of name and labels.
    pub fn snapshot(&self) -> Vec<MetricSnapshot> {
        self.families().iter().map(snapshot::of).collect()
    }

    fn family<M: Metric, const N: usize>(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        unit: Unit,
        labels: [&str; N],
    ) -> Result<Family<M, N>> {
        let wanted = Core::new(name, help, kind, unit, &labels);
        self.register(wanted, true).map(Family::new)
    }

    fn asked(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        ask: Arc<dyn Fn() -> f64 + Send + Sync>,
    ) -> Result<()> {
        self.register(Core::new(name, help, kind, Unit::Number, &[]).asked(ask), false).map(drop)
    }

    fn register(&self, wanted: Core, shared: bool) -> Result<Arc<Core>> {
        check_metric(&wanted.name)?;
        let labels: Vec<&str> = wanted.labels.iter().map(String::as_str).collect();
        check_labels(&wanted.name, &labels)?;
        let mut families = self.0.write();
        if let Some(there) = families.get(&wanted.name) {
            let same = there.kind == wanted.kind
                && there.unit == wanted.unit
                && there.labels == wanted.labels
                && shared
                && !there.is_asked();
            return if same { Ok(Arc::clone(there)) } else { Err(conflict(&wanted, there)) };
        }
        for name in wanted.kind.names(&wanted.name) {
            // Whatever metric would write samples under that name.
            let stems = ["", "_bucket", "_sum", "_count"].into_iter();
            let taken = stems
                .filter_map(|s| families.get(name.strip_suffix(s)?))
                .find(|there| there.kind.names(&there.name).contains(&name));
            if let Some(there) = taken {
                return Err(conflict(&wanted, there));
            }
        }
        if families.len() >= FAMILIES_MAX {
            return Err(Error::new(Code::OVERLOADED, "the registry holds no more metrics")
                .operation("observe.register")
                .with("metric", &wanted.name)
                .with("most", FAMILIES_MAX)
                .advice("put what differs into labels, not into names"));
        }
        let core = Arc::new(wanted);
        families.insert(core.name.clone(), Arc::clone(&core));
        Ok(core)
    }

    fn families(&self) -> Vec<Arc<Core>> {
        self.0.read().values().cloned().collect()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("metrics", &self.0.read().len()).finish()
    }
}

fn conflict(wanted: &Core, there: &Core) -> Error {
    let describe = |core: &Core| format!("{}{:?}", core.kind.name(), core.labels);
    Error::new(Code::METRIC_CONFLICT, "the metric exists with another kind or other labels")
        .operation("observe.register")
        .with("metric", &wanted.name)
        .with("wanted", describe(wanted))
        .with("exists", format!("{} {}", there.name, describe(there)))
        .advice("choose another name, or register it alike everywhere")
}
