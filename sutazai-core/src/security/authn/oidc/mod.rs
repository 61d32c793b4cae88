//! The factor `oidc`: another party says who somebody is, by an ID token of OpenID Connect.
//!
//! The host leads the browser to the issuer and back, and fetches the issuer's keys; nothing here goes to the network. A
//! login takes two steps: [`Oidc::ask`] answers the `state` and the `nonce` for the request to the issuer; what comes
//! back is the secret of a login with the scheme `oidc`: `{"state": …, "id_token": …}`, and the `access_token` where
//! its hash is to be checked, too. A challenge is good once and for ten minutes, and the token must carry its nonce.

mod links;
mod options;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use links::Links;
pub use links::OidcLink;
pub use options::{OidcIssuer, OidcPrincipal};
use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api_key::hex;
use super::names::{check_origin, is_principal};
use super::pending::Pending;
use crate::base::time::Timestamp;
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::security::token::oidc::{IdTokenRequest, IdTokenVerifier};
use crate::store::Store;
use crate::{Code, Error, Result};

const SET: &str = "security.oidc_set";
/// Session attributes: the issuer, and whom it means.
/// The attributes of a session that say who it is at which issuer.
pub(super) const ISSUER: &str = "oidc_issuer";
pub(super) const SUBJECT: &str = "oidc_subject";
/// How long a challenge is good, and how many are at once; of more, the oldest goes.
const LASTS: Duration = Duration::from_secs(600);
const AT_ONCE: usize = 10_000;
/// The longest claim that becomes an attribute, in bytes.
const CLAIM_MAX: usize = 4096;

/// What a request to the issuer takes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OidcChallenge {
    /// The issuer.
    pub issuer: String,
    /// This client's identifier there.
    pub client: String,
    /// The request's `state`: it comes back, and names the challenge. Keep it in the browser's session, and take no
    /// other from it.
    pub state: String,
    /// The request's `nonce`: the ID token has it.
    pub nonce: String,
    /// The request's `max_age` in seconds, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
    /// When it is over.
    pub ends: Timestamp,
}

/// The factor `oidc`: ID tokens of issuers that the host has named.
///
/// ```
/// use serde_json::json;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::port::{AuthProvider as _, AuthStep, Credential};
/// use sutazai_core::security::authn::{Oidc, OidcIssuer};
/// use sutazai_core::security::token::jwt::{JwtAlgorithm, JwtSigner};
/// use sutazai_core::store::Store;
///
/// // Of the issuer, the host knows its public keys.
/// let jwks = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k",
///     "x": "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w"}]}"#;
/// let issuer = OidcIssuer::new("https://id.example", "client-1", JwtAlgorithm::EdDsa).keys(jwks);
/// let oidc = Oidc::new(Store::memory(&[])?, vec![issuer])?;
///
/// let now = Timestamp::from_nanos(1_700_000_010_000_000_000);
/// let asked = oidc.ask("https://id.example", None, now)?;
/// let token = JwtSigner::ed25519(&[1; 32], Some("k"))?.sign(&json!({
///     "iss": "https://id.example", "aud": "client-1", "sub": "ann", "nonce": asked.nonce,
///     "iat": 1_700_000_000, "exp": 1_700_000_300,
/// }))?;
/// let secret = json!({"state": asked.state, "id_token": token.to_string()}).to_string();
/// let credential = Credential::new(Oidc::SCHEME, None, secret.into_bytes());
/// let AuthStep::Accepted(session) = oidc.authenticate(&credential, now)? else { panic!() };
/// assert_eq!(session.principal(), "https://id.example#ann");
/// assert!(matches!(oidc.authenticate(&credential, now)?, AuthStep::Refused(_)), "once");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct Oidc {
    issuers: ArcSwap<BTreeMap<String, Arc<Issuer>>>,
    links: Links,
    pending: Pending<Asked>,
}

struct Issuer {
    options: OidcIssuer,
    verifier: IdTokenVerifier,
}

struct Asked {
    issuer: String,
    nonce: String,
}

/// What comes back from the issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    state: String,
    id_token: String,
    access_token: Option<String>,
}

impl Oidc {
    /// The scheme: `oidc`.
    pub const SCHEME: &'static str = "oidc";

