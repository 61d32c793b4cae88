//! What a JSON Schema says of a TOML table. The walk along the schema is [`base::reading`](crate::base)'s.
//!
//! An integer property `…_ms` stands in the table under its name without the suffix, as a duration.

use std::borrow::Cow;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::read::Mistakes;
use super::units;
use crate::base::reading::say::{article, quoted};
use crate::base::reading::schema::is;
use crate::base::reading::shape::{At, Seen, Shape, Step, Written};

const MILLISECONDS: &str = "_ms";

/// The table as JSON, as the type of the schema is deserialised. What is wrong with it is among the
/// mistakes, and then the JSON is of no use.
pub(super) fn read(
    schema: &Value,
    table: &DeTable<'_>,
    offset: usize,
    mistakes: &mut Mistakes<'_>,
) -> Value {
    let root = Node { what: What::Table(table), key: offset, offset };
    Shape::of(schema).read(root, &mut Toml { mistakes })
}

/// A value of a TOML document, and where it and its key stand.
#[derive(Clone, Copy)]
struct Node<'n> {
    what: What<'n>,
    key: usize,
    offset: usize,
}

#[derive(Clone, Copy)]
enum What<'n> {
    /// The whole.
    Table(&'n DeTable<'n>),
    Value(&'n DeValue<'n>),
}

impl<'n> Node<'n> {
    fn of(value: &'n Spanned<DeValue<'n>>, key: usize) -> Self {
        Self { what: What::Value(value.get_ref()), key, offset: value.span().start }
    }
}

struct Toml<'m, 'f> {
    mistakes: &'m mut Mistakes<'f>,
}

impl<'n> Written<'n> for Toml<'_, '_> {
    type Node = Node<'n>;
    const OBJECT: &'static str = "a table";
    const STRICT: bool = true;

    fn seen(&self, node: Node<'n>) -> Seen<'n, Node<'n>> {
        let table = |table: &'n DeTable<'n>| {
            let entries = table.iter();
            Seen::Object(
                entries
                    .map(|(key, value)| (key.get_ref().as_ref(), Node::of(value, key.span().start)))
                    .collect(),
            )
        };
        match node.what {
            What::Table(whole) => table(whole),
            What::Value(DeValue::Table(below)) => table(below),
            What::Value(DeValue::Array(array)) => {
                Seen::Array(array.iter().map(|item| Node::of(item, item.span().start)).collect())
            }
            What::Value(DeValue::String(text)) => Seen::Text(Cow::Borrowed(text.as_ref())),
            What::Value(DeValue::Integer(n)) => {
                Seen::Integer(i128::from_str_radix(n.as_str(), n.radix()).ok())
            }
            What::Value(DeValue::Float(n)) => {
                let number = n.as_str().replace('_', "").parse().ok();
                Seen::Number(number.and_then(serde_json::Number::from_f64))
            }
            What::Value(DeValue::Boolean(flag)) => Seen::Boolean(*flag),
            What::Value(DeValue::Datetime(at)) => Seen::Text(Cow::Owned(at.to_string())),
        }
    }

    fn found(&self, node: Node<'n>) -> String {
        match node.what {
            What::Value(DeValue::String(text)) => quoted(text),
            What::Value(other) => article(other.type_str()),
            What::Table(_) => article("table"),
        }
    }

    fn name(&self, path: &[Step]) -> String {
        let key = path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(quoted(key)),
            Step::Index(_) => None,
        });
        key.unwrap_or_else(|| "the table".to_owned())
    }

    fn add_key(&self, name: &str, _: &str) -> String {
        format!("add {name} = …")
    }

    fn key<'f>(&self, field: &'f str, schema: &Value) -> &'f str {
        written(field, schema)
    }

    fn convert(&mut self, path: &[Step], node: Node<'n>) -> Value {
        let name = self.name(path);
        let What::Value(value) = node.what else { return Value::Null };
        milliseconds(&name, value, node.offset, self.mistakes)
    }

    fn mistake(&mut self, at: At<Node<'n>>, _: &[Step], message: String, advice: Option<String>) {
        let offset = match at {
            At::Key(node) => node.key,
            At::Value(node) => node.offset,
        };
        self.mistakes.add(offset, message, advice);
    }
}

/// How a field stands in a manifest.
fn written<'n>(field: &'n str, schema: &Value) -> &'n str {
    match field.strip_suffix(MILLISECONDS) {
        Some(name) if is(schema, "integer") => name,
        _ => field,
    }
}

