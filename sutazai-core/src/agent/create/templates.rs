//! The templates of a kernel, and the factories that its host has registered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde_json::{Map, Value};

use super::choose::{TemplateChoice, choose};
use super::figures::{Record, TemplateFigures};
use super::template::Template;
use super::want::{Surroundings, Want};
use super::{fill, made};
use crate::agent::registry::well_named;
use crate::base::nearest::nearest;
use crate::base::time::Moment;
use crate::port::{Agent, AgentFactory};
use crate::{Code, Error, Result};

/// Templates, at most.
const MOST: usize = 1_000;

/// The longest name of an agent, in bytes.
const LONGEST: usize = 128;

/// Makes an agent, and another one like it when it is called again.
pub type MakeAgent = Arc<dyn Fn() -> Result<Arc<dyn Agent>> + Send + Sync>;

/// Templates and factories, by name.
#[derive(Default)]
pub struct Templates {
    kept: RwLock<BTreeMap<String, Arc<Kept>>>,
    factories: RwLock<BTreeMap<String, Arc<dyn AgentFactory>>>,
    /// Names of agents that are being made.
    names: Mutex<BTreeSet<Arc<str>>>,
}

/// A template, and how what was made from it did.
pub struct Kept {
    template: Template,
    record: Record,
}

/// What an agent was made from.
#[derive(Clone)]
pub struct Origin {
    /// The template.
    pub kept: Arc<Kept>,
    /// Makes another one like it, of the same name.
    pub make: MakeAgent,
    /// The pool that it belongs to, if it belongs to one.
    pub pool: Option<Arc<str>>,
}

/// A template as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct TemplateView {
    /// The template.
    pub template: Template,
    /// How what was made from it did of late.
    pub figures: TemplateFigures,
}

impl Kept {
    /// The template.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What is counted of it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

/// A name for an agent, kept for it while it is being made.
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    templates: Arc<Templates>,
}

impl Drop for Named {
    fn drop(&mut self) {
        self.templates.names.lock().remove(&self.name);
    }
}

