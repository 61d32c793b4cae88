//! Conditions as data, and whether they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::payload::Payload;
use crate::event::Pattern;
use crate::{Code, Error, Result};

/// When a playbook applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// All of these hold.
    All(Vec<Condition>),
    /// One of these holds, or more.
    Any(Vec<Condition>),
    /// This does not hold; no event may stand in it, for an event cannot be absent.
    Not(Box<Condition>),
    /// Such an event came.
    Event(EventMatch),
    /// A signal compares so.
    Signal(SignalMatch),
}

/// An event: its subject, and what its payload says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EventMatch {
    /// A pattern of subjects, with `*` and `>` as the bus has them.
    pub subject: String,
    /// What must be true of the payload, all of it.
    #[serde(default)]
    pub fields: Vec<Comparison>,
}

/// A signal: what was fed in under this name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SignalMatch {
    /// Its name.
    pub name: String,
    /// How it compares; not `contains` and `exists`.
    pub op: Op,
    /// With what.
    pub value: f64,
}

/// What must be true of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Comparison {
    /// Which field: a JSON pointer (RFC 6901), `""` for the whole payload.
    pub at: String,
    /// How it compares. A field that is not there only passes `ne`.
    pub op: Op,
    /// With what; nothing for `exists`.
    #[serde(default)]
    pub value: Payload,
}

/// How two values compare. The order of numbers and the order of texts; of nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Equal, as JSON.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// A text has this text in it; a list has this value.
    Contains,
    /// It is there.
    Exists,
}

/// A condition in the form in which it is asked.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
    /// With its number among the playbook's events.
    Event(usize),
    Signal(SignalMatch),
}

/// One event that a condition speaks of.
#[derive(Clone, Debug)]
pub(super) struct EventTest {
    pub(super) subject: Pattern,
    fields: Vec<(String, Op, Arc<Value>)>,
}

/// How deep conditions may stand in one another.
const DEEPEST: usize = 8;
/// How many events, signals and comparisons one may have, each.
const MOST: usize = 64;

/// Reads a condition; its events come out by number.
pub(super) fn compile(condition: &Condition) -> Result<(Tree, Vec<EventTest>)> {
    let mut events = Vec::new();
    let mut leaves = 0;
    let tree = build(condition, 0, false, &mut leaves, &mut events)?;
    Ok((tree, events))
}

fn build(
    condition: &Condition,
    depth: usize,
    negated: bool,
    leaves: &mut usize,
    events: &mut Vec<EventTest>,
) -> Result<Tree> {
    if depth >= DEEPEST {
        return Err(invalid("conditions stand in one another deeper than 8"));
    }
    let mut list = |list: &[Condition], leaves: &mut usize| -> Result<Vec<Tree>> {
        if list.is_empty() {
            return Err(invalid("`all` and `any` need a condition at least"));
        }
        list.iter().map(|one| build(one, depth + 1, negated, leaves, events)).collect()
    };
    let tree = match condition {
        Condition::All(conditions) => return list(conditions, leaves).map(Tree::All),
        Condition::Any(conditions) => return list(conditions, leaves).map(Tree::Any),
        Condition::Not(inner) => {
            let inner = build(inner, depth + 1, true, leaves, events)?;
            return Ok(Tree::Not(Box::new(inner)));
        }
        Condition::Event(_) if negated => {
            return Err(invalid("an event cannot be absent: none may stand in `not`"));
        }
        Condition::Event(event) => {
            events.push(event_test(event)?);
            Tree::Event(events.len() - 1)
        }
        Condition::Signal(signal) => {
            if matches!(signal.op, Op::Contains | Op::Exists) || signal.value.is_nan() {
                return Err(invalid("a signal compares with a number").with("signal", &signal.name));
            }
            Tree::Signal(signal.clone())
        }
    };
    *leaves += 1;
    if *leaves > MOST {
        return Err(invalid("a condition has at most 64 events and signals"));
    }
    Ok(tree)
}

fn event_test(event: &EventMatch) -> Result<EventTest> {
    let subject = Pattern::new(&event.subject)?;
    if event.fields.len() > MOST {
        return Err(invalid("an event has at most 64 comparisons"));
    }
    let fields = event.fields.iter().map(|field| {
        if !field.at.is_empty() && !field.at.starts_with('/') {
            return Err(invalid("`at` is a JSON pointer: it begins with a slash")
                .with("at", &field.at)
                .advice(format!("write '/{}'", field.at)));
        }
        Ok((field.at.clone(), field.op, field.value.value()?))
    });
    Ok(EventTest { subject, fields: fields.collect::<Result<_>>()? })
}

fn invalid(message: &'static str) -> Error {
    Error::new(Code::INVALID, message).operation("recovery.playbook")
}

impl EventTest {
    /// Whether the payload of an event of this subject passes.
    pub(super) fn passes(&self, payload: &Value) -> bool {
        self.fields.iter().all(|(at, op, value)| compare(payload.pointer(at), *op, value))
    }
}

