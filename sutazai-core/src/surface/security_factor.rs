//! Rows of the room `security`: client certificates, devices, and recovery codes that are left.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
use super::security_shape::{Of, Removed, a_page};
use crate::base::time::Timestamp;
use crate::security::authn::CertificateView;
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.certificate_add",
            "Makes a client certificate known as somebody's, by its DER form or its fingerprint.",
            &[
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
            ],
            certificate_add,
        ),
        Operation::blocking(
            "security.certificates",
            "The client certificates that are known, of one principal or of all, page by page.",
            &[Code::STORE_FAILED],
            certificates,
        ),
        Operation::blocking(
            "security.certificate_remove",
            "Forgets a client certificate: nobody logs in with it any more.",
            &[Code::STORE_FAILED, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            certificate_remove,
        ),
        Operation::blocking(
            "security.devices",
            "How many devices somebody is known to log in from.",
            &[Code::STORE_FAILED],
            devices,
        ),
        Operation::blocking(
            "security.devices_forget",
            "Forgets the devices that somebody has logged in from; how many there were.",
            &[Code::STORE_FAILED, Code::AUDIT_FAILED, Code::AUDIT_FULL],
            devices_forget,
        ),
        Operation::blocking(
            "security.recovery_left",
            "How many recovery codes somebody has left.",
            &[Code::STORE_FAILED],
            recovery_left,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CertificateAdd {
    /// Whose.
    principal: String,
    /// The certificate in DER form, in base64.
    certificate: Option<String>,
    /// Or the SHA-256 of that, in hexadecimal; colons do not matter.
    fingerprint: Option<String>,
    /// Until when it is good here, whatever it says itself.
    ends: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct Added {
    /// SHA-256 of its DER form, in hexadecimal.
    fingerprint: String,
}

fn certificate_add(surface: &Surface, request: CertificateAdd) -> Result<Added> {
    let kernel = surface.kernel();
    let invalid = |message: &'static str| {
        Error::new(Code::INVALID, message).operation("security.certificate_add")
    };
    let certificate = match (&request.certificate, &request.fingerprint) {
        (Some(der), None) => STANDARD
            .decode(der)
            .map_err(|error| invalid("the certificate is not base64").because(error))?,
        (None, Some(fingerprint)) => fingerprint.as_bytes().to_vec(),
        _ => return Err(invalid("give either a certificate or a fingerprint")),
    };
    let now = kernel.runtime().timestamp();
    let security = kernel.security()?;
    let fingerprint =
        security.add_certificate(&request.principal, &certificate, request.ends, now)?;
    Ok(Added { fingerprint })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Of this principal only.
    principal: Option<String>,
    /// Only certificates after this one: the fingerprint of the last of the page before.
    after: Option<String>,
    /// How many, at most; 100 without it, never more than 1,000.
    #[serde(default = "a_page")]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct Certificates {
    /// The certificates, by fingerprint.
    certificates: Vec<CertificateView>,
}

fn certificates(surface: &Surface, request: Listing) -> Result<Certificates> {
    let Listing { principal, after, limit } = request;
    let known = surface.kernel().security()?.certificates();
    let limit = limit.min(1_000);
    Ok(Certificates { certificates: known.list(principal.as_deref(), after.as_deref(), limit)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CertificateRemove {
    /// SHA-256 of its DER form, in hexadecimal.
    fingerprint: String,
}

fn certificate_remove(surface: &Surface, request: CertificateRemove) -> Result<Removed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(Removed { removed: kernel.security()?.remove_certificate(&request.fingerprint, now)? })
}

#[derive(Serialize, JsonSchema)]
struct Devices {
    /// How many are known.
    devices: usize,
}

fn devices(surface: &Surface, request: Of) -> Result<Devices> {
    let devices = surface.kernel().security()?.logins().devices().count(&request.principal)?;
    Ok(Devices { devices })
}

#[derive(Serialize, JsonSchema)]
struct Forgotten {
    /// How many were known.
    forgotten: usize,
}

fn devices_forget(surface: &Surface, request: Of) -> Result<Forgotten> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(Forgotten { forgotten: kernel.security()?.forget_devices(&request.principal, now)? })
}

#[derive(Serialize, JsonSchema)]
struct Left {
    /// How many codes, each good once.
    left: usize,
}

fn recovery_left(surface: &Surface, request: Of) -> Result<Left> {
    Ok(Left { left: surface.kernel().security()?.recovery_codes().left(&request.principal)? })
}
