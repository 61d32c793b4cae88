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
    /// [`Code::INVALID`] for every mistake ([`Error::problems`]), each with the path of the `child` and
    /// that of the `field` that is wrong: an identifier that is empty, too long, has `>` or control
    /// characters in it or stands there twice; a period or a start timeout of 0; `significant` with
    /// `permanent` or without an automatic shutdown; both `does` and `supervisor`; a backoff out of range;
    /// more than 32 levels.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        supervisor(self, &Place::default(), 1, &mut problems);
        Error::join(problems).map_or(Ok(()), Err)
    }
}

impl ChildSpec {
    /// Whether it may become a child of a supervisor with this automatic shutdown, which has `above`
    /// supervisors above it.
    pub(super) fn check(&self, auto_shutdown: AutoShutdown, above: usize) -> Result<()> {
        let mut problems = Vec::new();
        let at = Place::default().child("", &self.id);
        child(self, auto_shutdown, &at, above + 1, &mut problems);
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

fn supervisor(spec: &SupervisorSpec, at: &Place, depth: usize, problems: &mut Vec<Error>) {
    let mut wrong = |field, message| problems.push(at.problem(field, message));
    if depth > MAX_DEPTH {
        return wrong("children", "there are more than 32 supervisors below one another");
    }
    if spec.period_ms == 0 {
        wrong("period_ms", "period_ms must be at least 1");
    }
    if let Some(Err(message)) = spec.backoff.as_ref().map(super::Backoff::check) {
        wrong("backoff", message);
    }
    let mut seen = HashSet::new();
    for (index, one) in spec.children.iter().enumerate() {
        let at = at.child(&format!("children[{index}]."), &one.id);
        child(one, spec.auto_shutdown, &at, depth, problems);
        if !seen.insert(one.id.as_str()) {
            problems.push(at.problem("id", "two siblings have this identifier"));
        }
    }
}

fn child(
    spec: &ChildSpec,
    auto_shutdown: AutoShutdown,
    at: &Place,
    depth: usize,
    problems: &mut Vec<Error>,
) {
    let mut wrong = |field, message| problems.push(at.problem(field, message));
    if let Err(message) = id(&spec.id) {
        wrong("id", message);
    }
    if spec.start_timeout_ms == 0 {
        wrong("start_timeout_ms", "start_timeout_ms must be at least 1");
    }
    if spec.significant && auto_shutdown == AutoShutdown::Never {
        let message = "a significant child needs a supervisor whose auto_shutdown is not never";
        wrong("significant", message);
    }
    if spec.significant && spec.restart == Restart::Permanent {
        wrong("significant", "a permanent child cannot be significant: it never ends for good");
    }
    if spec.does.is_some() && spec.supervisor.is_some() {
        wrong("does", "a child is a worker, which does something, or a supervisor, not both");
    }
    if let Some(spec) = &spec.supervisor {
        supervisor(spec, &at.below("supervisor."), depth + 1, problems);
    }
}

/// Where in a specification something stands.
#[derive(Default)]
struct Place {
    /// The identifiers that lead to the child; empty for the root.
    child: String,
    /// The fields that lead there, as the beginning of a path.
    fields: String,
}

impl Place {
    fn child(&self, fields: &str, id: &str) -> Self {
        let above = &self.child;
        let child = if above.is_empty() { id.to_owned() } else { format!("{above}>{id}") };
        Self { child, ..self.below(fields) }
    }

    fn below(&self, fields: &str) -> Self {
        Self { child: self.child.clone(), fields: format!("{}{fields}", self.fields) }
    }

    fn problem(&self, field: &str, message: &'static str) -> Error {
        let error = Error::new(Code::INVALID, message).operation("supervise.check");
        let error = if self.child.is_empty() { error } else { error.with("child", &self.child) };
        error.with("field", format!("{}{field}", self.fields))
    }
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
                let of =
                    |wanted| e.context().find(|(key, _)| *key == wanted).map_or("", |(_, v)| v);
                format!("{}: {}: {}", of("child"), of("field"), e.message())
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
                ChildSpec::supervisor("inner", inner).does("nothing"),
            ],
            ..SupervisorSpec::default()
        };
        assert_eq!(
            told(&spec),
            [
                ": period_ms: period_ms must be at least 1",
                ": backoff: a backoff's jitter is between 0 and 1",
                "a: children[0].significant: a significant child needs a supervisor whose auto_shutdown is not never",
                "a: children[1].id: two siblings have this identifier",
                ": children[2].id: an identifier may not be empty",
                "inner: children[3].does: a child is a worker, which does something, or a supervisor, not both",
                "inner>a: children[3].supervisor.children[0].significant: a permanent child cannot be significant: it never ends for good",
                "inner>x>y: children[3].supervisor.children[2].id: an identifier may not contain `>` or control characters",
                "inner>c: children[3].supervisor.children[3].start_timeout_ms: start_timeout_ms must be at least 1",
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
        assert!(serde_json::from_str::<SupervisorSpec>(r#"{"children":[{}]}"#).is_err());
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SupervisorSpec>(&text).unwrap(), spec);
    }
}
