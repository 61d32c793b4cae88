//! What is wrong with tokens, said without allocating: whoever sends garbage sends much of it.

use crate::Code;
use crate::base::error::{Error, Fixed};

macro_rules! faults {
    ($($name:ident: $code:ident, $message:literal;)*) => {
        $(pub(super) fn $name() -> Error {
            static FIXED: Fixed = Fixed { code: Code::$code, message: $message };
            Error::from(&FIXED)
        })*
    };
}

faults! {
    malformed: TOKEN_MALFORMED, "the token has not the form of one; send it whole and unchanged";
    too_long: TOKEN_MALFORMED, "the token is longer than any that is issued";
    signature: TOKEN_SIGNATURE, "the token's signature does not fit its content: it was changed, or made elsewhere";
    key: TOKEN_KEY, "no key that the token may be checked with is known here";
    algorithm: TOKEN_KEY, "the token's algorithm is not the one of its key";
    critical: TOKEN_MALFORMED, "the token demands extensions or brings its own key; neither is accepted";
    claims_form: TOKEN_CLAIMS, "the token's claims are not those of one that is issued here";
    expired: TOKEN_EXPIRED, "the token has expired; refresh it, or log in again";
    early: TOKEN_EARLY, "the token is not valid yet; check the clocks of who issued it and of this machine";
    issuer: TOKEN_CLAIMS, "the token was issued by somebody else";
    audience: TOKEN_CLAIMS, "the token is for somebody else";
    lifetime: TOKEN_CLAIMS, "the token lives longer than any that is issued here";
    revoked: TOKEN_REVOKED, "the token was revoked; log in again";
    refresh: REFRESH_INVALID, "the refresh token is unknown, expired or revoked; log in again";
    reused: REFRESH_REUSED, "the refresh token was used before; all that came of it is revoked, log in again";
    unauthenticated: UNAUTHENTICATED, "the call carries no token that is good here; log in again";
    stale: UNAUTHENTICATED, "the token has expired; refresh it, or log in again";
}
