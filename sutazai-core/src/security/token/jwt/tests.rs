use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use super::*;
use crate::Code;

/// A key pair made for these tests, 2,048 bits.
const RSA: &[u8] = include_bytes!("rsa-2048-test.der");

fn signers() -> Vec<JwtSigner> {
    let random = SystemRandom::new();
    let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    vec![
        JwtSigner::ed25519(&[1; 32], Some("ed")).unwrap(),
        JwtSigner::es256(p256.as_ref(), Some("ec")).unwrap(),
        JwtSigner::rsa(JwtAlgorithm::Rs256, RSA, Some("rs")).unwrap(),
        JwtSigner::rsa(JwtAlgorithm::Ps256, RSA, Some("ps")).unwrap(),
        JwtSigner::hs256(&[2; 32], Some("hs")).unwrap(),
    ]
}

fn all(signers: &[JwtSigner]) -> Jwks {
    Jwks::new(signers.iter().map(|signer| signer.key().unwrap()))
}

/// The token with another header, its signature as it was.
fn with_header(token: &str, header: &Value) -> String {
    let rest = token.split_once('.').unwrap().1;
    format!("{}.{rest}", text::encode(header.to_string()))
}

fn code(keys: &Jwks, token: &str) -> Code {
    keys.verify(token).unwrap_err().code()
}

#[test]
fn each_algorithm_verifies_its_own_and_no_other() {
    let signers = signers();
    let keys = all(&signers);
    for signer in &signers {
        let token = signer.sign(&json!({"sub": "alice"})).unwrap();
        let jwt = keys.verify(&token).unwrap();
        assert_eq!(
            (jwt.claims["sub"].as_str(), jwt.kid.as_deref()),
            (Some("alice"), signer.key().unwrap().kid())
        );
        for other in &signers {
            let alone = Jwks::new([other.key().unwrap().with_kid(signer.key().unwrap().kid())]);
            let same = other.key().unwrap().algorithm() == signer.key().unwrap().algorithm();
            assert_eq!(alone.verify(&token).is_ok(), same);
        }
        // RSA is slow where nothing is optimised.
        let step = if signer.key().unwrap().kid() == Some("hs") { 1 } else { 7 };
        for at in (0..token.len()).step_by(step) {
            let mut other = token.clone();
            other.replace_range(at..=at, if &token[at..=at] == "A" { "B" } else { "A" });
            assert!(keys.verify(&other).is_err(), "{at}");
            assert!(keys.verify(&token[..at]).is_err());
        }
    }
}

#[test]
fn no_header_talks_its_way_in() {
    let signers = signers();
    let keys = all(&signers);
    let token = signers[2].sign(&json!({"sub": "alice"})).unwrap();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RS384", "HS256", "PS256", "ES256",
        "EdDSA",
    ] {
        let other = with_header(&token, &json!({"alg": alg, "kid": "rs"}));
        assert_eq!(code(&keys, &other), Code::TOKEN_KEY, "{alg}");
        let unsigned = format!("{}.", other.rsplit_once('.').unwrap().0);
        assert_eq!(code(&keys, &unsigned), Code::TOKEN_KEY, "{alg}");
    }
    assert_eq!(code(&keys, &with_header(&token, &json!({"kid": "rs"}))), Code::TOKEN_MALFORMED);
    assert_eq!(
        code(&keys, &with_header(&token, &json!({"alg": ["RS256"], "kid": "rs"}))),
        Code::TOKEN_MALFORMED
    );
    for name in ["crit", "jwk", "jku", "x5u", "x5c", "b64"] {
        let header = json!({"alg": "RS256", "kid": "rs", name: ["exp"]});
        assert_eq!(code(&keys, &with_header(&token, &header)), Code::TOKEN_MALFORMED, "{name}");
    }
    let twice = text::encode(r#"{"alg":"RS256","alg":"none","kid":"rs"}"#);
    let twice = format!("{twice}.{}", token.split_once('.').unwrap().1);
    assert_eq!(code(&keys, &twice), Code::TOKEN_MALFORMED);
    assert_eq!(
        code(&keys, &with_header(&token, &json!({"alg": "RS256", "kid": "other"}))),
        Code::TOKEN_KEY
    );
}

