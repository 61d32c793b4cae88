//! What else is known of an access.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast::{self, Literal, Value, ValueKind};

use super::nesting::on_a_stack;
use super::uid::{EntityUid, keyed};
use super::{Schema, problem};
use crate::{Code, Error, Result};

/// Contexts of more values than this are not kept in the decision cache.
const HEAVY: u32 = 128;

/// What else is known of an access: a record that policies see as `context`. Cheap to clone.
///
/// ```
/// use sutazai_core::security::authz::{Context, ContextValue};
/// let one = Context::from_json(serde_json::json!({"risk": 3, "tool": "mail.send"}))?;
/// let two = Context::of([("risk", ContextValue::Int(3)), ("tool", ContextValue::Text("mail.send"))]);
/// assert_eq!(one, two);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Context {
    core: ast::Context,
    hash: u64,
    /// How many values there are in it, at any depth; texts count by their length.
    weight: u32,
}

/// A value that goes into a [`Context`] without a detour by JSON.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ContextValue<'a> {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// An entity.
    Entity(&'a EntityUid),
    /// A set of texts.
    Texts(&'a [&'a str]),
    /// A record of texts.
    Record(&'a BTreeMap<String, String>),
    /// JSON, as it is: objects are records and arrays sets, a fraction is a decimal where four places are
    /// enough for it and a text otherwise, and null is left out. Nothing in it is taken for an escape, so
    /// that foreign JSON can name no entity.
    Json(&'a serde_json::Value),
}

impl Context {
    /// Nothing.
    pub fn empty() -> Self {
        Self::from_core(ast::Context::empty())
    }

    /// Of these values; of two with the same key the later stays.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, ContextValue<'a>)>) -> Self {
        let record: BTreeMap<_, Value> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self::from_core(ast::Context::Value(Arc::new(record)))
    }

    /// Of a JSON object, with Cedar's escapes (`{"__entity": {"type": …, "id": …}}`,
    /// `{"__extn": {"fn": "ip", "arg": …}}`).
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`] when it is not an object, or holds what Cedar has no value for (null,
    /// fractions).
    pub fn from_json(json: serde_json::Value) -> Result<Self> {
        Self::parse(json, None)
    }

    /// As [`from_json`](Self::from_json), for an action of a schema: escapes may be left out where the
    /// schema says what is meant.
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`], also when it does not fit the action.
    pub fn from_json_for(
        json: serde_json::Value,
        schema: &Schema,
        action: &EntityUid,
    ) -> Result<Self> {
        Self::parse(json, Some((schema, action)))
    }

    /// As a JSON object, with escapes: what [`from_json`](Self::from_json) reads.
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`] for a value that JSON has no form for.
    pub fn to_json(&self) -> Result<serde_json::Value> {
        self.core
            .to_json_value()
            .map_err(|error| problem::single(&error, Code::ACCESS_INVALID, None))
    }

    fn parse(json: serde_json::Value, by: Option<(&Schema, &EntityUid)>) -> Result<Self> {
        let action = by.map(|(_, action)| cedar_policy::EntityUid::from(action.core().clone()));
        let by = by.zip(action.as_ref()).map(|((schema, _), action)| (schema.core(), action));
        let context = on_a_stack(|| {
            cedar_policy::Context::from_json_value(json, by).map_err(|error| {
                let error = problem::of(&error, Code::ACCESS_INVALID, None);
                let message = format!("the context is not valid: {}", error.message());
                Error::new(Code::ACCESS_INVALID, message)
            })
        })?;
        let core: &ast::Context = context.as_ref();
        Ok(Self::from_core(core.clone()))
    }

    fn from_core(core: ast::Context) -> Self {
        let mut sum = Sum::default();
        match &core {
            ast::Context::Value(record) => sum.record(record),
            // It cannot be made by what stands above; were it made, nothing of it would be kept.
            ast::Context::RestrictedResidual(_) => sum.weight = u32::MAX,
        }
        Self { core, hash: sum.hash, weight: sum.weight }
    }

    pub(super) fn core(&self) -> &ast::Context {
        &self.core
    }

    pub(super) fn hash64(&self) -> u64 {
        self.hash
    }

    /// Whether it is too much to keep.
    pub(super) fn is_heavy(&self) -> bool {
        self.weight > HEAVY
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<ContextValue<'_>> for Value {
    fn from(value: ContextValue<'_>) -> Self {
        match value {
            ContextValue::Bool(value) => value.into(),
            ContextValue::Int(value) => value.into(),
            ContextValue::Text(value) => value.into(),
            ContextValue::Entity(value) => Self::new(value.shared(), None),
            ContextValue::Texts(values) => {
                Self::set(values.iter().map(|text| (*text).into()), None)
            }
            ContextValue::Record(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                Self::record(pairs, None)
            }
            ContextValue::Json(json) => plain(json).unwrap_or_else(|| Self::empty_record(None)),
        }
    }
}

/// JSON as it is; `None` for null. It is as deep as the reader of JSON lets it be.
fn plain(json: &serde_json::Value) -> Option<Value> {
    Some(match json {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => decimal(&number.to_string()),
        },
        serde_json::Value::Array(values) => Value::set(values.iter().filter_map(plain), None),
        serde_json::Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.as_str(), plain(value)));
            Value::record(fields.filter_map(|(key, value)| Some((key, value?))), None)
        }
    })
}

/// A fraction as Cedar's decimal, or as a text where it is none.
fn decimal(text: &str) -> Value {
    use cedar_policy_core::ast::{Expr, Name, RestrictedExpr};
    use cedar_policy_core::evaluator::RestrictedEvaluator;
    use cedar_policy_core::extensions::Extensions;
    let make = || {
        let name: Name = "decimal".parse().ok()?;
        let call = Expr::call_extension_fn(name, vec![Expr::val(text)]);
        let call = RestrictedExpr::new(call).ok()?;
        RestrictedEvaluator::new(Extensions::all_available()).interpret(call.as_borrowed()).ok()
    };
    make().unwrap_or_else(|| text.into())
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        if self.hash != other.hash || self.weight != other.weight {
            return false;
        }
        match (&self.core, &other.core) {
            (ast::Context::Value(one), ast::Context::Value(two)) => {
                Arc::ptr_eq(one, two) || one == two
            }
            (one, two) => one == two,
        }
    }
}

impl Eq for Context {}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.core, f)
    }
}

/// The hash and the weight of a value.
#[derive(Default)]
struct Sum {
    hash: u64,
    weight: u32,
}

impl Sum {
    fn add(&mut self, hash: u64, weight: usize) {
        self.hash = mix(self.hash, hash);
        self.weight = self.weight.saturating_add(u32::try_from(weight).unwrap_or(u32::MAX));
    }

    fn record<'a, K: std::hash::Hash + AsRef<str> + 'a>(&mut self, record: &'a BTreeMap<K, Value>) {
        self.add(record.len() as u64, 0);
        for (key, value) in record {
            self.add(keyed(key), 1 + key.as_ref().len() / 32);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match &value.value {
            ValueKind::Lit(literal) => {
                let size = match literal {
                    Literal::String(text) => text.len(),
                    Literal::EntityUID(uid) => uid.eid().as_ref().len(),
                    Literal::Bool(_) | Literal::Long(_) => 0,
                };
                self.add(keyed(literal), 1 + size / 32);
            }
            ValueKind::Set(set) => {
                self.add(set.len() as u64, 1);
                for value in set.iter() {
                    self.value(value);
                }
            }
            ValueKind::Record(record) => self.record(record),
            // Equal extension values may be written differently; two that differ meet in one slot.
            ValueKind::ExtensionValue(value) => self.add(keyed(&value.typename()), 1),
        }
    }
}

/// One hash out of two (the multiplier is that of Fx, Firefox's hasher). Who has chosen what goes in did not
/// choose the hashes, which are keyed.
pub(super) fn mix(one: u64, two: u64) -> u64 {
    (one.rotate_left(5) ^ two).wrapping_mul(0x51_7c_c1_b7_27_22_0a_95)
}
