//! A knob that is there: what it is set to, and setting it.

use super::{KnobKind, KnobValue};
use crate::Result;

/// A setting of the host's that may be changed while the program runs. A kernel that is given one
/// ([`Kernel::add_knob`](crate::kernel::Kernel::add_knob)) lists it, sets it, and lets tuners try values of it.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicI64, Ordering};
/// use sutazai_core::tune::{Adjust, KnobKind, KnobScale, KnobValue};
///
/// struct Batch(AtomicI64);
///
/// impl Adjust for Batch {
///     fn name(&self) -> &str {
///         "ingest/batch"
///     }
///     fn kind(&self) -> KnobKind {
///         KnobKind::Integer { low: 1, high: 1_024, scale: KnobScale::Log }
///     }
///     fn value(&self) -> sutazai_core::Result<KnobValue> {
///         Ok(KnobValue::Integer(self.0.load(Ordering::Relaxed)))
///     }
///     fn set(&self, value: &KnobValue) -> sutazai_core::Result<()> {
///         if let KnobValue::Integer(batch) = value {
///             self.0.store(*batch, Ordering::Relaxed);
///         }
///         Ok(())
///     }
/// }
///
/// let kernel = sutazai_core::kernel::Kernel::builder().build()?;
/// let batch = Arc::new(Batch(AtomicI64::new(8)));
/// kernel.add_knob(batch.clone())?;
/// kernel.set_knob("ingest/batch", &KnobValue::Integer(16))?;
/// assert_eq!(batch.0.load(Ordering::Relaxed), 16);
/// assert!(kernel.set_knob("ingest/batch", &KnobValue::Integer(0)).is_err(), "out of bounds");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub trait Adjust: Send + Sync {
    /// Its name, 1 to 256 bytes without control characters.
    fn name(&self) -> &str;

    /// Its type, with the values that it may take.
    fn kind(&self) -> KnobKind;

    /// What it is set to.
    ///
    /// # Errors
    /// The host's own, where that cannot be told.
    fn value(&self) -> Result<KnobValue>;

    /// Sets it, to a value that its type allows. What cannot be set stays as it was. May block.
    ///
    /// # Errors
    /// The host's own.
    fn set(&self, value: &KnobValue) -> Result<()>;
}
