//! What a server says of itself and of its tools, and the card that comes of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::process::shortened;
use super::era::Era;
use crate::port::{AgentCard, SkillCard};

/// What a server offers, as it was when it was last asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Catalogue {
    pub(super) era: Era,
    /// The revision that is spoken with it.
    pub(super) revision: String,
    /// What the server calls itself, and its version.
    pub(super) server: String,
    pub(super) version: String,
    pub(super) instructions: String,
    /// By skill.
    pub(super) tools: BTreeMap<String, Tool>,
    /// The skills in the server's order.
    pub(super) order: Vec<String>,
    /// What was changed or left out, for the log.
    pub(super) remarks: Vec<String>,
    /// Bytes of the schemas.
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tool {
    /// Its name at the server.
    pub(super) name: String,
    pub(super) about: SkillCard,
}

/// Tools of one server, at most.
const TOOLS: usize = 4096;
/// Bytes of all their schemas as JSON, at most.
const SCHEMAS: usize = 16 << 20;
/// Characters of a skill's name, at most.
const NAME: usize = 128;
/// Bytes of a description that are kept.
const DESCRIPTION: usize = 16 << 10;

impl Catalogue {
    /// Reads `serverInfo`.
    pub(super) fn introduce(&mut self, info: Option<&Value>) {
        let text = |key| info.and_then(|i| i.get(key)).and_then(Value::as_str).unwrap_or_default();
        self.server = shortened(text("name"), NAME).into_owned();
        self.version = shortened(text("version"), NAME).into_owned();
    }

    /// What is known beside the tools.
    pub(super) fn without_tools(&self) -> Self {
        Self {
            era: self.era,
            revision: self.revision.clone(),
            server: self.server.clone(),
            version: self.version.clone(),
            instructions: self.instructions.clone(),
            ..Self::default()
        }
    }

    /// Adds a page of `tools/list`.
    pub(super) fn page(&mut self, tools: &[Value]) {
        for tool in tools {
            let Some(name) = tool.get("name").and_then(Value::as_str) else {
                self.remark("a tool without a name was left out".to_owned());
                continue;
            };
            if self.tools.len() >= TOOLS {
                return self.remark(format!("there are more than {TOOLS} tools"));
            }
            let skill = well_named(name);
            if skill != name {
                self.remark(format!("the tool {:?} is the skill {skill:?}", shortened(name, NAME)));
            }
            if self.tools.contains_key(&skill) {
                self.remark(format!("another tool {skill:?} was left out"));
                continue;
            }
            let about = about(tool);
            let schemas = [&about.input, &about.output].into_iter().flatten();
            self.bytes += schemas.map(|schema| schema.to_string().len()).sum::<usize>();
            if self.bytes > SCHEMAS {
                return self.remark(format!("the tools' schemas have more than {SCHEMAS} bytes"));
            }
            self.order.push(skill.clone());
            self.tools.insert(skill, Tool { name: name.to_owned(), about });
        }
    }

    /// Notes something for the log; a few of them.
    fn remark(&mut self, what: String) {
        if self.remarks.len() < 32 {
            self.remarks.push(what);
        }
    }

    /// The card of the agent.
    pub(super) fn card(&self, name: &str) -> AgentCard {
        let mut card = AgentCard::new(name, self.order.iter().cloned()).version(&self.version);
        card.description =
            shortened(self.instructions.lines().next().unwrap_or_default(), 200).into_owned();
        for (skill, tool) in &self.tools {
            if tool.about != SkillCard::default() {
                card.about.insert(skill.clone(), tool.about.clone());
            }
        }
        card = card.label("mcp.revision", &self.revision);
        if !self.server.is_empty() {
            card = card.label("mcp.server", &self.server);
        }
        card
    }
}

fn about(tool: &Value) -> SkillCard {
    let text = |key| tool.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let description = text("description").or_else(|| text("title")).unwrap_or_default();
    let schema = |key| tool.get(key).filter(|schema| schema.is_object()).cloned();
    let mut about = SkillCard::new(shortened(description, DESCRIPTION));
    about.input = schema("inputSchema");
    about.output = schema("outputSchema");
    about
}

/// A name as agents and skills have them: everything else becomes `_`.
pub(crate) fn well_named(name: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.');
    let mut made = String::new();
    for c in name.chars().map(|c| if allowed(c) { c } else { '_' }) {
        if made.len() + c.len_utf8() > NAME {
            break;
        }
        made.push(c);
    }
    if made.is_empty() { "_".to_owned() } else { made }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn tools_become_skills() {
        let mut catalogue = Catalogue::default();
        catalogue.introduce(Some(&json!({"name": "srv", "version": "1.2"})));
        catalogue.revision = "2025-11-25".to_owned();
        assert!(catalogue.tools.is_empty());
        catalogue.page(&[
            json!({"name": "z", "description": "last", "inputSchema": {"type": "object"}}),
            json!({"name": "a b", "title": "A to B", "outputSchema": {"type": "string"}}),
            json!({"name": "a_b"}),
            json!({"nome": "c"}),
            json!(7),
            json!({"name": ""}),
        ]);
        let card = catalogue.card("me");
        assert_eq!(card.skills, ["z", "a_b", "_"]);
        assert_eq!(card.version, "1.2");
        assert_eq!(card.about["z"].description, "last");
        assert_eq!(card.about["a_b"].description, "A to B");
        assert_eq!(card.about["a_b"].output, Some(json!({"type": "string"})));
        assert_eq!(catalogue.tools["a_b"].name, "a b");
        assert_eq!(catalogue.remarks.len(), 5, "{:?}", catalogue.remarks);
    }

    #[test]
    fn a_catalogue_has_bounds() {
        let mut catalogue = Catalogue::default();
        let tool =
            |n: usize| json!({"name": format!("t{n}"), "inputSchema": {"x": "y".repeat(1 << 20)}});
        for n in 0..20 {
            catalogue.page(&[tool(n)]);
        }
        assert_eq!(catalogue.tools.len(), 15);
        let mut catalogue = Catalogue::default();
        let many: Vec<_> = (0..5000).map(|n| json!({"name": n.to_string()})).collect();
        catalogue.page(&many);
        assert_eq!((catalogue.tools.len(), catalogue.remarks.len()), (TOOLS, 1));
    }

    proptest! {
        #[test]
        fn every_name_is_made_a_good_one(name in ".{0,200}") {
            let made = well_named(&name);
            prop_assert!((1..=NAME).contains(&made.len()));
            prop_assert_eq!(well_named(&made), made.clone());
            let good = !name.is_empty() && name.len() <= NAME && name.chars().all(char::is_alphanumeric);
            if good {
                prop_assert_eq!(made, name);
            }
        }
    }
}