impl Templates {
    /// Adds a template, or puts it in the place of the one of its name, whose figures are forgotten.
    ///
    /// # Errors
    /// What [`Template::check`] says; [`Code::ALREADY_EXISTS`] for a name that is taken, unless it is to
    /// `replace`; [`Code::OVERLOADED`] beyond a thousand.
    pub fn add(&self, template: Template, replace: bool) -> Result<()> {
        template.check()?;
        let name = template.name.clone();
        let mut kept = self.kept.write();
        if !replace && kept.contains_key(&name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a template of this name")
                .with("template", name)
                .advice("give it another name, remove the other one first, or replace it"));
        }
        if kept.len() >= MOST && !kept.contains_key(&name) {
            return Err(Error::new(
                Code::OVERLOADED,
                "there are as many templates as there may be",
            )
            .with("most", MOST));
        }
        let before = kept.insert(name, Arc::new(Kept { template, record: Record::default() }));
        drop(kept);
        drop(before);
        Ok(())
    }

    /// Takes a template out. Agents that were made from it go on.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let removed = self.kept.write().remove(name);
        removed.map(drop).ok_or_else(|| self.none(name))
    }

    /// The template of this name.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn get(&self, name: &str) -> Result<Arc<Kept>> {
        let found = self.kept.read().get(name).cloned();
        found.ok_or_else(|| self.none(name))
    }

    fn none(&self, name: &str) -> Error {
        let error = Error::new(Code::NOT_FOUND, "there is no template of this name")
            .with("template", name.chars().take(LONGEST).collect::<String>());
        let kept = self.kept.read();
        match nearest(name, kept.keys().map(String::as_str)) {
            Some(near) => error.advice(format!("did you mean '{near}'?")),
            None => error,
        }
    }

    /// Every template, sorted by name.
    pub fn all(&self) -> Vec<Arc<Kept>> {
        self.kept.read().values().cloned().collect()
    }

    /// Registers a factory.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is none, [`Code::ALREADY_EXISTS`] for one that is taken.
    pub fn add_factory(&self, name: &str, factory: Arc<dyn AgentFactory>) -> Result<()> {
        if !well_named(name) {
            return Err(Error::new(Code::INVALID, "not a name for a factory")
                .with("name", name.chars().take(LONGEST).collect::<String>())
                .advice("use 1 to 128 letters, digits, '_', '-', '/', ':' and '.'"));
        }
        let mut factories = self.factories.write();
        if factories.contains_key(name) {
            drop(factories);
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a factory of this name")
                .with("factory", name));
        }
        factories.insert(name.to_owned(), factory);
        Ok(())
    }

    /// The names of the factories, sorted.
    pub fn factories(&self) -> BTreeSet<String> {
        self.factories.read().keys().cloned().collect()
    }

    /// Lets go of the factories: the kernel has stopped.
    pub(crate) fn close(&self) {
        let factories = std::mem::take(&mut *self.factories.write());
        drop(factories);
    }

    /// Chooses among all templates. `living` counts the agents that there are of one.
    pub fn choose(
        &self,
        surroundings: &Surroundings,
        want: &Want,
        living: impl Fn(&Arc<Kept>) -> u32,
        now: Moment,
    ) -> TemplateChoice {
        let all = self.all();
        let candidates = all.iter().map(|kept| {
            let figures = kept.record.figures(now);
            (&kept.template, TemplateFigures { living: living(kept), ..figures })
        });
        choose(candidates, surroundings, want)
    }

    /// A name for an agent of a template that nobody has, kept until what is given is dropped. `wanted` is the
    /// name that it must have, if it must have one.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a wanted name that is taken, [`Code::INVALID`] for one that is none.
    pub(crate) fn name(
        self: &Arc<Self>,
        pattern: &str,
        template: &str,
        values: &Map<String, Value>,
        wanted: Option<&str>,
        taken: impl Fn(&str) -> bool,
    ) -> Result<Named> {
        if let Some(wanted) = wanted {
            if !well_named(wanted) {
                return Err(Error::new(Code::INVALID, "not a name for an agent")
                    .with("name", wanted.chars().take(LONGEST).collect::<String>())
                    .advice("use 1 to 128 letters, digits, '_', '-', '/', ':' and '.'"));
            }
            return self.reserve(wanted, &taken).ok_or_else(|| {
                Error::new(Code::ALREADY_EXISTS, "an agent of this name is registered")
                    .with("agent", wanted)
            });
        }
        let mut values = values.clone();
        values.insert("template".to_owned(), Value::from(template));
        let counts = fill::names_in(pattern).any(|name| name == "n");
        let mut n = 1_u64;
        loop {
            values.insert("n".to_owned(), Value::from(n));
            let filled = fill::text(pattern, &values).map_err(|(parameter, why)| {
                Error::new(Code::INVALID, "a parameter cannot be in the name of an agent")
                    .with("parameter", parameter)
                    .with("reason", why)
            })?;
            let end = if counts || n == 1 { String::new() } else { format!("-{n}") };
            if let Some(named) = self.reserve(&tidy(&filled, &end), &taken) {
                return Ok(named);
            }
            n += 1;
        }
    }

    fn reserve(self: &Arc<Self>, name: &str, taken: &impl Fn(&str) -> bool) -> Option<Named> {
        if taken(name) {
            return None;
        }
        let name: Arc<str> = Arc::from(name);
        let free = self.names.lock().insert(Arc::clone(&name));
        free.then(|| Named { name, templates: Arc::clone(self) })
    }

    /// What makes an agent of this name, as often as it is asked.
    pub(crate) fn maker(
        &self,
        kept: &Arc<Kept>,
        name: &Arc<str>,
        values: Map<String, Value>,
    ) -> MakeAgent {
        let factory = match &kept.template.make {
            super::TemplateKind::Factory(name) => self.factories.read().get(name).cloned(),
            _ => None,
        };
        let (kept, name) = (Arc::clone(kept), Arc::clone(name));
        Arc::new(move || made::make(&kept.template, &name, values.clone(), factory.as_ref()))
    }
}

impl Kept {
    /// The values of the template's parameters.
    ///
    /// # Errors
    /// [`Code::INVALID`], one for each that is wrong.
    pub(crate) fn values(&self, given: &Map<String, Value>) -> Result<Map<String, Value>> {
        self.template.values(given).map_err(|wrong| {
            let problems = wrong.into_iter().map(|(name, why)| {
                Error::new(Code::INVALID, why)
                    .with("template", &self.template.name)
                    .with("parameter", name)
            });
            let none = || Error::new(Code::INTERNAL, "no parameter is wrong");
            Error::join(problems.collect()).unwrap_or_else(none)
        })
    }
}

