//! Whether an agent can do what its card says: what came of asking it, and how an answer is judged.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::schema::{self, Misfit, short};
use crate::port::{AgentCard, Outcome, SkillProbe};
use crate::{Code, Error, Result};

/// What is known of a skill after it was probed, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeVerdict {
    /// It was asked, and answered rightly.
    Right,
    /// The card has no probe for it, but the agent's other side says by their protocol that it has it.
    Offered,
    /// The card has no probe for it, and nothing else speaks for it.
    Unproved,
    /// It could not be asked, or did not answer, in time.
    Late,
    /// It answered with an error.
    Fails,
    /// Its answer is not what the probe or the card says, or the other side does not know the skill.
    Lies,
}

/// What came of probing an agent.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ProbeReport {
    /// The agent's name.
    pub agent: Arc<str>,
    /// Its version.
    pub version: String,
    /// The worst that is known of one of its skills.
    pub verdict: ProbeVerdict,
    /// Its skills, in the order of its card.
    pub skills: Vec<SkillReport>,
    /// How long it all took, in milliseconds.
    pub took_ms: u64,
}

/// What came of probing a skill.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SkillReport {
    /// The skill.
    pub skill: String,
    /// What is known of it.
    pub verdict: ProbeVerdict,
    /// Why, unless it answered rightly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What of its answer is wrong, where it lies: a JSON Pointer; empty for the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The error that it answered with, where it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub error: Option<Error>,
    /// How long it took to answer, in milliseconds, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

impl ProbeVerdict {
    /// Whether nothing speaks against the agent.
    pub fn passes(self) -> bool {
        self <= Self::Unproved
    }

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Offered => "offered",
            Self::Unproved => "unproved",
            Self::Late => "late",
            Self::Fails => "fails",
            Self::Lies => "lies",
        }
    }
}

impl ProbeReport {
    /// The first of its skills that speaks against it.
    pub fn worst(&self) -> Option<&SkillReport> {
        let against = self.skills.iter().filter(|skill| !skill.verdict.passes());
        // Of several equals the first, and `max_by` gives the last.
        against.rev().max_by_key(|skill| skill.verdict)
    }
}

impl SkillReport {
    pub(crate) fn new(skill: &str, verdict: ProbeVerdict) -> Self {
        let skill = skill.to_owned();
        Self { skill, verdict, why: None, field: None, error: None, took_ms: None }
    }

    pub(crate) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// By what an agent answered to the probe of a skill, for which it had `within`, and whose output the card
    /// may have a schema for.
    pub(crate) fn of_answer(
        skill: &str,
        probe: &SkillProbe,
        within: Duration,
        declared: Option<&Value>,
        answer: Result<Outcome>,
    ) -> Self {
        let outcome = match answer {
            Ok(outcome) => outcome,
            Err(error) if error.code() == Code::DEADLINE_EXCEEDED => {
                let why = format!("it did not answer within {} ms", within.as_millis());
                return Self::new(skill, ProbeVerdict::Late).because(why);
            }
            Err(error) => {
                let why = short(error.message());
                let report = Self::new(skill, ProbeVerdict::Fails).because(why);
                return Self { error: Some(error), ..report };
            }
        };
        let judged = outcome.output.value().map_or_else(
            |error| Err(Misfit { field: String::new(), why: error.message().to_owned() }),
            |output| judge(probe, declared, &output),
        );
        match judged {
            Ok(()) => Self::new(skill, ProbeVerdict::Right),
            Err(misfit) => {
                let report = Self::new(skill, ProbeVerdict::Lies).because(misfit.why);
                Self { field: Some(misfit.field), ..report }
            }
        }
    }

    /// Without a probe: by what the agent's other side offers, where that is known.
    pub(crate) fn of_sign(skill: &str, offers: Option<&AgentCard>) -> Self {
        match offers {
            Some(card) if card.skills.iter().any(|offered| offered == skill) => {
                Self::new(skill, ProbeVerdict::Offered)
                    .because("its card has no probe for it; the other side says that it has it")
            }
            Some(_) => Self::new(skill, ProbeVerdict::Lies)
                .because("its card has the skill, and the other side does not offer it"),
            None => Self::new(skill, ProbeVerdict::Unproved)
                .because("its card has no probe for it, and its protocol does not tell"),
        }
    }
}

