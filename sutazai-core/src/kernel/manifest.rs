//! A kernel as a manifest describes it.

use std::io::IsTerminal as _;

use super::builder::Builder;
use super::limits::Limits;
use super::record::LogConfig;
use crate::config::{self, Grammar, Manifest};

impl Builder {
    /// Takes data directory, limits, log, agents and sections from a manifest, over what was set before.
    /// What is wrong with a section is told by [`build`](Self::build); [`grammar`] tells it with all
    /// other mistakes of the file. Build without feature `agent` (or not on Unix), the manifest's agents are left out,
    /// and so is a section whose room is not built in.
    ///
    /// ```
    /// use sutazai_core::config::Manifest;
    /// use sutazai_core::kernel::Kernel;
    ///
    /// let manifest = Manifest::parse("sutazai.toml", r#"
    ///     data_dir = ":memory:"
    ///     [limits]
    ///     timeout = "5s"
    /// "#)?;
    /// let kernel = Kernel::builder().manifest(&manifest).build()?;
    /// assert_eq!(kernel.limits().timeout, Some(std::time::Duration::from_secs(5)));
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    pub fn manifest(mut self, manifest: &Manifest) -> Self {
        self.data_dir.clone_from(&manifest.data_dir);
        self.limits = limits(&manifest.limits, self.limits);
        self.log = log(&manifest.log);
        #[cfg(all(feature = "agent", unix))]
        for entry in &manifest.agents {
            self.agents.push(std::sync::Arc::new(agent(entry)));
        }
        #[cfg(feature = "agent")]
        if let Some(section) = &manifest.discovery {
            self = super::manifest_discovery::take(self, section);
        }
        #[cfg(feature = "agent")]
        if let Some(section) = &manifest.create {
            self = super::manifest_create::take(self, section);
        }
        #[cfg(feature = "recovery")]
        if let Some(section) = &manifest.recovery {
            self = super::manifest_recovery::take(self, section);
        }
        #[cfg(feature = "security")]
        if let Some(section) = &manifest.security {
            self = super::manifest_security::take(self, section);
        }
        #[cfg(feature = "monitor")]
        if let Some(section) = &manifest.monitor {
            self = super::manifest_monitor::take(self, section);
        }
        #[cfg(feature = "tune")]
        if let Some(section) = &manifest.tune {
            self = super::manifest_tune::take(self, section);
        }
        self
    }
}

/// What the manifest of a kernel may say: its own keys, and the sections of the rooms that are built
/// in. What hosts read manifests with, so that all mistakes of a file are told together.
///
/// ```
/// use sutazai_core::kernel;
///
/// let text = r#"
///     [recovery.guards.skill.review]
///     timeout = "30s"
///     retry = { attempts = 4 }
///     breaker = { consecutive = 0, open = "10s" }
///     bulkhed = { concurrency = 8 }
/// "#;
/// let error = kernel::grammar().parse("sutazai.toml", text).unwrap_err();
/// assert_eq!(error.message(), "unknown key \"bulkhed\"");
/// assert_eq!(error.location().unwrap().line, 6);
/// assert_eq!(error.remedy(), Some("did you mean \"bulkhead\"?"));
/// ```
pub fn grammar() -> Grammar {
    let grammar = Grammar::new();
    #[cfg(feature = "agent")]
    let grammar =
        grammar.section::<super::manifest_create::Create>("create", super::manifest_create::check);
    #[cfg(feature = "recovery")]
    let grammar = grammar
        .section::<super::manifest_recovery::Recovery>("recovery", super::manifest_recovery::check);
    #[cfg(feature = "agent")]
    let grammar = grammar.section::<super::manifest_discovery::Discovery>(
        "discovery",
        super::manifest_discovery::check,
    );
    #[cfg(feature = "security")]
    let grammar = grammar
        .section::<crate::security::SecuritySpec>("security", super::manifest_security::check);
    #[cfg(feature = "monitor")]
    let grammar = grammar
        .section::<super::manifest_monitor::Monitor>("monitor", super::manifest_monitor::check);
    #[cfg(feature = "tune")]
    let grammar =
        grammar.section::<super::manifest_tune::Tune>("tune", super::manifest_tune::check);
    grammar
}

