//! Reading typed values out of a parsed TOML document, collecting every mistake with its place.
//!
//! A [`Table`] remembers which keys it was asked for; whatever else stands in the document is an
//! unknown key, and the list of valid names can never differ from what is really read.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units;
use crate::base::error::Location;
use crate::base::nearest::nearest;
use crate::base::reading::say::{article, between, quoted};
use crate::{Code, Error};

/// The mistakes found so far, each with its place.
pub(super) struct Mistakes<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<Error>,
}

/// Mistakes beyond this many are not reported: a file of another kind has one in each line.
const MOST: usize = 100;

impl<'t> Mistakes<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        offset: usize,
        message: impl Into<String>,
        advice: Option<String>,
    ) {
        if self.found.len() >= MOST {
            return;
        }
        let mut error = Error::new(Code::MANIFEST_INVALID, message.into())
            .operation("config.manifest")
            .at(Location::in_text(self.file, self.text, offset));
        if let Some(advice) = advice {
            error = error.advice(advice);
        }
        self.found.push(error);
    }

    /// Adds mistakes that others found in the same text.
    pub(super) fn join(&mut self, errors: Vec<Error>) {
        let left = MOST.saturating_sub(self.found.len());
        self.found.extend(errors.into_iter().take(left));
    }

    /// All of them, in the order of the text.
    pub(super) fn finish(mut self) -> Vec<Error> {
        self.found.sort_by_key(|error| error.location().map(|at| (at.line, at.column)));
        self.found
    }
}

