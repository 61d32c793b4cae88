//! Runs one file: each vector through the primitive that it is for.

use std::io::Read as _;

use serde_json::Value;
use sutazai_core::Code;
use sutazai_core::security::keys::Secret;
use sutazai_core::security::keys::primitive::aead::{Aead, AeadKey};
use sutazai_core::security::keys::primitive::chunked::ChunkedKey;
use sutazai_core::security::keys::primitive::kdf::{Hash, Hkdf, pbkdf2};
use sutazai_core::security::keys::primitive::mac::Hmac;
use sutazai_core::security::keys::primitive::{ed25519, x25519};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub all: usize,
    pub ran: usize,
    pub skipped: usize,
}

/// What became of a vector; `None`: it is for something that is not offered.
pub type Verdict = Option<bool>;

pub fn run(file: &str, json: &str) -> Ran {
    let data: Value = serde_json::from_str(json).unwrap();
    let check: fn(&Value, &Value) -> Verdict = match file {
        "aes_gcm_test.json" => |g, t| aead(Aead::Aes256Gcm, g, t),
        "chacha20_poly1305_test.json" => |g, t| aead(Aead::ChaCha20Poly1305, g, t),
        "xchacha20_poly1305_test.json" => |g, t| aead(Aead::XChaCha20Poly1305, g, t),
        "c2sp_chunked_encryption_aes_256_gcm_test.json" => |_, t| chunked(t),
        "ed25519_test.json" => eddsa,
        "hmac_sha256_test.json" => |g, t| hmac(Hash::Sha256, g, t),
        "hmac_sha512_test.json" => |g, t| hmac(Hash::Sha512, g, t),
        "hkdf_sha256_test.json" => |_, t| hkdf(Hash::Sha256, t),
        "hkdf_sha512_test.json" => |_, t| hkdf(Hash::Sha512, t),
        "pbkdf2_hmacsha256_test.json" => |_, t| pbkdf(Hash::Sha256, t),
        "pbkdf2_hmacsha512_test.json" => |_, t| pbkdf(Hash::Sha512, t),
        "x25519_test.json" => |_, t| xdh(t),
        #[cfg(feature = "post-quantum")]
        "mldsa_65_sign_seed_test.json" => crate::post_quantum::sign,
        #[cfg(feature = "post-quantum")]
        "mldsa_65_verify_test.json" => crate::post_quantum::verify,
        #[cfg(feature = "post-quantum")]
        "mlkem_768_test.json" => |_, t| crate::post_quantum::decapsulate(t),
        #[cfg(feature = "post-quantum")]
        "mlkem_768_encaps_test.json" => |_, t| crate::post_quantum::encapsulate(t),
        #[cfg(feature = "post-quantum")]
        "mlkem_768_keygen_seed_test.json" => |_, t| crate::post_quantum::generate(t),
        _ => |_, _| None,
    };
    let mut ran = Ran { all: data["numberOfTests"].as_u64().unwrap() as usize, ..Ran::default() };
    for group in data["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let Some(accepted) = check(group, test) else {
                ran.skipped += 1;
                continue;
            };
            let right = match test["result"].as_str().unwrap() {
                "valid" => accepted,
                "invalid" => !accepted,
                // Both are right; where something is accepted, it was compared with what should come out.
                "acceptable" => true,
                other => panic!("{file}: {other}"),
            };
            assert!(right, "{file}: vector {} was accepted: {accepted}", test["tcId"]);
            ran.ran += 1;
        }
    }
    assert_eq!(ran.all, ran.ran + ran.skipped, "{file}");
    ran
}

pub fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn aead(cipher: Aead, group: &Value, test: &Value) -> Verdict {
    if group["keySize"] != 256 {
        return None;
    }
    let [key, nonce, aad, plain, ct, tag] =
        ["key", "iv", "aad", "msg", "ct", "tag"].map(|n| hex(&test[n]));
    let key = AeadKey::new(cipher, &key).unwrap();
    let mut opened = [ct.clone(), tag.clone()].concat();
    let decrypted = key.open(&nonce, &aad, &mut opened);
    let mut sealed = plain.clone();
    let encrypted =
        key.seal(&nonce, &aad, &mut sealed).map(|made| sealed == ct && made[..] == tag[..]);
    if nonce.len() != cipher.nonce_len() {
        // Refused both ways, be it valid elsewhere: nonces of other lengths are not offered.
        assert_eq!(decrypted.unwrap_err().code(), Code::INVALID);
        assert_eq!(encrypted.unwrap_err().code(), Code::INVALID);
        return (test["result"] == "invalid").then_some(false);
    }
    let accepted = match decrypted {
        Ok(len) => {
            assert_eq!(opened[..len], plain);
            true
        }
        Err(e) => {
            assert_eq!(e.code(), Code::NOT_AUTHENTIC);
            false
        }
    };
    assert_eq!(accepted, encrypted.unwrap(), "vector {}", test["tcId"]);
    Some(accepted)
}

