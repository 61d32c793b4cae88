//! The errors of this room, worded in one place.

use super::PATH_LIMIT;
use super::container::Node;
use super::key::Id;
use crate::base::nearest::nearest;
use crate::{Code, Error};

/// `A → B → C`; the middle of a very long path is left out.
pub(super) fn path<'a>(ids: impl IntoIterator<Item = &'a Id>) -> String {
    let names: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
    if names.len() <= PATH_LIMIT {
        return names.join(" → ");
    }
    let half = PATH_LIMIT / 2;
    let (first, last) = (&names[..half], &names[names.len() - half..]);
    let between = names.len() - 2 * half;
    format!("{} → … ({between} more) … → {}", first.join(" → "), last.join(" → "))
}

pub(super) fn cycle(id: Option<&Id>, path: &str) -> Error {
    let id = shown(id);
    Error::new(Code::INJECT_CYCLE, format!("{id} needs itself: {path}"))
        .with("path", path)
        .advice("break the circle: let one of them ask for the other later, or split it")
}

/// Says what is provided with the nearest name: the same type under other names first, then a type
/// of the same short name from elsewhere, then a similar name.
pub(super) fn missing(wanted: &Id, path: &str, nodes: &[Node]) -> Error {
    let error =
        Error::new(Code::INJECT_MISSING, format!("nothing provides {wanted}")).with("path", path);
    let shown = wanted.to_string();
    let same_type: Vec<&Id> =
        nodes.iter().map(|node| &node.id).filter(|id| id.kind == wanted.kind).collect();
    if let Some(twin) = nodes.iter().map(|n| &n.id).find(|id| id.to_string() == shown) {
        return error.with("provided", twin.path).advice(format!(
            "{} is provided, which is another type than {}",
            twin.path, wanted.path
        ));
    }
    if let Some(name) = &wanted.name {
        let names = same_type.iter().filter_map(|id| id.name.as_deref());
        if let Some(near) = nearest(name, names) {
            return error.with("nearest", near).advice(format!("did you mean \"{near}\"?"));
        }
    }
    let names: Vec<String> = nodes.iter().map(|node| node.id.to_string()).collect();
    if let Some(near) = nearest(&shown, names.iter().map(String::as_str)) {
        return error.with("nearest", near).advice(format!("did you mean {near}?"));
    }
    match same_type.as_slice() {
        [] => error.advice("provide it before the container is sealed"),
        [first, ..] => {
            error.with("nearest", first).advice(format!("{first} is provided; ask for that one?"))
        }
    }
}

/// A factory's own error, with the path that led to it. Errors of this room pass unchanged: they
/// name their whole path already.
pub(super) fn failed(id: &Id, path: impl FnOnce() -> String, cause: Error) -> Error {
    let ours = [Code::INJECT_MISSING, Code::INJECT_CYCLE, Code::INJECT_FAILED, Code::INJECT_SCOPE];
    if ours.contains(&cause.code()) {
        return if cause.context().any(|(key, _)| key == "path") {
            cause
        } else {
            cause.with("path", path())
        };
    }
    Error::new(Code::INJECT_FAILED, format!("the factory of {id} failed"))
        .classed(cause.class())
        .with("path", path())
        .because(cause)
}

/// What another thread's attempt ended with, told to one that waited for it.
pub(super) fn shared(path: String, cause: &Error) -> Error {
    Error::new(cause.code(), cause.message().to_owned())
        .classed(cause.class())
        .with("path", path)
        .because(cause.clone())
}

pub(super) fn no_scope(id: Option<&Id>, path: &str) -> Error {
    let id = shown(id);
    Error::new(Code::INJECT_SCOPE, format!("{id} lives in a scope, and there is none here"))
        .with("path", path)
        .advice("ask a scope for it (`Injector::scope`); a singleton cannot keep it")
}

pub(super) fn too_deep(id: &Id, path: &str, limit: u32) -> Error {
    Error::new(
        Code::INJECT_FAILED,
        format!("{id} is asked for from more than {limit} factories deep"),
    )
    .with("path", path)
    .advice(
        "look for a factory that asks an injector for itself, or declare what the factories need",
    )
}

fn shown(id: Option<&Id>) -> String {
    id.map_or_else(|| "it".to_owned(), ToString::to_string)
}
