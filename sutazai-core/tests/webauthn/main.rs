//! Passkeys and security keys, against an authenticator in software.
#![cfg(feature = "webauthn")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

mod device;
mod registered;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use device::{Device, ORIGIN, RP_ID, base64, unbase64};
use serde_json::{Value, json};
use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::Credential;
use sutazai_core::security::audit::Query;
use sutazai_core::security::authn::{
    Attempt, LoggedIn, PasskeyKind, PasskeyOrder, PasskeyView, WebauthnPolicy,
};
use sutazai_core::security::{LoginAnswer, Registered, Security, SecurityOptions};
use sutazai_core::store::{DataDir, Store};

const PASSWORD: &str = "correct horse battery";

fn at(ms: i64) -> Timestamp {
    Timestamp::from_nanos((1_700_000_000_000 + ms) * 1_000_000)
}

fn options(policy: Option<WebauthnPolicy>) -> SecurityOptions {
    let mut options = SecurityOptions::default();
    options.passwords.memory_kib = 7168;
    options.passwords.passes = 5;
    options.webauthn = policy;
    options
}

fn policy() -> WebauthnPolicy {
    WebauthnPolicy::new(RP_ID, ORIGIN)
}

fn security() -> Security {
    with(Some(policy()))
}

fn with(policy: Option<WebauthnPolicy>) -> Security {
    Security::open(Store::memory(&[]).unwrap(), None, options(policy), at(0)).unwrap()
}

fn finish(security: &Security, who: &str, answer: &Value, now: Timestamp) -> Registered {
    security.finish_passkey(who, &answer.to_string(), now).unwrap()
}

fn register(security: &Security, order: PasskeyOrder, device: &mut Device) -> PasskeyView {
    let who = order.principal.clone();
    let asked = security.passkeys().register(order, at(1)).unwrap();
    match finish(security, &who, &device.create(&asked.options), at(2)) {
        Registered::Done(view) => view,
        Registered::Refused { why } => panic!("{why}"),
    }
}

/// A login with a passkey: the browser's answer, in whose name.
fn passkey(answer: &Value, who: Option<&str>) -> Attempt {
    Attempt::new(Credential::new("passkey", who.map(str::to_owned), answer.to_string().into()))
}

fn done(answer: LoginAnswer) -> LoggedIn {
    match answer {
        LoginAnswer::Done { login, .. } => login,
        other => panic!("{other:?}"),
    }
}

fn refused(answer: &LoginAnswer) -> bool {
    matches!(answer, LoginAnswer::Refused { .. })
}

