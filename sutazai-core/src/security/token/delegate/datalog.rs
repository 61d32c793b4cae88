//! Biscuits as they are: signatures, and Datalog within limits.

use std::time::Duration;

use biscuit_auth::error::{Format, Token};
use biscuit_auth::{AuthorizerBuilder, AuthorizerLimits, Biscuit, PublicKey, RootKeyProvider};

use super::super::fault;
use super::{BLOCKS_MAX, PANICKED, RootPublicKey};
use crate::base::contain;
use crate::{Code, Error, Result};

/// How much Datalog may run to judge one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelegationLimits {
    /// The most facts; default 1,000.
    pub facts: u64,
    /// The most rounds of the rules; default 100.
    pub iterations: u64,
    /// The longest time; default 500 ms, which is far beyond what any honest token takes, on a machine that does much else
    /// as well.
    pub time: Duration,
}

impl Default for DelegationLimits {
    fn default() -> Self {
        Self { facts: 1000, iterations: 100, time: Duration::from_millis(500) }
    }
}

impl DelegationLimits {
    pub(super) fn authorizer(self) -> AuthorizerLimits {
        AuthorizerLimits {
            max_facts: self.facts,
            max_iterations: self.iterations,
            max_time: self.time,
        }
    }
}

/// Runs an authorizer, written in Biscuit's Datalog, on a Biscuit's bytes: for those who know the language and
/// for other parties' tokens. Answers which of its policies allowed.
///
/// # Errors
/// [`Code::TOKEN_MALFORMED`] and [`Code::TOKEN_SIGNATURE`] as the token has it, [`Code::INVALID`] for code
/// that cannot be read, [`Code::DELEGATION_DENIED`] when no policy allows, a check fails, or a limit is
/// reached.
pub fn authorize_datalog(
    token: &[u8],
    root: &RootPublicKey,
    code: &str,
    limits: DelegationLimits,
) -> Result<usize> {
    let biscuit = open(token, |_| Some(*root))?;
    let builder = AuthorizerBuilder::new().code(code).map_err(|e| {
        Error::new(Code::INVALID, "the authorizer's code cannot be read")
            .operation("security.delegate")
            .because(e)
    })?;
    run(builder, &biscuit, limits)
}

/// The identifiers by which a Biscuit and what came of it can be revoked, one a block, in hexadecimal.
///
/// # Errors
/// As [`authorize_datalog`].
pub fn revocation_ids(token: &[u8], root: &RootPublicKey) -> Result<Vec<String>> {
    Ok(ids(&open(token, |_| Some(*root))?))
}

pub(super) fn ids(biscuit: &Biscuit) -> Vec<String> {
    let hex = |id: Vec<u8>| id.iter().map(|byte| format!("{byte:02x}")).collect();
    biscuit.revocation_identifiers().into_iter().map(hex).collect()
}

struct Choose<F>(F);

impl<F: Fn(u32) -> Option<RootPublicKey>> RootKeyProvider for Choose<F> {
    fn choose(&self, id: Option<u32>) -> Result<PublicKey, Format> {
        (self.0)(id.unwrap_or(0)).map(|key| key.0).ok_or(Format::UnknownPublicKey)
    }
}

/// The Biscuit of these bytes, its signatures verified with the key of its root's number.
pub(super) fn open(token: &[u8], choose: impl Fn(u32) -> Option<RootPublicKey>) -> Result<Biscuit> {
    // The bytes are anybody's: a panic in what reads them must not be ours.
    let read = contain::run(PANICKED, || Biscuit::from(token, Choose(choose)))
        .map_err(|_| fault::malformed())?;
    let biscuit = read.map_err(|e| match e {
        Token::Format(Format::UnknownPublicKey) => fault::key(),
        Token::Format(
            Format::Signature(_)
            | Format::SealedSignature
            | Format::InvalidSignatureSize(_)
            | Format::BlockSignatureDeserializationError(_)
            | Format::SignatureDeserializationError(_),
        ) => fault::signature(),
        _ => fault::malformed(),
    })?;
    if biscuit.block_count() > BLOCKS_MAX {
        return Err(fault::malformed());
    }
    Ok(biscuit)
}

/// Runs an authorizer on a Biscuit.
pub(super) fn run(
    builder: AuthorizerBuilder,
    biscuit: &Biscuit,
    limits: DelegationLimits,
) -> Result<usize> {
    let ran = contain::run(PANICKED, || {
        let authorizer = builder.set_limits(limits.authorizer()).build(biscuit);
        authorizer.and_then(|mut authorizer| authorizer.authorize())
    })
    .map_err(|_| denied())?;
    ran.map_err(|e| denied().because(e))
}

fn denied() -> Error {
    Error::new(Code::DELEGATION_DENIED, "the delegated token does not allow this")
        .operation("security.delegate")
        .advice("ask who handed it out for one that does")
}
