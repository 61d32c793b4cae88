//! The keys as data in and data out.

use serde_json::{Value, json};
use sutazai_core::security::keys::{Keys, KeysRequest};
use sutazai_core::{Code, Error};

use crate::{NOW, keys};

fn ask(keys: &Keys, request: Value) -> Result<Value, Error> {
    let request: KeysRequest =
        serde_json::from_value(request.clone()).unwrap_or_else(|e| panic!("{request}: {e}"));
    keys.answer(request, "host", NOW)
}

#[test]
fn every_operation_has_a_form_in_json() {
    let keys = keys();
    let ask = |request| ask(&keys, request).unwrap();
    ask(
        json!({"op": "create", "keyset": "e", "purpose": "encrypt", "algorithm": "chacha20-poly1305"}),
    );
    ask(
        json!({"op": "create", "keyset": "s", "purpose": "sign", "schedule": {"lead_s": 60, "active_s": 3600}}),
    );
    ask(json!({"op": "create", "keyset": "m", "purpose": "mac"}));
    ask(json!({"op": "create", "keyset": "h", "purpose": "wrap", "algorithm": "hpke-x25519"}));

    let sealed = ask(json!({"op": "encrypt", "keyset": "e", "context": "c", "plain": "aGVsbG8="}))
        ["sealed"]
        .clone();
    let opened = ask(json!({"op": "decrypt", "keyset": "e", "context": "c", "sealed": sealed}));
    assert_eq!(opened, json!({"plain": "aGVsbG8="}));
    let same = ask(json!({"op": "rewrap", "keyset": "e", "context": "c", "sealed": sealed}));
    assert_eq!(same, json!({"sealed": sealed, "changed": false}));
    let event = ask(json!({"op": "rotate", "keyset": "e"}));
    assert_eq!((&event["change"], &event["keyset"]), (&json!("rotated"), &json!("e")));
    let again = ask(json!({"op": "rewrap", "keyset": "e", "context": "c", "sealed": sealed}));
    assert_eq!(again["changed"], true);
    let info = ask(json!({"op": "info", "keyset": "e"}));
    assert_eq!(info["keys"][0]["state"], "decrypt-only");
    let gone = ask(json!({"op": "destroy", "keyset": "e", "key": info["keys"][0]["id"]}));
    assert_eq!(gone["change"], "destroyed");

    let signature =
        ask(json!({"op": "sign", "keyset": "s", "message": "aGVsbG8="}))["signature"].clone();
    let verify = |message: &str| {
        ask(json!({"op": "verify", "keyset": "s", "message": message, "signature": signature}))
    };
    assert_eq!(
        (verify("aGVsbG8="), verify("aGVsbA==")),
        (json!({"valid": true}), json!({"valid": false}))
    );
    assert_eq!(ask(json!({"op": "public_keys", "keyset": "s"}))[0]["state"], "active");
    let tag = ask(json!({"op": "mac", "keyset": "m", "message": "aGVsbG8="}))["tag"].clone();
    let check = ask(json!({"op": "verify_mac", "keyset": "m", "message": "aGVsbG8=", "tag": tag}));
    assert_eq!(check, json!({"valid": true}));

    let cost = json!({"memory_kib": 32, "passes": 1, "lanes": 1});
    let by_phrase =
        ask(json!({"op": "export", "keyset": "m", "passphrase": "aGVsbG8=", "cost": cost}));
    let public = ask(json!({"op": "public_keys", "keyset": "h"}))[0]["public"].clone();
    let to_key = ask(json!({"op": "export", "keyset": "m", "recipient": public}));
    for request in [
        json!({"op": "import", "export": by_phrase, "passphrase": "aGVsbG8="}),
        json!({"op": "import", "export": to_key, "recipient": "h"}),
    ] {
        ask(json!({"op": "remove", "keyset": "m"}));
        assert_eq!(ask(request)["change"], "imported");
    }
    assert_eq!(ask(json!({"op": "tick"})), json!({"events": [], "failures": []}));
    let names: Vec<_> = ask(json!({"op": "list"}))
        .as_array()
        .unwrap()
        .iter()
        .map(|set| set["name"].clone())
        .collect();
    assert_eq!(names, ["e", "h", "m", "s"]);
}

#[test]
fn what_is_wrong_has_its_code_and_shows_no_secret() {
    let keys = keys();
    ask(&keys, json!({"op": "create", "keyset": "s", "purpose": "sign"})).unwrap();
    let code = |request| ask(&keys, request).unwrap_err().code();
    assert_eq!(code(json!({"op": "info", "keyset": "none"})), Code::KEY_UNKNOWN);
    assert_eq!(code(json!({"op": "encrypt", "keyset": "s", "plain": ""})), Code::KEY_PURPOSE);
    assert_eq!(
        code(json!({"op": "create", "keyset": "s", "purpose": "sign"})),
        Code::ALREADY_EXISTS
    );
    assert_eq!(
        code(json!({"op": "create", "keyset": "x", "purpose": "sign", "algorithm": "aes-256-gcm"})),
        Code::KEY_PURPOSE
    );
    assert_eq!(code(json!({"op": "export", "keyset": "s"})), Code::INVALID);
    assert_eq!(
        code(json!({"op": "verify", "keyset": "s", "message": "", "signature": "AQAAAAAAAAAA"})),
        Code::KEY_FORMAT
    );
    for wrong in [
        json!({"op": "derive", "keyset": "s"}),
        json!({"op": "create", "keyset": "x"}),
        json!({"op": "encrypt", "keyset": "s", "plain": "not base64!"}),
        json!({"op": "rotate", "keyset": "s", "more": 1}),
        json!({"op": "destroy", "keyset": "s", "key": "1"}),
    ] {
        let error = serde_json::from_value::<KeysRequest>(wrong).unwrap_err();
        assert!(!error.to_string().contains("base64!"));
    }
    let request: KeysRequest =
        serde_json::from_value(json!({"op": "encrypt", "keyset": "s", "plain": "c2VjcmV0"}))
            .unwrap();
    assert!(
        !format!("{request:?}").contains("c2VjcmV0")
            && !format!("{request:?}").contains("secret\"")
    );
    // It has a schema.
    let schema = serde_json::to_value(schemars::schema_for!(KeysRequest)).unwrap();
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 17);
}