/// The options and the login of a second factor, after the password.
fn half_way(security: &Security, who: &str, now: Timestamp) -> (String, Value) {
    let password = Credential::new("password", Some(who.to_owned()), PASSWORD.into());
    match security.log_in(Attempt::new(password), now).unwrap() {
        LoginAnswer::Next { login, offers, .. } => {
            let offer = offers.iter().find(|offer| offer.scheme == "webauthn").unwrap();
            (login, serde_json::from_str(&offer.parameters["options"]).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

fn second(security: &Security, login: &str, answer: &Value, now: Timestamp) -> LoginAnswer {
    let credential = Credential::new("webauthn", None, answer.to_string().into());
    security.log_in_answer(login, credential, now).unwrap()
}

/// Whether the newest record of this action says this.
#[track_caller]
fn on_record(security: &Security, action: &str, says: &str) {
    let query = Query { action: Some(action.to_owned()), limit: 1, ..Query::default() };
    let page = security.audit().query(&query).unwrap();
    let text = serde_json::to_string(&page.records[0]).unwrap();
    assert!(text.contains(says), "{text}");
}

#[test]
fn a_passkey_is_enough_with_a_name_and_without() {
    let security = security();
    let mut phone = Device::counting();
    let view = register(&security, PasskeyOrder::new("ann").label("phone"), &mut phone);
    assert_eq!((&*view.label, view.kind), ("phone", PasskeyKind::Passkey));
    assert_eq!(view.transports, ["internal", "hybrid"]);
    assert!(view.backup_eligible && view.used.is_none());
    for (n, name) in [None, Some("ann")].into_iter().enumerate() {
        let now = at(10 + n as i64);
        let asked = security.passkeys().ask(name, None, now).unwrap();
        assert_eq!(asked.options["publicKey"]["userVerification"], "required");
        let allowed = asked.options["publicKey"]["allowCredentials"].as_array().unwrap().len();
        assert_eq!(allowed, n);
        let answer = phone.get(&asked.options);
        let login = done(security.log_in(passkey(&answer, name), now).unwrap());
        assert_eq!(login.session.principal(), "ann");
        assert_eq!(login.session.methods().collect::<Vec<_>>(), ["passkey"]);
        assert_eq!(login.session.attributes()["authenticator"], view.id);
        let now_there = &security.passkeys().list("ann").unwrap()[0];
        assert_eq!(now_there.used, Some(now));
        assert!(now_there.counter > view.counter + n as u32);
        on_record(&security, "login.done", "passkey");
    }
    on_record(&security, "passkey.add", "ann");
    // Some browsers name nobody where the name is known.
    phone.tells_user = false;
    let asked = security.passkeys().ask(Some("ann"), None, at(20)).unwrap();
    done(security.log_in(passkey(&phone.get(&asked.options), None), at(20)).unwrap());
    let asked = security.passkeys().ask(None, None, at(21)).unwrap();
    let nobody = security.log_in(passkey(&phone.get(&asked.options), None), at(21)).unwrap();
    assert!(refused(&nobody));
}

#[test]
fn a_security_key_is_a_second_factor() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let mut key = Device::counting();
    key.verifies = false;
    let order = PasskeyOrder::new("ann").security_key();
    assert_eq!(register(&security, order, &mut key).kind, PasskeyKind::SecurityKey);
    let (login, options) = half_way(&security, "ann", at(10));
    let answer = key.get(&options);
    let done = done(second(&security, &login, &answer, at(11)));
    assert_eq!(done.session.methods().collect::<Vec<_>>(), ["password", "webauthn"]);
    // Of another login, and of this one again, it is none.
    let (other, _) = half_way(&security, "ann", at(20));
    assert!(refused(&second(&security, &other, &answer, at(21))));
    on_record(&security, "login.answer", "another challenge");
    // The challenge of that login was used by it.
    let again = key.get(&options);
    assert!(refused(&second(&security, &other, &again, at(22))));
    // It is no first factor.
    let asked = security.passkeys().ask(Some("ann"), None, at(30)).unwrap();
    key.verifies = true;
    assert!(refused(&security.log_in(passkey(&key.get(&asked.options), None), at(31)).unwrap()));
    on_record(&security, "login.begin", "it is no passkey");
}

#[test]
fn a_second_factor_verifies_its_user_where_the_policy_says_so() {
    let security = with(Some(WebauthnPolicy { verify_second: true, ..policy() }));
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let mut key = Device::new();
    key.verifies = false;
    register(&security, PasskeyOrder::new("ann").security_key(), &mut key);
    let (login, options) = half_way(&security, "ann", at(10));
    assert!(refused(&second(&security, &login, &key.get(&options), at(11))));
    on_record(&security, "login.answer", "not verified");
    let (login, options) = half_way(&security, "ann", at(20));
    key.verifies = true;
    done(second(&security, &login, &key.get(&options), at(21)));
}

#[test]
fn what_is_signed_for_others_is_refused() {
    let security = security();
    let mut phone = Device::new();
    register(&security, PasskeyOrder::new("ann"), &mut phone);
    let mut n = 10;
    let mut attempt = |change: &dyn Fn(&mut Device), spoil: &dyn Fn(&mut Value), why: &str| {
        n += 10;
        let asked = security.passkeys().ask(None, None, at(n)).unwrap();
        let mut device = phone.copy();
        change(&mut device);
        let mut answer = device.get(&asked.options);
        spoil(&mut answer);
        let came = security.log_in(passkey(&answer, None), at(n)).unwrap();
        assert_eq!(refused(&came), !why.is_empty(), "{why}: {came:?}");
        if !why.is_empty() {
            on_record(&security, "login.begin", why);
        }
    };
    let asis = |_: &mut Value| {};
    let untouched = |_: &mut Device| {};
    attempt(
        &|device| "https://login.example.net".clone_into(&mut device.origin),
        &asis,
        "another origin",
    );
    attempt(
        &|device| "https://example.org".clone_into(&mut device.origin),
        &asis,
        "another origin",
    );
    attempt(&|device| device.rp_id = Some("example.net".into()), &asis, "another relying party");
    attempt(&|device| device.verifies = false, &asis, "the user was not verified");
    let spoil = |field: &'static str| {
        move |answer: &mut Value| {
            let mut bytes = unbase64(&answer["response"][field]);
            *bytes.last_mut().unwrap() ^= 1;
            answer["response"][field] = base64(&bytes).into();
        }
    };
    attempt(&untouched, &spoil("signature"), "the signature does not fit");
    // The counter that was signed is another.
    attempt(&untouched, &spoil("authenticatorData"), "the signature does not fit");
    attempt(&untouched, &spoil("userHandle"), "means somebody else");
    attempt(&untouched, &|answer| answer["rawId"] = "AAAA".into(), "nobody's");
    attempt(&untouched, &|answer| *answer = json!({"id": 7}), "not the answer of a browser");
    // What says that it was made, and not used.
    let made = |answer: &mut Value| {
        let data = unbase64(&answer["response"]["clientDataJSON"]);
        let data = String::from_utf8(data).unwrap().replace("webauthn.get", "webauthn.create");
        answer["response"]["clientDataJSON"] = base64(data.as_bytes()).into();
    };
    attempt(&untouched, &made, "did not indicate webauthn");
    attempt(&untouched, &asis, "");
}

#[test]
fn anothers_key_is_anothers() {
    let security = security();
    let (mut anns, mut bobs) = (Device::new(), Device::new());
    register(&security, PasskeyOrder::new("ann"), &mut anns);
    register(&security, PasskeyOrder::new("bob"), &mut bobs);
    for name in ["ann", "bob"] {
        security.set_password(name, PASSWORD, at(3)).unwrap();
    }
    let asked = security.passkeys().ask(Some("ann"), None, at(10)).unwrap();
    assert!(refused(&security.log_in(passkey(&bobs.get(&asked.options), None), at(11)).unwrap()));
    on_record(&security, "login.begin", "another principal");
    let asked = security.passkeys().ask(None, None, at(20)).unwrap();
    let claims = passkey(&bobs.get(&asked.options), Some("ann"));
    assert!(refused(&security.log_in(claims, at(21)).unwrap()));
    let (login, options) = half_way(&security, "ann", at(30));
    assert!(refused(&second(&security, &login, &bobs.get(&options), at(31))));
    // Nor can what is bob's become ann's: neither his authenticator nor his challenge.
    let asked = security.passkeys().register(PasskeyOrder::new("bob"), at(40)).unwrap();
    let answer = Device::new().create(&asked.options);
    let came = finish(&security, "ann", &answer, at(41));
    assert!(matches!(came, Registered::Refused { why } if why.contains("another principal")));
    let came = finish(&security, "bob", &answer, at(42));
    assert!(matches!(came, Registered::Refused { why } if why.contains("was used")));
}

#[test]
fn a_challenge_is_good_once_and_for_a_while() {
    let security = security();
    let mut phone = Device::new();
    register(&security, PasskeyOrder::new("ann"), &mut phone);
    let asked = security.passkeys().ask(None, None, at(10)).unwrap();
    let answer = phone.get(&asked.options);
    done(security.log_in(passkey(&answer, None), at(11)).unwrap());
    assert!(refused(&security.log_in(passkey(&answer, None), at(12)).unwrap()));
    on_record(&security, "login.begin", "was used");
    // A wrong answer uses it as well.
    let asked = security.passkeys().ask(None, None, at(20)).unwrap();
    phone.verifies = false;
    assert!(refused(&security.log_in(passkey(&phone.get(&asked.options), None), at(21)).unwrap()));
    phone.verifies = true;
    assert!(refused(&security.log_in(passkey(&phone.get(&asked.options), None), at(22)).unwrap()));
    // A challenge is over.
    let asked = security.passkeys().ask(None, None, at(30)).unwrap();
    assert_eq!(asked.ends, at(30 + 300_000));
    let answer = phone.get(&asked.options);
    assert!(refused(&security.log_in(passkey(&answer, None), at(30 + 300_000)).unwrap()));
    on_record(&security, "login.begin", "is over");
    let late = at(700_000);
    let request = security.passkeys().register(PasskeyOrder::new("ann"), late).unwrap();
    let answer = Device::new().create(&request.options);
    let came = finish(&security, "ann", &answer, at(700_000 + 300_000));
    assert!(matches!(came, Registered::Refused { why } if why.contains("is over")));
    // The one that nobody made is none.
    let mut made_up = asked.options;
    made_up["publicKey"]["challenge"] = base64(&[7; 32]).into();
    let came = security.log_in(passkey(&phone.get(&made_up), None), at(1_100_000)).unwrap();
    assert!(refused(&came));
}

#[test]
fn a_counter_that_goes_back_is_a_copy() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let mut phone = Device::counting();
    register(&security, PasskeyOrder::new("ann"), &mut phone);
    let mut stolen = phone.copy();
    for n in 0..3 {
        let asked = security.passkeys().ask(None, None, at(10 + n)).unwrap();
        done(security.log_in(passkey(&phone.get(&asked.options), None), at(10 + n)).unwrap());
    }
    let kept = security.passkeys().list("ann").unwrap()[0].counter;
    let asked = security.passkeys().ask(None, None, at(20)).unwrap();
    assert!(refused(&security.log_in(passkey(&stolen.get(&asked.options), None), at(20)).unwrap()));
    on_record(&security, "login.begin", "the authenticator may have been copied");
    on_record(&security, "login.begin", &security.passkeys().list("ann").unwrap()[0].id);
    on_record(&security, "login.done", &security.passkeys().list("ann").unwrap()[0].id);
    let (login, options) = half_way(&security, "ann", at(21));
    assert!(refused(&second(&security, &login, &stolen.get(&options), at(21))));
    on_record(&security, "login.answer", "the authenticator may have been copied");
    assert_eq!(security.passkeys().list("ann").unwrap()[0].counter, kept);
}

#[test]
fn two_challenges_of_one_authenticator_are_answered_in_order() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let mut key = Device::counting();
    register(&security, PasskeyOrder::new("ann").security_key(), &mut key);
    // Both challenges know the counter as it was; the answer of the first comes last.
    let ((one, first), (two, last)) =
        (half_way(&security, "ann", at(10)), half_way(&security, "ann", at(11)));
    let (early, late) = (key.get(&first), key.get(&last));
    done(second(&security, &two, &late, at(12)));
    assert!(refused(&second(&security, &one, &early, at(13))));
    on_record(&security, "login.answer", "the authenticator may have been copied");
}