#[test]
fn a_public_key_is_no_secret() {
    // The attack: sign with HMAC under the text of the public key, and say HS256.
    let rsa = &signers()[2];
    let keys = Jwks::new([rsa.key().unwrap()]);
    let pem = b"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, pem);
    let signed = format!(
        "{}.{}",
        text::encode(json!({"alg": "HS256", "kid": "rs"}).to_string()),
        text::encode(r#"{"sub":"mallory"}"#)
    );
    let forged = format!("{signed}.{}", text::encode(ring::hmac::sign(&key, signed.as_bytes())));
    assert_eq!(code(&keys, &forged), Code::TOKEN_KEY);
    // And nobody can make such a key by mistake.
    assert_eq!(JwtKey::hs256(pem).unwrap_err().code(), Code::TOKEN_KEY);
    assert_eq!(JwtKey::hs256(RSA).unwrap_err().code(), Code::TOKEN_KEY);
    assert_eq!(JwtKey::hs256(&[1; 31]).unwrap_err().code(), Code::TOKEN_KEY);
    assert_eq!(
        JwtKey::rsa(JwtAlgorithm::Hs256, &[255; 256], &[1, 0, 1]).unwrap_err().code(),
        Code::TOKEN_KEY
    );
    assert_eq!(
        JwtKey::rsa(JwtAlgorithm::Rs256, &[255; 128], &[1, 0, 1]).unwrap_err().code(),
        Code::TOKEN_KEY
    );
}

#[test]
fn payloads_are_objects_with_each_key_once() {
    let signer = JwtSigner::hs256(&[2; 32], None).unwrap();
    let keys = all(&[signer]);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[2; 32]);
    for payload in [r#"{"a":1,"a":2}"#, "[]", "1", "{", "{} "] {
        let signed = format!("{}.{}", text::encode(r#"{"alg":"HS256"}"#), text::encode(payload));
        let token = format!("{signed}.{}", text::encode(ring::hmac::sign(&key, signed.as_bytes())));
        assert_eq!(keys.verify(&token).is_ok(), payload == "{} ", "{payload}");
    }
}

#[test]
fn sets_are_read_as_issuers_write_them() {
    let x = text::encode([1; 32]);
    let n = text::encode([255; 256]);
    let set = |keys: Value| Jwks::parse(&json!({"keys": keys}).to_string(), JwtAlgorithm::Rs256);
    let read = set(json!([
        {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1", "use": "sig"},
        {"kty": "EC", "crv": "P-256", "x": x, "y": x, "kid": "2", "key_ops": ["verify"]},
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "3"},
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "4", "alg": "PS256"},
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "5", "use": "enc"},
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "6", "alg": "RS512"},
        {"kty": "RSA", "n": n, "e": "AQAB", "kid": "7", "alg": "HS256"},
        {"kty": "EC", "crv": "P-384", "x": x, "y": x, "kid": "8"},
        {"kty": "EC", "crv": "P-256", "x": x, "y": x, "kid": "9", "alg": "EdDSA"},
        {"kty": "oct", "k": x, "kid": "10"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AQ", "kid": "11"},
    ]))
    .unwrap();
    let taken: Vec<_> =
        read.keys().iter().map(|key| (key.kid().unwrap(), key.algorithm())).collect();
    assert_eq!(
        taken,
        [
            ("1", JwtAlgorithm::EdDsa),
            ("2", JwtAlgorithm::Es256),
            ("3", JwtAlgorithm::Rs256),
            ("4", JwtAlgorithm::Ps256)
        ]
    );
    assert_eq!(read.skipped(), 7);
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"});
    assert!(set(json!([key, key])).is_err());
    for wrong in ["", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[1]}"#] {
        assert!(Jwks::parse(wrong, JwtAlgorithm::Rs256).is_err(), "{wrong}");
    }
}