impl Tree {
    /// Whether it holds, given which of its events do, and the signals that speak.
    pub(super) fn holds(&self, events: &[bool], signals: &dyn Fn(&str) -> Option<f64>) -> bool {
        match self {
            Self::All(trees) => trees.iter().all(|tree| tree.holds(events, signals)),
            Self::Any(trees) => trees.iter().any(|tree| tree.holds(events, signals)),
            Self::Not(tree) => !tree.holds(events, signals),
            Self::Event(number) => events.get(*number).copied().unwrap_or(false),
            Self::Signal(signal) => signals(&signal.name).is_some_and(|value| {
                let order = value.partial_cmp(&signal.value);
                order.is_some_and(|order| ordered(order, signal.op))
            }),
        }
    }

    /// The signals that it speaks of, with what they say.
    pub(super) fn signals(
        &self,
        say: &dyn Fn(&str) -> Option<f64>,
        found: &mut BTreeMap<String, f64>,
    ) {
        match self {
            Self::All(trees) | Self::Any(trees) => {
                trees.iter().for_each(|tree| tree.signals(say, found));
            }
            Self::Not(tree) => tree.signals(say, found),
            Self::Event(_) => {}
            Self::Signal(signal) => {
                if let Some(value) = say(&signal.name) {
                    found.insert(signal.name.clone(), value);
                }
            }
        }
    }

    /// Whether it speaks of this signal.
    pub(super) fn names(&self, name: &str) -> bool {
        match self {
            Self::All(trees) | Self::Any(trees) => trees.iter().any(|tree| tree.names(name)),
            Self::Not(tree) => tree.names(name),
            Self::Event(_) => false,
            Self::Signal(signal) => signal.name == name,
        }
    }
}

fn compare(field: Option<&Value>, op: Op, with: &Value) -> bool {
    let Some(field) = field else { return op == Op::Ne };
    match op {
        Op::Exists => true,
        Op::Eq => same(field, with),
        Op::Ne => !same(field, with),
        Op::Contains => match (field, with) {
            (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
            (Value::Array(items), value) => items.iter().any(|item| same(item, value)),
            _ => false,
        },
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            let order = match (field, with) {
                (Value::Number(a), Value::Number(b)) => {
                    a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
                }
                (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
                _ => None,
            };
            order.is_some_and(|order| ordered(order, op))
        }
    }
}

/// Equal as JSON; 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn ordered(order: std::cmp::Ordering, op: Op) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Contains | Op::Exists => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_compare_as_one_would_think() {
        let payload = json!({"n": 5, "x": 1.0, "t": "abc", "list": [1, "two"], "null": null});
        let cases = [
            ("/n", Op::Eq, json!(5), true),
            ("/x", Op::Eq, json!(1), true),
            ("/n", Op::Ne, json!(5), false),
            ("/n", Op::Gt, json!(4.5), true),
            ("/n", Op::Le, json!(4.5), false),
            ("/n", Op::Lt, json!("9"), false),
            ("/t", Op::Ge, json!("abb"), true),
            ("/t", Op::Contains, json!("bc"), true),
            ("/t", Op::Contains, json!(1), false),
            ("/list", Op::Contains, json!("two"), true),
            ("/list/0", Op::Eq, json!(1), true),
            ("/null", Op::Exists, Value::Null, true),
            ("/gone", Op::Exists, Value::Null, false),
            ("/gone", Op::Eq, Value::Null, false),
            ("/gone", Op::Ne, json!(1), true),
            ("", Op::Exists, Value::Null, true),
        ];
        for (at, op, value, expected) in cases {
            assert_eq!(compare(payload.pointer(at), op, &value), expected, "{at} {op:?} {value}");
        }
    }

    #[test]
    fn conditions_that_make_no_sense_are_refused() {
        let read = |json: Value| serde_json::from_value::<Condition>(json).unwrap();
        let mut deep = json!({"signal": {"name": "s", "op": "gt", "value": 1}});
        assert!(compile(&read(deep.clone())).is_ok());
        for bad in [
            json!({"all": []}),
            json!({"not": {"event": {"subject": "a"}}}),
            json!({"event": {"subject": "a..b"}}),
            json!({"event": {"subject": "a", "fields": [{"at": "x", "op": "exists"}]}}),
            json!({"signal": {"name": "s", "op": "contains", "value": 1}}),
        ] {
            assert!(compile(&read(bad.clone())).is_err(), "{bad}");
        }
        for _ in 0..DEEPEST {
            deep = json!({"not": deep});
        }
        assert!(compile(&read(deep)).is_err());
    }

    #[test]
    fn trees_combine() {
        let condition: Condition = serde_json::from_value(json!({"all": [
            {"any": [{"event": {"subject": "a.*"}}, {"event": {"subject": "b"}}]},
            {"not": {"signal": {"name": "load", "op": "lt", "value": 0.5}}},
        ]}))
        .unwrap();
        let (tree, events) = compile(&condition).unwrap();
        assert_eq!(events.len(), 2);
        let load = |value: f64| move |name: &str| (name == "load").then_some(value);
        assert!(tree.holds(&[false, true], &load(0.5)));
        assert!(!tree.holds(&[false, true], &load(0.4)));
        assert!(!tree.holds(&[false, false], &load(0.9)));
        assert!(tree.holds(&[true, false], &|_| None), "a signal that is silent is not below");
    }
}
