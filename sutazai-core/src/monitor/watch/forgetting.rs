//! Letting go of series: what is kept of them, what was found in them, what detectors have learned.

use std::sync::Arc;

use super::watching::Watch;
use crate::monitor::series::{Forget, NAME_MAX};
use crate::{Code, Error, Result};

impl Watch {
    /// Lets series go, with all that is kept of them, the anomalies and changes of level that were found in them and what detectors have
    /// learned; answers which. A `*` at the end stands for all that begin so; elsewhere it is a part of the name, where there is a series
    /// that has it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for what names no series; what the shelf answers: do it again, until then some of it may be there, or
    /// be there again after a restart.
    pub fn forget(&self, wanted: &Forget<'_>) -> Result<Vec<Arc<str>>> {
        let here = |error: Error| error.operation("monitor.forget");
        check(wanted.series).map_err(here)?;
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
        let name = wanted.series.strip_suffix('*').unwrap_or(wanted.series);
        if forgotten.is_empty() && name.contains('*') {
            return Err(here(wrong(
                wanted.series,
                "no series has this `*` in its name: it stands for others at the end alone",
            )));
        }
        Ok(forgotten)
    }
}

const ADVICE: &str =
    "the name of a series, or how names begin with `*` behind it; `*` is all of them";

/// Refuses what no series can be named by.
fn check(series: &str) -> Result<()> {
    if series.is_empty() {
        return Err(wrong(series, "it is not said which series are to be forgotten"));
    }
    if series.len() > NAME_MAX || series.contains(char::is_control) {
        return Err(wrong(
            series,
            "a series' name has at most 200 bytes and no control characters",
        ));
    }
    Ok(())
}

fn wrong(series: &str, what: &'static str) -> Error {
    let shown: String = series.chars().take(NAME_MAX).collect();
    let error = Error::new(Code::INVALID, what).with("field", "series").advice(ADVICE);
    if shown.is_empty() { error } else { error.with("series", shown.escape_debug()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::monitor::WatchPolicy;

    #[test]
    fn a_star_stands_for_others_at_the_end_alone() {
        let watch = Watch::new(WatchPolicy::default(), None).unwrap();
        let at = Timestamp::EPOCH + Duration::from_secs(1);
        for name in
            ["hits{path=\"/*\"}", "hits{path=\"/a\"}", "jobs.*.done", "jobs.*.late", "jobs.x"]
        {
            watch.record(name, at, 1.0).unwrap();
        }
        let refused = watch.record("jobs*", at, 1.0).unwrap_err();
        assert!(refused.to_string().contains("does not end in `*`"), "{refused}");
        let none = BTreeMap::new();
        let forget = |series: &str| watch.forget(&Forget { series, labels: &none });
        let gone = |series: &str| {
            forget(series).unwrap().iter().map(|one| one.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(gone("hits{path=\"/*\"}"), ["hits{path=\"/*\"}"]);
        assert_eq!(gone("jobs.*.done"), ["jobs.*.done"]);
        assert_eq!(gone("jobs.*.l*"), ["jobs.*.late"]);
        assert_eq!(gone("jobs*"), ["jobs.x"]);
        let said = |series: &str, part: &str| {
            let error = forget(series).unwrap_err();
            assert_eq!(
                (error.code(), error.failed_operation()),
                (Code::INVALID, Some("monitor.forget"))
            );
            let said = format!("{error:#}");
            assert!(said.contains(part) && !said.contains("watched"), "{said}");
        };
        said("", "not said which series");
        said("hits*a", "at the end alone");
        said("a\nb", "control characters");
        said(&"x".repeat(201), "200 bytes");
        assert_eq!(gone("*"), ["hits{path=\"/a\"}"]);
        assert_eq!(gone("*").len(), 0);
    }
}
