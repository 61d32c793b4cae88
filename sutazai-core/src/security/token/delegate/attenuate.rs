//! Taking away: what a token's holder adds to it before handing it on.

use std::collections::{BTreeSet, HashMap};

use biscuit_auth::builder::Term;
use biscuit_auth::{BlockBuilder, UnverifiedBiscuit};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::fault;
use super::facts::{date, pointer};
use super::{BLOCKS_MAX, PANICKED, bytes_of, text_of};
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The longest name of an agent, in bytes.
const AGENT_MAX: usize = 256;

/// What an agent may still do with a token. Everything that is said takes away; nothing gives.
///
/// A condition on an argument also demands that the call has it, with a value of the condition's type.
/// Arguments are named by their key, or inside others by JSON pointer: `/to/0`.
#[derive(Clone, Debug)]
pub struct Attenuation {
    agent: String,
    until: Option<Timestamp>,
    depth: Option<usize>,
    checks: Vec<(&'static str, Vec<(&'static str, Term)>)>,
}

/// What a block says of itself, beside its checks: its context.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    /// Whom the token was handed to.
    pub agent: String,
    /// Until when, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The most blocks after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
}

impl Attenuation {
    /// For this agent.
    pub fn new(agent: impl Into<String>) -> Self {
        Self { agent: agent.into(), until: None, depth: None, checks: Vec::new() }
    }

    /// Only these skills.
    #[must_use]
    pub fn skills<S: Into<String>>(mut self, skills: impl IntoIterator<Item = S>) -> Self {
        let skills: BTreeSet<_> = skills.into_iter().map(|skill| Term::Str(skill.into())).collect();
        self.checks.push((
            "check if skill($skill), {skills}.contains($skill)",
            vec![("skills", Term::Set(skills))],
        ));
        self
    }

    /// Only while this argument is a text that begins so. It is compared as text: a path that goes up again
    /// (`..`) begins so as well, so that whoever takes paths resolves them first.
    #[must_use]
    pub fn argument_prefix(mut self, name: &str, prefix: impl Into<String>) -> Self {
        self.checks.push((
            "check if argument({name}, $value), $value.starts_with({prefix})",
            vec![("name", Term::Str(pointer(name))), ("prefix", Term::Str(prefix.into()))],
        ));
        self
    }

    /// Only while this argument is one of these texts.
    #[must_use]
    pub fn argument_one_of<S: Into<String>>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        let values: BTreeSet<_> = values.into_iter().map(|value| Term::Str(value.into())).collect();
        self.checks.push((
            "check if argument({name}, $value), {values}.contains($value)",
            vec![("name", Term::Str(pointer(name))), ("values", Term::Set(values))],
        ));
        self
    }

    /// Only while this argument is a whole number from `least` to `most`, both included.
    #[must_use]
    pub fn argument_range(mut self, name: &str, least: i64, most: i64) -> Self {
        self.checks.push((
            "check if argument({name}, $value), $value >= {least}, $value <= {most}",
            vec![
                ("name", Term::Str(pointer(name))),
                ("least", Term::Integer(least)),
                ("most", Term::Integer(most)),
            ],
        ));
        self
    }

    /// Only before this time, in whole seconds, rounded down.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self.checks.push(("check if time($now), $now < {until}", vec![("until", date(time))]));
        self
    }

    /// Only if it is attenuated at most so many times more; 0 is not at all.
    #[must_use]
    pub fn depth(mut self, more: usize) -> Self {
        self.depth = Some(more);
        self
    }

    /// The agent.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The block for a token that has so many.
    fn block(&self, blocks: usize) -> Result<BlockBuilder> {
        let invalid = |message: &'static str| {
            Error::new(Code::INVALID, message).operation("security.delegate.attenuate")
        };
        let named = !self.agent.is_empty() && self.agent.len() <= AGENT_MAX;
        if !named || self.agent.contains(char::is_whitespace) {
            return Err(invalid("an agent's name is one word of 1 to 256 bytes"));
        }
        if blocks >= BLOCKS_MAX {
            return Err(invalid("the token was attenuated as often as it can be"));
        }
        let depth = self.depth.map(|more| blocks.saturating_add(more));
        let whole = |time: Timestamp| time.as_nanos().div_euclid(1_000_000_000) * 1_000_000_000;
        let until = self.until.map(whole);
        let context = Context { agent: self.agent.clone(), until, depth };
        let context = serde_json::to_string(&context)
            .map_err(|e| Error::new(Code::INTERNAL, "a block has no JSON form").because(e))?;
        let mut checks = self.checks.clone();
        if let Some(depth) = depth {
            let depth = i64::try_from(depth).unwrap_or(i64::MAX);
            checks.push((
                "check if depth($depth), $depth <= {most}",
                vec![("most", Term::Integer(depth))],
            ));
        }
        checks
            .into_iter()
            .try_fold(BlockBuilder::new().context(context), |block, (check, terms)| {
                let terms = terms.into_iter().map(|(name, term)| (name.to_owned(), term)).collect();
                block.code_with_params(check, terms, HashMap::new())
            })
            .map_err(|e| invalid("the token cannot be attenuated so").because(e))
    }
}

/// Attenuates a token. Takes no key, and asks nobody: whoever holds a token may do it, and hand on the result instead of
/// what they hold.
///
/// # Errors
/// [`Code::TOKEN_MALFORMED`] for what is no such token, or would be too long; [`Code::INVALID`] for a name
/// that is none, and when the token is sealed or has [`BLOCKS_MAX`] blocks.
pub fn attenuate(token: &str, less: &Attenuation) -> Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(bytes_of(token)?);
    let read = contain::run(PANICKED, || UnverifiedBiscuit::from(&*bytes))
        .map_err(|_| fault::malformed())?;
    let biscuit = read.map_err(|_| fault::malformed())?;
    let block = less.block(biscuit.block_count())?;
    let appended =
        contain::run(PANICKED, || biscuit.append(block).and_then(|biscuit| biscuit.to_vec()))?;
    let bytes = appended.map_err(|e| {
        Error::new(Code::INVALID, "the token cannot be attenuated: it is sealed")
            .operation("security.delegate.attenuate")
            .because(e)
    })?;
    text_of(&Zeroizing::new(bytes))
}