#[test]
fn a_passkey_is_not_its_own_second_factor() {
    let mut options = options(Some(policy()));
    // Everybody looks risky enough.
    options.logins.step_up_risk = 0.0;
    let security = Security::open(Store::memory(&[]).unwrap(), None, options, at(0)).unwrap();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let (mut phone, mut key) = (Device::new(), Device::new());
    register(&security, PasskeyOrder::new("ann"), &mut phone);
    // After a password it is one.
    let (login, options) = half_way(&security, "ann", at(5));
    done(second(&security, &login, &phone.get(&options), at(6)));
    register(&security, PasskeyOrder::new("ann").security_key(), &mut key);
    let step_up = |phone: &mut Device, other: &mut Device, now| {
        let asked = security.passkeys().ask(None, None, now).unwrap();
        let came = security.log_in(passkey(&phone.get(&asked.options), None), now).unwrap();
        let LoginAnswer::Next { login, offers, .. } = came else { panic!("{came:?}") };
        let options = serde_json::from_str(&offers[0].parameters["options"]).unwrap();
        second(&security, &login, &other.get(&options), now)
    };
    let mut same = phone.copy();
    assert!(refused(&step_up(&mut phone, &mut same, at(20))));
    on_record(&security, "login.answer", "the authenticator that was used before");
    assert_eq!(done(step_up(&mut phone, &mut key, at(30))).session.methods().count(), 2);
}