fn limits(given: &config::Limits, before: Limits) -> Limits {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    Limits {
        calls: size(given.calls_in_flight),
        depth: given.call_depth,
        timeout: Some(given.timeout),
        drain: given.drain,
        queue: Some(size(given.queue)),
        pool: given.pool_threads.map(size).or(before.pool),
        ..before
    }
}

fn log(given: &config::Log) -> LogConfig {
    let level = serde_json::to_value(given.level).unwrap_or_default();
    LogConfig {
        filter: level.as_str().unwrap_or("info").to_owned(),
        terminal: match given.terminal {
            config::Terminal::Auto => std::io::stderr().is_terminal(),
            config::Terminal::Always => true,
            config::Terminal::Never => false,
        },
        file: given.file.clone(),
    }
}

#[cfg(all(feature = "agent", unix))]
fn agent(entry: &config::AgentEntry) -> crate::agent::connect::process::ProcessAgent {
    use crate::agent::connect::process::{ProcessAgent, ProcessSpec, RestartPolicy};
    use crate::port::AgentCard;

    let mut card = AgentCard::new(&entry.name, &entry.skills).description(&entry.description);
    card.concurrency = entry.concurrency;
    card.labels.clone_from(&entry.labels);
    card.about.clone_from(&entry.about);
    if let Some(timeout) = entry.timeout {
        card = card.timeout(timeout);
    }
    let mut command = entry.command.iter();
    let restart = &entry.restart;
    let mut spec =
        ProcessSpec::new(command.next().map(String::as_str).unwrap_or_default())
            .args(command)
            .cwd(&entry.cwd)
            .max_line(usize::try_from(entry.max_line).unwrap_or(usize::MAX))
            .stop_grace(entry.grace.mul_f64(0.75))
            .kill_grace(entry.grace.mul_f64(0.25))
            .restart(RestartPolicy::at_most(restart.limit, restart.within).pauses(
                restart.backoff,
                RestartPolicy::default().longest_pause.max(restart.backoff),
            ));
    for (key, value) in &entry.env {
        spec = spec.env(key, value);
    }
    ProcessAgent::new(card, spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_manifest_and_the_builder_agree_on_the_limits() {
        let manifest = Manifest::parse("m", "").unwrap();
        let mut from_manifest = limits(&manifest.limits, Limits::default());
        assert_eq!(from_manifest.queue, Some(65_536), "the runtime's own default");
        from_manifest.queue = None;
        assert_eq!(from_manifest, Limits::default());
    }

    #[test]
    fn every_log_level_is_a_filter() {
        for level in ["trace", "debug", "info", "warn", "error", "off"] {
            let text = format!("[log]\nlevel = '{level}'\nterminal = 'never'\n");
            let config = log(&Manifest::parse("m", &text).unwrap().log);
            let log = crate::observe::Log::new(1, crate::observe::system_clock());
            log.set_filter(&config.filter).unwrap();
        }
    }

    #[cfg(all(feature = "agent", unix))]
    #[test]
    fn a_manifests_agents_are_processes() {
        let text = "[[agent]]\nname = 'a'\ncommand = ['cat', '-u']\nskills = ['s', 't']\n\
                    concurrency = 3\ntimeout = '2s'\nlabels = {tier = 'x'}\n";
        let agent = agent(&Manifest::parse("m", text).unwrap().agents[0]);
        let card = crate::port::Agent::card(&agent);
        assert_eq!((&*card.name, card.skills.len(), card.concurrency), ("a", 2, Some(3)));
        assert_eq!((card.timeout_ms, card.labels.len()), (Some(2000), 1));
    }
}
