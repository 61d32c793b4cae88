//! Rows of the room `security`: tokens that somebody hands an agent, less than their own.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dispatch::Surface;
use super::operation::Operation;
use super::who::By;
use crate::base::time::Timestamp;
use crate::security::token::Grant;
use crate::security::token::delegate::Attenuation;
use crate::{Code, Error, Result};

/// What a token that is not good is answered with, and what giving out another may be.
const ERRORS: &[Code] = &[
    Code::INVALID,
    Code::TOKEN_MALFORMED,
    Code::TOKEN_KEY,
    Code::TOKEN_SIGNATURE,
    Code::TOKEN_CLAIMS,
    Code::TOKEN_EARLY,
    Code::TOKEN_EXPIRED,
    Code::TOKEN_REVOKED,
    Code::DELEGATION_DENIED,
    Code::STORE_FAILED,
    Code::AUDIT_FAILED,
    Code::AUDIT_FULL,
];

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.delegate",
            "Mints a token for an agent that acts for somebody: by their access token, or vouched for by the host.",
            ERRORS,
            delegate,
        ),
        Operation::blocking(
            "security.delegate_attenuate",
            "Takes away from a delegated token before it is handed on: skills, arguments, time, depth.",
            ERRORS,
            attenuate,
        ),
        Operation::blocking(
            "security.delegate_verify",
            "Whose a delegated token is and who acts with it, if it is good, and whether it allows a call.",
            ERRORS,
            verify,
        ),
        Operation::blocking(
            "security.delegate_revoke",
            "Revokes a delegated token and all that were made of it; at once, and after a restart.",
            ERRORS,
            revoke,
        ),
    ]);
}

/// What an agent may still do. Everything takes away.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Less {
    /// Whom it is handed to: one word.
    agent: String,
    /// Only these skills.
    skills: Option<Vec<String>>,
    /// Only while these arguments are so; by their keys, or inside others by JSON pointer: `/to/0`.
    #[serde(default)]
    arguments: BTreeMap<String, Condition>,
    /// Only for so many milliseconds.
    lasts_ms: Option<u64>,
    /// Only if it is handed on at most so many times more; 0 is not at all.
    depth: Option<usize>,
}

/// What an argument has to be.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Condition {
    /// A text that begins so.
    Prefix(String),
    /// One of these texts.
    OneOf(Vec<String>),
    /// A whole number in this range.
    Range {
        /// At least.
        least: i64,
        /// At most.
        most: i64,
    },
}

impl Less {
    fn attenuation(self, now: Timestamp) -> Attenuation {
        let mut less = Attenuation::new(self.agent);
        if let Some(skills) = self.skills {
            less = less.skills(skills);
        }
        for (name, condition) in self.arguments {
            less = match condition {
                Condition::Prefix(prefix) => less.argument_prefix(&name, prefix),
                Condition::OneOf(values) => less.argument_one_of(&name, values),
                Condition::Range { least, most } => less.argument_range(&name, least, most),
            };
        }
        if let Some(lasts) = self.lasts_ms {
            less = less.until(now + Duration::from_millis(lasts));
        }
        match self.depth {
            Some(depth) => less.depth(depth),
            None => less,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The access token of whom the agent acts for: it gets what that may do, and ends with its family.
    token: Option<String>,
    /// Or whom the host vouches for; on the record as an override of the logins.
    principal: Option<String>,
    /// What it may be used for, where the host vouches: skills, or how they begin.
    #[serde(default)]
    scopes: Vec<String>,
    /// Who vouches.
    by: Option<By>,
    /// How long it lives, in milliseconds; at most a day.
    lasts_ms: u64,
    /// What the agent gets of it; all of it, for nobody in particular, without it.
    to: Option<Less>,
}

#[derive(Serialize, JsonSchema)]
struct Delegation {
    /// The token: what the agent calls with.
    token: String,
    /// When its root ends; it may say an earlier time itself.
    expires: Timestamp,
}

fn delegate(surface: &Surface, request: Wanted) -> Result<Delegation> {
    let kernel = surface.kernel();
    let (security, now) = (kernel.security()?, kernel.runtime().timestamp());
    let Wanted { token, principal, scopes, by, lasts_ms, to } = request;
    let lives = Duration::from_millis(lasts_ms);
    let less = to.map(|less| less.attenuation(now));
    let minted = match (token, principal, by) {
        (Some(token), None, None) if scopes.is_empty() => {
            security.delegate(&token, lives, less.as_ref(), now)?
        }
        (None, Some(principal), Some(by)) => {
            let grant = Grant::new(principal).scope(scopes);
            security.vouch_delegation(&grant, &by, lives, less.as_ref(), now)?
        }
        _ => {
            return Err(Error::new(
                Code::INVALID,
                "give either a token, or a principal (with scopes) and who vouches for them",
            )
            .operation("security.delegate"));
        }
    };
    Ok(Delegation { token: minted.token.to_string(), expires: minted.claims.exp })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Attenuate {
    /// The token.
    token: String,
    /// What is left of it, and for whom.
    to: Less,
}

#[derive(Serialize, JsonSchema)]
struct Attenuated {
    /// The token to hand on.
    token: String,
}

fn attenuate(surface: &Surface, request: Attenuate) -> Result<Attenuated> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let less = request.to.attenuation(now);
    let token = kernel.security()?.delegations().attenuate(&request.token, &less, now)?;
    Ok(Attenuated { token: token.to_string() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// The token.
    token: String,
    /// Whether it allows a call of this skill is asked, too.
    skill: Option<String>,
    /// The input of that call: an object.
    #[serde(default)]
    arguments: Value,
}

#[derive(Serialize, JsonSchema)]
struct VerifiedView {
    /// Whom it acts for.
    principal: String,
    /// The agents that it was handed to, the first one first.
    actors: Vec<String>,
    /// When the first of its times ends.
    expires: Timestamp,
    /// What is known of the session.
    attributes: BTreeMap<String, String>,
}

fn verify(surface: &Surface, request: Verify) -> Result<VerifiedView> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let delegations = kernel.security()?.delegations();
    let held = delegations.verify(&request.token, now)?;
    if let Some(skill) = &request.skill {
        delegations.permit(&held.session, skill, &request.arguments, now)?;
    }
    Ok(VerifiedView {
        principal: held.session.principal().to_owned(),
        actors: held.actors.clone(),
        expires: held.expires,
        attributes: held.session.attributes().clone(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// The token.
    token: String,
    /// Whether its root goes with it, and so all that were ever made of that.
    #[serde(default)]
    root: bool,
    /// Who revokes.
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct Revoked {
    /// Always true; failing to is an error.
    revoked: bool,
}

fn revoke(surface: &Surface, request: Revoke) -> Result<Revoked> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    kernel.security()?.revoke_delegation(&request.token, request.root, &request.by, now)?;
    Ok(Revoked { revoked: true })
}
