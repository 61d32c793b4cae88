//! Authenticators are registered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    AttestationFormat, CreationChallengeResponse, Credential, ParsedAttestation,
    PasskeyRegistration, RegisterPublicKeyCredential, SecurityKeyRegistration,
};

use super::super::names::check_principal;
use super::keep::Kept;
use super::{
    ANSWER_MAX, PasskeyKind, PasskeyView, Passkeys, base64url, challenge_of, check_label, keep, why,
};
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

const START: &str = "security.passkey_register";
/// How many ways to an authenticator are kept.
const TRANSPORTS: usize = 8;
const FINISH: &str = "security.passkey_finish";

/// An authenticator that is to be registered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyOrder {
    /// Whose.
    pub principal: String,
    /// What it is called, to tell it from others.
    #[serde(default)]
    pub label: String,
    /// What people are shown for the principal's name. Default: the name.
    #[serde(default)]
    pub display: String,
    /// What it is to be. Default: a passkey.
    #[serde(default = "a_passkey")]
    pub kind: PasskeyKind,
}

fn a_passkey() -> PasskeyKind {
    PasskeyKind::Passkey
}

impl PasskeyOrder {
    /// A passkey of this principal.
    pub fn new(principal: impl Into<String>) -> Self {
        Self {
            principal: principal.into(),
            label: String::new(),
            display: String::new(),
            kind: PasskeyKind::Passkey,
        }
    }

    /// Called this.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// As a security key.
    #[must_use]
    pub fn security_key(mut self) -> Self {
        self.kind = PasskeyKind::SecurityKey;
        self
    }
}

/// What the browser is asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PasskeyRequest {
    /// For `navigator.credentials.create`, as JSON: its `publicKey` is what
    /// `PublicKeyCredential.parseCreationOptionsFromJSON` reads.
    pub options: serde_json::Value,
    /// When it is over.
    pub ends: Timestamp,
}

/// A registration that waits for the browser's answer.
pub(super) struct Registering {
    order: PasskeyOrder,
    state: State,
}

enum State {
    Passkey(Box<PasskeyRegistration>),
    SecurityKey(Box<SecurityKeyRegistration>),
}

/// An authenticator that has shown that it has its key, and is not kept yet.
#[derive(Debug)]
pub struct VerifiedPasskey {
    order: PasskeyOrder,
    credential: Credential,
    most: usize,
}

impl VerifiedPasskey {
    /// Whose it is.
    pub fn principal(&self) -> &str {
        &self.order.principal
    }
}

impl Passkeys {
    /// What the browser is asked for, so that somebody gets a new credential. It counts once it is
    /// [kept](Self::keep).
    ///
    /// # Errors
    /// [`Code::INVALID`] for an order that cannot be, [`Code::FACTOR_OFF`] without a policy, and what the store answers.
    pub fn register(&self, order: PasskeyOrder, now: Timestamp) -> Result<PasskeyRequest> {
        check_principal(&order.principal, START)?;
        check_label(&order.label, START)?;
        check_label(&order.display, START)?;
        let set = self.set(START)?;
        let theirs = self.shelf.of(&order.principal)?;
        let exclude = theirs.into_iter().map(|key| key.credential.cred_id).collect();
        let (handle, name) = (self.handle(&order.principal), &*order.principal);
        let shown = if order.display.is_empty() { name } else { &*order.display };
        let started = contain::run("the authenticators' library panicked", || match order.kind {
            PasskeyKind::Passkey => set
                .webauthn
                .start_passkey_registration(handle, name, shown, Some(exclude))
                .map(|(options, state)| (discoverable(options), State::Passkey(Box::new(state)))),
            PasskeyKind::SecurityKey => set
                .webauthn
                .start_securitykey_registration(handle, name, shown, Some(exclude), None, None)
                .map(|(options, state)| (options, State::SecurityKey(Box::new(state)))),
        })?;
        let (options, state) = started.map_err(|error| {
            Error::new(Code::INTERNAL, "no challenge could be made").operation(START).because(error)
        })?;
        let name = base64url(&options.public_key.challenge);
        let options = serde_json::to_value(&options).map_err(|error| {
            Error::new(Code::INTERNAL, "a challenge is no JSON").operation(START).because(error)
        })?;
        let principal = order.principal.clone();
        let waiting = Registering { order, state };
        let ends = self.registering.put(name, waiting, &principal, set.policy.room(), now);
        Ok(PasskeyRequest { options, ends })
    }

    /// Checks what the browser answered, as JSON. The inner result says why it is refused, for the record and for whoever
    /// registers.
    ///
    /// # Errors
    /// [`Code::FACTOR_OFF`] without a policy, [`Code::INVALID`] for what is no answer.
    pub fn verify(
        &self,
        principal: &str,
        answer: &str,
        now: Timestamp,
    ) -> Result<std::result::Result<VerifiedPasskey, String>> {
        check_principal(principal, FINISH)?;
        let set = self.set(FINISH)?;
        let not_one = || {
            Error::new(Code::INVALID, "that is no answer of a browser").operation(FINISH).advice(
                "give what navigator.credentials.create answered: PublicKeyCredential.toJSON()",
            )
        };
        if answer.len() > ANSWER_MAX {
            return Err(not_one().with("most bytes", ANSWER_MAX));
        }
        let read = serde_json::from_str::<RegisterPublicKeyCredential>(answer);
        let answer = read.map_err(|error| not_one().because(error))?;
        let challenge = challenge_of(&answer.response.client_data_json).ok_or_else(not_one)?;
        let Some(Registering { order, state }) = self.registering.take(&challenge, now) else {
            return Ok(Err("the challenge is unknown, was used or is over".to_owned()));
        };
        if order.principal != principal {
            return Ok(Err("the challenge is another principal's".to_owned()));
        }
        let finished = contain::run("the authenticators' library panicked", || match &state {
            State::Passkey(state) => {
                set.webauthn.finish_passkey_registration(&answer, state).map(Credential::from)
            }
            State::SecurityKey(state) => {
                set.webauthn.finish_securitykey_registration(&answer, state).map(Credential::from)
            }
        })?;
        let mut credential = match finished {
            Ok(credential) => credential,
            Err(error) => return Ok(Err(why(&error))),
        };
        // A hint for browsers, and no more: it need not be proved. What is proved of who made it was not asked for.
        credential.transports.clone_from(&answer.response.transports);
        credential.transports.iter_mut().for_each(|list| list.truncate(TRANSPORTS));
        credential.attestation = ParsedAttestation::default();
        credential.attestation_format = AttestationFormat::None;
        Ok(Ok(VerifiedPasskey { order, credential, most: set.policy.most }))
    }

    /// Keeps an authenticator that was verified: it counts from now on.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] where it is registered already, [`Code::INVALID`] where its owner has as many as may be, and
    /// what the store answers.
    pub fn keep(&self, verified: VerifiedPasskey, now: Timestamp) -> Result<PasskeyView> {
        let VerifiedPasskey { order, credential, most } = verified;
        let key = Kept {
            id: keep::id(&credential.cred_id),
            label: order.label,
            kind: order.kind,
            added: now,
            used: None,
            credential,
        };
        let view = key.view();
        self.shelf.add(&order.principal, key, most, now)?;
        Ok(view)
    }
}

/// Asks for a credential that is found without a name, where the authenticator can make one.
fn discoverable(mut options: CreationChallengeResponse) -> CreationChallengeResponse {
    // The type that says how much it is wanted is not among those that the crate gives out: by its name.
    if let Some(selection) = &mut options.public_key.authenticator_selection {
        selection.resident_key = serde_json::from_value("preferred".into()).ok();
    }
    options
}
