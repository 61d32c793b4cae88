//! Temporary face.
use crate::Result;
/// A component.
pub trait Component: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &str;
    /// Start.
    fn start(&self) -> Result<()>;
}
