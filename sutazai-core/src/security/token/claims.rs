//! What a token claims, and when that is accepted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{fault, text};
use crate::base::time::Timestamp;
use crate::port::Session;
use crate::{Code, Error, Result};

/// The claims of an access token, by their names in PASETO and JWT (RFC 7519, §4.1; RFC 8176 for `amr`;
/// OpenID Connect Core 1.0, §2, for `auth_time`). Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom: the session's principal.
    pub sub: String,
    /// By whom it is to be accepted.
    pub aud: String,
    /// From when on it is not valid any more.
    #[serde(deserialize_with = "time")]
    pub exp: Timestamp,
    /// From when on it is valid.
    #[serde(deserialize_with = "time")]
    pub nbf: Timestamp,
    /// When it was issued.
    #[serde(deserialize_with = "time")]
    pub iat: Timestamp,
    /// Its identifier.
    pub jti: String,
    /// The family of refresh tokens that it came of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fam: Option<String>,
    /// What it may be used for; empty is whatever its subject may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// How the subject proved who they are: `pwd`, `otp`, `hwk`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When they did.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_time")]
    pub auth_time: Option<Timestamp>,
    /// What else is known of the session.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "attributes")]
    pub att: BTreeMap<String, String>,
}

impl Claims {
    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|e| Error::new(Code::INTERNAL, "claims have no JSON form").because(e))
    }

    /// Reads what was verified before.
    pub(super) fn from_json(json: &[u8]) -> Result<Self> {
        // serde takes an array for a struct as well.
        if json.first() != Some(&b'{') {
            return Err(fault::claims_form());
        }
        serde_json::from_slice(json).map_err(|_| fault::claims_form())
    }

    /// The session that these claims are of. Besides the attributes it was issued with it has, under names that no
    /// attribute can be issued with: [`ATTRIBUTE_ID`], [`ATTRIBUTE_FAMILY`], [`ATTRIBUTE_SCOPE`] and
    /// [`ATTRIBUTE_AMR`] (both separated by spaces), [`ATTRIBUTE_AUTH_TIME`] and [`ATTRIBUTE_EXPIRES`].
    pub fn session(&self, scheme: &str) -> Session {
        let mut attributes = self.att.clone();
        let mut put = |key: &str, value: String| attributes.insert(key.to_owned(), value);
        put(ATTRIBUTE_ID, self.jti.clone());
        put(ATTRIBUTE_EXPIRES, self.exp.to_string());
        put(ATTRIBUTE_ISSUED, self.iat.to_string());
        if let Some(family) = &self.fam {
            put(ATTRIBUTE_FAMILY, family.clone());
        }
        if !self.scope.is_empty() {
            put(ATTRIBUTE_SCOPE, self.scope.join(" "));
        }
        if !self.amr.is_empty() {
            put(ATTRIBUTE_AMR, self.amr.join(" "));
        }
        if let Some(time) = self.auth_time {
            put(ATTRIBUTE_AUTH_TIME, time.to_string());
        }
        Session::new(self.sub.as_str(), scheme).with_attributes(attributes)
    }
}

/// What the names of a token's own attributes begin with; no attribute can be issued with such a name, nor
/// with that of one of the session's own.
pub const RESERVED: &str = "token.";

/// Whether an attribute is the token's or the session's own.
pub(super) fn is_reserved(key: &str) -> bool {
    let own = [Session::METHODS, Session::AUTHENTICATED_AT, Session::SCOPES];
    key.starts_with(RESERVED) || own.contains(&key)
}

/// The session's attribute with the identifier of its token.
pub const ATTRIBUTE_ID: &str = "token.id";
/// … with the family of refresh tokens.
pub const ATTRIBUTE_FAMILY: &str = "token.family";
/// … with the scopes, separated by spaces.
pub const ATTRIBUTE_SCOPE: &str = Session::SCOPES;
/// … with the authentication methods, separated by spaces.
pub const ATTRIBUTE_AMR: &str = Session::METHODS;
/// … with the time of authentication.
pub const ATTRIBUTE_AUTH_TIME: &str = Session::AUTHENTICATED_AT;
/// … with the time at which the token was issued.
pub const ATTRIBUTE_ISSUED: &str = "token.issued";
/// … with the time of expiry.
pub const ATTRIBUTE_EXPIRES: &str = "token.expires";
/// … with the agent that acts, in the session of a delegated token.
pub const ATTRIBUTE_ACTOR: &str = "token.actor";
/// … with all agents that the token went through, the first one first, separated by spaces.
pub const ATTRIBUTE_ACTORS: &str = "token.actors";
/// … by which a delegated token is found again when a call is to be permitted.
pub const ATTRIBUTE_DELEGATION: &str = "token.delegation";

/// What claims must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimRules {
    pub issuer: String,
    pub audience: String,
    pub leeway: Duration,
    pub longest: Duration,
}

impl ClaimRules {
    /// Whether the claims are good now. The time is last, so that only what is meant for here is told that
    /// it has expired.
    pub(super) fn check(&self, claims: &Claims, now: Timestamp) -> Result<()> {
        if claims.iss != self.issuer {
            return Err(fault::issuer());
        }
        if claims.aud != self.audience {
            return Err(fault::audience());
        }
        if claims.exp > claims.iat + self.longest || claims.exp <= claims.nbf {
            return Err(fault::lifetime());
        }
        check_times(Some(claims.nbf), claims.iat, claims.exp, self.leeway, now)
    }
}

