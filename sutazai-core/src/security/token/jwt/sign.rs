//! Signing JWTs, for those who can read nothing else.

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde::Serialize;
use serde_json::json;

use super::super::text;
use super::key::{JwtAlgorithm, JwtKey, unfit};
use crate::{Code, Error, Result};

/// Signs JWTs with one key and one algorithm.
pub struct JwtSigner {
    algorithm: JwtAlgorithm,
    kid: Option<String>,
    material: Material,
}

enum Material {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
    Secret(hmac::Key),
}

impl JwtSigner {
    /// `EdDSA`, with the key of this seed.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when it cannot be made.
    pub fn ed25519(seed: &[u8; 32], kid: Option<&str>) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unfit("not a seed"))?;
        Ok(Self::new(JwtAlgorithm::EdDsa, kid, Material::Ed25519(pair)))
    }

    /// `ES256`, with a private key as PKCS #8, DER.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for anything else.
    pub fn es256(pkcs8: &[u8], kid: Option<&str>) -> Result<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|_| unfit("not a key on P-256 as PKCS #8"))?;
        Ok(Self::new(JwtAlgorithm::Es256, kid, Material::Ecdsa(pair)))
    }

    /// `RS256` or `PS256`, with a private key as PKCS #8, DER; 2,048 to 4,096 bits.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] for anything else.
    pub fn rsa(algorithm: JwtAlgorithm, pkcs8: &[u8], kid: Option<&str>) -> Result<Self> {
        if !matches!(algorithm, JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256) {
            return Err(unfit("an RSA key is for RS256 or PS256"));
        }
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| unfit("not an RSA key as PKCS #8"))?;
        Ok(Self::new(algorithm, kid, Material::Rsa(Box::new(pair))))
    }

    /// `HS256`, with a secret of at least 32 bytes.
    ///
    /// # Errors
    /// As [`JwtKey::hs256`].
    pub fn hs256(secret: &[u8], kid: Option<&str>) -> Result<Self> {
        JwtKey::hs256(secret)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(Self::new(JwtAlgorithm::Hs256, kid, Material::Secret(key)))
    }

    fn new(algorithm: JwtAlgorithm, kid: Option<&str>, material: Material) -> Self {
        Self { algorithm, kid: kid.map(str::to_owned), material }
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// [`Code::TOKEN_KEY`] when ring does not give it.
    pub fn key(&self) -> Result<JwtKey> {
        let key = match &self.material {
            Material::Ed25519(pair) => {
                let public = pair.public_key().as_ref().try_into();
                JwtKey::ed25519(&public.map_err(|_| unfit("not a key of Ed25519"))?)
            }
            Material::Ecdsa(pair) => match pair.public_key().as_ref().split_at_checked(33) {
                Some(([4, x @ ..], y)) => match (x.try_into(), y.try_into()) {
                    (Ok(x), Ok(y)) => JwtKey::es256(&x, &y),
                    _ => return Err(unfit("not a point of P-256")),
                },
                _ => return Err(unfit("not a point of P-256")),
            },
            Material::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                JwtKey::rsa(self.algorithm, &public.n, &public.e)?
            }
            Material::Secret(key) => JwtKey::shared(key.clone()),
        };
        Ok(key.with_kid(self.kid.clone()))
    }

    /// Signs claims.
    ///
    /// # Errors
    /// [`Code::INVALID`] when they have no JSON form that is an object; [`Code::INTERNAL`] when ring does not
    /// sign.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String> {
        let claims = serde_json::to_vec(claims)
            .ok()
            .filter(|json| json.first() == Some(&b'{'))
            .ok_or_else(|| {
                Error::new(Code::INVALID, "claims are a JSON object").operation("security.jwt.sign")
            })?;
        let header = match &self.kid {
            Some(kid) => json!({"alg": self.algorithm.name(), "kid": kid, "typ": "JWT"}),
            None => json!({"alg": self.algorithm.name(), "typ": "JWT"}),
        };
        let mut token = text::encode(header.to_string());
        token.push('.');
        text::encode_to(&claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        text::encode_to(&signature, &mut token);
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |_| Error::new(Code::INTERNAL, "the token cannot be signed");
        let random = SystemRandom::new();
        Ok(match &self.material {
            Material::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Material::Ecdsa(pair) => pair.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Material::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Material::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match self.algorithm {
                    JwtAlgorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, message, &mut signature).map_err(failed)?;
                signature
            }
        })
    }
}

impl std::fmt::Debug for JwtSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSigner")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
