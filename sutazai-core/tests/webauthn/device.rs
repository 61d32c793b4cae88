//! A browser with an authenticator in software, by others than what checks it: the `passkey` crates.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use passkey_authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey_crypto::rust_crypto::RustCryptoBackend;
use passkey_types::Passkey;
use passkey_types::ctap2::{Aaguid, Ctap2Error, get_assertion, make_credential};
use serde_json::{Value, json};

pub const RP_ID: &str = "example.org";
pub const ORIGIN: &str = "https://login.example.org";

/// A user who touches whatever is there, and verifies themselves where that is asked for.
struct Touch;

#[async_trait::async_trait]
impl UserValidationMethod for Touch {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        _hint: UiHint<'a, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck { presence, verification })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

/// One authenticator, with one credential, in one browser.
pub struct Device {
    authenticator: Authenticator<Option<Passkey>, Touch, RustCryptoBackend>,
    /// Where the browser says that it is.
    pub origin: String,
    /// For whom the authenticator signs: whom the options name, without it.
    pub rp_id: Option<String>,
    /// Whether it verifies its user.
    pub verifies: bool,
    /// Whether the answer says whom it means.
    pub tells_user: bool,
}

impl Device {
    /// One that does not count.
    pub fn new() -> Self {
        Self {
            authenticator: Authenticator::new(Aaguid::new_empty(), None, Touch, RustCryptoBackend),
            origin: ORIGIN.to_owned(),
            rp_id: None,
            verifies: true,
            tells_user: true,
        }
    }

    /// One that counts how often it signs.
    pub fn counting() -> Self {
        let mut device = Self::new();
        device.authenticator.set_make_credentials_with_signature_counter(true);
        device
    }

    /// `navigator.credentials.create`.
    pub fn create(&mut self, options: &Value) -> Value {
        let key = &options["publicKey"];
        let client_data = self.client_data("webauthn.create", &key["challenge"]);
        let rp_id = self.rp_id.clone().unwrap_or(text(&key["rp"]["id"]));
        let request = make_credential::Request {
            client_data_hash: sha256(client_data.as_bytes()).into(),
            rp: make_credential::PublicKeyCredentialRpEntity { id: rp_id, name: None },
            user: serde_json::from_value(key["user"].clone()).unwrap(),
            pub_key_cred_params: serde_json::from_value(key["pubKeyCredParams"].clone()).unwrap(),
            exclude_list: None,
            extensions: None,
            options: make_credential::Options { rk: true, up: true, uv: self.verifies },
            pin_auth: None,
            pin_protocol: None,
        };
        let made = smol::block_on(self.authenticator.make_credential(request)).unwrap();
        let id = base64(&self.credential().credential_id);
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": {
                "attestationObject": base64(&made.as_webauthn_bytes()),
                "clientDataJSON": base64(client_data.as_bytes()),
                "transports": ["internal", "hybrid"],
            },
            "clientExtensionResults": {},
        })
    }

    /// `navigator.credentials.get`: with its one credential, whichever may answer.
    pub fn get(&mut self, options: &Value) -> Value {
        let key = &options["publicKey"];
        let client_data = self.client_data("webauthn.get", &key["challenge"]);
        let request = get_assertion::Request {
            rp_id: self.rp_id.clone().unwrap_or(text(&key["rpId"])),
            client_data_hash: sha256(client_data.as_bytes()).into(),
            allow_list: None,
            extensions: None,
            options: get_assertion::Options { up: true, uv: self.verifies },
            pin_auth: None,
            pin_protocol: None,
        };
        let answer = smol::block_on(self.authenticator.get_assertion(request)).unwrap();
        let id = base64(&self.credential().credential_id);
        let user = answer.user.filter(|_| self.tells_user).map(|user| base64(&user.id));
        json!({
            "id": id,
            "rawId": id,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": {
                "authenticatorData": base64(&answer.auth_data.to_vec()),
                "clientDataJSON": base64(client_data.as_bytes()),
                "signature": base64(&answer.signature),
                "userHandle": user,
            },
            "clientExtensionResults": {},
        })
    }

    /// A copy of the authenticator as it stands.
    pub fn copy(&self) -> Self {
        let mut copy = Self::counting();
        *copy.authenticator.store_mut() = Some(self.credential().clone());
        copy
    }

    fn credential(&self) -> &Passkey {
        self.authenticator.store().as_ref().unwrap()
    }

    fn client_data(&self, what: &str, challenge: &Value) -> String {
        json!({
            "type": what,
            "challenge": challenge,
            "origin": self.origin,
            "crossOrigin": false,
        })
        .to_string()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unbase64(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec()
}
