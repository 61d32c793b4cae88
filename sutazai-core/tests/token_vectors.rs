//! The vectors of PASETO v4 and PASERK k4, and Biscuit's samples; `docs/vectors-tokens.md` is their table.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(feature = "security")]

use std::path::PathBuf;

use serde_json::Value;
use sutazai_core::Code;
use sutazai_core::security::token::paserk::{self, PaserkKey};
use sutazai_core::security::token::{LocalKey, SigningKey, VerifyingKey, paseto};

/// The file of the corpus, or nothing when there is no corpus here, which only a build server may not say.
fn corpus(file: &str) -> Option<Value> {
    let root = std::env::var_os("SUTAZAI_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join("paseto").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{}: {error}", path.display());
            println!("skipped: no {}", path.display());
            None
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn field<'v>(test: &'v Value, name: &str) -> &'v str {
    test[name].as_str().unwrap_or_default()
}

/// Runs each test of a file, and answers how many there were.
fn each(file: &str, mut run: impl FnMut(&str, bool, &Value)) {
    let Some(corpus) = corpus(file) else { return };
    let tests = corpus["tests"].as_array().unwrap();
    for test in tests {
        run(field(test, "name"), test["expect-fail"].as_bool().unwrap(), test);
    }
    assert!(!tests.is_empty());
    println!("{file}: {} vectors", tests.len());
}

#[test]
fn paseto_v4() {
    each("v4.json", |name, fails, test| {
        let (token, implicit) =
            (field(test, "token"), field(test, "implicit-assertion").as_bytes());
        let opened = if test.get("public-key").is_some() {
            let key = VerifyingKey::from_bytes(hex(field(test, "public-key")).try_into().unwrap());
            paseto::verify(&key.unwrap(), token, implicit)
        } else {
            let key = LocalKey::from_bytes(&hex(field(test, "key")).try_into().unwrap());
            paseto::decrypt(&key.unwrap(), token, implicit)
        };
        if fails {
            assert!(opened.is_err(), "{name}");
            return;
        }
        let opened = opened.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(opened.message, field(test, "payload").as_bytes(), "{name}");
        assert_eq!(opened.footer, field(test, "footer").as_bytes(), "{name}");
        let footer = field(test, "footer").as_bytes();
        if test.get("secret-key-seed").is_some() {
            // Ed25519 is deterministic: the very same token comes of signing.
            let key =
                SigningKey::from_seed(&hex(field(test, "secret-key-seed")).try_into().unwrap());
            let signed = paseto::sign(&key.unwrap(), &opened.message, footer, implicit).unwrap();
            assert_eq!(signed, token, "{name}");
        } else {
            // The nonce is random, so that encrypting is held against decrypting.
            let key = LocalKey::from_bytes(&hex(field(test, "key")).try_into().unwrap()).unwrap();
            let made = paseto::encrypt(&key, &opened.message, footer, implicit).unwrap();
            assert_eq!(paseto::decrypt(&key, &made, implicit).unwrap(), opened, "{name}");
        }
    });
}

/// The bytes of a key, if it is of the type that is expected.
type Read = fn(&PaserkKey) -> Option<Vec<u8>>;

/// Runs a file of a PASERK type: the key's text, and what reads it if something does.
fn paserk_file(
    file: &str,
    write: impl Fn(&[u8]) -> sutazai_core::Result<String>,
    read: Option<Read>,
) {
    each(file, |name, fails, test| {
        let text = test["paserk"].as_str();
        let key = test["key"].as_str().map(hex);
        if fails {
            // Either the key cannot be written, or the text cannot be read.
            if let Some(key) = key {
                assert!(write(&key).is_err(), "{name}");
            }
            if let Some(text) = text {
                assert!(paserk::parse(text).is_err(), "{name}");
            }
            return;
        }
        let (key, text) = (key.unwrap(), text.unwrap());
        assert_eq!(write(&key).unwrap(), text, "{name}");
        match read {
            Some(read) => assert_eq!(read(&paserk::parse(text).unwrap()).unwrap(), key, "{name}"),
            None => assert!(paserk::parse(text).is_err(), "{name}: an identifier is no key"),
        }
    });
}

#[test]
fn paserk_k4() {
    paserk_file(
        "k4.local.json",
        |key| paserk::local(key).map(|text| text.to_string()),
        Some(|key| match key {
            PaserkKey::Local(bytes) => Some(bytes.to_vec()),
            _ => None,
        }),
    );
    paserk_file(
        "k4.public.json",
        paserk::public,
        Some(|key| match key {
            PaserkKey::Public(bytes) => Some(bytes.to_vec()),
            _ => None,
        }),
    );
    paserk_file(
        "k4.secret.json",
        |key| paserk::secret(key).map(|text| text.to_string()),
        Some(|key| match key {
            PaserkKey::Secret(bytes) => Some(bytes.to_vec()),
            _ => None,
        }),
    );
    paserk_file("k4.lid.json", paserk::local_id, None);
    paserk_file("k4.pid.json", paserk::public_id, None);
    paserk_file("k4.sid.json", paserk::secret_id, None);
}

