//! Holds what somebody wrote to a JSON Schema: its keys, their kinds, and what must be there.
//!
//! The schemas are those that `schemars` makes of serde types: objects, arrays, maps, words, and enums
//! as alternatives. What they are held against, TOML or JSON, is behind [`Written`].

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::say::{between, instead_of, meant, quoted};
use super::schema::{
    self, ANYTHING, Leaves, all_words, expected, is, is_anything, properties, required, words,
};
use crate::base::nearest::nearest;

/// A language in which something is written.
pub(crate) trait Written<'n> {
    /// A value that stands in the text.
    type Node: Copy;
    /// What an object is called.
    const OBJECT: &'static str;
    /// What an array is called.
    const ARRAY: &'static str = "an array";
    /// Whether a key that a schema does not speak of is a mistake even if the schema allows others.
    const STRICT: bool;

    /// What the value is.
    fn seen(&self, node: Self::Node) -> Seen<'n, Self::Node>;

    /// What the value is, in words that follow "not".
    fn found(&self, node: Self::Node) -> String;

    /// What the value at `path` is called.
    fn name(&self, path: &[Step]) -> String;

    /// What to do about a key that is missing, where this may stand.
    fn add_key(&self, name: &str, expected: &str) -> String;

    /// The key under which a field of the schema stands.
    fn key<'f>(&self, field: &'f str, _: &Value) -> &'f str {
        field
    }

    /// Reads the value of a field that has another [`key`](Self::key).
    fn convert(&mut self, _: &[Step], _: Self::Node) -> Value {
        Value::Null
    }

    /// Takes a mistake down.
    fn mistake(
        &mut self,
        at: At<Self::Node>,
        path: &[Step],
        message: String,
        advice: Option<String>,
    );
}

/// Where a mistake is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<N> {
    /// The key in front of this value.
    Key(N),
    /// This value.
    Value(N),
}

/// A value as it was written.
pub(crate) enum Seen<'n, N> {
    Object(Vec<(&'n str, N)>),
    Array(Vec<N>),
    Text(Cow<'n, str>),
    /// `None` when it is beyond any integer.
    Integer(Option<i128>),
    /// `None` when it is not finite.
    Number(Option<serde_json::Number>),
    Boolean(bool),
    Null,
}

/// One step down to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A schema, and where its references lead.
pub(crate) struct Shape<'s> {
    root: &'s Value,
}

/// What stands under a key.
pub(super) enum Property<'s> {
    Schema(Leaves<'s>),
    /// It is converted, and stands in the JSON as this field.
    Field(&'s str),
}

impl<'s> Shape<'s> {
    pub(crate) fn of(root: &'s Value) -> Self {
        Self { root }
    }

    /// The value as JSON, as the type of the schema is deserialised. If something is wrong with it, the
    /// JSON is of no use.
    pub(crate) fn read<'n, W: Written<'n>>(&self, node: W::Node, written: &mut W) -> Value {
        let mut walk = Walk { shape: self, written, path: Vec::new() };
        walk.value(node, &self.leaves(self.root))
    }

    pub(super) fn leaves(&self, schema: &'s Value) -> Leaves<'s> {
        schema::leaves(self.root, schema)
    }

    /// What stands under a key of one of these objects.
    pub(super) fn property<'n, W: Written<'n>>(
        &self,
        written: &W,
        objects: &[&'s Value],
        name: &str,
    ) -> Option<Property<'s>> {
        let mut leaves = Vec::new();
        for object in objects {
            let mut own = properties(object);
            if let Some((field, value)) = own.find(|(f, value)| written.key(f, value) == name) {
                if field != name {
                    return Some(Property::Field(field));
                }
                leaves.extend(self.leaves(value));
                continue;
            }
            match object.get("additionalProperties") {
                Some(Value::Bool(false)) => {}
                Some(others) => leaves.extend(self.leaves(others)),
                None if is_anything(object) => leaves.push(object),
                None if W::STRICT => {}
                None => leaves.push(&ANYTHING),
            }
        }
        (!leaves.is_empty()).then_some(Property::Schema(leaves))
    }
}

/// What the items of these arrays may be.
pub(super) fn items<'s>(shape: &Shape<'s>, arrays: &[&'s Value]) -> Leaves<'s> {
    let of = |array: &&'s Value| match array.get("items") {
        Some(items) if array.get("prefixItems").is_none() => shape.leaves(items),
        _ => vec![&ANYTHING],
    };
    arrays.iter().flat_map(of).collect()
}

pub(super) fn of_kind<'s>(leaves: &[&'s Value], kind: &str) -> Leaves<'s> {
    leaves.iter().copied().filter(|leaf| is(leaf, kind)).collect()
}

