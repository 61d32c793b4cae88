//! The agent `secrets`: credentials that stand in files.
//!
//! Two ways to find them. Credentials of known issuers have a form of their own; there the form
//! decides. Anything else shows itself by its name and its look: something named like a secret is
//! assigned a text that is long and random enough (Shannon entropy of its characters, as
//! truffleHog and detect-secrets do). What reads like a placeholder or a name is not reported.
//!
//! A finding never holds the secret: only the public prefix of its form, and its length.

use std::sync::Arc;

use regex::bytes::{Captures, Regex};
use sutazai_core::agent::{FnAgent, from_fn_with};
use sutazai_core::port::{AgentCard, Task};
use sutazai_core::{Code, Error, Result};

use super::file;

/// A credential that was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Secret {
    /// Line, from 1.
    pub line: usize,
    /// What kind.
    pub rule: String,
    /// As much of it as anybody may see.
    pub shown: String,
}

/// Findings in one file, at most: a file with more is a list of test data.
const MOST: usize = 50;

pub fn agent(most_bytes: u64) -> Result<FnAgent> {
    let rules = Arc::new(Rules::new()?);
    let card = AgentCard::new("secrets", ["find-secrets"]).description("finds credentials");
    Ok(from_fn_with(card, move |task: &Task, context| {
        let text = file::read(&file::path_of(task)?, most_bytes)?;
        if context.cancelled() {
            return Err(Error::new(Code::CANCELLED, "nobody waits any more"));
        }
        sutazai_core::base::payload::Payload::json(&rules.find(&text))
    }))
}

/// The rules, compiled.
pub struct Rules {
    known: Vec<(Rule, Regex)>,
    assignment: Regex,
    environment: Regex,
}

struct Rule {
    name: &'static str,
    /// What of it is public: this many characters.
    prefix: usize,
    form: &'static str,
}

const fn rule(name: &'static str, prefix: usize, form: &'static str) -> Rule {
    Rule { name, prefix, form }
}

/// The forms, as their issuers document them; group 1, where there is one, is the secret.
const KNOWN: &[Rule] = &[
    rule("aws-access-key", 4, r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b"),
    rule("github-token", 4, r"\b(gh[pousr]_[A-Za-z0-9]{36,255})\b"),
    rule("github-token", 11, r"\b(github_pat_[A-Za-z0-9_]{82})\b"),
    rule("gitlab-token", 6, r"\b(glpat-[0-9A-Za-z_-]{20,})"),
    rule("slack-token", 5, r"\b(xox[abprs]-[0-9]{8,}-[0-9A-Za-z-]{10,})"),
    rule(
        "slack-webhook",
        0,
        r"https://hooks\.slack\.com/services/(T[0-9A-Z]{8,}/B[0-9A-Z]{8,}/[0-9A-Za-z]{20,})",
    ),
    rule("google-api-key", 4, r"\b(AIza[0-9A-Za-z_-]{35})\b"),
    rule("stripe-key", 8, r"\b([sr]k_live_[0-9A-Za-z]{24,})\b"),
    rule("sendgrid-key", 3, r"\b(SG\.[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43})\b"),
    rule("npm-token", 4, r"\b(npm_[A-Za-z0-9]{36})\b"),
    rule("pypi-token", 5, r"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})"),
    rule("anthropic-key", 11, r"\b(sk-ant-api03-[A-Za-z0-9_-]{80,})"),
    rule("openai-key", 3, r"\b(sk-(?:proj-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,})"),
    rule("jwt", 3, r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,})"),
    rule(
        "private-key",
        0,
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\n|\\r|\s)*((?:[A-Za-z0-9+/=]|\\n|\\r|\s){64,})",
    ),
    rule(
        "url-password",
        0,
        r#"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@"'<>$\{\}]{1,64}:([^\s:/@"'<>$\{\}]{8,128})@[a-zA-Z0-9]"#,
    ),
];

