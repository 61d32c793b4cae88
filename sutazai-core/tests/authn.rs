//! Logins: factors, guessing, and what is told to whom.
//!
//! Long because: logins have many ways to end, and all share the same parts.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{
    AuditClass, AuditEvent, AuditTrail, AuthProvider, AuthStep, Credential, Session,
};
use sutazai_core::security::authn::{
    Attempt, LoggedIn, LoginPolicy, LoginStep, Logins, PasswordPolicy, Passwords, RecoveryCodes,
    SecondFactor, ThrottlePolicy, Totp, TotpPolicy,
};
use sutazai_core::security::keys::{Encryptor, Keys, Master, Purpose, Secret, Spec};
use sutazai_core::store::{DataDir, Store};
use sutazai_core::{Code, Error, Result};

const PASSWORD: &str = "correct horse battery";

/// As cheap as is allowed.
fn cheap() -> PasswordPolicy {
    PasswordPolicy { memory_kib: 7168, passes: 5, ..PasswordPolicy::default() }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_nanos((1_700_000_000_000 + ms) * 1_000_000)
}

fn password(who: &str, text: &str) -> Credential {
    Credential::new("password", Some(who.to_owned()), text.into())
}

/// The keyset that secrets of factors are sealed under.
fn keys(store: Store) -> Encryptor {
    let master = Master::key(Secret::new(vec![3; 32])).unwrap();
    let keys = Keys::open(store, &master, None, at(0)).unwrap();
    keys.ensure("factors", Spec::new(Purpose::Encrypt), "test", at(0)).unwrap();
    keys.encryptor("factors").unwrap()
}

struct Parts {
    passwords: Arc<Passwords>,
    totp: Arc<Totp>,
    recovery: Arc<RecoveryCodes>,
    store: Store,
}

fn parts(store: Store) -> Parts {
    let sealer = Arc::new(keys(store.clone()));
    let passwords = Arc::new(Passwords::new(store.clone(), cheap()).unwrap());
    passwords.set("ann", PASSWORD, at(0)).unwrap();
    let totp = Arc::new(Totp::new(store.clone(), TotpPolicy::default(), sealer).unwrap());
    Parts { passwords, totp, recovery: Arc::new(RecoveryCodes::new(store.clone())), store }
}

impl Parts {
    fn logins(&self, policy: LoginPolicy) -> Logins {
        Logins::builder(self.store.clone())
            .policy(policy)
            .provider(self.passwords.clone())
            .provider(self.totp.clone())
            .provider(self.recovery.clone())
            .build()
            .unwrap()
    }

    /// Gives ann an authenticator, and answers with it.
    fn enrol(&self) -> Authenticator {
        let enrolment = self.totp.enrol("ann", at(0)).unwrap();
        let authenticator = Authenticator::from(&*enrolment.url);
        self.totp.confirm("ann", &authenticator.code(at(0)), at(0)).unwrap();
        authenticator
    }
}

struct Authenticator(totp_rs::Totp);

impl From<&str> for Authenticator {
    fn from(url: &str) -> Self {
        Self(totp_rs::Totp::from_url(url).unwrap())
    }
}

impl Authenticator {
    fn code(&self, now: Timestamp) -> String {
        self.0.generate((now.as_nanos() / 1_000_000_000) as u64).to_string()
    }
}

fn done(step: LoginStep) -> LoggedIn {
    let LoginStep::Done(login) = step else { panic!("not done: {step:?}") };
    login
}

fn next(step: LoginStep) -> (String, Vec<String>) {
    let LoginStep::Next { login, offers, .. } = step else {
        panic!("nothing comes next: {step:?}")
    };
    (login, offers.into_iter().map(|offer| offer.scheme).collect())
}

fn retry_after(step: LoginStep) -> Option<Duration> {
    let LoginStep::Refused { retry_after } = step else { panic!("not refused: {step:?}") };
    retry_after
}

