//! The vectors of ML-KEM-768 and ML-DSA-65.

use serde_json::Value;
use sutazai_core::security::keys::Secret;
use sutazai_core::security::keys::primitive::ml_dsa::{self, MlDsa65};
use sutazai_core::security::keys::primitive::ml_kem::{self, MlKem768};

use crate::run::{Verdict, hex};

fn optional(value: &Value) -> Vec<u8> {
    if value.is_null() { Vec::new() } else { hex(value) }
}

pub fn sign(group: &Value, test: &Value) -> Verdict {
    // Signing a hash that somebody else made is not offered.
    if test["msg"].is_null() {
        return None;
    }
    let (message, context) = (hex(&test["msg"]), optional(&test["ctx"]));
    let random = if test["rnd"].is_null() { vec![0; 32] } else { hex(&test["rnd"]) };
    let Ok(key) = MlDsa65::from_seed(&Secret::new(hex(&group["privateSeed"]))) else {
        return Some(false);
    };
    assert_eq!(key.public(), hex(&group["publicKey"]));
    let Ok(signature) = key.sign_with(&context, &message, &Secret::new(random)) else {
        return Some(false);
    };
    assert_eq!(signature, hex(&test["sig"]), "{}", test["tcId"]);
    // The hedged one is another, and as good.
    let hedged = key.sign(&context, &message).unwrap();
    assert_ne!(hedged, signature);
    ml_dsa::verify(&key.public(), &context, &message, &hedged).unwrap();
    Some(true)
}

pub fn verify(group: &Value, test: &Value) -> Verdict {
    let (public, context) = (hex(&group["publicKey"]), optional(&test["ctx"]));
    Some(ml_dsa::verify(&public, &context, &hex(&test["msg"]), &hex(&test["sig"])).is_ok())
}

pub fn decapsulate(test: &Value) -> Verdict {
    let Ok(key) = MlKem768::from_seed(&Secret::new(hex(&test["seed"]))) else {
        return Some(false);
    };
    if !test["ek"].is_null() {
        assert_eq!(key.public(), hex(&test["ek"]), "{}", test["tcId"]);
    }
    let Ok(shared) = key.decapsulate(&hex(&test["c"])) else { return Some(false) };
    Some(shared.expose() == hex(&test["K"]))
}

pub fn encapsulate(test: &Value) -> Verdict {
    let random = Secret::new(hex(&test["m"]));
    let Ok((shared, sealed)) = ml_kem::encapsulate_with(&hex(&test["ek"]), &random) else {
        return Some(false);
    };
    Some(shared.expose() == hex(&test["K"]) && sealed == hex(&test["c"]))
}

pub fn generate(test: &Value) -> Verdict {
    let key = MlKem768::from_seed(&Secret::new(hex(&test["seed"]))).unwrap();
    // The expanded private key is not shown: that it is the one is seen by what it opens.
    let (shared, sealed) = ml_kem::encapsulate(&hex(&test["ek"])).unwrap();
    let opens = key.decapsulate(&sealed).unwrap() == shared;
    Some(opens && key.public() == hex(&test["ek"]))
}
