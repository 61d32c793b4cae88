//! Weighs everything that is known of a failure by the built-in rules.

use std::fmt::Write as _;
use std::time::Duration;

use super::evidence::{BROAD, Evidence, LOOSE, OWN, Scale};
use super::facts::{Facts, Protocol};
use super::text::{self, Numbers, Words};
use super::{exception, exit, http, io, rpc, sql};
use crate::{Class, Error};

/// Sources of a source that are read.
const DEEPEST: usize = 8;

/// Everything that is known, weighed.
#[derive(Default)]
pub(super) struct Weighed {
    pub(super) scale: Scale,
    /// The longest time to wait that a text gives.
    pub(super) wait: Option<Duration>,
    numbers: Numbers,
    /// Whether the type of an exception has been seen.
    typed: bool,
}

pub(super) fn weigh_all(facts: &Facts<'_>) -> Weighed {
    let mut weighed = Weighed::default();
    weighed.structured(facts);
    weighed.text(&facts.message);
    facts.causes.iter().for_each(|cause| weighed.text(cause));
    let mut next = facts.source;
    for _ in 0..DEEPEST {
        let Some(source) = next else { break };
        weighed.source(source);
        next = source.source();
    }
    if let Some(stderr) = &facts.stderr {
        weighed.text(stderr);
    }
    weighed.numbers(facts);
    weighed
}

impl Weighed {
    fn structured(&mut self, facts: &Facts<'_>) {
        let scale = &mut self.scale;
        scale.add_some(http::should_retry(facts));
        scale.add_some(facts.sqlstate.as_deref().and_then(|state| sql::state(state.as_bytes())));
        scale.add_some(facts.rpc_code.and_then(|code| rpc::code(facts.rpc, code)));
        if let Some(name) = &facts.exception {
            exception::weigh(name, facts.bases.iter().map(AsRef::as_ref), scale);
            self.typed = true;
        }
        scale.add_some(facts.io.and_then(io::kind));
        scale.add_some(facts.errno.and_then(io::errno));
        scale.add_some(facts.signal.and_then(exit::signal));
        scale.add_some(facts.exit_status.and_then(exit::status));
        scale.add_some(facts.http_status.and_then(http::status));
        scale.add_some(http::asks_to_wait(facts));
        let own = facts.code.map(|code| (facts.class.unwrap_or_else(|| code.class()), code));
        scale.add_some(match (own, facts.class) {
            (Some((class, code)), _) => Some(Evidence::new(OWN, class, code.name(), code.doc())),
            (None, Some(class)) => {
                Some(Evidence::new(OWN, class, "error.class", "the error says so itself"))
            }
            (None, None) => None,
        });
        for name in [&facts.provider_type, &facts.provider_code].into_iter().flatten() {
            self.provider(name, facts);
        }
    }

    /// What a provider calls it: a name in words, one of gRPC's, an error number's, or a status.
    fn provider(&mut self, name: &str, facts: &Facts<'_>) {
        let scale = &mut self.scale;
        scale.add_some(
            rpc::grpc_number(name).and_then(|code| rpc::code(Some(Protocol::Grpc), code)),
        );
        scale.add_some(io::errno_named(name));
        if facts.http_status.is_none() {
            scale.add_some(name.parse().ok().and_then(http::status));
        }
        scale.add_some(exception::in_words(name, "provider.code"));
    }

    fn text(&mut self, given: &str) {
        if given.is_empty() {
            return;
        }
        let text = exception::of_traceback(given);
        if !self.typed
            && let Some(name) =
                exception::in_text(text).or_else(|| exception::in_text(exception::last_line(text)))
        {
            exception::weigh(name, [], &mut self.scale);
            self.typed = true;
        }
        self.words(&Words::of(text));
    }

    /// As a text, but one that can only be displayed.
    fn source(&mut self, source: &(dyn std::error::Error + 'static)) {
        let mut words = Words::new(128);
        match source.downcast_ref::<Error>() {
            Some(own) => words.read(own.message()),
            // Words take what they are given.
            None => drop(write!(words, "{source} ")),
        }
        self.words(&words);
    }

    fn words(&mut self, words: &Words) {
        text::weigh(words, &mut self.scale, &mut self.wait);
        self.numbers.read(words);
    }

    /// What numbers in texts say, where nobody handed over the fact itself.
    fn numbers(&mut self, facts: &Facts<'_>) {
        let Self { scale, numbers, .. } = self;
        if facts.http_status.is_none() {
            scale.add_some(numbers.http_status.and_then(http::status));
        }
        scale.add_some(numbers.smtp_for_good.map(|for_good| match for_good {
            true => {
                Evidence::new(BROAD, Class::Persistent, "smtp.reply", "SMTP 5yz: refused for good")
            }
            false => Evidence::new(LOOSE, Class::Transient, "smtp.reply", "SMTP 4yz: not for now"),
        }));
        if facts.errno.is_none() {
            scale.add_some(numbers.errno.and_then(io::errno));
        }
        if facts.exit_status.is_none() {
            scale.add_some(numbers.exit_status.and_then(exit::status));
        }
        if facts.signal.is_none() {
            scale.add_some(numbers.signal.and_then(exit::signal));
        }
        if facts.rpc_code.is_none() {
            scale.add_some(numbers.rpc_code.and_then(|code| rpc::code(facts.rpc, code)));
        }
        if facts.sqlstate.is_none() {
            scale.add_some(numbers.sqlstate.and_then(|state| sql::state(&state)));
        }
    }
}