#[test]
fn they_outlast_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut phone = Device::counting();
    let open = |now| {
        let data = DataDir::open(dir.path()).unwrap();
        let store = Store::open(&data, &[]).unwrap();
        store.start().unwrap();
        let security =
            Security::open(store.clone(), Some(&data), options(Some(policy())), now).unwrap();
        (data, store, security)
    };
    let close = |(data, store, security): (DataDir, Store, Security), now| {
        security.close(now).unwrap();
        store.close(std::time::Duration::from_secs(10)).unwrap();
        drop((data, store, security));
    };
    let opened = open(at(0));
    register(&opened.2, PasskeyOrder::new("ann").label("phone"), &mut phone);
    let mut stolen = phone.copy();
    let asked = opened.2.passkeys().ask(None, None, at(10)).unwrap();
    done(opened.2.log_in(passkey(&phone.get(&asked.options), None), at(11)).unwrap());
    let left = opened.2.passkeys().ask(None, None, at(12)).unwrap();
    let before = opened.2.passkeys().list("ann").unwrap();
    let nobodys = |security: &Security| {
        let asked = security.passkeys().ask(Some("nobody"), None, at(20)).unwrap();
        asked.options["publicKey"]["allowCredentials"].clone()
    };
    let (fakes, handle) = (nobodys(&opened.2), handle(&opened.2));
    close(opened, at(13));
    let opened = open(at(30));
    let security = &opened.2;
    assert_eq!(security.passkeys().list("ann").unwrap(), before);
    assert_eq!((nobodys(security), self::handle(security)), (fakes, handle));
    // A challenge does not.
    let answer = phone.get(&left.options);
    assert!(refused(&security.log_in(passkey(&answer, None), at(31)).unwrap()));
    let asked = security.passkeys().ask(None, None, at(32)).unwrap();
    assert!(refused(&security.log_in(passkey(&stolen.get(&asked.options), None), at(32)).unwrap()));
    let asked = security.passkeys().ask(None, None, at(33)).unwrap();
    done(security.log_in(passkey(&phone.get(&asked.options), None), at(33)).unwrap());
    close(opened, at(40));
}

