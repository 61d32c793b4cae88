//! `[monitor]` of a manifest.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::builder::Builder;
use super::monitoring;
use crate::config::Section;
use crate::monitor::WatchPolicy;
use crate::{Error, Result};

/// How often samples are taken, what is kept of them and where anomalies are looked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Monitor {
    /// The time between samples, 10 milliseconds to 24 hours; none are taken by themselves without it.
    every_ms: Option<u64>,
    /// What is kept, and where anomalies are looked for.
    watch: Option<WatchPolicy>,
}

impl Monitor {
    fn every(&self) -> Option<Duration> {
        self.every_ms.map(Duration::from_millis)
    }
}

/// What the section says; everything that is wrong with it.
fn read(section: &Section) -> Result<Monitor, Vec<Error>> {
    let monitor: Monitor = section.read()?;
    let mut mistakes = Vec::new();
    if let Err(error) = monitoring::millis(monitor.every()) {
        mistakes.push(section.mistake(&["every"], &error));
    }
    if let Some(watch) = &monitor.watch {
        let parts = [
            ("history", watch.history.check()),
            ("anomaly", watch.anomaly.check()),
            ("change", watch.change.check()),
        ];
        let mut wrong: Vec<Error> = (parts.into_iter())
            .filter_map(|(part, check)| Some(section.mistake(&["watch", part], &check.err()?)))
            .collect();
        if wrong.is_empty() {
            wrong.extend(watch.check().err().map(|error| section.mistake(&["watch"], &error)));
        }
        mistakes.extend(wrong);
    }
    if mistakes.is_empty() { Ok(monitor) } else { Err(mistakes) }
}

/// What is wrong with the section.
pub(super) fn check(section: &Section) -> Vec<Error> {
    read(section).err().unwrap_or_default()
}

/// Takes what the section says over.
pub(super) fn take(mut builder: Builder, section: &Section) -> Builder {
    match read(section) {
        Ok(monitor) => {
            if let Some(every) = monitor.every() {
                builder = builder.sample_every(every);
            }
            match monitor.watch {
                Some(watch) => builder.watch(watch),
                None => builder,
            }
        }
        Err(mistakes) => {
            builder.mistakes.extend(mistakes);
            builder
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::kernel::{Kernel, grammar};

    const TEXT: &str = r#"data_dir = ":memory:"
[monitor]
every = "5s"
[monitor.watch]
watched = ["queue_*", "cpu_used_ratio"]
change = { threshold = 40.0 }
history = { budget_bytes = 16000000 }
patience = "2s"
hangs_after = "1m"
"#;

    #[test]
    fn a_section_becomes_samples_and_a_watch() {
        let manifest = grammar().parse("sutazai.toml", TEXT).unwrap();
        let kernel = Kernel::builder().manifest(&manifest).build().unwrap();
        kernel.start().unwrap();
        assert_eq!(kernel.sampled_every(), Some(Duration::from_secs(5)));
        let status = kernel.watch().unwrap().status();
        assert_eq!(status.watched, ["queue_*", "cpu_used_ratio"]);
        assert_eq!(status.history.budget_bytes, 16_000_000);
        kernel.stop(Duration::ZERO).unwrap();
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands() {
        for (from, to, line) in [
            ("\"5s\"", "\"5ms\"", 3),
            ("\"5s\"", "5", 3),
            ("every", "evry", 3),
            ("\"queue_*\"", "\"q*e\"", 5),
            ("40.0", "4.0", 6),
            ("16000000", "16", 7),
            ("\"2s\"", "\"2m\"", 8),
            ("\"1m\"", "\"48h\"", 9),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT);
            let error = grammar().parse("sutazai.toml", &text).unwrap_err();
            assert_eq!(error.location().unwrap().line, line, "{from} → {to}: {error:#}");
        }
    }
}