struct Walk<'w, 's, W> {
    shape: &'w Shape<'s>,
    written: &'w mut W,
    path: Vec<Step>,
}

impl<'n, 's, W: Written<'n>> Walk<'_, 's, W> {
    fn value(&mut self, node: W::Node, leaves: &[&'s Value]) -> Value {
        let of = |kind| of_kind(leaves, kind);
        let fits = |kind: &str| leaves.iter().any(|leaf| is(leaf, kind));
        match self.written.seen(node) {
            Seen::Object(entries) if fits("object") => {
                return self.object(node, &entries, of("object"));
            }
            Seen::Array(nodes) if fits("array") => return self.array(&nodes, &of("array")),
            Seen::Text(text) if fits("string") => return self.text(node, &text, leaves),
            Seen::Integer(number) if fits("number") || fits("integer") => {
                return self.integer(node, number, leaves);
            }
            Seen::Number(number) if fits("number") => {
                if let Some(number) = number {
                    return Value::Number(number);
                }
                let message = format!("{} must be a finite number", self.name());
                return self.wrong(node, message, None);
            }
            // A whole number of more than 64 bits is one that is too large, and no fraction.
            Seen::Number(Some(number)) if fits("integer") && is_huge(&number) => {
                return self.integer(node, None, leaves);
            }
            Seen::Boolean(flag) if fits("boolean") => return Value::Bool(flag),
            Seen::Null if fits("null") => return Value::Null,
            _ => {}
        }
        let expected = expected(leaves, W::OBJECT, W::ARRAY);
        let message =
            format!("{} must be {expected}, not {}", self.name(), self.written.found(node));
        let advice = all_words(leaves)
            .filter(|words| !words.is_empty())
            .map(|words| format!("expected one of {}", words.join(", ")));
        self.wrong(node, message, advice)
    }

    fn object(
        &mut self,
        node: W::Node,
        entries: &[(&'n str, W::Node)],
        objects: Leaves<'s>,
    ) -> Value {
        let objects = self.chosen(objects, entries);
        let mut known = BTreeSet::new();
        for object in &objects {
            known.extend(properties(object).map(|(field, value)| self.written.key(field, value)));
        }
        let mut meant_keys = Vec::new();
        let mut json = Map::new();
        for (name, value) in entries {
            self.path.push(Step::Key((*name).to_owned()));
            match self.shape.property(&*self.written, &objects, name) {
                Some(Property::Field(field)) => {
                    json.insert(field.to_owned(), self.written.convert(&self.path, *value));
                }
                Some(Property::Schema(leaves)) => {
                    json.insert((*name).to_owned(), self.value(*value, &leaves));
                }
                None => {
                    let near = nearest(name, known.iter().copied());
                    meant_keys.extend(near);
                    let all: Vec<&str> = known.iter().copied().collect();
                    let message = format!("unknown key {}", self.name());
                    let advice = Some(meant(near, "valid here:", &all));
                    self.written.mistake(At::Key(*value), &self.path, message, advice);
                }
            }
            self.path.pop();
        }
        if let [object] = objects.as_slice() {
            for field in required(object) {
                let schema = properties(object).find(|(name, _)| *name == field);
                let schema = schema.map_or(&ANYTHING, |(_, schema)| schema);
                let name = self.written.key(field, schema);
                if json.contains_key(field) || meant_keys.contains(&name) {
                    continue;
                }
                let leaves = self.shape.leaves(schema);
                let any = leaves.iter().any(|leaf| is_anything(leaf));
                let expected =
                    if any { String::new() } else { expected(&leaves, W::OBJECT, W::ARRAY) };
                let advice = self.written.add_key(name, &expected);
                self.path.push(Step::Key(name.to_owned()));
                let message = format!("{} is missing", self.name());
                self.written.mistake(At::Value(node), &self.path, message, Some(advice));
                self.path.pop();
            }
        } else if objects.len() > 1 && json.is_empty() && meant_keys.is_empty() {
            let all = known.into_iter().collect::<Vec<_>>().join(", ");
            let message = format!("{} is empty", self.name());
            self.wrong(node, message, Some(format!("give one of {all}")));
        }
        Value::Object(json)
    }

    /// The alternatives that can be meant: those whose tag is given, or something that they need.
    fn chosen(&self, objects: Leaves<'s>, entries: &[(&'n str, W::Node)]) -> Leaves<'s> {
        if objects.len() < 2 {
            return objects;
        }
        for (name, value) in entries {
            let Seen::Text(word) = self.written.seen(*value) else { continue };
            let tagged = |object: &&'s Value| {
                let mut own = properties(object).filter(|(field, _)| field == name);
                own.any(|(_, schema)| words(schema).is_some_and(|words| *words == [&*word]))
            };
            let fitting: Leaves<'s> = objects.iter().copied().filter(tagged).collect();
            if !fitting.is_empty() {
                return fitting;
            }
        }
        let given = |field: &str| entries.iter().any(|(name, _)| *name == field);
        let needs = objects.iter().copied().filter(|object| required(object).any(given));
        let needs: Leaves<'s> = needs.collect();
        if needs.is_empty() { objects } else { needs }
    }

    fn array(&mut self, nodes: &[W::Node], arrays: &[&'s Value]) -> Value {
        let leaves = items(self.shape, arrays);
        let item = |(index, node): (usize, &W::Node)| {
            self.path.push(Step::Index(index));
            let value = self.value(*node, &leaves);
            self.path.pop();
            value
        };
        Value::Array(nodes.iter().enumerate().map(item).collect())
    }

    fn text(&mut self, node: W::Node, text: &str, leaves: &[&'s Value]) -> Value {
        match all_words(leaves).filter(|words| !words.contains(&text)) {
            None => Value::String(text.to_owned()),
            Some(words) => {
                let message = format!("{} cannot be {}", self.name(), quoted(text));
                self.wrong(node, message, Some(instead_of(text, &words)))
            }
        }
    }

    fn integer(&mut self, node: W::Node, number: Option<i128>, leaves: &[&'s Value]) -> Value {
        let numbers = leaves.iter().copied();
        let numbers: Leaves<'s> =
            numbers.filter(|leaf| is(leaf, "number") || is(leaf, "integer")).collect();
        let (least, most) = schema::bounds(&numbers);
        match number.filter(|n| (least..=most).contains(n)) {
            Some(n) => u64::try_from(n)
                .map_or_else(|_| i64::try_from(n).map_or(Value::Null, Value::from), Value::from),
            None => {
                let message = format!("{} is out of range", self.name());
                let advice = between(&least.to_string(), &most.to_string());
                self.wrong(node, message, Some(advice))
            }
        }
    }

    fn name(&self) -> String {
        self.written.name(&self.path)
    }

    fn wrong(&mut self, node: W::Node, message: String, advice: Option<String>) -> Value {
        self.written.mistake(At::Value(node), &self.path, message, advice);
        Value::Null
    }
}

/// Whether it is beyond all integers of 64 bits: fractions end long before.
fn is_huge(number: &serde_json::Number) -> bool {
    const END: f64 = 18_446_744_073_709_551_616.0;
    number.as_f64().is_some_and(|number| !(-0.5 * END..END).contains(&number))
}
