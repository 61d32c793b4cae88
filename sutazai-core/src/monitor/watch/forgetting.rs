//! Letting go of series: what is kept of them, what was found in them, what detectors have learned.

use std::sync::Arc;

use super::policy::check_pattern;
use super::watching::Watch;
use crate::Result;
use crate::monitor::series::Forget;

impl Watch {
    /// Lets series go, with all that is kept of them, the anomalies and changes of level that were found in them and what detectors have
    /// learned; answers which.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for what names no series; what the shelf answers: do it again, until then some of it may be there, or
    /// be there again after a restart.
    pub fn forget(&self, wanted: &Forget<'_>) -> Result<Vec<Arc<str>>> {
        check_pattern(wanted.series).map_err(|error| error.operation("monitor.forget"))?;
        let here = |error: crate::Error| error.operation("monitor.forget");
        let forgotten = self.history.forget_series(wanted).map_err(here)?;
        {
            let mut judges = self.judges.lock();
            judges.watched.retain(|series, _| !wanted.fits(series));
            judges.others.clear();
        }
        self.latest.lock().forget(|series| wanted.fits(series));
        self.changes.lock().forget(|series| wanted.fits(series));
        self.outlooks.lock().clear();
        self.write_found().map_err(here)?;
        Ok(forgotten)
    }
}
