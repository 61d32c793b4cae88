//! A record as a value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encode::{Personal, View, encode};
use super::{RECORD_MAX, too_long};
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditOutcome, AuditValue};
use crate::{Code, Error, Result};

/// The value of a detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Detail {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
}

// An untagged enum tries each variant in turn, and makes an error for each that it is not.
impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Of;
        impl serde::de::Visitor<'_> for Of {
            type Value = Detail;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }

            fn visit_bool<E>(self, value: bool) -> std::result::Result<Detail, E> {
                Ok(Detail::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> std::result::Result<Detail, E> {
                Ok(Detail::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<Detail, E> {
                i64::try_from(value).map(Detail::Int).map_err(E::custom)
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Detail, E> {
                Ok(Detail::Text(text.to_owned()))
            }
        }
        from.deserialize_any(Of)
    }
}

/// What the index wants to know of a record, without a copy of it.
#[derive(Deserialize)]
pub(in crate::security::audit) struct Skim<'a> {
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    #[serde(borrow)]
    at: Cow<'a, str>,
    pub class: AuditClass,
    #[serde(default, borrow)]
    pub object: Cow<'a, str>,
    pub outcome: AuditOutcome,
    #[serde(borrow)]
    pub principal: Cow<'a, str>,
}

impl<'a> Skim<'a> {
    /// `None` when it is no record.
    pub(in crate::security::audit) fn of(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// When it happened.
    pub(in crate::security::audit) fn at(&self) -> Option<i64> {
        self.at.parse().ok()
    }
}

/// The personal details of a record, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The sealed details, in Base64; only the subject's key opens them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// Whose they are.
    pub subject: String,
    /// How many there were, where there was nowhere to keep a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<u64>,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Record {
    /// What kind.
    pub class: AuditClass,
    /// What was done.
    pub action: String,
    /// Who did it.
    pub principal: String,
    /// To what; empty where there was nothing to name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// When.
    pub at: Timestamp,
    /// The trace that it was a part of, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The span in that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// What else was worth keeping.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Detail>,
    /// Details that were cut, and how many bytes they had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cut: BTreeMap<String, u64>,
    /// Details about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Sealed>,
}

/// A record as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    action: String,
    at: String,
    class: AuditClass,
    #[serde(default)]
    cut: BTreeMap<String, u64>,
    #[serde(default)]
    details: BTreeMap<String, Detail>,
    #[serde(default)]
    object: String,
    outcome: AuditOutcome,
    personal: Option<Sealed>,
    principal: String,
    span: Option<String>,
    trace: Option<String>,
    v: u8,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the bytes are not a record of a known version.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > RECORD_MAX {
            return Err(too_long("record", bytes.len(), RECORD_MAX));
        }
        let bad = |why| {
            Error::new(Code::INVALID, "the bytes are not an audit record").with("reason", why)
        };
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if raw.v != 1 {
            return Err(bad(format!("version {} is not known", raw.v)));
        }
        let at = raw.at.parse().map_err(|_| bad("`at` is no number of nanoseconds".to_owned()))?;
        Ok(Self {
            class: raw.class,
            action: raw.action,
            principal: raw.principal,
            object: raw.object,
            outcome: raw.outcome,
            at: Timestamp::from_nanos(at),
            trace: raw.trace,
            span: raw.span,
            details: raw.details,
            cut: raw.cut,
            personal: raw.personal,
        })
    }

    /// The canonical bytes: those of the log, if the record came from there.
    ///
    /// # Errors
    /// [`Code::INVALID`] when it is longer than a record may be, or its trace is not one.
    pub fn canonical(&self) -> Result<Vec<u8>> {
        let details: Vec<_> = self
            .details
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Detail::Bool(value) => AuditValue::Bool(*value),
                    Detail::Int(value) => AuditValue::Int(*value),
                    Detail::Text(text) => AuditValue::Text(text),
                };
                (key.as_str(), value)
            })
            .collect();
        let cut: Vec<_> = self.cut.iter().map(|(key, bytes)| (key.as_str(), *bytes)).collect();
        let trace = match (&self.trace, &self.span) {
            (None, None) => None,
            (Some(trace), Some(span)) => {
                u128::from_str_radix(trace, 16).ok().zip(u64::from_str_radix(span, 16).ok())
            }
            _ => None,
        };
        if trace.is_none() && (self.trace.is_some() || self.span.is_some()) {
            return Err(Error::new(Code::INVALID, "the record's trace is not one"));
        }
        let personal = self.personal.as_ref().map(|personal| match &personal.sealed {
            Some(sealed) => Personal::Sealed { subject: &personal.subject, sealed },
            None => Personal::Withheld {
                subject: &personal.subject,
                fields: personal.withheld.unwrap_or(0),
            },
        });
        let mut out = Vec::new();
        encode(
            &mut out,
            &View {
                class: self.class,
                action: &self.action,
                principal: &self.principal,
                object: &self.object,
                outcome: self.outcome,
                at: self.at,
                trace,
                details: &details,
                cut: &cut,
                personal,
            },
        )?;
        Ok(out)
    }

    /// Whether these are the canonical bytes of this record.
    pub(in crate::security::audit) fn is_canonical(&self, bytes: &[u8]) -> bool {
        self.canonical().is_ok_and(|canonical| canonical == bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_to_the_same_bytes() {
        let text = br#"{"action":"a.b","at":"5","class":"token","cut":{"n":9000},"details":{"b":true,"i":-3,"n":"x"},"outcome":"denied","personal":{"sealed":"QUJD","subject":"ann"},"principal":"bob","span":"000000000000000a","trace":"000000000000000000000000000000ff","v":1}"#;
        let record = Record::parse(text).unwrap();
        assert_eq!(record.details["i"], Detail::Int(-3));
        assert!(record.is_canonical(text));
        let mut spaced = text.to_vec();
        spaced.push(b' ');
        assert!(!Record::parse(&spaced).unwrap().is_canonical(&spaced));
        for bad in [&b"{}"[..], b"[]", b"\xff", &text[..40]] {
            assert_eq!(Record::parse(bad).unwrap_err().code(), Code::INVALID);
        }
    }
}
