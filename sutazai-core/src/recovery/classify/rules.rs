//! The rules that a host adds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use super::exit;
use super::facts::{self, Facts};
use super::hint::Hint;
use super::pattern::{Glob, Numbers};
use crate::base::nearest::nearest;
use crate::{Class, Code, Error, Result};

/// A rule of the host's: a failure that all of its conditions fit is of its class. At least one
/// condition must be given.
///
/// Plain data: in code, JSON and TOML alike.
///
/// ```
/// use sutazai_core::Class;
/// use sutazai_core::recovery::{Classifier, Facts, Rule};
/// let classifier = Classifier::with_rules(vec![Rule {
///     http_status: Some(409.into()),
///     text: Some("still * indexing".into()),
///     retry_after_ms: Some(2_000),
///     ..Rule::new("search is indexing", Class::Transient)
/// }])?;
/// let facts = Facts { http_status: Some(409), ..Facts::text("Still busy indexing, sorry") };
/// let verdict = classifier.classify(&facts, "2026-01-01T00:00:00Z".parse()?);
/// assert_eq!(verdict.class, Class::Transient);
/// assert_eq!(verdict.rule, "search is indexing");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which a verdict gives; no two rules have the same. 1 to 128 bytes.
    pub name: String,
    /// The class of what it fits.
    pub class: Class,
    /// How long to wait before trying again, in milliseconds, at most a day; for transient only.
    /// Without it, what the other side says counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// One of the library's codes by name (`store.failed`) or number, or a family of them (`store`;
    /// `host` for the host's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Text that stands in the message, in a cause or in the standard error, whatever the case of
    /// its ASCII letters; `*` in it stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Statuses of an HTTP response, 100 to 599: `429`, `"500-599"`, `"5xx"`, `"502, 503"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<Numbers>,
    /// Statuses that a process exits with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<Numbers>,
    /// The signal that ends a process, by name or number: `SIGTERM`, `"15"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The type of an exception or one of its bases. Without a full stop it is the last part of the
    /// name (`ConnectTimeout`), with one the whole of it (`httpx.*`); `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
    /// A provider's type or code of error (`overloaded_error`); `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Rule {
    /// A rule without conditions, to be filled in.
    pub fn new(name: impl Into<String>, class: Class) -> Self {
        Self {
            name: name.into(),
            class,
            retry_after_ms: None,
            code: None,
            text: None,
            http_status: None,
            exit_status: None,
            signal: None,
            exception: None,
            provider: None,
        }
    }
}

/// Rules, at most.
const MOST: usize = 1_000;
/// Bytes of a name, at most.
const LONGEST_NAME: usize = 128;
/// Bytes of a pattern, at most.
const LONGEST_PATTERN: usize = 1_024;

/// Rules in the form in which they are tried.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) given: Vec<Rule>,
    compiled: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    name: Cow<'static, str>,
    class: Class,
    retry_after: Option<Duration>,
    code: Option<Family>,
    text: Option<Glob>,
    http_status: Option<Vec<(i64, i64)>>,
    exit_status: Option<Vec<(i64, i64)>>,
    signal: Option<i32>,
    exception: Option<(Glob, bool)>,
    provider: Option<Glob>,
}

#[derive(Debug)]
enum Family {
    Code(Code),
    Family(String),
}

/// What a rule says of a failure that it fits.
pub(super) struct Found<'r> {
    pub(super) name: &'r Cow<'static, str>,
    pub(super) class: Class,
    pub(super) retry_after: Option<Duration>,
}

