//! Authenticators are registered, listed, renamed and removed.

use super::*;

#[test]
fn what_is_registered_is_checked_too() {
    let security = with(Some(WebauthnPolicy { most: 2, ..policy() }));
    let refused = |change: &dyn Fn(&mut Device), order: PasskeyOrder, why: &str| {
        let asked = security.passkeys().register(order, at(1)).unwrap();
        let mut device = Device::new();
        change(&mut device);
        match finish(&security, "ann", &device.create(&asked.options), at(2)) {
            Registered::Refused { why: told } => assert!(told.contains(why), "{told}"),
            Registered::Done(_) => panic!("{why}"),
        }
        on_record(&security, "passkey.add", why);
    };
    let order = || PasskeyOrder::new("ann");
    refused(
        &|device| "https://example.net".clone_into(&mut device.origin),
        order(),
        "another origin",
    );
    refused(&|device| device.rp_id = Some("example.net".into()), order(), "another relying party");
    refused(&|device| device.verifies = false, order(), "the user was not verified");
    assert_eq!(security.passkeys().list("ann").unwrap(), []);
    let code = |order| security.passkeys().register(order, at(3)).unwrap_err().code();
    assert_eq!(code(PasskeyOrder::new("")), Code::INVALID);
    assert_eq!(code(order().label("x".repeat(257))), Code::INVALID);
    assert_eq!(security.finish_passkey("ann", "{}", at(3)).unwrap_err().code(), Code::INVALID);
    // One authenticator is one principal's, once; and nobody has more than may be.
    let mut phone = Device::new();
    register(&security, order(), &mut phone);
    let options = |order| security.passkeys().register(order, at(4)).unwrap().options;
    let excluded = options(order())["publicKey"]["excludeCredentials"].as_array().unwrap().len();
    assert_eq!(excluded, 1);
    for who in ["bob", "ann"] {
        let mut answer = Device::new().create(&options(PasskeyOrder::new(who)));
        // With the identifier of the one that is there.
        let there = unbase64(
            &phone.get(&security.passkeys().ask(None, None, at(5)).unwrap().options)["id"],
        );
        let mut object = unbase64(&answer["response"]["attestationObject"]);
        let own = unbase64(&answer["id"]);
        let place = object.windows(own.len()).position(|part| part == own).unwrap();
        object[place..place + own.len()].copy_from_slice(&there);
        answer["response"]["attestationObject"] = base64(&object).into();
        (answer["id"], answer["rawId"]) = (base64(&there).into(), base64(&there).into());
        match (who, security.finish_passkey(who, &answer.to_string(), at(6))) {
            ("bob", Err(error)) => assert_eq!(error.code(), Code::ALREADY_EXISTS),
            ("ann", Ok(Registered::Refused { why })) => assert!(why.contains("already"), "{why}"),
            (_, other) => panic!("{other:?}"),
        }
    }
    register(&security, order(), &mut Device::new());
    let answer = Device::new().create(&options(order()));
    let full = security.finish_passkey("ann", &answer.to_string(), at(7)).unwrap_err();
    assert_eq!((full.code(), security.passkeys().list("ann").unwrap().len()), (Code::INVALID, 2));
}

#[test]
fn they_are_listed_renamed_and_removed() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let (mut phone, mut key) = (Device::new(), Device::new());
    let first = register(&security, PasskeyOrder::new("ann").label("phone"), &mut phone);
    let other = register(&security, PasskeyOrder::new("ann").security_key(), &mut key);
    assert!(security.rename_passkey("ann", &other.id, "blue key", at(5)).unwrap());
    assert!(!security.rename_passkey("bob", &other.id, "mine", at(5)).unwrap());
    let labels: Vec<String> =
        security.passkeys().list("ann").unwrap().into_iter().map(|view| view.label).collect();
    assert_eq!(labels, ["phone", "blue key"]);
    // Removed between challenge and answer, it is none any more.
    let asked = security.passkeys().ask(None, None, at(10)).unwrap();
    let (login, options) = half_way(&security, "ann", at(10));
    assert!(!security.remove_passkey("bob", &first.id, at(11)).unwrap());
    assert!(security.remove_passkey("ann", &first.id, at(11)).unwrap());
    assert!(!security.remove_passkey("ann", &first.id, at(11)).unwrap());
    assert!(refused(&security.log_in(passkey(&phone.get(&asked.options), None), at(12)).unwrap()));
    assert!(security.remove_passkey("ann", &other.id, at(13)).unwrap());
    // A login that was under way has ended with it.
    let answer = Credential::new("webauthn", None, key.get(&options).to_string().into());
    let gone = security.log_in_answer(&login, answer, at(14)).unwrap_err();
    assert_eq!(gone.code(), Code::LOGIN_UNKNOWN);
    on_record(&security, "passkey.remove", "ann");
    assert_eq!(security.passkeys().list("ann").unwrap(), []);
    // What was taken away may come back, and nobody is asked for what they have not.
    let password = Credential::new("password", Some("ann".into()), PASSWORD.into());
    done(security.log_in(Attempt::new(password), at(20)).unwrap());
}

#[test]
fn without_a_policy_nobody_registers_or_logs_in() {
    let security = with(None);
    let order = PasskeyOrder::new("ann");
    let off = security.passkeys().register(order.clone(), at(1)).unwrap_err();
    assert_eq!(off.code(), Code::FACTOR_OFF);
    assert_eq!(security.passkeys().ask(None, None, at(1)).unwrap_err().code(), Code::FACTOR_OFF);
    let off = security.finish_passkey("ann", "{}", at(1)).unwrap_err();
    assert_eq!(off.code(), Code::FACTOR_OFF);
    assert!(refused(&security.log_in(passkey(&json!({}), None), at(1)).unwrap()));
    security.set_webauthn(Some(policy()), "ops", at(2)).unwrap();
    let mut phone = Device::new();
    register(&security, order, &mut phone);
    let asked = security.passkeys().ask(None, None, at(3)).unwrap();
    let answer = phone.get(&asked.options);
    security.set_webauthn(None, "ops", at(4)).unwrap();
    assert!(refused(&security.log_in(passkey(&answer, None), at(5)).unwrap()));
    on_record(&security, "webauthn.set", "ops");
    // Whoever has a security key is not asked for what cannot be answered.
    security.set_password("ann", PASSWORD, at(6)).unwrap();
    let password = Credential::new("password", Some("ann".into()), PASSWORD.into());
    done(security.log_in(Attempt::new(password), at(7)).unwrap());
}
