//! What there is on this machine of what templates ask for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sysinfo::System;

use crate::agent::create::{Kept, Surroundings, Templates};

/// Looks for what the templates name, and for memory and processors that are free. Reads the file system.
pub(super) fn look(templates: &Templates) -> Surroundings {
    let all = templates.all();
    let wanted = |f: fn(&Kept) -> Vec<&str>| -> BTreeSet<&str> {
        all.iter().flat_map(|kept: &Arc<Kept>| f(kept)).collect()
    };
    let mut there = Surroundings::default();
    let programs = wanted(|kept| {
        let template = kept.template();
        let own = template.requires.executables.iter().map(String::as_str);
        own.chain(template.make.program()).collect()
    });
    there.executables =
        programs.into_iter().filter(|it| is_program(it)).map(str::to_owned).collect();
    let variables =
        wanted(|kept| kept.template().requires.env.iter().map(String::as_str).collect());
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    there.env = variables.into_iter().filter(is_set).map(str::to_owned).collect();
    let files = all.iter().flat_map(|kept| kept.template().requires.files.iter());
    there.files = files.filter(|path| path.exists()).cloned().collect();
    there.features = features();
    there.factories = templates.factories();
    (there.memory, there.cpus) = headroom();
    there
}

/// The features of this build.
fn features() -> BTreeSet<String> {
    let all = [
        ("agent", true),
        ("config", cfg!(feature = "config")),
        ("recovery", cfg!(feature = "recovery")),
        ("store", cfg!(feature = "store")),
        ("tokio", cfg!(feature = "tokio")),
        ("http", cfg!(feature = "http")),
        ("openai", cfg!(feature = "openai")),
        ("a2a", cfg!(feature = "a2a")),
        ("mcp", cfg!(all(unix, feature = "mcp"))),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()).collect()
}

/// Whether a program is there: a path as it is, another name in one of the directories of `PATH`.
fn is_program(name: &str) -> bool {
    if name.contains('/') {
        return is_executable(Path::new(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_executable(&directory.join(name)))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// Bytes of memory and processors that are free, of the machine or of the control group that holds this process,
/// whichever has fewer. What cannot be read is not known.
fn headroom() -> (Option<u64>, Option<f64>) {
    let memory = System::new().ok().map(|mut system| {
        system.refresh_memory();
        let machine = system.available_memory();
        // 0 stands for a system that does not say.
        system.cgroup_limits().map_or(machine, |limits| machine.min(limits.free_memory))
    });
    let load = System::load_average().ok().map(|load| load.one);
    let cpus = std::thread::available_parallelism().ok().map(|n| n.get());
    #[expect(clippy::cast_precision_loss, reason = "a handful of processors")]
    let cpus = cpus.zip(load).map(|(cpus, load)| (cpus as f64 - load).max(0.0));
    (memory.filter(|bytes| *bytes > 0), cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::create::{Template, TemplateKind};
    use serde_json::json;

    #[test]
    fn what_templates_ask_for_is_looked_for() {
        let templates = Templates::default();
        let kind = TemplateKind::Process(json!({"command": ["sh", "-c", "true"]}));
        let mut template = Template::new("t", ["s"], kind)
            .needs_executable("/bin/sh")
            .needs_executable("no-such-program-anywhere")
            .needs_executable("/etc/passwd")
            .needs_env("PATH")
            .needs_env("SUTAZAI_NO_SUCH_VARIABLE");
        template.requires.files = vec!["/".into(), "/no/such/file".into()];
        templates.add(template, false).unwrap();
        let there = look(&templates);
        let executables: Vec<_> = there.executables.iter().map(String::as_str).collect();
        assert_eq!(executables, ["/bin/sh", "sh"], "a file that may not be run is no program");
        assert_eq!(there.env.iter().collect::<Vec<_>>(), ["PATH"]);
        assert_eq!(there.files.len(), 1);
        assert_eq!(there.features.contains("openai"), cfg!(feature = "openai"));
        if cfg!(target_os = "linux") {
            assert!(there.memory.is_some_and(|bytes| bytes > 1 << 20), "{there:?}");
            assert!(there.cpus.is_some());
        }
    }
}