impl Rules {
    /// Checks and prepares rules.
    ///
    /// # Errors
    /// Every mistake of every rule, each with the rule and the field.
    pub(super) fn new(given: Vec<Rule>) -> Result<Self> {
        let mut problems = Vec::new();
        if given.len() > MOST {
            problems.push(
                Error::new(Code::INVALID, "there are too many rules")
                    .operation(OPERATION)
                    .with("rules", given.len())
                    .with("most", MOST),
            );
        }
        let mut names = HashSet::new();
        let mut compiled = Vec::with_capacity(given.len());
        for rule in &given {
            if !names.insert(&rule.name) {
                problems.push(wrong(rule, "name", "there is another rule of this name"));
            }
            compiled.push(compile(rule, &mut problems));
        }
        match Error::join(problems) {
            Some(error) => Err(error),
            None => Ok(Self { given, compiled }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }

    /// The first rule that the facts fit.
    pub(super) fn find(&self, facts: &Facts<'_>) -> Option<Found<'_>> {
        self.compiled.iter().find(|rule| rule.fits(facts)).map(|rule| Found {
            name: &rule.name,
            class: rule.class,
            retry_after: rule.retry_after,
        })
    }
}

impl Compiled {
    fn fits(&self, facts: &Facts<'_>) -> bool {
        let among = |ranges: &Option<Vec<(i64, i64)>>, number: Option<i64>| match ranges {
            None => true,
            Some(ranges) => number.is_some_and(|number| {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&number))
            }),
        };
        // The cheap ones first; text, which may have to be made of a source, last.
        self.code.as_ref().is_none_or(|code| code.has(facts))
            && among(&self.http_status, facts.http_status.map(i64::from))
            && among(&self.exit_status, facts.exit_status.map(i64::from))
            && self.signal.is_none_or(|signal| facts.signal == Some(signal))
            && self.provider.as_ref().is_none_or(|glob| {
                let fits =
                    |name: &Option<Cow<'_, str>>| name.as_deref().is_some_and(|n| glob.is(n));
                fits(&facts.provider_type) || fits(&facts.provider_code)
            })
            && self.exception.as_ref().is_none_or(|(glob, whole)| {
                let part = |name: &str| match whole {
                    true => glob.is(name),
                    false => glob.is(name.rsplit('.').next().unwrap_or(name)),
                };
                let own = facts.exception.as_deref();
                own.into_iter().chain(facts.bases.iter().map(AsRef::as_ref)).any(part)
            })
            && self.text.as_ref().is_none_or(|glob| stands_in(glob, facts))
    }
}

impl Family {
    fn has(&self, facts: &Facts<'_>) -> bool {
        match (self, facts.code) {
            (Self::Code(code), Some(found)) => *code == found,
            (Self::Family(family), Some(found)) => found.family() == family,
            (_, None) => false,
        }
    }
}

fn stands_in(glob: &Glob, facts: &Facts<'_>) -> bool {
    if glob.is_in(&facts.message)
        || facts.causes.iter().any(|cause| glob.is_in(cause))
        || facts.stderr.as_deref().is_some_and(|stderr| glob.is_in(stderr))
    {
        return true;
    }
    let mut next = facts.source;
    while let Some(source) = next {
        if glob.is_in(&source.to_string()) {
            return true;
        }
        next = source.source();
    }
    false
}

const OPERATION: &str = "recovery.rules";

fn wrong(rule: &Rule, field: &'static str, what: impl Into<Cow<'static, str>>) -> Error {
    let name: String = rule.name.chars().take(LONGEST_NAME).collect();
    Error::new(Code::INVALID, what).operation(OPERATION).with("rule", name).with("field", field)
}

fn compile(rule: &Rule, problems: &mut Vec<Error>) -> Compiled {
    let mut wrong = |field, what: String, advice: Option<&'static str>| {
        let error = wrong(rule, field, what);
        problems.push(match advice {
            Some(advice) => error.advice(advice),
            None => error,
        });
    };
    if rule.name.trim().is_empty() || rule.name.len() > LONGEST_NAME {
        wrong("name", format!("a rule's name has 1 to {LONGEST_NAME} bytes"), None);
    }
    let longest = u64::try_from(Hint::LONGEST.as_millis()).unwrap_or(u64::MAX);
    match rule.retry_after_ms {
        Some(_) if rule.class != Class::Transient => {
            let what = format!("what is {} is not tried again", rule.class);
            wrong("retry_after_ms", what, Some("leave it out, or make the class transient"));
        }
        Some(millis) if millis > longest => {
            wrong("retry_after_ms", format!("{millis} is more than a day"), None);
        }
        _ => {}
    }
    let mut glob = |field, pattern: &Option<String>| {
        let pattern = pattern.as_deref()?;
        let glob = Glob::new(pattern);
        if pattern.len() > LONGEST_PATTERN {
            wrong(field, format!("a pattern has at most {LONGEST_PATTERN} bytes"), None);
        } else if !glob.says_something() {
            wrong(field, format!("{pattern:?} fits everything"), Some("leave it out"));
        }
        Some(glob)
    };
    let text = glob("text", &rule.text);
    let exception = glob("exception", &rule.exception);
    let provider = glob("provider", &rule.provider);
    let mut numbers = |field, given: &Option<Numbers>| {
        let given = given.as_ref()?;
        let ranges = given.ranges();
        if ranges.is_none() {
            let advice = "write a number, a range as 500-599 or 5xx, or several with commas";
            wrong(
                field,
                format!("{field} is {given}, and not one or several numbers"),
                Some(advice),
            );
        }
        ranges
    };
    let http_status = numbers("http_status", &rule.http_status);
    let exit_status = numbers("exit_status", &rule.exit_status);
    let outside = |(from, to): &(i64, i64)| *from < 100 || *to > 599;
    if let Some((from, to)) = http_status.iter().flatten().find(|range| outside(range)) {
        let said = if from == to { from.to_string() } else { format!("{from}-{to}") };
        let what = format!("{said} is no status of HTTP");
        wrong("http_status", what, Some("they are from 100 to 599"));
    }
    let signal = rule.signal.as_deref().and_then(|name| {
        let number = exit::signal_number(name);
        if number.is_none() {
            wrong("signal", format!("{name:?} is not a signal"), Some("write SIGTERM or 15"));
        }
        number
    });
    let code = rule.code.as_deref().and_then(|name| {
        let family = family(name);
        if family.is_none() {
            wrong("code", format!("{name:?} is neither a code nor a family{}", near(name)), None);
        }
        family
    });
    let bare = Rule::new(&*rule.name, rule.class);
    if (Rule { retry_after_ms: None, ..rule.clone() }) == bare {
        wrong("conditions", "the rule has no condition and would fit everything".into(), None);
    }
    Compiled {
        name: Cow::Owned(rule.name.clone()),
        class: rule.class,
        retry_after: rule.retry_after_ms.map(Duration::from_millis),
        code,
        text,
        http_status,
        exit_status,
        signal,
        exception: exception.map(|glob| {
            let whole = rule.exception.as_deref().is_some_and(|pattern| pattern.contains('.'));
            (glob, whole)
        }),
        provider,
    }
}