/// Whether it is time. What was issued in the future is refused as what is not valid yet.
pub(super) fn check_times(
    nbf: Option<Timestamp>,
    iat: Timestamp,
    exp: Timestamp,
    leeway: Duration,
    now: Timestamp,
) -> Result<()> {
    let soon = now + leeway;
    if soon < iat || nbf.is_some_and(|nbf| soon < nbf) {
        return Err(fault::early());
    }
    if now >= exp + leeway {
        return Err(fault::expired());
    }
    Ok(())
}

/// The footer that names a key.
pub(super) fn footer(kid: &str) -> String {
    format!(r#"{{"kid":"{kid}"}}"#)
}

/// The key that a footer names. Anything else in a footer is refused: it is ours.
pub(super) fn kid(footer: &[u8]) -> Result<String> {
    // As `footer` writes it, which is nearly always.
    if let Some(rest) = footer.strip_prefix(br#"{"kid":""#)
        && let Some(kid) = rest.strip_suffix(br#""}"#)
        && kid.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && let Ok(kid) = std::str::from_utf8(kid)
    {
        return Ok(kid.to_owned());
    }
    let mut map = text::object(footer).ok_or_else(fault::key)?;
    match map.remove("kid") {
        Some(serde_json::Value::String(kid)) if map.is_empty() => Ok(kid),
        _ => Err(fault::key()),
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    struct Time;
    impl Visitor<'_> for Time {
        type Value = Timestamp;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time as RFC 3339 writes it")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
            text.parse().map_err(|_| E::custom("not a time"))
        }
    }
    deserializer.deserialize_str(Time)
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    time(deserializer).map(Some)
}

fn attributes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Attributes;
    impl<'de> Visitor<'de> for Attributes {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("attributes")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, Cow<'de, str>>()? {
                if is_reserved(&key) || map.insert(key, value.into_owned()).is_some() {
                    return Err(serde::de::Error::custom("a reserved attribute, or one twice"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_nanos(secs * 1_000_000_000)
    }

    fn claims() -> Claims {
        Claims {
            iss: "us".into(),
            sub: "alice".into(),
            aud: "here".into(),
            exp: at(1900),
            nbf: at(1000),
            iat: at(1000),
            jti: "1".into(),
            fam: None,
            scope: vec!["read".into()],
            amr: vec!["pwd".into()],
            auth_time: Some(at(900)),
            att: BTreeMap::from([("team".into(), "blue".into())]),
        }
    }

    #[test]
    fn claims_survive_json() {
        let json = claims().to_json().unwrap();
        assert_eq!(Claims::from_json(&json).unwrap(), claims());
        let text = String::from_utf8(json).unwrap();
        for (from, to) in [
            (r#""iss":"us""#, r#""iss":"us","iss":"them""#),
            (r#""iss":"us""#, r#""iss":"us","admin":true"#),
            (r#""team":"blue""#, r#""team":"blue","team":"red""#),
            (r#""team":"blue""#, r#""token.id":"2""#),
            (r#""iss":"us","#, ""),
        ] {
            let other = text.replace(from, to);
            assert_ne!(other, text);
            assert_eq!(Claims::from_json(other.as_bytes()).unwrap_err().code(), Code::TOKEN_CLAIMS);
        }
    }

    #[test]
    fn each_rule_refuses() {
        let rules = ClaimRules {
            issuer: "us".into(),
            audience: "here".into(),
            leeway: Duration::from_secs(5),
            longest: Duration::from_secs(900),
        };
        let check = |claims: &Claims, secs| rules.check(claims, at(secs)).map_err(|e| e.code());
        assert_eq!(check(&claims(), 1000), Ok(()));
        assert_eq!(check(&claims(), 995), Ok(()), "the leeway");
        assert_eq!(check(&claims(), 1904), Ok(()), "the leeway");
        assert_eq!(check(&claims(), 994), Err(Code::TOKEN_EARLY));
        assert_eq!(check(&claims(), 1905), Err(Code::TOKEN_EXPIRED));
        let with = |change: fn(&mut Claims)| {
            let mut other = claims();
            change(&mut other);
            check(&other, 1000)
        };
        assert_eq!(with(|c| c.iss = "them".into()), Err(Code::TOKEN_CLAIMS));
        assert_eq!(with(|c| c.aud = "there".into()), Err(Code::TOKEN_CLAIMS));
        assert_eq!(with(|c| c.exp = at(1901)), Err(Code::TOKEN_CLAIMS), "too long a life");
        assert_eq!(with(|c| c.iat = at(1006)), Err(Code::TOKEN_EARLY));
        assert_eq!(with(|c| c.nbf = at(1006)), Err(Code::TOKEN_EARLY));
    }

    #[test]
    fn a_footer_names_a_key_and_nothing_else() {
        assert_eq!(kid(footer("k4.pid.x-_").as_bytes()).unwrap(), "k4.pid.x-_");
        assert_eq!(kid(br#"{ "kid" : "a" }"#).unwrap(), "a");
        for wrong in
            ["", "{}", r#"{"kid":1}"#, r#"{"kid":"a","kid":"b"}"#, r#"{"kid":"a","wpk":"b"}"#]
        {
            assert_eq!(kid(wrong.as_bytes()).unwrap_err().code(), Code::TOKEN_KEY, "{wrong}");
        }
    }

    #[test]
    fn a_session_knows_its_token() {
        let session = claims().session("paseto");
        assert_eq!(session.principal(), "alice");
        assert_eq!(session.attributes()[ATTRIBUTE_ID], "1");
        assert_eq!(session.attributes()[ATTRIBUTE_SCOPE], "read");
        assert_eq!(session.attributes()["team"], "blue");
    }
}