/// Whether a probe can be made.
///
/// # Errors
/// [`Code::INVALID`], naming the field.
pub(crate) fn check(probe: &SkillProbe) -> Result<()> {
    let bad = |field: &'static str, why: String| {
        Error::new(Code::INVALID, "the probe of a skill is not valid")
            .with("field", field)
            .with("reason", why)
    };
    if probe.within_ms == 0 {
        return Err(bad("within_ms", "an answer takes at least a millisecond".to_owned()));
    }
    match probe.schema.as_ref().map(schema::check) {
        Some(Err(why)) => {
            Err(bad("schema", why)
                .advice("give a JSON Schema that refers to nothing outside of it"))
        }
        _ => Ok(()),
    }
}

/// Whether an output is what the probe says, and what the card says.
fn judge(probe: &SkillProbe, declared: Option<&Value>, output: &Value) -> Result<(), Misfit> {
    if let Some(schema) = declared {
        schema::fits(schema, output).map_err(|misfit| Misfit {
            why: format!("not as the card declares the output: {}", misfit.why),
            ..misfit
        })?;
    }
    if let Some(schema) = &probe.schema {
        schema::fits(schema, output)?;
    }
    if let Some(wanted) = &probe.equals {
        compare(wanted, output, "", &|wanted, found| same(wanted, found), true)?;
    }
    if let Some(wanted) = &probe.contains {
        compare(wanted, output, "", &|wanted, found| contains(wanted, found), false)?;
    }
    Ok(())
}

/// Looks for the place where an output is not as wanted: down through objects, field by field. Where it has to
/// be `whole`, it has no others.
fn compare(
    wanted: &Value,
    found: &Value,
    at: &str,
    agree: &dyn Fn(&Value, &Value) -> bool,
    whole: bool,
) -> Result<(), Misfit> {
    if let (Value::Object(wanted), Value::Object(found)) = (wanted, found) {
        for (key, wanted) in wanted {
            let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            let Some(found) = found.get(key) else {
                return Err(Misfit { field: at, why: "it is missing".to_owned() });
            };
            compare(wanted, found, &at, agree, whole)?;
        }
        return match found.keys().find(|key| whole && !wanted.contains_key(*key)) {
            Some(more) => {
                Err(Misfit { field: at.to_owned(), why: format!("it has {more:?} besides") })
            }
            None => Ok(()),
        };
    }
    if agree(wanted, found) {
        return Ok(());
    }
    let is = if whole { "is" } else { "is in" };
    let why = format!("{} {is} wanted, not {}", shown(wanted), shown(found));
    Err(Misfit { field: at.to_owned(), why })
}

fn shown(value: &Value) -> String {
    short(&value.to_string())
}

/// Whether two values are the same; numbers by what they are worth.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(some), Value::Array(others)) => {
            some.len() == others.len() && some.iter().zip(others).all(|(a, b)| same(a, b))
        }
        (Value::Object(some), Value::Object(others)) => {
            let has =
                |(key, value): (&String, &Value)| others.get(key).is_some_and(|it| same(value, it));
            some.len() == others.len() && some.iter().all(has)
        }
        _ => a == b,
    }
}

/// Whether what is wanted is in what was found.
fn contains(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::String(part), found) => speaks(part, found),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.iter().all(|wanted| found.iter().any(|found| contains(wanted, found)))
        }
        (Value::Object(wanted), Value::Object(found)) => wanted
            .iter()
            .all(|(key, wanted)| found.get(key).is_some_and(|found| contains(wanted, found))),
        _ => same(wanted, found),
    }
}

