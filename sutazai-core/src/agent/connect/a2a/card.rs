//! What an agent's card says, in the forms of 1.0 and 0.3.

use std::collections::BTreeMap;

use serde_json::Value;

use super::spec::{A2aBinding, A2aSpec};
use super::story::wrong;
use super::wire::Dialect;
use crate::agent::connect::http::{HttpRequest, cut};
use crate::port::{AgentCard, RunMode, SkillCard};
use crate::{Code, Error, Result};

/// Skills of a card that are taken, at most.
const SKILLS: usize = 1024;

/// A card that was understood, and the interface that is talked to.
#[derive(Clone, Debug)]
pub(super) struct PeerCard {
    pub(super) card: AgentCard,
    /// The card's own ids of the skills, by the names they have here.
    pub(super) skills: BTreeMap<String, String>,
    pub(super) streaming: bool,
    pub(super) interface: Interface,
    /// The card as it came, without what is no part of what it says.
    pub(super) said: Value,
}

/// Where and how an agent is talked to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Interface {
    /// Without a slash at its end.
    pub(super) url: String,
    pub(super) dialect: Dialect,
    pub(super) rpc: bool,
    pub(super) tenant: Option<String>,
    /// The version that is asked for, as `1.0`.
    pub(super) version: String,
}

impl PeerCard {
    pub(super) fn parse(said: &Value, spec: &A2aSpec) -> Result<Self> {
        let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
        if !said.is_object() {
            return Err(bad("the card is not an object", spec));
        }
        let interface = Interface::choose(said, spec)?;
        check_origin(&interface.url, spec)?;
        let name = spec.name.clone().unwrap_or_else(|| fit(text("name")));
        if name.is_empty() {
            return Err(bad("the card has no name", spec).advice("give the agent one in its spec"));
        }
        let mut skills = BTreeMap::new();
        let mut about = BTreeMap::new();
        let listed = said.get("skills").and_then(Value::as_array).into_iter().flatten();
        for skill in listed.take(SKILLS) {
            let Some(id) = skill.get("id").and_then(Value::as_str) else { continue };
            let here = fit(id);
            if here.is_empty() {
                continue;
            }
            let told = ["description", "name"]
                .iter()
                .find_map(|key| skill.get(*key)?.as_str().filter(|told| !told.is_empty()));
            about.insert(here.clone(), SkillCard::new(cut(told.unwrap_or_default(), 1000)));
            skills.insert(here, id.to_owned());
        }
        if !spec.skills.is_empty() {
            skills = spec.skills.iter().map(|skill| (skill.clone(), skill.clone())).collect();
            about.retain(|skill, _| skills.contains_key(skill));
        }
        if skills.is_empty() {
            return Err(bad("the card names no skill", spec).advice("name its skills in its spec"));
        }
        let mut card = AgentCard::new(name, skills.keys().cloned())
            .run(RunMode::Pool)
            .version(cut(text("version"), 100))
            .description(cut(text("description"), 1000))
            .timeout(spec.timeout)
            .label("connector", "a2a")
            .label("a2a", &interface.version);
        card.concurrency = spec.concurrency;
        card.about = about;
        let streaming = said
            .get("capabilities")
            .and_then(|capabilities| capabilities.get("streaming")?.as_bool())
            .unwrap_or(false);
        Ok(Self { card, skills, streaming, interface, said: essence(said) })
    }
}

/// The card without its signatures, which may be made anew each time.
fn essence(said: &Value) -> Value {
    let mut said = said.clone();
    if let Some(fields) = said.as_object_mut() {
        fields.remove("signatures");
    }
    said
}

impl Interface {
    /// The one to talk to, of those that the card offers.
    fn choose(said: &Value, spec: &A2aSpec) -> Result<Self> {
        let offered = Self::offered(said);
        let wanted = |one: &&Self| match spec.binding {
            A2aBinding::Auto => true,
            A2aBinding::JsonRpc => one.rpc,
            A2aBinding::HttpJson => !one.rpc,
        };
        let newest = offered.iter().filter(wanted).find(|one| one.dialect == Dialect::V1);
        let chosen = newest.or_else(|| offered.iter().find(wanted)).cloned();
        chosen.ok_or_else(|| {
            Error::new(Code::UNSUPPORTED, "the card offers no interface that is spoken here")
                .operation("agent.a2a")
                .with("url", &spec.url)
                .advice("JSON-RPC and HTTP+JSON of A2A 1.0 and 0.3 are")
        })
    }

    /// Those of the card that are spoken here, in its order. `supportedInterfaces` is 1.0's form; a card
    /// with an `url` of its own is written as 0.3 has it, whatever version it names.
    fn offered(said: &Value) -> Vec<Self> {
        let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let list = |name: &str| said.get(name).and_then(Value::as_array).into_iter().flatten();
        if said.get("supportedInterfaces").is_some_and(Value::is_array) {
            return list("supportedInterfaces")
                .filter_map(|one| {
                    let version = text(one, "protocolVersion").unwrap_or_else(|| "1.0".to_owned());
                    let binding = text(one, "protocolBinding")?;
                    Self::of(&text(one, "url")?, &binding, &version, text(one, "tenant"))
                })
                .collect();
        }
        let version = "0.3";
        let main = text(said, "url").and_then(|url| {
            let binding = text(said, "preferredTransport").unwrap_or_else(|| "JSONRPC".to_owned());
            Self::of(&url, &binding, version, None)
        });
        let more = list("additionalInterfaces").filter_map(|one| {
            Self::of(&text(one, "url")?, &text(one, "transport")?, version, None)
        });
        main.into_iter().chain(more).collect()
    }

