//! Factors of a login that are written in Python.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuthProvider, AuthStep, Credential, Session};
use sutazai_core::{Code, Error, Result};

use crate::heal::{Releases, stopped};
use crate::{error, exit};

/// A factor whose work are Python callables: `authenticate(scheme, principal, secret, login, now)` gives
/// [`Given`], `challenge(principal, login, now)` a dict of texts or None.
pub(crate) struct PythonProvider {
    scheme: String,
    functions: Mutex<Option<Functions>>,
}

struct Functions {
    authenticate: Py<PyAny>,
    /// Without it everybody has the factor, and needs nothing to answer with it.
    challenge: Option<Py<PyAny>>,
}

/// Who is accepted and what else is known of them; or nobody, and why they are refused.
type Given = (Option<String>, BTreeMap<String, String>, String);

impl PythonProvider {
    pub(crate) fn new(
        scheme: String,
        authenticate: Py<PyAny>,
        challenge: Option<Py<PyAny>>,
    ) -> Self {
        Self { scheme, functions: Mutex::new(Some(Functions { authenticate, challenge })) }
    }

    /// What a function raised is no answer: who they are cannot be told.
    fn failed(&self, py: Python<'_>, raised: &PyErr) -> Error {
        let cause = error::from_raised(py, raised, "provider");
        let class = cause.class();
        Error::new(Code::PROVIDER_FAILED, "the provider raised instead of answering")
            .classed(class)
            .with("scheme", &self.scheme)
            .because(cause)
    }
}

impl AuthProvider for PythonProvider {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let answered = exit::attach(|py| {
            let function = match &*self.functions.lock() {
                Some(functions) => functions.authenticate.clone_ref(py),
                None => return Err(stopped()),
            };
            let failed = |raised: PyErr| self.failed(py, &raised);
            let args = (
                &credential.scheme,
                &credential.principal,
                PyBytes::new(py, &credential.secret),
                &credential.login,
                seconds(now),
            );
            let args = args.into_pyobject(py).map_err(failed)?;
            let given = exit::call(function.bind(py), &args).map_err(failed)?;
            let (accepted, attributes, why): Given = given.extract().map_err(failed)?;
            Ok(match accepted {
                Some(principal) => AuthStep::Accepted(
                    Session::new(principal, &self.scheme).with_attributes(attributes),
                ),
                None => AuthStep::Refused(why),
            })
        });
        answered.unwrap_or_else(|| Err(stopped()))
    }

    fn challenge(
        &self,
        principal: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let answered = exit::attach(|py| {
            let function = match &*self.functions.lock() {
                Some(functions) => functions.challenge.as_ref().map(|f| f.clone_ref(py)),
                None => return Err(stopped()),
            };
            let Some(function) = function else { return Ok(Some(BTreeMap::new())) };
            let failed = |raised: PyErr| self.failed(py, &raised);
            let args = (principal, login, seconds(now)).into_pyobject(py).map_err(failed)?;
            let given = exit::call(function.bind(py), &args).map_err(failed)?;
            given.extract().map_err(failed)
        });
        answered.unwrap_or_else(|| Err(stopped()))
    }
}

impl Releases for PythonProvider {
    fn release(&self) {
        let functions = self.functions.lock().take();
        drop(functions);
    }
}

/// Seconds since 1970.
fn seconds(now: Timestamp) -> f64 {
    now.as_nanos() as f64 / 1e9
}
