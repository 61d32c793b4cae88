//! Why an ID token is refused.

use super::super::jwt::JwtFault;

/// Why an ID token is refused: for the audit trail, not for who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdTokenRefusal {
    /// It is no JWT, has a key twice, or demands extensions.
    Form,
    /// Its key is not among the issuer's.
    Key,
    /// Its algorithm is not on the list, or not its key's.
    Algorithm,
    /// Its signature does not fit.
    Signature,
    /// It was issued by somebody else.
    Issuer,
    /// It is for another client, or also for one that is not trusted.
    Audience,
    /// It was made for another party (`azp`).
    AuthorizedParty,
    /// It does not say whom it means.
    Subject,
    /// Its times are missing, or none.
    Times,
    /// It has expired.
    Expired,
    /// It is not valid yet, or was issued in the future.
    Early,
    /// It was issued too long ago.
    Old,
    /// It belongs to another login.
    Nonce,
    /// They proved who they are too long ago, or it does not say when.
    AuthTime,
    /// It belongs to another access token.
    AccessHash,
}

impl IdTokenRefusal {
    /// Its name in the audit trail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Key => "key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::AuthorizedParty => "authorized_party",
            Self::Subject => "subject",
            Self::Times => "times",
            Self::Expired => "expired",
            Self::Early => "early",
            Self::Old => "old",
            Self::Nonce => "nonce",
            Self::AuthTime => "auth_time",
            Self::AccessHash => "access_hash",
        }
    }

    /// What is wrong with the JWT.
    pub(super) fn of(fault: JwtFault) -> Self {
        match fault {
            JwtFault::Length | JwtFault::Form | JwtFault::Critical => Self::Form,
            JwtFault::Key => Self::Key,
            JwtFault::Algorithm => Self::Algorithm,
            JwtFault::Signature => Self::Signature,
        }
    }
}

impl std::fmt::Display for IdTokenRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