fn family(name: &str) -> Option<Family> {
    if let Ok(number) = name.parse() {
        return Code::from_number(number).map(Family::Code);
    }
    if let Some(code) = facts::code_named(name) {
        return Some(Family::Code(code));
    }
    let known = name == "host" || Code::all().any(|code| code.family() == name);
    known.then(|| Family::Family(name.to_owned()))
}

fn near(name: &str) -> String {
    let names = Code::all().map(Code::name).chain(Code::all().map(Code::family));
    nearest(name, names).map_or(String::new(), |near| format!("; did you mean '{near}'?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
        let mut rule = Rule::new("mine", Class::Transient);
        change(&mut rule);
        rule
    }

    fn fits(rule: Rule, facts: &Facts<'_>) -> bool {
        Rules::new(vec![rule]).unwrap().find(facts).is_some()
    }

    #[test]
    fn every_condition_must_fit() {
        let both = rule(|rule| {
            rule.http_status = Some("5xx".into());
            rule.text = Some("warming".into());
        });
        let facts = |status, text| Facts { http_status: Some(status), ..Facts::text(text) };
        assert!(fits(both.clone(), &facts(503, "Warming up")));
        assert!(!fits(both.clone(), &facts(403, "Warming up")));
        assert!(!fits(both, &facts(503, "Broken")));
    }

    #[test]
    fn codes_are_named_one_by_one_or_by_family() {
        let failed = Facts { code: Some(Code::STORE_FAILED), ..Facts::default() };
        let host = Facts { code: Some(Code::host(7)), ..Facts::default() };
        let code = |name: &str| rule(|rule| rule.code = Some(name.into()));
        assert!(fits(code("store.failed"), &failed));
        assert!(fits(code("3004"), &failed));
        assert!(fits(code("store"), &failed) && !fits(code("base"), &failed));
        assert!(fits(code("host"), &host) && !fits(code("host"), &failed));
        assert!(!fits(code("store"), &Facts::default()));
    }

    #[test]
    fn exceptions_are_named_in_whole_or_by_their_last_part() {
        let facts = Facts {
            exception: Some("httpx.ReadTimeout".into()),
            bases: vec!["httpx.TimeoutException".into()],
            ..Facts::default()
        };
        let exception = |name: &str| rule(|rule| rule.exception = Some(name.into()));
        for name in ["ReadTimeout", "httpx.*", "httpx.ReadTimeout", "*Timeout", "TimeoutException"]
        {
            assert!(fits(exception(name), &facts), "{name}");
        }
        for name in ["httpx", "requests.*", "Read"] {
            assert!(!fits(exception(name), &facts), "{name}");
        }
    }

    #[test]
    fn texts_of_sources_are_looked_at() {
        let cause = std::io::Error::other("the cable is out");
        let error = Error::new(Code::AGENT_FAILED, "no luck").because(cause);
        let text = rule(|rule| rule.text = Some("CABLE".into()));
        assert!(fits(text, &Facts::of(&error)));
    }

    #[test]
    fn signals_providers_and_statuses() {
        let facts = Facts {
            signal: Some(15),
            exit_status: Some(3),
            provider_code: Some("E_BUSY".into()),
            ..Facts::default()
        };
        assert!(fits(rule(|rule| rule.signal = Some("term".into())), &facts));
        assert!(fits(rule(|rule| rule.exit_status = Some("2-4".into())), &facts));
        assert!(fits(rule(|rule| rule.provider = Some("e_*".into())), &facts));
        assert!(!fits(rule(|rule| rule.provider = Some("busy".into())), &facts));
    }

    #[test]
    fn mistakes_are_named_all_together() {
        let rules = vec![
            rule(|_| {}),
            rule(|rule| rule.http_status = Some("5yy".into())),
            Rule {
                name: String::new(),
                code: Some("store.faild".into()),
                signal: Some("SIGNAL".into()),
                text: Some("*".into()),
                retry_after_ms: Some(1),
                ..Rule::new("", Class::Persistent)
            },
        ];
        let error = Rules::new(rules).unwrap_err();
        let found: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| {
                let context: std::collections::HashMap<_, _> = problem.context().collect();
                (context["rule"].to_owned(), context["field"].to_owned())
            })
            .collect();
        let expected = [
            ("mine", "conditions"),
            ("mine", "name"),
            ("mine", "http_status"),
            ("", "name"),
            ("", "retry_after_ms"),
            ("", "text"),
            ("", "signal"),
            ("", "code"),
        ];
        assert_eq!(found, expected.map(|(rule, field)| (rule.to_owned(), field.to_owned())));
        assert!(error.report().to_string().contains("did you mean 'store.failed'?"));
    }

    #[test]
    fn statuses_are_those_of_http() {
        let status = |status: Numbers| Rules::new(vec![rule(|r| r.http_status = Some(status))]);
        for right in [Numbers::from(100), 599.into(), "1xx, 5xx, 404".into(), "100-599".into()] {
            assert!(status(right.clone()).is_ok(), "{right:?}");
        }
        for wrong in [Numbers::from(99), 600.into(), 0.into(), (-1).into(), "6xx".into()] {
            let error = status(wrong.clone()).unwrap_err();
            assert!(error.to_string().contains("field=http_status"), "{wrong:?}: {error}");
        }
        let error = status("abc".into()).unwrap_err();
        assert_eq!(error.message(), "http_status is \"abc\", and not one or several numbers");
        assert!(error.remedy().is_some_and(|remedy| remedy.starts_with("write a number, a range")));
        let error = status("404, 500-700".into()).unwrap_err();
        assert_eq!(error.message(), "500-700 is no status of HTTP");
        assert_eq!(error.remedy(), Some("they are from 100 to 599"));
        assert!(Rules::new(vec![rule(|r| r.exit_status = Some(7.into()))]).is_ok());
    }

    #[test]
    fn a_rule_survives_json() {
        let text = r#"{"name":"a","class":"transient","http_status":429,"exit_status":"1-3"}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        assert!(serde_json::from_str::<Rule>(r#"{"name":"a","class":"bad"}"#).is_err());
        assert!(serde_json::from_str::<Rule>(r#"{"name":"a","class":"critical","x":1}"#).is_err());
    }
}
