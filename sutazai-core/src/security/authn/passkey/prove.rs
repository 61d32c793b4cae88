//! Authenticators prove who somebody is.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use webauthn_rs::prelude::{
    AuthenticationResult, Credential as Key, CredentialID, DiscoverableAuthentication,
    PublicKeyCredential, RequestChallengeResponse, SecurityKey, SecurityKeyAuthentication,
};

use super::super::logins::AUTHENTICATOR;
use super::super::names::{check_origin, check_principal, is_principal};
use super::super::records::Fate;
use super::keep::{Kept, id};
use super::{ANSWER_MAX, ASK, COPIED, PasskeyKind, Passkeys, Set, base64url, challenge_of, why};
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::{Code, Error, Result};

/// What the browser is asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PasskeyChallenge {
    /// The challenge; the answer says that it is of this one.
    pub id: String,
    /// For `navigator.credentials.get`, as JSON: its `publicKey` is what
    /// `PublicKeyCredential.parseRequestOptionsFromJSON` reads.
    pub options: serde_json::Value,
    /// When it is over.
    pub ends: Timestamp,
}

/// A login that waits for a passkey.
pub(super) struct First {
    /// In whose name it was asked for.
    principal: Option<String>,
    state: DiscoverableAuthentication,
}

/// A login that waits for its second factor.
pub(super) struct Second {
    principal: String,
    options: String,
    state: SecurityKeyAuthentication,
}

impl Passkeys {
    /// What the browser is asked for, so that somebody logs in with a passkey: in a name, or whoever comes.
    ///
    /// `origin` says where they are, as [`Attempt`](crate::security::authn::Attempt) does: of more challenges than the
    /// policy lets wait, the oldest goes of the origin that asked for the most.
    ///
    /// # Errors
    /// [`Code::FACTOR_OFF`] without a policy, [`Code::INVALID`] for a name or an origin that cannot be, and what the
    /// store answers.
    pub fn ask(
        &self,
        principal: Option<&str>,
        origin: Option<&str>,
        now: Timestamp,
    ) -> Result<PasskeyChallenge> {
        let set = self.set(ASK)?;
        let origin = check_origin(origin, ASK)?;
        let ids = match principal {
            None => Vec::new(),
            Some(principal) => {
                check_principal(principal, ASK)?;
                self.passkeys_of(principal)?
            }
        };
        let started = contain::run("the authenticators' library panicked", || {
            set.webauthn.start_discoverable_authentication()
        })?;
        let (mut options, state) = started.map_err(broken)?;
        // Not only as a suggestion while they type.
        options.mediation = None;
        options.public_key.extensions = None;
        options.public_key.allow_credentials = allowed(&ids)?;
        let (name, value) = told(&options)?;
        let first = First { principal: principal.map(str::to_owned), state };
        let ends = self.first.put(name.clone(), first, origin, set.policy.room(), now);
        Ok(PasskeyChallenge { id: name, options: value, ends })
    }

    /// The identifiers of somebody's passkeys; of who has none, what might be theirs. Both are made in any case.
    fn passkeys_of(&self, principal: &str) -> Result<Vec<CredentialID>> {
        let theirs = self.shelf.of(principal)?.into_iter();
        let theirs: Vec<CredentialID> = theirs
            .filter(|key| key.kind == PasskeyKind::Passkey)
            .map(|key| key.credential.cred_id)
            .collect();
        let fakes = self.fakes.generate(principal.as_bytes()).map_err(broken)?;
        Ok(if theirs.is_empty() { fakes } else { theirs })
    }

