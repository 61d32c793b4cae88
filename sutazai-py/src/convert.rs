//! Python objects to JSON values and back, without text in between.
//!
//! `None`, `bool`, `int` of 64 bits, finite `float`, `str`, `list`, `tuple` and `dict` with `str`
//! keys, and their subclasses. `bytes` stand alone or not at all: a payload is JSON or bytes.

use std::fmt::Write as _;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple,
};
use serde_json::{Map, Number, Value};
use sutazai_core::base::payload::Payload;

/// Lists and dicts within one another, at most: what JSON parsers take as well. A structure that
/// contains itself ends here.
const MOST_DEPTH: usize = 120;

/// Why an object has no JSON form, and where in it.
pub(crate) struct Trouble {
    what: String,
    is_type: bool,
    /// An int of more than 64 bits.
    is_huge: bool,
    /// Innermost first.
    path: Vec<Step>,
}

enum Step {
    Index(usize),
    Key(String),
}

impl Trouble {
    fn of_type(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_type: true, is_huge: false, path: Vec::new() }
    }

    fn of_value(what: impl Into<String>) -> Self {
        Self { what: what.into(), is_type: false, is_huge: false, path: Vec::new() }
    }

    fn of_huge() -> Self {
        Self { is_huge: true, ..Self::of_value("int does not fit 64 bits; send it as str") }
    }

    /// Whether it is of an int of more than 64 bits.
    pub(crate) fn is_huge(&self) -> bool {
        self.is_huge
    }

    /// In an operation's request, where the int may stand for a number.
    pub(crate) fn in_request(mut self) -> Self {
        self.what =
            "int does not fit 64 bits; where a number is wanted send a float, up to about 1.8e308, else a str"
                .to_owned();
        self
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// `$` is the object itself.
    pub(crate) fn message(&self) -> String {
        let mut text = String::from("$");
        for step in self.path.iter().rev().take(16) {
            let _ = match step {
                Step::Index(index) => write!(text, "[{index}]"),
                Step::Key(key) => write!(text, "[{key:?}]"),
            };
        }
        if self.path.len() > 16 {
            text.push('…');
        }
        text.push_str(": ");
        text.push_str(&self.what);
        text
    }

    pub(crate) fn into_py_err(self) -> PyErr {
        let message = self.message();
        if self.is_type { PyTypeError::new_err(message) } else { PyValueError::new_err(message) }
    }
}

/// The payload form of an object.
pub(crate) fn to_payload(object: &Bound<'_, PyAny>) -> Result<Payload, Trouble> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Payload::bytes(bytes.as_bytes()));
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Payload::bytes(bytes.to_vec()));
    }
    to_json(object).map(Payload::from)
}

/// The JSON form of an object.
pub(crate) fn to_json(object: &Bound<'_, PyAny>) -> Result<Value, Trouble> {
    to_value(object, 0, number_of)
}

/// The same with ints of more than 64 bits as numbers that are about as large: to see whether they may stand there.
pub(crate) fn to_near_json(object: &Bound<'_, PyAny>) -> Result<Value, Trouble> {
    to_value(object, 0, |number| {
        let near = || match number.extract::<f64>() {
            Ok(near) => near,
            Err(_) if number.lt(0).unwrap_or(false) => f64::MIN,
            Err(_) => f64::MAX,
        };
        number_of(number).or_else(|huge| Number::from_f64(near()).map(Value::Number).ok_or(huge))
    })
}

/// Reads what came as a dict. Where an int is too large that is said in the words of what reads it, with the range that it allows.
pub(crate) fn read<T>(
    given: &Bound<'_, PyAny>,
    read: impl Fn(&Value) -> sutazai_core::Result<T>,
) -> PyResult<T> {
    let py = given.py();
    match to_json(given) {
        Ok(value) => read(&value).map_err(|error| crate::error::raise(py, &error)),
        Err(trouble) if trouble.is_huge() => match to_near_json(given).map(|near| read(&near)) {
            Ok(Err(error)) => Err(crate::error::raise(py, &error)),
            _ => Err(trouble.in_request().into_py_err()),
        },
        Err(trouble) => Err(trouble.into_py_err()),
    }
}