#[test]
fn wrapped_keys_are_not_taken_for_keys() {
    // `k4.local-wrap.pie` is not offered: each of its vectors is refused as no key.
    each("k4.local-wrap.pie.json", |name, _, test| {
        let error = paserk::parse(field(test, "paserk")).unwrap_err();
        assert_eq!(error.code(), Code::TOKEN_KEY, "{name}");
    });
}

#[test]
fn a_key_does_one_thing() {
    let (local, public) = (paserk::local(&[1; 32]).unwrap(), paserk::public(&[1; 32]).unwrap());
    let secret = SigningKey::from_seed(&[1; 32]).unwrap();
    let pair = [&[1; 32][..], secret.verifying().as_bytes()].concat();
    let secret = paserk::secret(&pair).unwrap();
    for text in [public.as_str(), &secret] {
        assert_eq!(LocalKey::from_paserk(text).unwrap_err().code(), Code::TOKEN_KEY);
    }
    for text in [local.as_str(), &secret] {
        assert_eq!(VerifyingKey::from_paserk(text).unwrap_err().code(), Code::TOKEN_KEY);
    }
    for text in [local.as_str(), &public] {
        assert_eq!(SigningKey::from_paserk(text).unwrap_err().code(), Code::TOKEN_KEY);
    }
}

#[cfg(feature = "biscuit")]
mod biscuit {
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::Duration;

    use serde_json::Value;
    use sutazai_core::Code;
    use sutazai_core::security::token::delegate::{
        DelegationLimits, RootPublicKey, authorize_datalog, revocation_ids,
    };

    use super::{field, hex};

    /// Where the samples are: in the published package of biscuit-auth.
    fn samples() -> Option<PathBuf> {
        // Without the platform it would ask for packages of others, which may not be here.
        let rustc = Command::new("rustc").arg("-vV").output().ok()?;
        let said = String::from_utf8(rustc.stdout).ok()?;
        let host = said.lines().find_map(|line| line.strip_prefix("host: "))?;
        let metadata = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .args(["--filter-platform", host])
            .arg("--manifest-path")
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .output()
            .ok()?;
        let metadata: Value = serde_json::from_slice(&metadata.stdout).ok()?;
        let package = metadata["packages"]
            .as_array()?
            .iter()
            .find(|package| package["name"] == "biscuit-auth")?;
        let manifest = PathBuf::from(package["manifest_path"].as_str()?);
        Some(manifest.parent()?.join("samples")).filter(|path| path.join("samples.json").exists())
    }

    /// What kind of refusal a sample expects.
    fn expected(error: &Value) -> &'static [Code] {
        match error.as_object().unwrap().keys().next().unwrap().as_str() {
            "Format" => &[Code::TOKEN_SIGNATURE, Code::TOKEN_MALFORMED],
            _ => &[Code::DELEGATION_DENIED],
        }
    }

    #[test]
    fn samples_come_out_as_written() {
        let Some(folder) = samples() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no samples of biscuit-auth");
            println!("skipped: no samples of biscuit-auth");
            return;
        };
        let text = std::fs::read_to_string(folder.join("samples.json")).unwrap();
        let samples: Value = serde_json::from_str(&text).unwrap();
        let root = hex(field(&samples, "root_public_key"));
        let root = RootPublicKey::from_bytes(&root.try_into().unwrap()).unwrap();
        let limits =
            DelegationLimits { time: Duration::from_secs(60), ..DelegationLimits::default() };
        let (mut ran, mut skipped) = (0, 0);
        for case in samples["testcases"].as_array().unwrap() {
            let name = field(case, "filename");
            let token = std::fs::read(folder.join(name)).unwrap();
            for (which, validation) in case["validations"].as_object().unwrap() {
                let code = field(validation, "authorizer_code");
                // A function of the host's that tokens may call: there is none here.
                if case["token"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|b| field(b, "code").contains(".extern::"))
                {
                    skipped += 1;
                    continue;
                }
                ran += 1;
                let got = authorize_datalog(&token, &root, code, limits);
                let result = &validation["result"];
                match (&got, result.get("Ok")) {
                    (Ok(policy), Some(wanted)) => {
                        assert_eq!(*policy as u64, wanted.as_u64().unwrap())
                    }
                    (Err(error), None) => {
                        assert!(
                            expected(&result["Err"]).contains(&error.code()),
                            "{name} {which}: {error}"
                        );
                    }
                    _ => panic!("{name} {which}: {got:?}, not {result}"),
                }
                let ids = validation["revocation_ids"].as_array().unwrap();
                if !ids.is_empty() {
                    let ids: Vec<_> = ids.iter().map(|id| id.as_str().unwrap()).collect();
                    assert_eq!(revocation_ids(&token, &root).unwrap(), ids, "{name}");
                }
            }
        }
        println!("biscuit samples: {ran} validations, {skipped} skipped");
        assert!(ran > 40 && skipped <= 1);
    }
}
