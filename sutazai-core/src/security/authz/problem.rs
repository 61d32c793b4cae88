//! What Cedar says is wrong, as errors of ours: with the place, and with its advice.

use crate::base::error::Location;
use crate::{Code, Error};

/// A text that was parsed, and what it is called.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// An error with all that Cedar found, each at its place in `text`.
pub(super) fn of(found: &dyn miette::Diagnostic, code: Code, text: Option<Text<'_>>) -> Error {
    let related = found.related().into_iter().flatten();
    let errors = std::iter::once(found).chain(related).map(|one| single(one, code, text));
    Error::join(errors.collect()).unwrap_or_else(|| single(found, code, text))
}

/// Of one finding alone.
pub(super) fn single(found: &dyn miette::Diagnostic, code: Code, text: Option<Text<'_>>) -> Error {
    let mut message = found.to_string();
    let mut source = found.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !message.contains(&said) {
            message = format!("{message}: {said}");
        }
        source = cause.source();
    }
    let mut error = Error::new(code, message);
    if let Some(help) = found.help() {
        error = error.advice(help.to_string());
    }
    let place = found.labels().and_then(|mut labels| labels.next());
    if let (Some(Text { name, text }), Some(label)) = (text, place) {
        error = error.at(Location::in_text(name, text, label.offset()));
    }
    error
}