const ASSIGNMENT: &str = r#"(?i)(?:secret|passwo?r?d|passwd|token|api[_-]?key|access[_-]?key|auth[_-]?key|credential)[\w.-]{0,32}["']?\s{0,8}(?:=>|:=|=|:)\s{0,8}["']([^"'\s]{16,160})["']"#;
const ENVIRONMENT: &str = r#"(?m)^(?:export )?[A-Z0-9_]*(?:SECRET|TOKEN|PASSWORD|API_KEY|ACCESS_KEY)[A-Z0-9_]*=([^\s"'#$]{16,160})\s*$"#;

impl Rules {
    /// # Errors
    /// When a form does not compile: a defect of this file.
    pub fn new() -> Result<Self> {
        let compile = |form: &str| {
            // Bytes, not characters: files are not always UTF-8, and the forms are ASCII.
            regex::bytes::RegexBuilder::new(form)
                .unicode(false)
                .build()
                .map_err(|e| Error::new(Code::INTERNAL, "a rule does not compile").because(e))
        };
        let mut known = Vec::new();
        for rule in KNOWN {
            known.push((self::rule(rule.name, rule.prefix, rule.form), compile(rule.form)?));
        }
        Ok(Self { known, assignment: compile(ASSIGNMENT)?, environment: compile(ENVIRONMENT)? })
    }

    /// The credentials in this text, in order of lines.
    pub fn find(&self, text: &[u8]) -> Vec<Secret> {
        // Where, what, what may be seen; the form of an issuer comes before the mere look.
        let mut found: Vec<(usize, &str, String)> = Vec::new();
        for (rule, regex) in &self.known {
            for captures in regex.captures_iter(text).take(MOST) {
                let Some((at, secret)) = secret(&captures) else { continue };
                if !is_placeholder(secret) && distinct(secret) >= 6 {
                    found.push((at, rule.name, shown(secret, rule.prefix)));
                }
            }
        }
        for regex in [&self.assignment, &self.environment] {
            for captures in regex.captures_iter(text).take(MOST) {
                let Some((at, secret)) = secret(&captures) else { continue };
                if looks_random(secret) && !is_placeholder(secret) {
                    found.push((at, "assigned-secret", shown(secret, 0)));
                }
            }
        }
        found.sort_by_key(|(at, ..)| *at);
        found.dedup_by_key(|(at, ..)| *at);
        found.truncate(MOST);
        // Lines are counted once through the text.
        let (mut line, mut until) = (1, 0);
        found
            .into_iter()
            .map(|(at, rule, shown)| {
                let between = text.get(until..at).unwrap_or_default();
                line += between.iter().filter(|b| **b == b'\n').count();
                until = at;
                Secret { line, rule: rule.to_owned(), shown }
            })
            .collect()
    }
}

fn secret<'a>(captures: &Captures<'a>) -> Option<(usize, &'a [u8])> {
    let secret = captures.get(1)?;
    Some((secret.start(), secret.as_bytes()))
}

fn shown(secret: &[u8], prefix: usize) -> String {
    let prefix = String::from_utf8_lossy(secret.get(..prefix).unwrap_or_default());
    format!("{prefix}… ({} characters)", secret.len())
}

/// Random enough: hexadecimal of at least 32 digits, or at least 20 characters of letters and
/// digits whose entropy is beyond that of words.
fn looks_random(secret: &[u8]) -> bool {
    if secret.len() < 20 || !secret.iter().all(|b| b.is_ascii_graphic()) {
        return false;
    }
    let hex = secret.iter().all(u8::is_ascii_hexdigit);
    if hex {
        return secret.len() >= 32 && entropy(secret) >= 3.0;
    }
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || b"+/=_-.~".contains(b);
    let digits = secret.iter().filter(|b| b.is_ascii_digit()).count();
    let upper = secret.iter().filter(|b| b.is_ascii_uppercase()).count();
    let lower = secret.iter().filter(|b| b.is_ascii_lowercase()).count();
    // Words joined by separators are names; a path has many parts.
    let separators = secret.iter().filter(|b| b"_-./:".contains(b)).count();
    secret.iter().all(alphabet)
        && digits >= 2
        && upper >= 1
        && lower >= 2
        && separators * 6 <= secret.len()
        && entropy(secret) >= 3.7
}