    /// Of these issuers, with links kept in this store.
    ///
    /// # Errors
    /// As [`set_issuers`](Self::set_issuers).
    pub fn new(store: Store, issuers: Vec<OidcIssuer>) -> Result<Self> {
        let oidc = Self {
            issuers: ArcSwap::default(),
            links: Links::new(store),
            pending: Pending::default(),
        };
        oidc.set_issuers(issuers)?;
        Ok(oidc)
    }

    /// Takes these issuers in the place of all, at once. It answers how many there are.
    ///
    /// # Errors
    /// [`Code::INVALID`] for options that cannot be, [`Code::ALREADY_EXISTS`] for an issuer that is there twice,
    /// [`Code::TOKEN_KEY`] for keys that cannot be read; the issuers are as they were then.
    pub fn set_issuers(&self, issuers: Vec<OidcIssuer>) -> Result<usize> {
        let mut all = BTreeMap::new();
        for options in issuers {
            let name = options.issuer.clone();
            let issuer = Arc::new(Issuer { verifier: options.verifier()?, options });
            if all.insert(name.clone(), issuer).is_some() {
                return Err(Error::new(Code::ALREADY_EXISTS, "an issuer is there twice")
                    .operation(SET)
                    .with("issuer", name));
            }
        }
        let count = all.len();
        self.issuers.store(Arc::new(all));
        Ok(count)
    }

    /// Takes other keys of an issuer, as its `jwks_uri` answers: it has rotated them. It answers how many of them can be
    /// used.
    ///
    /// # Errors
    /// [`Code::FACTOR_OFF`] for an issuer that is not named, [`Code::TOKEN_KEY`] for what is no set of keys; the keys
    /// are as they were then.
    pub fn set_keys(&self, issuer: &str, jwks: &str) -> Result<usize> {
        let issuer = self.issuer(issuer, "security.oidc_keys")?;
        let keys = issuer.options.read_keys(jwks)?;
        let count = keys.keys().len();
        issuer.verifier.set_keys(keys);
        Ok(count)
    }

    /// What a request to this issuer takes with it.
    ///
    /// `origin` says where they are, as [`Attempt`](crate::security::authn::Attempt) does: of more than 10,000 that
    /// wait, the oldest goes of the origin that asked for the most.
    ///
    /// # Errors
    /// [`Code::FACTOR_OFF`] for an issuer that is not named, [`Code::INVALID`] for an origin that cannot be.
    pub fn ask(&self, issuer: &str, origin: Option<&str>, now: Timestamp) -> Result<OidcChallenge> {
        const OPERATION: &str = "security.oidc_challenge";
        let origin = check_origin(origin, OPERATION)?;
        let options = &self.issuer(issuer, OPERATION)?.options;
        let (state, nonce) = (fresh(OPERATION)?, fresh(OPERATION)?);
        let asked = Asked { issuer: options.issuer.clone(), nonce: nonce.clone() };
        let ends = self.pending.put(state.clone(), asked, origin, (LASTS, AT_ONCE), now);
        Ok(OidcChallenge {
            issuer: options.issuer.clone(),
            client: options.client.clone(),
            state,
            nonce,
            max_age_s: options.max_age_ms.map(|ms| ms / 1_000),
            ends,
        })
    }

    /// Links an account at an issuer to a principal, for issuers whose options say so
    /// ([`OidcPrincipal::Linked`]).
    ///
    /// # Errors
    /// [`Code::INVALID`] for names that cannot be, [`Code::ALREADY_EXISTS`] where it is linked to another principal.
    pub fn link(&self, principal: &str, issuer: &str, subject: &str, now: Timestamp) -> Result<()> {
        self.links.add(principal, issuer, subject, now)
    }

    /// Ends a link; whether there was one.
    ///
    /// # Errors
    /// What the store answers.
    pub fn unlink(&self, issuer: &str, subject: &str, now: Timestamp) -> Result<bool> {
        self.links.remove(issuer, subject, now)
    }

    /// The links, of one principal or of all, `limit` at most.
    ///
    /// # Errors
    /// What the store answers.
    pub fn links(&self, principal: Option<&str>, limit: usize) -> Result<Vec<OidcLink>> {
        self.links.of(principal, limit)
    }

