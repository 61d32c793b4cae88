//! `[create]` of a manifest: templates and pools.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::builder::Builder;
use crate::Error;
use crate::agent::create::{PoolPolicy, Template};
use crate::config::Section;

/// What agents are made from when they are wanted, and of what there are always some.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Create {
    /// The templates, each a `[[create.template]]`.
    template: Vec<Template>,
    /// Pools of their agents, by name. Templates of factories may be added until the kernel starts.
    pool: BTreeMap<String, PoolEntry>,
}

/// A pool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolEntry {
    /// The template of its agents.
    template: String,
    /// Values for the template's parameters.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// How many agents it has, and when it has more or fewer.
    #[serde(default)]
    policy: PoolPolicy,
}

/// What the section says; everything that is wrong with it.
fn read(section: &Section) -> Result<Create, Vec<Error>> {
    let create: Create = section.read()?;
    let mut mistakes = Vec::new();
    for (n, template) in create.template.iter().enumerate() {
        let at = n.to_string();
        let mut say = |error: &Error| mistakes.push(section.mistake(&["template", &at], error));
        if let Err(error) = template.check() {
            error.problems().iter().for_each(&mut say);
        }
        if create.template.iter().take(n).any(|other| other.name == template.name) {
            let twice = Error::new(crate::Code::ALREADY_EXISTS, "there is a template of this name");
            say(&twice.with("field", "name"));
        }
    }
    for (name, pool) in &create.pool {
        if let Err(error) = pool.policy.check() {
            mistakes.push(section.mistake(&["pool", name, "policy"], &error));
        }
    }
    if mistakes.is_empty() { Ok(create) } else { Err(mistakes) }
}

/// What is wrong with the section.
pub(super) fn check(section: &Section) -> Vec<Error> {
    read(section).err().unwrap_or_default()
}

/// Takes what the section says over.
pub(super) fn take(mut builder: Builder, section: &Section) -> Builder {
    match read(section) {
        Ok(create) => {
            builder = create.template.into_iter().fold(builder, Builder::template);
            create.pool.into_iter().fold(builder, |builder, (name, pool)| {
                builder.pool(name, pool.template, pool.parameters, pool.policy)
            })
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

    use crate::base::runtime::Manual;
    use crate::kernel::{Kernel, grammar};

    const TEXT: &str = r#"
        data_dir = ":memory:"
        [[create.template]]
        name = "sleeper"
        skills = ["sleep"]
        make = { process = { command = ["no-such-program", "--for={seconds}"] } }
        parameters.seconds = { schema = { type = "integer" }, default = 3 }
        about.sleep.probe = { equals = 3, within = "2s" }
        [create.pool.sleepers]
        template = "sleeper"
        policy = { min = 2, idle = "5m" }
    "#;

    #[test]
    fn templates_and_pools_stand_in_a_manifest() {
        let manifest = grammar().parse("sutazai.toml", TEXT).unwrap();
        let runtime = std::sync::Arc::new(Manual::new());
        let kernel = Kernel::builder().runtime(runtime).manifest(&manifest).build().unwrap();
        let template = kernel.templates().remove(0).template;
        assert_eq!(template.about["sleep"].probe.as_ref().unwrap().within_ms, 2_000);
        assert!(kernel.pools().is_empty(), "not before the start");
        kernel.start().unwrap();
        let pool = kernel.pools().remove(0);
        assert_eq!((pool.policy.idle_ms, pool.target, pool.starting), (300_000, 2, 2));
        kernel.stop(Duration::ZERO).unwrap();
    }

    #[test]
    fn what_is_wrong_is_told_where_it_stands() {
        let wrong = |from: &str, to: &str| {
            let text = TEXT.replace(from, to);
            let error = grammar().parse("sutazai.toml", &text).unwrap_err();
            (error.location().unwrap().line, error.to_string())
        };
        let (line, text) = wrong("{seconds}", "{second}");
        assert!(line == 6 && text.contains("did you mean {seconds}?"), "{line}: {text}");
        assert_eq!(wrong("default = 3", "default = \"long\"").0, 7);
        assert_eq!(wrong("min = 2", "min = 9").0, 11);
        assert_eq!(wrong("idle = \"5m\"", "idle = 5").0, 11);
        assert_eq!(wrong("[create.pool.sleepers]", "[create.pol.sleepers]").0, 9);
    }
}