/// A table being read.
pub(super) struct Table<'a, 'm, 't> {
    table: &'a DeTable<'t>,
    offset: usize,
    mistakes: &'m mut Mistakes<'t>,
    asked: Vec<&'static str>,
    /// Keys that have to be there, each with what may stand behind it.
    required: Vec<(&'static str, &'static str)>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl<'a, 'm, 't> Table<'a, 'm, 't> {
    pub(super) fn new(
        table: &'a DeTable<'t>,
        offset: usize,
        mistakes: &'m mut Mistakes<'t>,
    ) -> Self {
        Self { table, offset, mistakes, asked: Vec::new(), required: Vec::new() }
    }

    /// Reports the keys that nobody asked for, and those that are required and not there. One that
    /// is there misspelt is one mistake, and not two.
    pub(super) fn finish(self) {
        let mut meant = Vec::new();
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let near = nearest(name, self.asked.iter().copied());
            meant.extend(near);
            let advice = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("valid here: {}", self.asked.join(", ")),
            };
            let message = format!("unknown key {}", quoted(name));
            self.mistakes.add(key.span().start, message, Some(advice));
        }
        for (key, expected) in self.required {
            if !self.table.contains_key(key) && !meant.contains(&key) {
                let message = format!("\"{key}\" is missing");
                self.mistakes.add(self.offset, message, Some(format!("add {key} = {expected}")));
            }
        }
    }

    /// Says that a key has to be there; the place of a missing one is its table's.
    pub(super) fn require(&mut self, key: &'static str, expected: &'static str) {
        self.required.push((key, expected));
    }

    /// Reports a mistake in the value of a key.
    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>, advice: Option<String>) {
        let offset = self.table.get(key).map_or(self.offset, |value| value.span().start);
        self.mistakes.add(offset, message, advice);
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.typed(key, "a string", DeValue::as_str)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = self.value(key)?;
        let Some(duration) = value.get_ref().as_str().and_then(units::duration) else {
            let advice = match value.get_ref() {
                DeValue::Integer(n) => format!("say the unit: \"{n}s\" or \"{n}ms\""),
                _ => "the units are ns, us, ms, s, m and h".to_owned(),
            };
            self.wrong_type(key, value, units::DURATION, Some(advice));
            return None;
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (units::show(*range.start()), units::show(*range.end()));
        self.wrong(key, format!("\"{key}\" is out of range"), Some(between(&least, &most)));
        None
    }

    pub(super) fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let parsed = match value.get_ref() {
            DeValue::Integer(n) => u64::from_str_radix(n.as_str(), n.radix()).ok(),
            DeValue::String(text) => units::bytes(text),
            _ => None,
        };
        let Some(bytes) = parsed else {
            let advice = "the units are B, kB, MB, GB, KiB, MiB and GiB".to_owned();
            self.wrong_type(key, value, units::BYTES, Some(advice));
            return None;
        };
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let (least, most) = (units::show_bytes(*range.start()), units::show_bytes(*range.end()));
        self.wrong(key, format!("\"{key}\" is out of range"), Some(between(&least, &most)));
        None
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let integer = self.typed(key, "an integer", DeValue::as_integer)?;
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start().to_string(), range.end().to_string());
            self.wrong(key, format!("\"{key}\" is out of range"), Some(between(&least, &most)));
        }
        number
    }

    /// One of a fixed set of words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names = || choices.iter().map(|(name, _)| *name);
        let listed = || names().map(quoted).collect::<Vec<_>>().join(", ");
        let value = self.value(key)?;
        let Some(word) = value.get_ref().as_str() else {
            self.wrong_type(key, value, &format!("one of {}", listed()), None);
            return None;
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == word) {
            return Some(*choice);
        }
        let advice = match nearest(word, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("expected one of {}", listed()),
        };
        self.wrong(key, format!("\"{key}\" cannot be {}", quoted(word)), Some(advice));
        None
    }

    /// A non-empty array of strings, each with its place.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<(&'a str, usize)>> {
        let array = self.typed(key, "an array of strings", DeValue::as_array)?;
        if array.is_empty() {
            self.wrong(key, format!("\"{key}\" is empty"), Some("give at least one".to_owned()));
            return None;
        }
        let mut texts = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push((text, item.span().start)),
                None => self.wrong_type(key, item, "an array of strings", None),
            }
        }
        (texts.len() == array.len()).then_some(texts)
    }

    /// A table of strings.
    pub(super) fn map(&mut self, key: &'static str) -> Option<BTreeMap<String, String>> {
        let table = self.typed(key, "a table of strings", DeValue::as_table)?;
        let mut map = BTreeMap::new();
        for (name, value) in table.iter() {
            match value.get_ref().as_str() {
                Some(text) => {
                    map.insert(name.get_ref().to_string(), text.to_owned());
                }
                None => {
                    let kind = value.get_ref().type_str();
                    let message = format!(
                        "{} must be a string, not {}",
                        quoted(name.get_ref()),
                        article(kind)
                    );
                    self.mistakes.add(value.span().start, message, None);
                }
            }
        }
        Some(map)
    }

    /// A table below this one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'a, '_, 't>) -> T,
    ) -> Option<T> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table", None);
            return None;
        };
        Some(self.below(table, value.span().start, read))
    }

    /// A table below this one that somebody else reads.
    pub(super) fn section(&mut self, key: &'static str) -> Option<&'a DeTable<'t>> {
        self.typed(key, "a table", DeValue::as_table)
    }

    /// A table that is read by the schema of a type; integers `…_ms` stand there as durations.
    pub(super) fn typed_as<T: DeserializeOwned + JsonSchema>(
        &mut self,
        key: &'static str,
    ) -> Option<T> {
        let table = self.section(key)?;
        let offset = self.table.get(key).map_or(self.offset, |value| value.span().start);
        let schema = schemars::schema_for!(T).to_value();
        let before = self.mistakes.found.len();
        let value = super::shape::read(&schema, table, offset, self.mistakes);
        if self.mistakes.found.len() > before {
            return None;
        }
        match serde_json::from_value(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.wrong(key, error.to_string(), None);
                None
            }
        }
    }

    /// An array of tables below this one.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Table<'a, '_, 't>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let advice = || Some(format!("begin each with [[{key}]]"));
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "an array of tables", advice());
            return Vec::new();
        };
        let mut read_all = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => read_all.push(self.below(table, item.span().start, &mut read)),
                None => self.wrong_type(key, item, "an array of tables", advice()),
            }
        }
        read_all
    }

    fn below<T>(
        &mut self,
        table: &'a DeTable<'t>,
        offset: usize,
        read: impl FnOnce(&mut Table<'a, '_, 't>) -> T,
    ) -> T {
        let mut below = Table::new(table, offset, self.mistakes);
        let value = read(&mut below);
        below.finish();
        value
    }

    /// Reports a mistake at a place that an accessor gave.
    pub(super) fn wrong_at(
        &mut self,
        offset: usize,
        message: impl Into<String>,
        advice: Option<String>,
    ) {
        self.mistakes.add(offset, message, advice);
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        as_type: impl FnOnce(&'a DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let typed = as_type(value.get_ref());
        if typed.is_none() {
            self.wrong_type(key, value, expected, None);
        }
        typed
    }

    fn wrong_type(&mut self, key: &str, value: &Value<'t>, expected: &str, advice: Option<String>) {
        let found = match value.get_ref() {
            DeValue::String(text) => quoted(text),
            other => article(other.type_str()),
        };
        let message = format!("\"{key}\" must be {expected}, not {found}");
        self.mistakes.add(value.span().start, message, advice);
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value<'t>> {
        self.asked.push(key);
        self.table.get(key)
    }
}