fn milliseconds(
    name: &str,
    value: &DeValue<'_>,
    offset: usize,
    mistakes: &mut Mistakes<'_>,
) -> Value {
    let Some(duration) = value.as_str().and_then(units::duration) else {
        let (found, advice) = match value {
            DeValue::String(text) => (quoted(text), "the units are ms, s, m and h".to_owned()),
            DeValue::Integer(n) => {
                (article("integer"), format!("say the unit: \"{n}s\" or \"{n}ms\""))
            }
            other => (article(other.type_str()), "the units are ms, s, m and h".to_owned()),
        };
        let message = format!("{name} must be {}, not {found}", units::DURATION);
        mistakes.add(offset, message, Some(advice));
        return Value::Null;
    };
    match u64::try_from(duration.as_millis()) {
        Ok(ms) if duration.subsec_nanos().is_multiple_of(1_000_000) => ms.into(),
        _ => {
            let message = format!("{name} must be whole milliseconds");
            mistakes.add(offset, message, None);
            Value::Null
        }
    }
}

/// A table as JSON, whatever it is.
pub(super) fn plain(table: &DeTable<'_>) -> Value {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Cow<'_, str> = key.get_ref();
        (key.to_string(), plain_value(value.get_ref()))
    };
    Value::Object(table.iter().map(entry).collect())
}

fn plain_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => n.into(),
            Err(_) => Value::String(n.to_string()),
        },
        DeValue::Float(n) => {
            let number = n.as_str().replace('_', "").parse().ok();
            let number = number.and_then(serde_json::Number::from_f64);
            number.map_or_else(|| Value::String(n.to_string()), Value::Number)
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Array(array) => array.iter().map(|item| plain_value(item.get_ref())).collect(),
        DeValue::Table(table) => plain(table),
    }
}

/// Where the part at `path` stands; what is not there stands where its table begins.
pub(super) fn offset(table: &DeTable<'_>, offset: usize, path: &[&str]) -> usize {
    let [step, rest @ ..] = path else { return offset };
    let name = step.strip_suffix(MILLISECONDS).unwrap_or(step);
    match table.get(*step).or_else(|| table.get(name)) {
        Some(value) => offset_in(value, rest),
        // A word that leads nowhere may be the name of a variant.
        None => self::offset(table, offset, rest),
    }
}

fn offset_in(value: &Spanned<DeValue<'_>>, path: &[&str]) -> usize {
    let start = value.span().start;
    match (value.get_ref(), path) {
        (DeValue::Table(table), _) => offset(table, start, path),
        (DeValue::Array(array), [step, rest @ ..]) => {
            let item = step.parse().ok().and_then(|index: usize| array.get(index));
            item.map_or(start, |item| offset_in(item, rest))
        }
        _ => start,
    }
}

/// The schema of what stands in a manifest: durations under their names, and as such.
pub(super) fn sketch(schema: Value) -> Value {
    match schema {
        Value::Object(mut object) => {
            let own = |key| object.get(key).cloned();
            if let Some(Value::Object(properties)) = own("properties") {
                let written_so =
                    properties.into_iter().map(|(field, schema)| match written(&field, &schema) {
                        name if name == field => (field, schema),
                        name => (name.to_owned(), duration(&schema)),
                    });
                let renamed = written_so.collect();
                if let Some(Value::Array(required)) = own("required") {
                    let names = required.into_iter().map(|name| match name {
                        Value::String(field) => renamed_in(&renamed, field).into(),
                        other => other,
                    });
                    object.insert("required".to_owned(), names.collect());
                }
                object.insert("properties".to_owned(), Value::Object(renamed));
            }
            Value::Object(object.into_iter().map(|(key, value)| (key, sketch(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(sketch).collect(),
        other => other,
    }
}

fn renamed_in(properties: &Map<String, Value>, field: String) -> String {
    match field.strip_suffix(MILLISECONDS) {
        Some(name) if !properties.contains_key(&field) => name.to_owned(),
        _ => field,
    }
}

fn duration(schema: &Value) -> Value {
    let mut text = Map::new();
    text.insert("type".to_owned(), "string".into());
    text.insert("examples".to_owned(), serde_json::json!(["250ms", "30s", "5m"]));
    if let Some(about) = schema.get("description").and_then(Value::as_str) {
        text.insert("description".to_owned(), format!("A duration. {about}").into());
    }
    if let Some(ms) = schema.get("default").and_then(Value::as_u64) {
        let shown = units::show(std::time::Duration::from_millis(ms));
        text.insert("default".to_owned(), shown.into());
    }
    Value::Object(text)
}
