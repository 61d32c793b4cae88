//! Whether a specification is valid, with the rules of OTP's `supervisor:check_childspecs/2`.

use std::collections::HashSet;

use super::spec::{AutoShutdown, ChildSpec, Restart, SupervisorSpec};
use crate::{Code, Error, Result};

/// Supervisors below one another, at most.
pub const MAX_DEPTH: usize = 32;
/// The longest identifier, in bytes.
pub const MAX_ID_BYTES: usize = 256;

impl SupervisorSpec {
    /// Whether the supervisor, its children and everything below are valid.
    ///
    /// # Errors
    /// [`Code::INVALID`] for every mistake ([`Error::problems`]), each with the path of what is wrong:
    /// an identifier that is empty, too long, has `>` or control characters in it or stands there
    /// twice; a period or a start timeout of 0; `significant` with `permanent` or without an automatic
    /// shutdown; a backoff out of range; more than 32 levels.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        supervisor(self, "", 1, &mut problems);
        Error::join(problems).map_or(Ok(()), Err)
    }
}

impl ChildSpec {
    /// Whether it may become a child of a supervisor with this automatic shutdown, which has `above`
    /// supervisors above it.
    pub(super) fn check(&self, auto_shutdown: AutoShutdown, above: usize) -> Result<()> {
        let mut problems = Vec::new();
        child(self, auto_shutdown, "", above + 1, &mut problems);
        Error::join(problems).map_or(Ok(()), Err)
    }
}

/// A name of a child, or of the root.
pub(super) fn id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        Err("an identifier may not be empty")
    } else if id.len() > MAX_ID_BYTES {
        Err("an identifier has at most 256 bytes")
    } else if id.contains('>') || id.chars().any(char::is_control) {
        Err("an identifier may not contain `>` or control characters")
    } else {
        Ok(())
    }
}

fn supervisor(spec: &SupervisorSpec, path: &str, depth: usize, problems: &mut Vec<Error>) {
    let mut wrong = |message| problems.push(problem(path, message));
    if depth > MAX_DEPTH {
        return wrong("there are more than 32 supervisors below one another");
    }
    if spec.period_ms == 0 {
        wrong("period_ms must be at least 1");
    }
    if let Some(Err(message)) = spec.backoff.as_ref().map(super::Backoff::check) {
        wrong(message);
    }
    let mut seen = HashSet::new();
    for one in &spec.children {
        child(one, spec.auto_shutdown, path, depth, problems);
        if !seen.insert(one.id.as_str()) {
            problems.push(problem(&below(path, &one.id), "two siblings have this identifier"));
        }
    }
}

fn child(
    spec: &ChildSpec,
    auto_shutdown: AutoShutdown,
    path: &str,
    depth: usize,
    problems: &mut Vec<Error>,
) {
    let path = below(path, &spec.id);
    let mut wrong = |message| problems.push(problem(&path, message));
    if let Err(message) = id(&spec.id) {
        wrong(message);
    }
    if spec.start_timeout_ms == 0 {
        wrong("start_timeout_ms must be at least 1");
    }
    if spec.significant && auto_shutdown == AutoShutdown::Never {
        wrong("a significant child needs a supervisor whose auto_shutdown is not never");
    }
    if spec.significant && spec.restart == Restart::Permanent {
        wrong("a permanent child cannot be significant: it never ends for good");
    }
    if let Some(spec) = &spec.supervisor {
        supervisor(spec, &path, depth + 1, problems);
    }
}

fn below(path: &str, id: &str) -> String {
    if path.is_empty() { id.to_owned() } else { format!("{path}>{id}") }
}

fn problem(path: &str, message: &'static str) -> Error {
    let error = Error::new(Code::INVALID, message).operation("supervise.check");
    if path.is_empty() { error } else { error.with("child", path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::supervise::Backoff;

    fn told(spec: &SupervisorSpec) -> Vec<String> {
        let Err(error) = spec.check() else { return Vec::new() };
        error
            .problems()
            .iter()
            .map(|e| {
                let child = e.context().find(|(key, _)| *key == "child").map_or("", |(_, v)| v);
                format!("{child}: {}", e.message())
            })
            .collect()
    }

    #[test]
    fn every_mistake_is_named_with_its_path() {
        let significant = ChildSpec::worker("a").significant();
        let inner = SupervisorSpec {
            auto_shutdown: AutoShutdown::AllSignificant,
            children: vec![
                significant.clone(),
                ChildSpec::worker("b").restart(Restart::Temporary).significant(),
                ChildSpec::worker("x>y"),
                ChildSpec { start_timeout_ms: 0, ..ChildSpec::worker("c") },
            ],
            ..SupervisorSpec::default()
        };
        let spec = SupervisorSpec {
            period_ms: 0,
            backoff: Some(Backoff { jitter: 1.5, ..Backoff::default() }),
            children: vec![
                significant.restart(Restart::Transient),
                ChildSpec::worker("a"),
                ChildSpec::worker(""),
                ChildSpec::supervisor("inner", inner),
            ],
            ..SupervisorSpec::default()
        };
        assert_eq!(
            told(&spec),
            [
                ": period_ms must be at least 1",
                ": a backoff's jitter is between 0 and 1",
                "a: a significant child needs a supervisor whose auto_shutdown is not never",
                "a: two siblings have this identifier",
                ": an identifier may not be empty",
                "inner>a: a permanent child cannot be significant: it never ends for good",
                "inner>x>y: an identifier may not contain `>` or control characters",
                "inner>c: start_timeout_ms must be at least 1",
            ]
        );
    }

    #[test]
    fn levels_are_bounded() {
        let nest = |levels: usize| {
            (1..levels).fold(SupervisorSpec::default(), |inner, _| SupervisorSpec {
                children: vec![ChildSpec::supervisor("s", inner)],
                ..SupervisorSpec::default()
            })
        };
        assert!(nest(MAX_DEPTH).check().is_ok());
        assert!(nest(MAX_DEPTH + 1).check().is_err());
        let leaf = ChildSpec::supervisor("s", SupervisorSpec::default());
        assert!(leaf.check(AutoShutdown::Never, MAX_DEPTH - 2).is_ok());
        assert!(leaf.check(AutoShutdown::Never, MAX_DEPTH - 1).is_err());
    }

    #[test]
    fn json_has_the_defaults_of_otp_and_nothing_unknown() {
        let spec: SupervisorSpec = serde_json::from_str(r#"{"children":[{"id":"a"}]}"#).unwrap();
        assert_eq!((spec.intensity, spec.period_ms), (1, 5000));
        assert_eq!(spec.children, [ChildSpec::worker("a")]);
        assert_eq!(told(&spec), [""; 0]);
        assert!(serde_json::from_str::<SupervisorSpec>(r#"{"intensty":1}"#).is_err());
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SupervisorSpec>(&text).unwrap(), spec);
    }
}