#[test]
fn a_password_then_a_code() {
    let parts = parts(Store::memory(&[]).unwrap());
    let authenticator = parts.enrol();
    parts.recovery.make("ann", at(0)).unwrap();
    let logins = parts.logins(LoginPolicy::default());
    let (login, offers) =
        next(logins.begin(Attempt::new(password("ann", PASSWORD)), at(60_000)).unwrap());
    assert_eq!(offers, ["totp", "recovery"]);
    let code = |text: String| Credential::new("totp", None, text.into_bytes());
    assert_eq!(
        retry_after(logins.answer(&login, code("000000".into()), at(61_000)).unwrap()),
        None
    );
    let login =
        done(logins.answer(&login, code(authenticator.code(at(62_000))), at(62_000)).unwrap());
    let attributes = login.session.attributes();
    assert_eq!(login.session.principal(), "ann");
    assert_eq!(attributes["amr"], "password totp");
    assert_eq!(attributes["device"], "new");
    assert_eq!(attributes["auth_time"], "2023-11-14T22:14:22Z");
    // The device is known from now on.
    let again = Attempt::new(password("ann", PASSWORD)).device(login.device.clone());
    let (id, _) = next(logins.begin(again, at(90_000)).unwrap());
    let again =
        done(logins.answer(&id, code(authenticator.code(at(120_000))), at(120_000)).unwrap());
    assert_eq!(again.session.attributes()["device"], "known");
    assert_eq!(again.device, login.device);
    assert_eq!(logins.status().under_way, 0);
}

#[test]
fn whoever_is_not_there_is_refused_as_who_is() {
    let parts = parts(Store::memory(&[]).unwrap());
    let logins = parts.logins(LoginPolicy::default());
    let long = "x".repeat(300);
    for (who, text) in
        [("ann", "wrong"), ("nobody", PASSWORD), ("", "x"), (&*long, "x"), ("a\nb", "x")]
    {
        let step = logins.begin(Attempt::new(password(who, text)), at(0)).unwrap();
        assert_eq!(retry_after(step), None, "{who}");
    }
    // Nor is it told whether somebody has a second factor, before the first is right.
    parts.enrol();
    let step = logins.begin(Attempt::new(password("ann", "wrong")), at(0)).unwrap();
    assert_eq!(retry_after(step), None);
    // A login does not begin with a second factor, nor with one that is not there.
    for scheme in ["totp", "recovery", "unheard-of"] {
        let credential = Credential::new(scheme, Some("ann".to_owned()), b"000000".to_vec());
        assert_eq!(retry_after(logins.begin(Attempt::new(credential), at(0)).unwrap()), None);
    }
}

