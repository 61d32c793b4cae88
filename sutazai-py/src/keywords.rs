//! Keyword arguments that come as a dict: those of `Kernel` that a manifest says as well, and those
//! of `Kernel.agent`.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use sutazai_core::base::reading::from_value;
use sutazai_core::kernel::{Limits, LogConfig};
use sutazai_core::port::{AgentCard, RunMode, SkillCard};

use crate::{argument, convert};

/// Arguments by name; what is `None` is left out.
pub(crate) struct Keywords<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'a, 'py> Keywords<'a, 'py> {
    pub(crate) fn new(given: &'a Bound<'py, PyDict>) -> Self {
        Self(given)
    }

    /// Whether none was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().iter().all(|value| value.is_none())
    }

    /// The bounds of a kernel.
    pub(crate) fn limits(&self) -> PyResult<Limits> {
        let mut limits = Limits::default();
        if let Some(timeout) = self.read("timeout", argument::duration)? {
            limits.timeout = Some(timeout).filter(|timeout| *timeout != Duration::MAX);
        }
        limits.calls = self.read("calls", argument::count)?.unwrap_or(limits.calls);
        let depth = self.read("call_depth", argument::count)?;
        limits.depth = depth.map_or(limits.depth, |it| u32::try_from(it).unwrap_or(u32::MAX));
        limits.pool = self.read("pool", argument::count)?;
        limits.queue = self.read("queue", argument::count)?;
        Ok(limits)
    }

    /// Where a kernel's log goes.
    pub(crate) fn log(&self) -> PyResult<LogConfig> {
        let terminal = self.read("log_terminal", argument::flag)?.unwrap_or(false);
        let mut log = LogConfig::default().terminal(terminal);
        if let Some(filter) = self.text("log")? {
            log = log.filter(filter);
        }
        if let Some(file) = self.read("log_file", argument::path)? {
            log = log.file(file);
        }
        Ok(log)
    }

    /// An agent's card.
    pub(crate) fn card(&self) -> PyResult<AgentCard> {
        let name = self.text("name")?.unwrap_or_default();
        let skills = self.read("skills", argument::texts)?.unwrap_or_default();
        let mut card = AgentCard::new(name, skills)
            .version(self.text("version")?.unwrap_or_default())
            .description(self.text("description")?.unwrap_or_default());
        let most = self.read("concurrency", |name, given| argument::number(name, 0, given))?;
        if let Some(most) = most {
            card = card.concurrency(u32::try_from(most).unwrap_or(u32::MAX));
        }
        if let Some(timeout) = self.read("timeout", argument::duration)? {
            card = card.timeout(timeout);
        }
        if let Some(cost) = self.read("cost", |_, given| given.extract::<f64>())? {
            card = card.cost(cost);
        }
        card.labels = self.read("labels", argument::labels)?.unwrap_or_default();
        card.about = self.read("about", about)?.unwrap_or_default();
        if self.read("inline", argument::flag)?.unwrap_or(false) {
            card = card.run(RunMode::Inline);
        }
        Ok(card)
    }

    fn text(&self, name: &str) -> PyResult<Option<String>> {
        self.read(name, |name, given| argument::text(name, given).map(str::to_owned))
    }

    fn read<T>(
        &self,
        name: &str,
        as_what: impl FnOnce(&str, &Bound<'py, PyAny>) -> PyResult<T>,
    ) -> PyResult<Option<T>> {
        let given = self.0.get_item(name)?.filter(|value| !value.is_none());
        given.map(|value| as_what(name, &value)).transpose()
    }
}

/// More of an agent's skills, as its card has it.
fn about(_: &str, given: &Bound<'_, PyAny>) -> PyResult<BTreeMap<String, SkillCard>> {
    convert::read(given, |about| from_value("agent.add", "about", about))
}
