//! `[tune]` of a manifest: tuners, pools whose size follows their load, and what is divided.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::builder::Builder;
#[cfg(feature = "agent")]
use super::tuning::Scaling;
use super::tuning::{ShareSpec, TuneSpec};
use crate::config::Section;
use crate::{Error, Result};

/// What is tuned, scaled and divided from the start.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tune {
    /// Tuners, by name: each tries values of some knobs.
    tuner: BTreeMap<String, TuneSpec>,
    /// How pools are scaled, by name.
    #[cfg(feature = "agent")]
    pool: BTreeMap<String, Scaling>,
    /// What is scarce and divided, by name.
    share: BTreeMap<String, ShareSpec>,
}

/// What the section says; everything that is wrong with it.
fn read(section: &Section) -> Result<Tune, Vec<Error>> {
    let tune: Tune = section.read()?;
    let mut mistakes = Vec::new();
    for (name, spec) in &tune.tuner {
        if let Err((part, error)) = spec.check() {
            let path = ["tuner", name, part];
            let path = if part.is_empty() { &path[..2] } else { &path };
            mistakes.push(section.mistake(path, &error));
        }
    }
    #[cfg(feature = "agent")]
    for (name, scaling) in &tune.pool {
        if let Err((part, error)) = scaling.check() {
            mistakes.push(section.mistake(&["pool", name, part], &error));
        }
    }
    for (name, spec) in &tune.share {
        if let Err(error) = spec.check() {
            mistakes.push(section.mistake(&["share", name], &error));
        }
    }
    if mistakes.is_empty() { Ok(tune) } else { Err(mistakes) }
}

/// What is wrong with the section.
pub(super) fn check(section: &Section) -> Vec<Error> {
    read(section).err().unwrap_or_default()
}

/// Takes what the section says over.
pub(super) fn take(mut builder: Builder, section: &Section) -> Builder {
    match read(section) {
        Ok(tune) => {
            builder = tune.tuner.into_iter().fold(builder, |b, (name, spec)| b.tuner(name, spec));
            #[cfg(feature = "agent")]
            {
                builder =
                    tune.pool.into_iter().fold(builder, |b, (pool, how)| b.scale_pool(pool, how));
            }
            tune.share.into_iter().fold(builder, |b, (name, spec)| b.share_out(name, spec))
        }
        Err(mistakes) => {
            builder.mistakes.extend(mistakes);
            builder
        }
    }
}

#[cfg(all(test, feature = "agent", feature = "recovery", feature = "monitor"))]
mod tests {
    use std::time::Duration;

    use crate::kernel::{Kernel, grammar};
    use crate::tune::Autonomy;

    const TEXT: &str = r#"data_dir = ":memory:"
[recovery.guards.all]
bulkhead = { concurrency = 20 }
[[create.template]]
name = "worker"
skills = ["work"]
make = { factory = "worker" }
[create.pool.workers]
template = "worker"
policy = { min = 0 }
[tune.tuner.calls]
knobs = [{ name = "guard/all/bulkhead/concurrency", kind = { type = "integer", low = 1, high = 40 } }]
every = "2s"
policy = { autonomy = "act", window = "10s", guards = [{ metric = "errors", side = "at_most", bound = 0.1 }] }
objective = { series = "took_ms", aggregate = "mean" }
[tune.pool.workers]
autonomy = "observe"
policy = { max = 4 }
[tune.share.tokens]
units = 10
members = { writer = {}, critic = { floor = 2 } }
every = "5s"
"#;

    #[test]
    fn a_section_becomes_tuners_and_shares() {
        let manifest = grammar().parse("sutazai.toml", TEXT).unwrap();
        let kernel = Kernel::builder().manifest(&manifest).build().unwrap();
        kernel.start().unwrap();
        let tuner = kernel.tuner("calls").unwrap();
        assert_eq!((tuner.spec.every_ms, tuner.view.policy.window_ms), (2_000, 10_000));
        assert_eq!(tuner.view.policy.autonomy, Autonomy::Act);
        assert_eq!(kernel.scaled_pools()[0].scaling.autonomy, Autonomy::Observe);
        assert_eq!(kernel.shared_out()[0].spec.every_ms, 5_000);
        kernel.stop(Duration::ZERO).unwrap();
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands() {
        for (from, to, line) in [
            ("every = \"2s\"", "every = \"2ms\"", 13),
            ("window = \"10s\"", "window = \"0s\"", 14),
            ("side = \"at_most\"", "side = \"most\"", 14),
            ("type = \"integer\"", "type = \"whole\"", 12),
            ("max = 4", "max = 0", 18),
            ("units = 10", "units = 0", 20),
            ("floor = 2", "flor = 2", 21),
            ("every = \"5s\"", "every = \"5ms\"", 22),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT);
            let error = grammar().parse("sutazai.toml", &text).unwrap_err();
            assert_eq!(error.location().unwrap().line, line, "{from} → {to}: {error:#}");
        }
    }

    #[test]
    fn what_cannot_be_tuned_is_told_when_the_kernel_starts() {
        let text = TEXT.replace("guard/all/bulkhead", "guard/nobody/bulkhead");
        let manifest = grammar().parse("sutazai.toml", &text).unwrap();
        let kernel = Kernel::builder().manifest(&manifest).build().unwrap();
        kernel.start().unwrap();
        assert!(kernel.tuner("calls").is_err() && kernel.shared_out().len() == 1);
        let logged = kernel.log().recent(&crate::observe::LogQuery::default());
        let told = logged.iter().find(|one| one.message.contains("not tuned")).unwrap();
        assert!(format!("{told:?}").contains("there is no knob of this name"), "{told:?}");
        kernel.stop(Duration::ZERO).unwrap();
    }
}
