//! Errors: one type both ways, which foreign code catches, and throws from its agents.

use std::fmt;

use sutazai_core::{Class, Code, Error};
use uniffi::UnexpectedUniFFICallbackError;

/// Whether trying again may help, and how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ErrorClass {
    /// It may well succeed when tried again.
    Transient,
    /// It will fail the same way until something is changed.
    Persistent,
    /// Something is broken that others depend on.
    Critical,
}

/// What went wrong.
///
/// An agent throws one to choose code and class of its failure; of what it throws, `name` and
/// `details` are not read.
#[derive(Clone, Debug, uniffi::Error)]
pub enum KernelError {
    /// The only variant: UniFFI makes exceptions of enums.
    Failed {
        /// The stable number.
        code: u32,
        /// The name of the code, such as `base.not_found`; `host` for one of the host's own.
        name: String,
        /// Whether trying again may help.
        error_class: ErrorClass,
        /// One line for a person: what failed, why, with what, what to do about it.
        reason: String,
        /// JSON: `{code, name, class, message, operation?, context?, advice?, location?, causes?}`.
        details: String,
    },
}

/// What an agent throws that fails in the ordinary way, `agent.failed`: transient, when another try
/// may work, or persistent.
#[uniffi::export(default(transient = true))]
pub fn agent_failed(reason: String, transient: bool) -> KernelError {
    let class = if transient { Class::Transient } else { Class::Persistent };
    Error::new(Code::AGENT_FAILED, reason).classed(class).into()
}

impl From<Error> for KernelError {
    fn from(error: Error) -> Self {
        Self::Failed {
            code: error.code().number(),
            name: error.code().name().to_owned(),
            error_class: error.class().into(),
            reason: format!("{error:#}"),
            // An error is strings and numbers, which always have a JSON form.
            details: serde_json::to_string(&error).unwrap_or_default(),
        }
    }
}

impl From<KernelError> for Error {
    /// What an agent threw.
    fn from(thrown: KernelError) -> Self {
        let KernelError::Failed { code: number, error_class, reason, .. } = thrown;
        let error = match Code::from_number(number) {
            Some(code) => Self::new(code, reason),
            None => Self::new(Code::AGENT_FAILED, reason).with("unknown_code", number),
        };
        error.classed(error_class.into())
    }
}

impl From<Class> for ErrorClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Transient => Self::Transient,
            Class::Persistent => Self::Persistent,
            Class::Critical => Self::Critical,
        }
    }
}

impl From<ErrorClass> for Class {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Transient => Self::Transient,
            ErrorClass::Persistent => Self::Persistent,
            ErrorClass::Critical => Self::Critical,
        }
    }
}

impl From<UnexpectedUniFFICallbackError> for KernelError {
    /// An exception of any other kind. Kotlin hands over the whole stack trace: its first line says
    /// what happened.
    fn from(unexpected: UnexpectedUniFFICallbackError) -> Self {
        let mut lines = unexpected.reason.trim().splitn(2, '\n');
        let first = lines.next().unwrap_or_default().trim_end();
        let error = Error::new(Code::AGENT_FAILED, first.to_owned());
        match lines.next() {
            Some(trace) => error.with("trace", trace).into(),
            None => error.into(),
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed { reason, .. } = self;
        f.write_str(reason)
    }
}

impl std::error::Error for KernelError {}
