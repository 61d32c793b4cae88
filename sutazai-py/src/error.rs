//! The core's errors as Python exceptions, and exceptions of agents, workers and the like as errors of the core.
//!
//! The classes are written in Python (`sutazai/_errors.py`); two functions there make an exception
//! of an error's fields and take one apart.

use pyo3::exceptions::PyBaseExceptionGroup;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};
use sutazai_core::base::time::Timestamp;
use sutazai_core::recovery::Classifier;
use sutazai_core::{Class, Code, Error};

use crate::exit;

/// The exception for an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

/// As [`raise`], the exception itself.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let context = PyDict::new(py);
    for (key, value) in error.context() {
        context.set_item(key, value)?;
    }
    let location =
        error.location().map(|at| (at.file.as_str(), at.line, at.column, at.excerpt.as_str()));
    let causes = PyList::new(py, error.causes())?;
    let problems = PyList::empty(py);
    if error.problems().len() > 1 {
        for problem in error.problems() {
            problems.append(exception(py, problem)?)?;
        }
    }
    MAKE.import(py, "sutazai._errors", "_from_native")?.call1((
        (error.code().number(), error.code().name(), error.class().name()),
        error.message(),
        error.failed_operation(),
        context,
        error.remedy(),
        location,
        causes,
        problems,
        format!("{error:#}"),
    ))
}

/// What a function of the host's raised, as its answer. `who` is what the function is to the kernel: an
/// agent, a worker, a step, …
pub(crate) fn from_raised(py: Python<'_>, raised: &PyErr, who: &'static str) -> Error {
    // With its traceback, which the value alone may lack.
    from_exception(raised.clone_ref(py).into_value(py).bind(py), who)
}

/// As [`from_raised`], of an exception that nobody raised. A group is the worst exception in it.
pub(crate) fn from_exception(exception: &Bound<'_, PyAny>, who: &'static str) -> Error {
    let apart = match exception.cast::<PyBaseExceptionGroup>() {
        Ok(group) => worst(group, who),
        Err(_) => take_apart(exception, who, None),
    };
    apart.unwrap_or_else(|_| {
        let message = format!("the {who} raised something that cannot be shown");
        Error::new(Code::AGENT_FAILED, message)
    })
}

type Fields = (u32, Option<String>, String, Option<String>, Vec<(String, String)>, Option<String>);

/// The error of the worst exception in a group, by the built-in rules; the first of those.
fn worst(group: &Bound<'_, PyBaseExceptionGroup>, who: &str) -> PyResult<Error> {
    static LEAVES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let args = (group,).into_pyobject(group.py())?;
    let leaves = exit::call(LEAVES.import(group.py(), "sutazai._facts", "leaves")?, &args)?;
    let (classifier, now) = (Classifier::new(), Timestamp::now());
    let mut worst: Option<(Class, Bound<'_, PyAny>)> = None;
    for leaf in leaves.try_iter()? {
        let leaf = leaf?;
        let class = classifier.classify_error(&take_apart(&leaf, who, None)?, now).class;
        if worst.as_ref().is_none_or(|(worse, _)| class > *worse) {
            worst = Some((class, leaf));
        }
    }
    match worst {
        Some((_, leaf)) => take_apart(&leaf, who, Some(group)),
        None => take_apart(group, who, None),
    }
}

fn take_apart(
    exception: &Bound<'_, PyAny>,
    who: &str,
    group: Option<&Bound<'_, PyBaseExceptionGroup>>,
) -> PyResult<Error> {
    static TAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = exception.py();
    // Also on a thread of the kernel's while the interpreter ends.
    let args = (exception, who, group).into_pyobject(py)?;
    let fields = exit::call(TAKE.import(py, "sutazai._errors", "_to_native")?, &args)?;
    let (code, class, message, operation, context, advice): Fields = fields.extract()?;
    let code = Code::from_number(code).unwrap_or(Code::AGENT_FAILED);
    let mut error = Error::new(code, message);
    if let Some(class) = class.as_deref().and_then(class_named) {
        error = error.classed(class);
    }
    if let Some(operation) = operation {
        error = error.operation(operation);
    }
    if let Some(advice) = advice {
        error = error.advice(advice);
    }
    for (key, value) in context {
        error = error.with_key(key, value);
    }
    Ok(error)
}

fn class_named(name: &str) -> Option<Class> {
    [Class::Transient, Class::Persistent, Class::Critical]
        .into_iter()
        .find(|class| class.name() == name)
}

/// Every code of the library: number, name, default class, meaning.
#[pyfunction]
#[pyo3(name = "_codes")]
pub(crate) fn codes() -> Vec<(u32, &'static str, &'static str, &'static str)> {
    Code::all().map(|code| (code.number(), code.name(), code.class().name(), code.doc())).collect()
}