    /// Shows each link.
    pub(in crate::security) fn each_link(&self, mut show: impl FnMut(OidcLink)) -> Result<()> {
        self.links.each(&mut show)
    }

    /// The issuers that are named.
    pub fn issuers(&self) -> Vec<String> {
        self.issuers.load().keys().cloned().collect()
    }

    fn issuer(&self, name: &str, operation: &'static str) -> Result<Arc<Issuer>> {
        self.issuers.load().get(name).cloned().ok_or_else(|| {
            Error::new(Code::FACTOR_OFF, "no such issuer may say who somebody is here")
                .operation(operation)
                .with("issuer", name)
                .advice("name it in the options, or with security.oidc_set")
        })
    }

    /// Who it is, or why nobody.
    fn check(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<std::result::Result<Session, String>> {
        let refused = |why: &str| Ok(Err(why.to_owned()));
        let Ok(answer) = serde_json::from_slice::<Answer>(&credential.secret) else {
            return refused("not the answer of an issuer: state and id_token");
        };
        let Some(asked) = self.pending.take(&answer.state, now) else {
            return refused("the challenge is unknown, was used or is over");
        };
        let Some(issuer) = self.issuers.load().get(&asked.issuer).cloned() else {
            return refused("the issuer is no longer named");
        };
        let Issuer { options, verifier } = &*issuer;
        let mut request = IdTokenRequest::new(&asked.nonce);
        if let Some(token) = &answer.access_token {
            request = request.access_token(token);
        }
        if let Some(age) = options.max_age_ms {
            request = request.max_age(Duration::from_millis(age));
        }
        let token = match verifier.check(&answer.id_token, &request, now) {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(format!("the ID token is refused: {refusal}"))),
        };
        let claim = |name: &str| token.claims.get(name).and_then(Value::as_str);
        let principal = match &options.principal {
            OidcPrincipal::Subject => Some(format!("{}#{}", options.issuer, token.subject)),
            OidcPrincipal::Claim(name)
                if name == "email" && token.claims.get("email_verified") != Some(&true.into()) =>
            {
                return refused("the issuer has not verified the address");
            }
            OidcPrincipal::Claim(name) => claim(name).map(str::to_owned),
            OidcPrincipal::Linked => self.links.owner(&options.issuer, &token.subject)?,
        };
        let Some(principal) = principal.filter(|name| is_principal(name)) else {
            return refused("the subject is no principal here");
        };
        if credential.principal.as_ref().is_some_and(|claimed| *claimed != principal) {
            return refused("the subject is another principal");
        }
        let mut attributes = match attributes(options, &token.claims) {
            Ok(attributes) => attributes,
            Err(why) => return Ok(Err(why)),
        };
        attributes.insert(ISSUER.to_owned(), options.issuer.clone());
        attributes.insert(SUBJECT.to_owned(), token.subject);
        Ok(Ok(Session::new(principal, Self::SCHEME).with_attributes(attributes)))
    }
}

/// The claims that become attributes.
fn attributes(
    options: &OidcIssuer,
    claims: &Map<String, Value>,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let mut attributes = BTreeMap::new();
    for (name, claim) in &options.attributes {
        let text = match claims.get(claim) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        if text.len() > CLAIM_MAX {
            return Err(format!("the claim {claim} is too long"));
        }
        attributes.insert(name.clone(), text);
    }
    Ok(attributes)
}

impl AuthProvider for Oidc {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        Ok(match self.check(credential, now)? {
            Ok(session) => AuthStep::Accepted(session),
            Err(why) => AuthStep::Refused(why),
        })
    }

    fn challenge(
        &self,
        _principal: &str,
        _login: &str,
        _now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        // It begins a login; nobody is asked for it in the middle of one.
        Ok(None)
    }
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (waiting, evicted) = self.pending.counts();
        f.debug_struct("Oidc")
            .field("issuers", &self.issuers())
            .field("waiting", &waiting)
            .field("evicted", &evicted)
            .finish_non_exhaustive()
    }
}

fn fresh(operation: &'static str) -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        Error::new(Code::IO, "the operating system gave no random bytes").operation(operation)
    })?;
    Ok(hex(&bytes))
}
