//! What a JSON Schema says of a TOML table: its keys, their kinds, and what must be there.
//!
//! The schemas are those that `schemars` makes of serde types: objects, arrays, maps, words, and enums
//! as alternatives. An integer property `…_ms` stands in the table under its name without the suffix, as
//! a duration.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::read::{Mistakes, article, between, quoted};
use super::units;
use crate::base::nearest::nearest;

const MILLISECONDS: &str = "_ms";
/// Schemas within schemas, at most; ours have a few.
const DEEPEST: usize = 64;

/// A schema, and where its references lead.
pub(super) struct Shape<'s> {
    root: &'s Value,
}

/// The alternatives of what may stand in a place: schemas without references and alternatives.
type Leaves<'s> = Vec<&'s Value>;

impl<'s> Shape<'s> {
    pub(super) fn of(root: &'s Value) -> Self {
        Self { root }
    }

    /// The table as JSON, as the type of the schema is deserialised. What is wrong with it is among the
    /// mistakes, and then the JSON is of no use.
    pub(super) fn read(
        &self,
        table: &DeTable<'_>,
        offset: usize,
        mistakes: &mut Mistakes<'_>,
    ) -> Value {
        self.table(table, offset, &self.leaves(self.root), mistakes)
    }

    fn leaves(&self, schema: &'s Value) -> Leaves<'s> {
        let mut leaves = Vec::new();
        self.collect(schema, &mut leaves, 0);
        leaves
    }

    fn collect(&self, schema: &'s Value, leaves: &mut Leaves<'s>, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let reference = schema.get("$ref").and_then(Value::as_str);
        if let Some(target) = reference.and_then(|r| self.root.pointer(r.strip_prefix('#')?)) {
            return self.collect(target, leaves, depth + 1);
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            if let Some(alternatives) = schema.get(key).and_then(Value::as_array) {
                alternatives.iter().for_each(|one| self.collect(one, leaves, depth + 1));
                return;
            }
        }
        leaves.push(schema);
    }

    fn table(
        &self,
        table: &DeTable<'_>,
        offset: usize,
        leaves: &[&'s Value],
        mistakes: &mut Mistakes<'_>,
    ) -> Value {
        let objects: Leaves<'s> =
            leaves.iter().copied().filter(|leaf| is(leaf, "object")).collect();
        let mut known = BTreeSet::new();
        let mut meant = Vec::new();
        let mut json = Map::new();
        for leaf in &objects {
            known.extend(properties(leaf).map(|(name, value)| written(name, value)));
        }
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            match self.property(&objects, name) {
                Some(Property::Duration(field)) => {
                    json.insert(field.to_owned(), milliseconds(name, value, mistakes));
                }
                Some(Property::Schema(leaves)) => {
                    json.insert(name.to_owned(), self.value(name, value, &leaves, mistakes));
                }
                None => {
                    let near = nearest(name, known.iter().copied());
                    meant.extend(near);
                    let advice = match near {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!(
                            "valid here: {}",
                            known.iter().copied().collect::<Vec<_>>().join(", ")
                        ),
                    };
                    let message = format!("unknown key {}", quoted(name));
                    mistakes.add(key.span().start, message, Some(advice));
                }
            }
        }
        if let [object] = objects.as_slice() {
            for name in required(object) {
                if !json.contains_key(name) && !meant.contains(&name) {
                    let message = format!("\"{name}\" is missing");
                    mistakes.add(offset, message, Some(format!("add {name} = …")));
                }
            }
        } else if objects.len() > 1 && json.is_empty() && meant.is_empty() {
            let all = known.iter().copied().collect::<Vec<_>>().join(", ");
            mistakes.add(offset, "the table is empty", Some(format!("give one of {all}")));
        }
        Value::Object(json)
    }

    /// What stands under a key of one of these objects.
    fn property(&self, objects: &[&'s Value], name: &str) -> Option<Property<'s>> {
        let mut leaves = Vec::new();
        for object in objects {
            let mut own = properties(object);
            if let Some((field, value)) = own.find(|(field, value)| written(field, value) == name) {
                if field != name {
                    return Some(Property::Duration(field));
                }
                leaves.extend(self.leaves(value));
            } else if let Some(others) = object.get("additionalProperties") {
                if *others != Value::Bool(false) {
                    leaves.extend(self.leaves(others));
                }
            } else if is_anything(object) {
                leaves.push(object);
            }
        }
        (!leaves.is_empty()).then_some(Property::Schema(leaves))
    }

    fn value(
        &self,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        leaves: &[&'s Value],
        mistakes: &mut Mistakes<'_>,
    ) -> Value {
        let offset = value.span().start;
        let of = |kind| leaves.iter().copied().filter(move |leaf| is(leaf, kind));
        match value.get_ref() {
            DeValue::Table(table) if of("object").next().is_some() => {
                return self.table(table, offset, leaves, mistakes);
            }
            DeValue::Array(array) if of("array").next().is_some() => {
                return self.array(name, array, &of("array").collect::<Vec<_>>(), mistakes);
            }
            DeValue::String(text) if of("string").next().is_some() => {
                let words: Option<Vec<&str>> = of("string")
                    .map(words)
                    .collect::<Option<Vec<_>>>()
                    .map(|lists| lists.into_iter().flatten().collect());
                let Some(words) = words.filter(|words| !words.contains(&text.as_ref())) else {
                    return Value::String(text.to_string());
                };
                let advice = match nearest(text, words.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("expected one of {}", words.join(", ")),
                };
                let message = format!("\"{name}\" cannot be {}", quoted(text));
                mistakes.add(offset, message, Some(advice));
                return Value::Null;
            }
            DeValue::Integer(number)
                if of("number").next().is_some() || of("integer").next().is_some() =>
            {
                let numbers: Leaves<'s> = of("number").chain(of("integer")).collect();
                return integer(name, offset, number, &numbers, mistakes);
            }
            DeValue::Float(number) if of("number").next().is_some() => {
                let number = number.as_str().replace('_', "").parse().ok();
                if let Some(number) = number.and_then(serde_json::Number::from_f64) {
                    return Value::Number(number);
                }
                mistakes.add(offset, format!("\"{name}\" must be a finite number"), None);
                return Value::Null;
            }
            DeValue::Boolean(flag) if of("boolean").next().is_some() => return Value::Bool(*flag),
            DeValue::Datetime(at) if of("string").next().is_some() => {
                return Value::String(at.to_string());
            }
            _ => {}
        }
        let found = match value.get_ref() {
            DeValue::String(text) => quoted(text),
            other => article(other.type_str()),
        };
        let message = format!("\"{name}\" must be {}, not {found}", expected(leaves));
        mistakes.add(offset, message, None);
        Value::Null
    }

    fn array(
        &self,
        name: &str,
        array: &DeArray<'_>,
        arrays: &[&'s Value],
        mistakes: &mut Mistakes<'_>,
    ) -> Value {
        let items = arrays.iter().filter_map(|leaf| leaf.get("items"));
        let mut leaves: Leaves<'s> = items.flat_map(|items| self.leaves(items)).collect();
        leaves.extend(arrays.iter().filter(|leaf| is_anything(leaf)));
        let item = |value| self.value(name, value, &leaves, mistakes);
        Value::Array(array.iter().map(item).collect())
    }
}

enum Property<'s> {
    Schema(Leaves<'s>),
    /// A duration, and the field that has its milliseconds.
    Duration(&'s str),
}

fn milliseconds(name: &str, value: &Spanned<DeValue<'_>>, mistakes: &mut Mistakes<'_>) -> Value {
    let offset = value.span().start;
    let Some(duration) = value.get_ref().as_str().and_then(units::duration) else {
        let (found, advice) = match value.get_ref() {
            DeValue::String(text) => (quoted(text), "the units are ms, s, m and h".to_owned()),
            DeValue::Integer(n) => {
                (article("integer"), format!("say the unit: \"{n}s\" or \"{n}ms\""))
            }
            other => (article(other.type_str()), "the units are ms, s, m and h".to_owned()),
        };
        let message = format!("\"{name}\" must be {}, not {found}", units::DURATION);
        mistakes.add(offset, message, Some(advice));
        return Value::Null;
    };
    match u64::try_from(duration.as_millis()) {
        Ok(ms) if duration.subsec_nanos().is_multiple_of(1_000_000) => ms.into(),
        _ => {
            let message = format!("\"{name}\" must be whole milliseconds");
            mistakes.add(offset, message, None);
            Value::Null
        }
    }
}

fn integer(
    name: &str,
    offset: usize,
    number: &DeInteger<'_>,
    leaves: &[&Value],
    mistakes: &mut Mistakes<'_>,
) -> Value {
    let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
    // Alternatives have bounds of their own; serde tells them apart.
    let (least, most) = match leaves {
        [leaf] => bounds(leaf),
        _ => (i128::from(i64::MIN), i128::from(u64::MAX)),
    };
    match parsed.filter(|n| (least..=most).contains(n)) {
        Some(n) => u64::try_from(n)
            .map_or_else(|_| i64::try_from(n).map_or(Value::Null, Value::from), Value::from),
        None => {
            let message = format!("\"{name}\" is out of range");
            mistakes.add(offset, message, Some(between(&least.to_string(), &most.to_string())));
            Value::Null
        }
    }
}

/// What a number may be: by the schema's bounds, and by the type that its format names.
fn bounds(leaf: &Value) -> (i128, i128) {
    let (low, high) = match leaf.get("format").and_then(Value::as_str) {
        Some("uint8") => (0, i128::from(u8::MAX)),
        Some("uint16") => (0, i128::from(u16::MAX)),
        Some("uint32") => (0, i128::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i128::from(u64::MAX)),
        Some("int8") => (i128::from(i8::MIN), i128::from(i8::MAX)),
        Some("int16") => (i128::from(i16::MIN), i128::from(i16::MAX)),
        Some("int32") => (i128::from(i32::MIN), i128::from(i32::MAX)),
        Some("int64" | "int") => (i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => (i128::from(i64::MIN), i128::from(u64::MAX)),
    };
    let bound = |key| leaf.get(key).and_then(Value::as_i64).map(i128::from);
    (bound("minimum").map_or(low, |n| n.max(low)), bound("maximum").map_or(high, |n| n.min(high)))
}

/// Whether the schema allows a value of this kind.
fn is(leaf: &Value, kind: &str) -> bool {
    match leaf.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|k| k.as_str() == Some(kind)),
        _ => match words(leaf) {
            Some(_) => kind == "string",
            None => is_anything(leaf) || (kind == "object" && leaf.get("properties").is_some()),
        },
    }
}

/// Whether it allows any value.
fn is_anything(leaf: &Value) -> bool {
    const SAYS: [&str; 5] = ["type", "properties", "enum", "const", "items"];
    match leaf {
        Value::Bool(any) => *any,
        leaf => SAYS.iter().all(|key| leaf.get(key).is_none()),
    }
}

/// The words that it allows, if it allows no other.
fn words(leaf: &Value) -> Option<Vec<&str>> {
    if let Some(word) = leaf.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    let words = leaf.get("enum")?.as_array()?;
    Some(words.iter().filter_map(Value::as_str).collect())
}

fn properties(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = object.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}

fn required(object: &Value) -> impl Iterator<Item = &str> {
    let names = object.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// How a field stands in a manifest.
fn written<'n>(field: &'n str, schema: &Value) -> &'n str {
    match field.strip_suffix(MILLISECONDS) {
        Some(name) if is(schema, "integer") => name,
        _ => field,
    }
}

fn expected(leaves: &[&Value]) -> String {
    let kinds = [
        ("string", "a string"),
        ("integer", "an integer"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("array", "an array"),
        ("object", "a table"),
    ];
    let fits = |kind: &str| leaves.iter().any(|leaf| is(leaf, kind));
    let fitting = kinds.iter().filter(|(kind, _)| fits(kind)).map(|(_, name)| *name);
    fitting.collect::<Vec<_>>().join(" or ")
}

/// A table as JSON, whatever it is.
pub(super) fn plain(table: &DeTable<'_>) -> Value {
    let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
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