#[test]
fn of_64_threads_with_one_code_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let store = Store::open(&data, &[]).unwrap();
    store.start().unwrap();
    let parts = parts(store.clone());
    let authenticator = parts.enrol();
    let now = at(90_000);
    let code = authenticator.code(now);
    let (ready, good) = (Barrier::new(64), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let credential =
                    Credential::new("totp", Some("ann".to_owned()), code.clone().into_bytes());
                ready.wait();
                let step = parts.totp.authenticate(&credential, now).unwrap();
                if matches!(step, AuthStep::Accepted(_)) {
                    good.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(good.load(Ordering::Relaxed), 1);
    // Neither a restart nor a clock set back makes it good again, nor an earlier one.
    store.close(Duration::from_secs(10)).unwrap();
    drop((parts, store, data));
    let data = DataDir::open(dir.path()).unwrap();
    let store = Store::open(&data, &[]).unwrap();
    store.start().unwrap();
    let sealer = Arc::new(keys(store.clone()));
    let totp = Totp::new(store.clone(), TotpPolicy::default(), sealer).unwrap();
    for (code, now) in
        [(&code, now), (&code, at(60_000)), (&authenticator.code(at(60_000)), at(60_000))]
    {
        let credential = Credential::new("totp", Some("ann".to_owned()), code.clone().into_bytes());
        assert!(matches!(totp.authenticate(&credential, now).unwrap(), AuthStep::Refused(_)));
    }
    let later = authenticator.code(at(120_000));
    let credential = Credential::new("totp", Some("ann".to_owned()), later.into_bytes());
    assert!(matches!(totp.authenticate(&credential, at(120_000)).unwrap(), AuthStep::Accepted(_)));
    store.close(Duration::from_secs(10)).unwrap();
}

#[test]
fn a_second_authenticator_counts_once_it_is_confirmed() {
    let parts = parts(Store::memory(&[]).unwrap());
    let first = parts.enrol();
    let second = Authenticator::from(&*parts.totp.enrol("ann", at(0)).unwrap().url);
    let good = |code: String, now| {
        let credential = Credential::new("totp", Some("ann".to_owned()), code.into_bytes());
        matches!(parts.totp.authenticate(&credential, now).unwrap(), AuthStep::Accepted(_))
    };
    assert!(good(first.code(at(60_000)), at(60_000)));
    assert!(!good(second.code(at(90_000)), at(90_000)));
    let wrong = parts.totp.confirm("ann", "12345", at(90_000)).unwrap_err();
    assert_eq!(wrong.code(), Code::UNAUTHENTICATED);
    parts.totp.confirm("ann", &second.code(at(90_000)), at(90_000)).unwrap();
    assert!(!good(second.code(at(90_000)), at(90_000)), "used by confirming it");
    assert!(!good(first.code(at(120_000)), at(120_000)));
    assert!(good(second.code(at(120_000)), at(120_000)));
    let none = parts.totp.confirm("ann", "123456", at(120_000)).unwrap_err();
    assert_eq!(none.code(), Code::NOT_FOUND);
}

#[test]
fn a_password_is_hashed_anew_when_the_policy_is_stronger() {
    let store = Store::memory(&[]).unwrap();
    let phc = || {
        let entry = store.get("security.password", "ann").unwrap().unwrap();
        entry.value.to::<BTreeMap<String, String>>().unwrap()["phc"].clone()
    };
    let old = Passwords::new(store.clone(), cheap()).unwrap();
    old.set("ann", PASSWORD, at(0)).unwrap();
    assert!(phc().contains("m=7168,t=5,p=1"));
    let new = Passwords::new(store.clone(), PasswordPolicy { passes: 6, ..cheap() }).unwrap();
    let good = |text| {
        matches!(new.authenticate(&password("ann", text), at(1)).unwrap(), AuthStep::Accepted(_))
    };
    assert!(!good("wrong"));
    assert!(phc().contains("t=5"), "a wrong one changes nothing");
    assert!(good(PASSWORD));
    assert!(phc().contains("m=7168,t=6,p=1"));
    assert!(good(PASSWORD));
    // A hash with a pepper is not one without.
    let peppered = Passwords::new(store, cheap()).unwrap().pepper(vec![9; 32]).unwrap();
    let step = peppered.authenticate(&password("ann", PASSWORD), at(2)).unwrap();
    assert!(matches!(step, AuthStep::Refused(_)));
}

#[test]
fn a_policy_of_passwords_has_bounds() {
    let refused = |policy: PasswordPolicy| {
        let made = Passwords::new(Store::memory(&[]).unwrap(), policy).map(drop);
        assert_eq!(made.unwrap_err().code(), Code::INVALID);
    };
    refused(PasswordPolicy { passes: u32::MAX, ..cheap() });
    refused(PasswordPolicy { memory_kib: u32::MAX, ..cheap() });
    refused(PasswordPolicy { lanes: 0, ..cheap() });
    refused(PasswordPolicy { shortest: 0, ..cheap() });
    refused(PasswordPolicy { shortest: 1025, ..cheap() });
}

#[test]
fn a_password_has_one_form_and_is_good_enough() {
    let passwords = Passwords::new(Store::memory(&[]).unwrap(), cheap())
        .unwrap()
        .refuse(|_, text| (text == "password1234").then(|| "it is on a list".to_owned()));
    // "é" as one character or as two, and a full-width letter.
    passwords.set("bob", "cafe\u{301} \u{ff41}bcd", at(0)).unwrap();
    let step = passwords.authenticate(&password("bob", "caf\u{e9} abcd"), at(0)).unwrap();
    assert!(matches!(step, AuthStep::Accepted(_)));
    let weak = |text: &str| passwords.set("robert", text, at(0)).unwrap_err();
    for text in ["", "1234567", "xxRoBeRtxx", "password1234", &"x".repeat(1025)] {
        assert_eq!(weak(text).code(), Code::PASSWORD_WEAK, "{text}");
    }
    assert_eq!(passwords.set("", "12345678", at(0)).unwrap_err().code(), Code::INVALID);
    assert!(passwords.remove("bob", at(0)).unwrap() && !passwords.remove("bob", at(0)).unwrap());
    let cheaper = PasswordPolicy { memory_kib: 1024, ..cheap() };
    assert_eq!(
        Passwords::new(Store::memory(&[]).unwrap(), cheaper).unwrap_err().code(),
        Code::INVALID
    );
}

#[test]
fn who_guesses_waits_and_the_owner_does_not() {
    let parts = parts(Store::memory(&[]).unwrap());
    let throttle = ThrottlePolicy { origin: 3, strangers: 6, ..ThrottlePolicy::default() };
    let logins = parts.logins(LoginPolicy { throttle, ..LoginPolicy::default() });
    let own =
        done(logins.begin(Attempt::new(password("ann", PASSWORD)).origin("home"), at(0)).unwrap());
    let guess = |origin: &str| {
        let attempt = Attempt::new(password("ann", "guess")).origin(origin);
        retry_after(logins.begin(attempt, at(1)).unwrap())
    };
    for _ in 0..3 {
        assert_eq!(guess("there"), None);
    }
    assert_eq!(guess("there"), Some(Duration::from_secs(1)));
    for _ in 0..3 {
        assert_eq!(guess("elsewhere"), None);
    }
    // From somewhere new, the right password is not enough any more; from a device that is known it is.
    let new = Attempt::new(password("ann", PASSWORD)).origin("new");
    assert_eq!(retry_after(logins.begin(new.clone(), at(2)).unwrap()), None);
    let known = Attempt::new(password("ann", PASSWORD)).origin("there").device(own.device);
    done(logins.begin(known, at(2)).unwrap());
    // Nor is it where there is a second factor.
    let authenticator = parts.enrol();
    let (login, _) = next(logins.begin(new, at(60_000)).unwrap());
    let code = Credential::new("totp", None, authenticator.code(at(60_000)).into_bytes());
    done(logins.answer(&login, code, at(60_000)).unwrap());
    assert_eq!(logins.status().throttled, 1);
}

/// Whoever has the password does not guess codes on from one place after the other.
#[test]
fn a_second_factor_is_not_guessed_from_everywhere() {
    let parts = parts(Store::memory(&[]).unwrap());
    let authenticator = parts.enrol();
    let throttle = ThrottlePolicy { second: 7, ..ThrottlePolicy::default() };
    let logins = parts.logins(LoginPolicy { throttle, tries: 5, ..LoginPolicy::default() });
    let code = |now| Credential::new("totp", None, authenticator.code(now).into_bytes());
    let first = Attempt::new(password("ann", PASSWORD)).origin("home");
    let (login, _) = next(logins.begin(first, at(60_000)).unwrap());
    let own = done(logins.answer(&login, code(at(60_000)), at(60_000)).unwrap());
    let mut waits = Vec::new();
    for n in 0..4 {
        let attempt = Attempt::new(password("ann", PASSWORD));
        let attempt = if n < 2 { attempt.origin(format!("10.0.0.{n}")) } else { attempt };
        let (login, _) = next(logins.begin(attempt, at(100_000)).unwrap());
        for _ in 0..3 {
            let wrong = Credential::new("totp", None, b"000000".to_vec());
            waits.push(retry_after(logins.answer(&login, wrong, at(100_000)).unwrap()));
        }
    }
    assert_eq!(waits.iter().filter(|wait| wait.is_none()).count(), 7, "{waits:?}");
    assert_eq!(waits.last().copied().flatten(), Some(Duration::from_secs(1)));
    // The right code waits as well, but from a device that they have logged in from.
    let stranger = Attempt::new(password("ann", PASSWORD)).origin("new");
    let (login, _) = next(logins.begin(stranger, at(100_100)).unwrap());
    assert!(retry_after(logins.answer(&login, code(at(100_100)), at(100_100)).unwrap()).is_some());
    let known = Attempt::new(password("ann", PASSWORD)).device(own.device);
    let (login, _) = next(logins.begin(known, at(100_200)).unwrap());
    done(logins.answer(&login, code(at(100_200)), at(100_200)).unwrap());
}

/// Logins that somebody else begins with the same password push out each other.
#[test]
fn whose_login_goes() {
    let parts = parts(Store::memory(&[]).unwrap());
    let authenticator = parts.enrol();
    let logins = parts.logins(LoginPolicy { of_one: 3, ..LoginPolicy::default() });
    let begin = |from: &str, now| {
        next(logins.begin(Attempt::new(password("ann", PASSWORD)).origin(from), now).unwrap()).0
    };
    let own = begin("home", at(60_000));
    let others: Vec<_> = (1..=5).map(|n| begin("there", at(60_000 + n))).collect();
    let code = |now| Credential::new("totp", None, authenticator.code(now).into_bytes());
    let gone = logins.answer(&others[0], code(at(61_000)), at(61_000)).unwrap_err();
    assert_eq!(gone.code(), Code::LOGIN_UNKNOWN);
    done(logins.answer(&own, code(at(61_000)), at(61_000)).unwrap());
}

#[test]
fn a_login_ends() {
    let parts = parts(Store::memory(&[]).unwrap());
    let authenticator = parts.enrol();
    let logins = parts.logins(LoginPolicy { tries: 2, of_one: 2, ..LoginPolicy::default() });
    let begin = |now| next(logins.begin(Attempt::new(password("ann", PASSWORD)), now).unwrap()).0;
    let code = |now| Credential::new("totp", None, authenticator.code(now).into_bytes());
    let wrong = Credential::new("totp", None, b"000000".to_vec());
    let unknown = |login: &str, now| logins.answer(login, code(now), now).unwrap_err().code();
    // By wrong answers.
    let login = begin(at(60_000));
    logins.answer(&login, wrong.clone(), at(60_000)).unwrap();
    logins.answer(&login, wrong, at(60_000)).unwrap();
    assert_eq!(unknown(&login, at(60_000)), Code::LOGIN_UNKNOWN);
    // By time.
    let login = begin(at(60_000));
    assert_eq!(unknown(&login, at(660_000)), Code::LOGIN_UNKNOWN);
    // By newer ones of the same principal.
    let logins_of_one = [begin(at(61_000)), begin(at(62_000)), begin(at(63_000))];
    assert_eq!(unknown(&logins_of_one[0], at(64_000)), Code::LOGIN_UNKNOWN);
    assert_eq!(logins.status().under_way, 2);
    assert!(logins.cancel(&logins_of_one[1]) && !logins.cancel(&logins_of_one[1]));
    // By its end: it cannot be answered twice.
    done(logins.answer(&logins_of_one[2], code(at(64_000)), at(64_000)).unwrap());
    assert_eq!(unknown(&logins_of_one[2], at(94_000)), Code::LOGIN_UNKNOWN);
    assert_eq!(unknown("made up", at(94_000)), Code::LOGIN_UNKNOWN);
}

#[test]
fn risk_asks_for_more_and_refuses() {
    let parts = parts(Store::memory(&[]).unwrap());
    let risky = Arc::new(Mutex::new(0.0));
    let told = Arc::clone(&risky);
    let logins = Logins::builder(parts.store.clone())
        .policy(LoginPolicy { second_factor: SecondFactor::Never, ..LoginPolicy::default() })
        .provider(parts.passwords.clone())
        .provider(parts.totp.clone())
        .risk(move |_, _, _, _| *told.lock())
        .build()
        .unwrap();
    parts.enrol();
    let begin = || logins.begin(Attempt::new(password("ann", PASSWORD)), at(60_000)).unwrap();
    assert_eq!(done(begin()).session.attributes()["risk"], "0.000");
    *risky.lock() = 0.5;
    assert_eq!(next(begin()).1, ["totp"]);
    for beyond in [0.9, 7.0, f64::NAN] {
        *risky.lock() = beyond;
        assert_eq!(retry_after(begin()), None);
    }
}

/// A factor as a host writes it, that does what it is told.
struct Hosts(fn(&Credential) -> Result<AuthStep>);

impl AuthProvider for Hosts {
    fn scheme(&self) -> &str {
        "badge"
    }
    fn authenticate(&self, credential: &Credential, _now: Timestamp) -> Result<AuthStep> {
        (self.0)(credential)
    }
}

#[test]
fn what_hosts_write_may_fail_in_every_way() {
    let begin = |provider: Hosts| {
        let logins = Logins::builder(Store::memory(&[]).unwrap())
            .provider(Arc::new(provider))
            .build()
            .unwrap();
        logins.begin(Attempt::new(Credential::new("badge", None, b"7".to_vec())), at(0))
    };
    let login =
        done(begin(Hosts(|_| Ok(AuthStep::Accepted(Session::new("ann", "badge"))))).unwrap());
    assert_eq!(login.session.principal(), "ann");
    assert_eq!(begin(Hosts(|_| panic!("oh"))).unwrap_err().code(), Code::PANIC);
    let fails = begin(Hosts(|_| Err(Error::new(Code::IO, "the reader is gone"))));
    assert_eq!(fails.unwrap_err().code(), Code::IO);
    retry_after(begin(Hosts(|_| Ok(AuthStep::Refused("no".to_owned())))).unwrap());
    retry_after(begin(Hosts(|_| Ok(AuthStep::Accepted(Session::new("", "badge"))))).unwrap());
    let more = |_: &Credential| {
        Ok(AuthStep::Challenge { scheme: "pin".to_owned(), parameters: BTreeMap::new() })
    };
    retry_after(begin(Hosts(more)).unwrap());
}

#[test]
fn a_factor_of_somebody_else_is_none() {
    struct Always;
    impl AuthProvider for Always {
        fn scheme(&self) -> &str {
            "totp"
        }
        fn authenticate(&self, _: &Credential, _: Timestamp) -> Result<AuthStep> {
            Ok(AuthStep::Accepted(Session::new("mallory", "totp")))
        }
    }
    let parts = parts(Store::memory(&[]).unwrap());
    let logins = Logins::builder(parts.store.clone())
        .provider(parts.passwords.clone())
        .provider(Arc::new(Always))
        .build()
        .unwrap();
    let (login, _) = next(logins.begin(Attempt::new(password("ann", PASSWORD)), at(0)).unwrap());
    retry_after(logins.answer(&login, Credential::new("totp", None, vec![]), at(0)).unwrap());
}

#[derive(Default)]
struct Kept {
    lines: Mutex<Vec<String>>,
    fails: Mutex<bool>,
}

impl AuditTrail for Kept {
    fn record(&self, event: &AuditEvent<'_>) -> Result<()> {
        if *self.fails.lock() {
            return Err(Error::new(Code::IO, "the disk is full"));
        }
        assert_eq!(event.class, AuditClass::Authentication);
        let details = event.details.iter().chain(event.personal);
        let details: Vec<String> =
            details.map(|(name, value)| format!("{name}={value:?}")).collect();
        let line = format!(
            "{} {} {} {}",
            event.action,
            event.principal,
            event.outcome.name(),
            details.join(" ")
        );
        self.lines.lock().push(line);
        Ok(())
    }
}

#[test]
fn every_step_is_on_the_record_before_it_counts() {
    let parts = parts(Store::memory(&[]).unwrap());
    let kept = Arc::new(Kept::default());
    let logins = Logins::builder(parts.store.clone())
        .provider(parts.passwords.clone())
        .provider(parts.totp.clone())
        .audit(kept.clone())
        .build()
        .unwrap();
    let authenticator = parts.enrol();
    retry_after(
        logins.begin(Attempt::new(password("bob", "guess")).origin("there"), at(0)).unwrap(),
    );
    let (login, _) =
        next(logins.begin(Attempt::new(password("ann", PASSWORD)), at(60_000)).unwrap());
    let code = Credential::new("totp", None, authenticator.code(at(60_000)).into_bytes());
    done(logins.answer(&login, code, at(60_000)).unwrap());
    let lines = std::mem::take(&mut *kept.lines.lock());
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("login.begin bob denied scheme=Text(\"password\") why=Text("));
    assert!(lines[0].ends_with("origin=Text(\"there\")"));
    assert_eq!(lines[1], "login.factor ann success scheme=Text(\"password\")");
    assert_eq!(lines[2], "login.done ann success scheme=Text(\"password,totp\")");
    assert!(!lines.concat().contains(PASSWORD) && !lines.concat().contains("guess"));
    // What somebody says of where they are is no way to leave no trace.
    let far = Attempt::new(password("ann", "guess")).origin("x".repeat(100_000));
    retry_after(logins.begin(far, at(60_000)).unwrap());
    let lines = std::mem::take(&mut *kept.lines.lock());
    let told = "login.begin ann denied scheme=Text(\"password\") why=Text(\"not an origin\")";
    assert_eq!(lines, [told]);
    *kept.fails.lock() = true;
    let failed = logins.begin(Attempt::new(password("ann", PASSWORD)), at(60_000));
    assert_eq!(failed.unwrap_err().code(), Code::IO);
    assert_eq!(logins.status().under_way, 0);
}