    /// Who it is, or why nobody.
    fn prove_first(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<std::result::Result<Session, String>> {
        let refused = |why: &str| Ok(Err(why.to_owned()));
        let Ok(set) = self.set(ASK) else { return refused("authenticators are not set up here") };
        let Some((answer, challenge)) = read(&credential.secret) else {
            return refused("not the answer of a browser");
        };
        let Some(First { principal, state }) = self.first.take(&challenge, now) else {
            return refused("the challenge is unknown, was used or is over");
        };
        let id = id(answer.get_credential_id());
        let Some(owner) = self.shelf.owner(&id)? else {
            return refused("the authenticator is nobody's");
        };
        let theirs = |name: &Option<String>| name.as_ref().is_none_or(|name| *name == owner);
        if !theirs(&principal) || !theirs(&credential.principal) {
            return refused("the authenticator is another principal's");
        }
        // Whoever named nobody is named by the handle.
        if !self.is_handle(&answer, &owner, principal.is_none()) {
            return refused("the authenticator means somebody else");
        }
        self.use_up(&owner, &id, now, |key| {
            if key.kind != PasskeyKind::Passkey {
                return Err("it is no passkey".to_owned());
            }
            let result = set
                .webauthn
                .finish_discoverable_authentication_v2(&answer, state, &key.credential)
                .map_err(|error| why(&error))?;
            if !result.user_verified() {
                return Err("the user was not verified".to_owned());
            }
            Ok((result, Self::SCHEME))
        })
    }

    /// The challenge of a login's second factor: the same one for as long as it waits.
    fn ask_second(
        &self,
        principal: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let Some(set) = self.set.load_full() else { return Ok(None) };
        if !is_principal(principal) {
            return Ok(None);
        }
        let theirs = self.shelf.of(principal)?;
        if theirs.is_empty() {
            return Ok(None);
        }
        let there = self.second.peek(login, now, |second| {
            (second.principal == principal).then(|| second.options.clone())
        });
        let options = match there.flatten() {
            Some(options) => options,
            None => self.ask_second_anew(&set, principal, &theirs, login, now)?,
        };
        Ok(Some(BTreeMap::from([("options".to_owned(), options)])))
    }

    fn ask_second_anew(
        &self,
        set: &Set,
        principal: &str,
        theirs: &[Kept],
        login: &str,
        now: Timestamp,
    ) -> Result<String> {
        let keys: Vec<SecurityKey> =
            theirs.iter().map(|key| SecurityKey::from(key.credential.clone())).collect();
        let (mut options, state) =
            set.webauthn.start_securitykey_authentication(&keys).map_err(broken)?;
        // Passkeys may do as well.
        options.public_key.hints = None;
        let (_, value) = told(&options)?;
        let options = value.to_string();
        let second = Second { principal: principal.to_owned(), options: options.clone(), state };
        self.second.put(login.to_owned(), second, principal, set.policy.room(), now);
        Ok(options)
    }

    fn prove_second(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<std::result::Result<Session, String>> {
        let refused = |why: &str| Ok(Err(why.to_owned()));
        let Ok(set) = self.set(ASK) else { return refused("authenticators are not set up here") };
        let Some(login) = &credential.login else { return refused("it is of no login") };
        let Some(Second { principal, state, .. }) = self.second.take(login, now) else {
            return refused("the challenge is unknown, was used or is over");
        };
        let Some((answer, _)) = read(&credential.secret) else {
            return refused("not the answer of a browser");
        };
        if credential.principal.as_ref() != Some(&principal) {
            return refused("the challenge is another principal's");
        }
        if !self.is_handle(&answer, &principal, false) {
            return refused("the authenticator means somebody else");
        }
        let id = id(answer.get_credential_id());
        self.use_up(&principal, &id, now, |key| {
            let result = set
                .webauthn
                .finish_securitykey_authentication(&answer, &state)
                .map_err(|error| why(&error))?;
            // It was asked about as it stood then.
            let counter = key.credential.counter;
            if (result.counter() > 0 || counter > 0) && result.counter() <= counter {
                return Err(COPIED.to_owned());
            }
            if set.policy.verify_second && !result.user_verified() {
                return Err("the user was not verified".to_owned());
            }
            Ok((result, SecurityKeys::SCHEME))
        })
    }

    /// Whether the answer means this user, if it says whom it means.
    fn is_handle(&self, answer: &PublicKeyCredential, principal: &str, must: bool) -> bool {
        match answer.get_user_unique_id().filter(|handle| !handle.is_empty()) {
            Some(handle) => handle == self.handle(principal).as_bytes(),
            None => !must,
        }
    }

    /// Holds an answer against an authenticator, alone; where it is good, the counter is on the disk when this answers.
    fn use_up(
        &self,
        principal: &str,
        id: &str,
        now: Timestamp,
        check: impl FnOnce(&Kept) -> std::result::Result<(AuthenticationResult, &'static str), String>,
    ) -> Result<std::result::Result<Session, String>> {
        self.shelf.users.change(principal, now, |user| {
            let gone = || Ok((Fate::Keep, Err("the authenticator is not theirs".to_owned())));
            let Some(mut user) = user else { return gone() };
            let Some(key) = user.keys.iter_mut().find(|key| key.id == id) else { return gone() };
            let (result, scheme) = match check(key) {
                Ok(good) => good,
                Err(why) => return Ok((Fate::Keep, Err(format!("{why}; it is {id}")))),
            };
            let Key { counter, backup_state, .. } = &mut key.credential;
            (*counter, *backup_state) = (result.counter(), result.backup_state());
            key.used = Some(now);
            let attributes = BTreeMap::from([(AUTHENTICATOR.to_owned(), key.id.clone())]);
            let session = Session::new(principal, scheme).with_attributes(attributes);
            Ok((Fate::Put(user), Ok(session)))
        })
    }
}

/// The factor `webauthn`: a second one, by a challenge of the login.
#[derive(Clone, Debug)]
pub struct SecurityKeys(Arc<Passkeys>);

impl SecurityKeys {
    /// The scheme: `webauthn`.
    pub const SCHEME: &'static str = "webauthn";

    /// By these authenticators.
    pub fn new(passkeys: Arc<Passkeys>) -> Self {
        Self(passkeys)
    }
}

impl AuthProvider for Passkeys {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        self.prove_first(credential, now).map(step)
    }

    fn challenge(
        &self,
        _principal: &str,
        _login: &str,
        _now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        // It begins a login; in the middle of one its authenticator is a `webauthn`.
        Ok(None)
    }
}

impl AuthProvider for SecurityKeys {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        self.0.prove_second(credential, now).map(step)
    }

    fn challenge(
        &self,
        principal: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        self.0.ask_second(principal, login, now)
    }
}

fn step(proved: std::result::Result<Session, String>) -> AuthStep {
    match proved {
        Ok(session) => AuthStep::Accepted(session),
        Err(why) => AuthStep::Refused(why),
    }
}

/// The browser's answer, and which challenge it says that it answers.
fn read(secret: &[u8]) -> Option<(PublicKeyCredential, String)> {
    if secret.len() > ANSWER_MAX {
        return None;
    }
    let answer: PublicKeyCredential = serde_json::from_slice(secret).ok()?;
    let challenge = challenge_of(&answer.response.client_data_json)?;
    Some((answer, challenge))
}

/// The challenge's name, and the options as JSON.
fn told(options: &RequestChallengeResponse) -> Result<(String, serde_json::Value)> {
    let value = serde_json::to_value(options).map_err(|error| {
        Error::new(Code::INTERNAL, "a challenge is no JSON").operation(ASK).because(error)
    })?;
    Ok((base64url(&options.public_key.challenge), value))
}

/// Credentials that may answer. How each can be reached is left out: nobody's could not be told.
fn allowed<T: serde::de::DeserializeOwned>(ids: &[CredentialID]) -> Result<Vec<T>> {
    // The type is not among those that the crate gives out: by its form.
    let one = |id: &CredentialID| {
        serde_json::from_value(serde_json::json!({"type": "public-key", "id": base64url(id)}))
    };
    ids.iter().map(one).collect::<std::result::Result<_, _>>().map_err(|error| {
        Error::new(Code::INTERNAL, "a credential is no JSON").operation(ASK).because(error)
    })
}

#[cold]
fn broken(error: webauthn_rs::prelude::WebauthnError) -> Error {
    Error::new(Code::INTERNAL, "no challenge could be made").operation(ASK).because(error)
}