/// What is made of an int.
type OfInt = fn(&Bound<'_, PyInt>) -> Result<Value, Trouble>;

fn to_value(object: &Bound<'_, PyAny>, depth: usize, of_int: OfInt) -> Result<Value, Trouble> {
    if let Ok(text) = object.cast::<PyString>() {
        return text_of(text).map(Value::String);
    }
    if object.cast::<PyNone>().is_ok() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if let Ok(number) = object.cast::<PyInt>() {
        return of_int(number);
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Number::from_f64(number.value())
            .map(Value::Number)
            .ok_or_else(|| Trouble::of_value(format!("{} is not a JSON number", number.value())));
    }
    if depth >= MOST_DEPTH {
        return Err(Trouble::of_value(format!(
            "nested deeper than {MOST_DEPTH} levels, or contains itself"
        )));
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        let mut map = Map::new();
        for (key, value) in dict.iter() {
            let key = match key.cast::<PyString>() {
                Ok(key) => text_of(key)?,
                Err(_) => {
                    let kind = type_name(&key);
                    return Err(Trouble::of_type(format!("dict keys must be str, not {kind}")));
                }
            };
            match to_value(&value, depth + 1, of_int) {
                Ok(value) => drop(map.insert(key, value)),
                Err(trouble) => return Err(trouble.within(Step::Key(key))),
            }
        }
        return Ok(Value::Object(map));
    }
    let item = |(index, item): (usize, Bound<'_, PyAny>)| {
        to_value(&item, depth + 1, of_int).map_err(|trouble| trouble.within(Step::Index(index)))
    };
    if let Ok(list) = object.cast::<PyList>() {
        return list.iter().enumerate().map(item).collect::<Result<_, _>>().map(Value::Array);
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return tuple.iter().enumerate().map(item).collect::<Result<_, _>>().map(Value::Array);
    }
    let kind = type_name(object);
    let hint = match kind.as_str() {
        "bytes" | "bytearray" => "; bytes are a payload of their own, or base64 text within one",
        _ => "; use None, bool, int, float, str, list, tuple or dict",
    };
    Err(Trouble::of_type(format!("{kind} has no JSON form{hint}")))
}

fn text_of(text: &Bound<'_, PyString>) -> Result<String, Trouble> {
    text.to_cow()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Trouble::of_value("str with lone surrogates has no UTF-8 form"))
}

fn number_of(number: &Bound<'_, PyInt>) -> Result<Value, Trouble> {
    if let Ok(number) = number.extract::<i64>() {
        return Ok(Value::from(number));
    }
    number.extract::<u64>().map(Value::from).map_err(|_| Trouble::of_huge())
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// A new Python object with the content of a payload.
pub(crate) fn to_python<'py>(py: Python<'py>, payload: &Payload) -> PyResult<Bound<'py, PyAny>> {
    if let Some(bytes) = payload.as_bytes() {
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    let value = payload.value().map_err(|error| crate::error::raise(py, &error))?;
    from_value(py, &value)
}

/// A new Python object with the content of a JSON value.
pub(crate) fn from_value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into_pyobject(py)?.into_any(),
            (_, Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, _, Some(number)) => PyFloat::new(py, number).into_any(),
            (None, None, None) => py.None().into_bound(py),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(from_value(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(fields) => {
            let dict = PyDict::new(py);
            for (key, value) in fields {
                dict.set_item(key, from_value(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// Something that the core shows of itself, as Python objects.
pub(crate) fn view<'py>(
    py: Python<'py>,
    shown: sutazai_core::Result<Payload>,
) -> PyResult<Bound<'py, PyAny>> {
    let payload = shown.map_err(|error| crate::error::raise(py, &error))?;
    to_python(py, &payload)
}