    fn of(url: &str, binding: &str, version: &str, tenant: Option<String>) -> Option<Self> {
        let rpc = match binding.to_ascii_uppercase().as_str() {
            "JSONRPC" => true,
            "HTTP+JSON" => false,
            _ => return None,
        };
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next()?, numbers.next().unwrap_or("0"));
        let dialect = match (major, minor, rpc) {
            ("1", _, _) => Dialect::V1,
            ("0", "2" | "3", true) => Dialect::V03,
            ("0", "3", false) => Dialect::Proto03,
            _ => return None,
        };
        HttpRequest::get(url).ok()?;
        // JSON-RPC is asked at this very URL; the paths of the other binding go below it.
        let url = if rpc { url } else { url.trim_end_matches('/') };
        let tenant = tenant.filter(|tenant| !tenant.is_empty());
        Some(Self {
            url: url.to_owned(),
            dialect,
            rpc,
            tenant,
            version: format!("{major}.{minor}"),
        })
    }
}

/// Whether the place that the card names may be given what the spec holds.
fn check_origin(url: &str, spec: &A2aSpec) -> Result<()> {
    let known = std::iter::once(&spec.url).chain(&spec.origins);
    let at = HttpRequest::get(url)?.origin();
    for origin in known {
        if HttpRequest::get(origin)?.origin() == at {
            return Ok(());
        }
    }
    if !spec.has_secrets() {
        return Ok(());
    }
    Err(Error::new(
        Code::INVALID,
        "the card leads to another origin, which would be given the credentials",
    )
    .operation("agent.a2a")
    .with("url", &spec.url)
    .with("origin", at)
    .advice("name the origin in `origins` if it may have them"))
}

/// A text as the name of an agent or skill: what may not stand there becomes `-`.
fn fit(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        let c = if c.is_alphanumeric() || matches!(c, '_' | '/' | ':' | '.') { c } else { '-' };
        if c == '-' && (name.is_empty() || name.ends_with('-')) {
            continue;
        }
        if name.len() + c.len_utf8() > 128 {
            break;
        }
        name.push(c);
    }
    name.trim_end_matches('-').to_owned()
}

fn bad(what: &'static str, spec: &A2aSpec) -> Error {
    wrong(what).with("url", &spec.url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn card_1() -> Value {
        json!({"name": "Recipe Agent!", "version": "2.1", "description": "cooks",
            "capabilities": {"streaming": true},
            "skills": [{"id": "find recipe", "name": "x", "description": "finds"}],
            "supportedInterfaces": [
                {"url": "http://h/grpc", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": "http://h/old", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
                {"url": "http://h/rest/", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0", "tenant": "acme"},
                {"url": "http://h/rpc/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0.1"}]})
    }

    #[test]
    fn the_interface_is_the_first_of_the_newest_version() {
        let parse = |binding| {
            PeerCard::parse(&card_1(), &A2aSpec::new("http://h").binding(binding)).unwrap()
        };
        let peer = parse(A2aBinding::Auto);
        assert_eq!(
            (peer.interface.url.as_str(), peer.interface.tenant.as_deref()),
            ("http://h/rest", Some("acme"))
        );
        assert_eq!(parse(A2aBinding::JsonRpc).interface.url, "http://h/rpc/");
        assert_eq!(&*peer.card.name, "Recipe-Agent");
        assert_eq!(peer.card.skills, ["find-recipe"]);
        assert_eq!(peer.skills["find-recipe"], "find recipe");
        assert_eq!(peer.card.about["find-recipe"].description, "finds");
    }

    #[test]
    fn the_form_says_which_version_it_is() {
        // As a server in the field writes it: the form of 0.3, and "1.0" for its version.
        let said = json!({"name": "a", "url": "http://h/a", "protocolVersion": "1.0", "skills": [{"id": "s"}],
            "additionalInterfaces": [{"url": "http://h/v1", "transport": "HTTP+JSON"}]});
        let peer =
            |binding| PeerCard::parse(&said, &A2aSpec::new("http://h").binding(binding)).unwrap();
        assert_eq!(peer(A2aBinding::Auto).interface.dialect, Dialect::V03);
        assert_eq!(peer(A2aBinding::HttpJson).interface.dialect, Dialect::Proto03);
    }

    #[test]
    fn what_is_no_card_is_told() {
        let parse = |said: Value| PeerCard::parse(&said, &A2aSpec::new("http://h"));
        for said in [
            json!([]),
            json!({}),
            json!({"name": "a", "url": "h"}),
            json!({"url": "http://h", "name": "a"}),
            json!({"url": "http://h", "name": "!", "skills": [{"id": "s"}]}),
        ] {
            assert!(parse(said.clone()).is_err(), "{said}");
        }
        let grpc = json!({"name": "a", "supportedInterfaces": [{"url": "http://h", "protocolBinding": "GRPC"}]});
        assert_eq!(parse(grpc).unwrap_err().code(), Code::UNSUPPORTED);
    }

    #[test]
    fn credentials_stay_where_they_were_meant_for() {
        let spec = A2aSpec::new("https://h").bearer("t0ken-of-h");
        let error = PeerCard::parse(&card_1(), &spec).unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
        assert!(!format!("{error:#}").contains("t0ken"), "{error:#}");
        assert!(PeerCard::parse(&card_1(), &spec.origin("http://h/")).is_ok());
    }
}