/// Whether a text stands in one of the texts of a value.
fn speaks(part: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(part),
        Value::Array(items) => items.iter().any(|item| speaks(part, item)),
        Value::Object(fields) => fields.values().any(|item| speaks(part, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(
        probe: &SkillProbe,
        declared: Option<Value>,
        output: Value,
    ) -> (ProbeVerdict, String) {
        let answer = Ok(Outcome::new(output));
        let report = SkillReport::of_answer("s", probe, probe.within(), declared.as_ref(), answer);
        (report.verdict, report.field.unwrap_or_else(|| "-".to_owned()))
    }

    #[test]
    fn an_answer_is_held_to_each_thing_that_the_probe_says() {
        use ProbeVerdict::{Lies, Right};
        let ask = || SkillProbe::new(json!(1));
        let text = || Some(json!({"type": "string"}));
        for (probe, declared, output, verdict, field) in [
            (ask(), None, json!(null), Right, "-"),
            (ask(), text(), json!("x"), Right, "-"),
            (ask(), text(), json!(3), Lies, ""),
            (ask().schema(json!({"required": ["sum"]})), None, json!({"sum": 1}), Right, "-"),
            (
                ask().schema(json!({"properties": {"sum": {"type": "integer"}}})),
                None,
                json!({"sum": "5"}),
                Lies,
                "/sum",
            ),
            (ask().equals(json!(5)), None, json!(5.0), Right, "-"),
            (ask().equals(json!(null)), None, json!(0), Lies, ""),
            (
                ask().equals(json!({"a": [1, {"b": 2}]})),
                None,
                json!({"a": [1.0, {"b": 2}]}),
                Right,
                "-",
            ),
            (
                ask().equals(json!({"a": {"b/c": 2}})),
                None,
                json!({"a": {"b/c": 3}}),
                Lies,
                "/a/b~1c",
            ),
            (ask().equals(json!({"a": 1})), None, json!({"a": 1, "z": 2}), Lies, ""),
            (ask().equals(json!({"a": 1, "b": 2})), None, json!({"a": 1}), Lies, "/b"),
            (ask().contains("ell"), None, json!("hello"), Right, "-"),
            (ask().contains("ell"), None, json!([{"type": "text", "text": "hello"}]), Right, "-"),
            (ask().contains("all"), None, json!("hello"), Lies, ""),
            (
                ask().contains(json!({"a": {"b": "x"}})),
                None,
                json!({"a": {"b": "axe", "c": 1}}),
                Right,
                "-",
            ),
            (ask().contains(json!({"a": {"b": "x"}})), None, json!({"a": {"b": 3}}), Lies, "/a/b"),
            (ask().contains(json!([2, "c"])), None, json!([1, 2, "abc"]), Right, "-"),
            (ask().contains(json!([2, 4])), None, json!([1, 2, 3]), Lies, ""),
        ] {
            let found = judged(&probe, declared, output.clone());
            assert_eq!(found, (verdict, field.to_owned()), "{probe:?} {output}");
        }
    }

    #[test]
    fn who_does_not_answer_is_late_and_an_error_is_a_failure() {
        let probe = SkillProbe::new(json!(1)).within_ms(20);
        let says = |code| {
            let error = Err(Error::new(code, "no"));
            let report = SkillReport::of_answer("s", &probe, probe.within(), None, error);
            (report.verdict, report.why.unwrap())
        };
        let late = (ProbeVerdict::Late, "it did not answer within 20 ms".to_owned());
        assert_eq!(says(Code::DEADLINE_EXCEEDED), late);
        assert_eq!(says(Code::AGENT_FAILED), (ProbeVerdict::Fails, "no".to_owned()));
    }

    #[test]
    fn without_a_probe_the_other_side_is_believed() {
        let offers = AgentCard::new("a", ["s"]);
        assert_eq!(SkillReport::of_sign("s", Some(&offers)).verdict, ProbeVerdict::Offered);
        assert_eq!(SkillReport::of_sign("t", Some(&offers)).verdict, ProbeVerdict::Lies);
        assert_eq!(SkillReport::of_sign("s", None).verdict, ProbeVerdict::Unproved);
    }

    #[test]
    fn the_worst_is_told_first() {
        use ProbeVerdict::{Fails, Late, Lies, Right};
        let report = |verdicts: &[ProbeVerdict]| ProbeReport {
            agent: "a".into(),
            version: String::new(),
            verdict: Right,
            skills: verdicts
                .iter()
                .enumerate()
                .map(|(n, v)| SkillReport::new(&n.to_string(), *v))
                .collect(),
            took_ms: 0,
        };
        assert!(report(&[Right, Right]).worst().is_none());
        assert_eq!(report(&[Right, Late, Fails, Lies, Lies]).worst().unwrap().skill, "3");
    }

    #[test]
    fn a_probe_that_cannot_be_made_is_refused() {
        let field =
            |probe: SkillProbe| check(&probe).unwrap_err().context().next().unwrap().1.to_owned();
        assert_eq!(field(SkillProbe::new(1).within_ms(0)), "within_ms");
        assert_eq!(field(SkillProbe::new(1).schema(json!({"type": 3}))), "schema");
        assert!(check(&SkillProbe::new(1).schema(json!(true))).is_ok());
    }
}