/// A name of what a pattern gave: what may not be in one becomes `-`, and what is too long is cut.
fn tidy(filled: &str, end: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.');
    let kept = filled.chars().map(|c| if fits(c) { c } else { '-' });
    let mut name: String = kept.take(LONGEST.saturating_sub(end.len())).collect();
    name.push_str(end);
    if name.is_empty() { "agent".to_owned() } else { name }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("template", &self.kept.template.name)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::create::TemplateKind;
    use serde_json::json;

    fn template(name: &str) -> Template {
        Template::new(name, ["s"], TemplateKind::Factory("f".into()))
    }

    #[test]
    fn names_are_given_once() {
        let templates = Arc::new(Templates::default());
        let values = Map::from_iter([("model".to_owned(), json!("gpt 4/o"))]);
        let name = |pattern: &str, wanted: Option<&str>, taken: &[&str]| {
            templates.name(pattern, "t", &values, wanted, |name| taken.contains(&name))
        };
        let first = name("{template}-{n}", None, &[]).unwrap();
        let second = name("{template}-{n}", None, &["t-2"]).unwrap();
        assert_eq!((&*first.name, &*second.name), ("t-1", "t-3"));
        drop(first);
        assert_eq!(&*name("{template}-{n}", None, &[]).unwrap().name, "t-1");
        assert_eq!(&*name("{model}", None, &["gpt-4/o"]).unwrap().name, "gpt-4/o-2");
        assert_eq!(name("x", Some("a"), &["a"]).err().unwrap().code(), Code::ALREADY_EXISTS);
        assert_eq!(name("x", Some("a b"), &[]).err().unwrap().code(), Code::INVALID);
        let long = name(&"n".repeat(300), None, &["n".repeat(128).as_str()]).unwrap();
        assert_eq!(&*long.name, format!("{}-2", "n".repeat(126)));
    }

    #[test]
    fn templates_are_there_once_and_found_by_similar_names() {
        let templates = Templates::default();
        templates.add(template("reviewer"), false).unwrap();
        let code = |result: Result<()>| result.err().map(|error| error.code());
        assert_eq!(code(templates.add(template("reviewer"), false)), Some(Code::ALREADY_EXISTS));
        assert_eq!(code(templates.add(template("reviewer"), true)), None);
        let error = templates.get("reviwer").err().unwrap();
        assert_eq!(error.remedy(), Some("did you mean 'reviewer'?"));
        assert_eq!(code(templates.remove("reviewer")), None);
        assert_eq!(code(templates.remove("reviewer")), Some(Code::NOT_FOUND));
    }

    #[test]
    fn what_is_wrong_with_a_template_is_told_all_at_once() {
        let template: Template = serde_json::from_value(json!({
            "name": "a b", "skills": ["s", "s", ""], "latency_ms": -1, "most": 0,
            "make": {"process": {"command": ["x", "{dept}", "{n}"]}},
            "parameters": {"depth": {"schema": {"type": "integer"}, "default": "deep"}, "agent": {},
                           "odd": {"schema": {"type": "oddity"}}},
            "about": {"t": {}, "s": {"probe": {"within_ms": 0}}},
            "agent_name": "{who}-{n}"
        }))
        .unwrap();
        let error = template.check().unwrap_err();
        let fields: BTreeSet<&str> = (error.problems().iter())
            .filter_map(|one| {
                one.context().find(|(key, _)| *key == "field").map(|(_, field)| field)
            })
            .collect();
        assert_eq!(
            fields.into_iter().collect::<Vec<_>>(),
            [
                "about.s.probe",
                "about.t",
                "agent_name",
                "latency_ms",
                "make",
                "most",
                "name",
                "parameters.agent",
                "parameters.depth.default",
                "parameters.odd.schema",
                "skills[1]",
                "skills[2]",
            ]
        );
        assert!(
            error
                .problems()
                .iter()
                .any(|one| one.context().any(|(_, why)| why.contains("did you mean {depth}?")))
        );
    }
}