fn is_placeholder(secret: &[u8]) -> bool {
    const WORDS: [&str; 16] = [
        "example",
        "changeme",
        "change_me",
        "placeholder",
        "dummy",
        "your",
        "xxxx",
        "sample",
        "insert",
        "redacted",
        "fake",
        "123456789",
        "abcdefgh",
        "password",
        "${",
        "{{",
    ];
    let text = String::from_utf8_lossy(secret).to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word)) || text.starts_with(['<', '$', '%'])
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

/// Shannon's, in bits a character.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        Rules::new().unwrap().find(text.as_bytes()).into_iter().map(|s| (s.line, s.rule)).collect()
    }

    /// Put together here, so that this file does not hold what it looks for.
    fn made(prefix: &str, length: usize) -> String {
        let alphabet = b"a8Kq3ZtV5nB7xWc2RmJ4hYd6PsL9gFe";
        let body = (0..length).map(|n| char::from(alphabet[n * 7 % alphabet.len()]));
        prefix.chars().chain(body).collect()
    }

    #[test]
    fn known_forms_are_found_with_their_line_and_without_their_content() {
        let key = made("ghp_", 36);
        let text = format!("one\ntwo\nlet k = \"{key}\";\n");
        let secrets = Rules::new().unwrap().find(text.as_bytes());
        assert_eq!(secrets.len(), 1, "{secrets:?}");
        assert_eq!((secrets[0].line, &*secrets[0].rule), (3, "github-token"));
        assert_eq!(secrets[0].shown, "ghp_… (40 characters)");
        assert!(!serde_json::to_string(&secrets).unwrap().contains(&key[4..10]));
    }

    #[test]
    fn each_form_finds_its_own() {
        let jwt = format!("{}.{}.{}", made("eyJ", 20), made("eyJ", 30), made("", 43));
        let begin = "-----BEGIN RSA PRIVATE";
        for (rule, text) in [
            ("aws-access-key", format!("id: {}Q3ZTV5NB7XWC2RMJ", "AKIA")),
            ("slack-token", format!("{}-{}", "xoxb-123401234", made("", 24))),
            ("google-api-key", made("AIza", 35)),
            ("stripe-key", made("sk_live_", 30)),
            ("npm-token", made("npm_", 36)),
            ("jwt", jwt),
            ("private-key", format!("{begin} KEY-----\n{}\n", made("MII", 64))),
            ("private-key", format!("\"{begin} KEY-----\\n{}\\n\"", made("MII", 64))),
            ("url-password", format!("postgres://app:{}@db.internal/x", made("", 16))),
            ("assigned-secret", format!("client_secret = \"{}\"", made("", 40))),
            ("assigned-secret", format!("'api-key': '{}'", made("", 24))),
            ("assigned-secret", format!("export APP_TOKEN={}", made("", 32))),
        ] {
            let rules: Vec<_> = found(&text).into_iter().map(|(_, rule)| rule).collect();
            assert_eq!(rules, [rule], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        for text in [
            "aws_key = \"AKIAIOSFODNN7EXAMPLE\"",
            "password = \"correct horse battery staple\"",
            "token = \"CARGO_REGISTRY_DEFAULT_TOKEN\"",
            "secret = \"your-secret-goes-here-1234\"",
            "api_key: \"${API_KEY_FROM_ENVIRONMENT}\"",
            "token = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
            "let token = \"src/very/long/path/To/a/file2.rs3\"",
            "checksum = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "https://user:password@example.com/",
            "https://user:${PASSWORD_X}@host/",
            "TOKEN=some_function_call_here",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