fn chunked(test: &Value) -> Verdict {
    use ring::digest;
    let mut sealed = Vec::new();
    let packed = hex(&test["ct"]);
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut sealed).unwrap();
    let context = hex(&test["ctx"]);
    let Ok(key) = ChunkedKey::new(Aead::Aes256Gcm, &hex(&test["key"])) else { return Some(false) };
    let at_once = key.open(&[&context], &sealed);
    // And as a stream that comes in pieces: what was given out before it ends badly is a true beginning.
    let mut streamed = Vec::new();
    let failed = match key.opener(&[&context], Dribble(&sealed)) {
        Ok(mut opener) => opener.read_to_end(&mut streamed).is_err(),
        Err(_) => true,
    };
    assert_eq!(failed, at_once.is_err());
    let has = |part: &str| test.get(part).is_some_and(|value| !value.is_null());
    if has("msgSha512") {
        let digest = digest::digest(&digest::SHA512, &streamed);
        assert_eq!(streamed.len() as u64, test["msgLength"].as_u64().unwrap(), "{}", test["tcId"]);
        assert_eq!(digest.as_ref(), hex(&test["msgSha512"]), "{}", test["tcId"]);
    }
    if let Ok(plain) = &at_once {
        assert_eq!(*plain, streamed);
    }
    Some(at_once.is_ok())
}

struct Dribble<'a>(&'a [u8]);

impl std::io::Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = out.len().min(self.0.len()).min(1013);
        let (now, later) = self.0.split_at(count);
        out[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

fn eddsa(group: &Value, test: &Value) -> Verdict {
    let public = hex(&group["publicKey"]["pk"]);
    Some(ed25519::verify(&public, &hex(&test["msg"]), &hex(&test["sig"])).is_ok())
}

fn hmac(hash: Hash, group: &Value, test: &Value) -> Verdict {
    let (message, tag) = (hex(&test["msg"]), hex(&test["tag"]));
    let key = Hmac::new(hash, &hex(&test["key"]));
    let whole = key.tag(&[&message]);
    let accepted = key.verify(&[&message], &tag).is_ok();
    if group["tagSize"].as_u64().unwrap() as usize == 8 * hash.len() {
        assert_eq!(accepted, whole == tag);
        return Some(accepted);
    }
    // A shortened tag is never accepted; who must speak such a protocol shortens what `tag` gives.
    assert!(!accepted);
    Some(whole.starts_with(&tag))
}

fn hkdf(hash: Hash, test: &Value) -> Verdict {
    let size = test["size"].as_u64().unwrap() as usize;
    let prk = Hkdf::extract(hash, &hex(&test["salt"]), &hex(&test["ikm"]));
    let mut out = vec![0; size];
    Some(
        prk.expand(&[&hex(&test["info"])], &mut out).is_ok() && {
            assert_eq!(out, hex(&test["okm"]));
            true
        },
    )
}

fn pbkdf(hash: Hash, test: &Value) -> Verdict {
    let iterations = test["iterationCount"].as_u64().unwrap().try_into().unwrap();
    let len = test["dkLen"].as_u64().unwrap() as usize;
    let key = pbkdf2(hash, iterations, &hex(&test["salt"]), &hex(&test["password"]), len).unwrap();
    Some(key.expose() == hex(&test["dk"]))
}

fn xdh(test: &Value) -> Verdict {
    let private = Secret::new(hex(&test["private"]));
    let public: [u8; 32] = hex(&test["public"]).try_into().unwrap();
    match x25519::agree(&private, &public) {
        Ok(shared) => {
            assert_eq!(shared.expose(), hex(&test["shared"]), "{}", test["tcId"]);
            Some(true)
        }
        Err(e) => {
            assert_eq!(e.code(), Code::INVALID);
            // Only where everybody would know the secret.
            assert!(hex(&test["shared"]).iter().all(|byte| *byte == 0), "{}", test["tcId"]);
            Some(false)
        }
    }
}