fn handle(security: &Security) -> Value {
    let asked = security.passkeys().register(PasskeyOrder::new("ann"), at(20)).unwrap();
    asked.options["publicKey"]["user"]["id"].clone()
}

#[test]
fn of_many_threads_with_one_answer_one_succeeds() {
    let mut options = options(Some(policy()));
    // Wrong answers do not end the login before the right one.
    options.logins.tries = 1_000;
    let security = Security::open(Store::memory(&[]).unwrap(), None, options, at(0)).unwrap();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let mut key = Device::new();
    register(&security, PasskeyOrder::new("ann"), &mut key);
    let good = |attempt: &(dyn Fn() -> bool + Sync)| {
        let (ready, good) = (Barrier::new(64), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    ready.wait();
                    if attempt() {
                        good.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        good.load(Ordering::Relaxed)
    };
    let asked = security.passkeys().ask(None, None, at(10)).unwrap();
    let answer = key.get(&asked.options);
    let first = good(&|| {
        let came = security.log_in(passkey(&answer, None), at(11)).unwrap();
        matches!(came, LoginAnswer::Done { .. })
    });
    assert_eq!(first, 1);
    let (login, options) = half_way(&security, "ann", at(20));
    let answer = key.get(&options);
    let last = good(&|| {
        let credential = Credential::new("webauthn", None, answer.to_string().into());
        let came = security.log_in_answer(&login, credential, at(21));
        matches!(came, Ok(LoginAnswer::Done { .. }))
    });
    assert_eq!(last, 1);
}

#[test]
fn whoever_is_not_there_looks_as_if_they_were() {
    let security = security();
    register(&security, PasskeyOrder::new("ann"), &mut Device::new());
    let asked = |name: &str, now| {
        let mut options = security.passkeys().ask(Some(name), None, now).unwrap().options;
        options["publicKey"]["challenge"].take();
        options
    };
    let form = |options: &Value| {
        let mut form = options["publicKey"].clone();
        let allowed = form["allowCredentials"].take();
        let of = |one: &Value| one.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let fields: Vec<_> = allowed.as_array().unwrap().iter().map(of).collect();
        (form, fields)
    };
    let there = form(&asked("ann", at(10)));
    let mut as_many = 0;
    for n in 0..20 {
        let name = format!("nobody-{n}");
        let (one, again) = (asked(&name, at(11)), asked(&name, at(12)));
        assert_eq!(one, again, "they stay the same");
        let (rest, fields) = form(&one);
        assert_eq!(rest, there.0);
        assert!(fields.iter().all(|fields| *fields == there.1[0]));
        as_many += usize::from(fields.len() == there.1.len());
    }
    assert!(as_many > 0, "many people have one");
    let (one, other) = (asked("nobody-1", at(13)), asked("ann", at(13)));
    assert_ne!(one, other);
    let other = with(Some(policy()));
    let elsewhere = other.passkeys().ask(Some("nobody-1"), None, at(1)).unwrap().options;
    let ids = |options: &Value| options["publicKey"]["allowCredentials"].to_string();
    assert!(ids(&one) == "[]" || ids(&one) != ids(&elsewhere), "of this instance alone");
}

#[test]
fn whoever_is_disabled_has_no_use_of_a_passkey() {
    let security = security();
    let mut phone = Device::new();
    register(&security, PasskeyOrder::new("ann"), &mut phone);
    security.disable_principal("ann", "left", "ops", at(5)).unwrap();
    let asked = security.passkeys().ask(None, None, at(10)).unwrap();
    assert!(refused(&security.log_in(passkey(&phone.get(&asked.options), None), at(11)).unwrap()));
    on_record(&security, "login.begin", "the principal is disabled");
    security.enable_principal("ann", "ops", at(12)).unwrap();
    let asked = security.passkeys().ask(None, None, at(13)).unwrap();
    done(security.log_in(passkey(&phone.get(&asked.options), None), at(14)).unwrap());
}
