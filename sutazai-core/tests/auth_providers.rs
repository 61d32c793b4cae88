//! Factors that a host has written: as the first of a login and as the second, added before the start and while
//! the kernel runs, right and wrong and broken; and the security of a kernel as it is written down.
#![cfg(all(feature = "security", feature = "agent"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use sutazai_core::agent::from_fn;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, AuthProvider, AuthStep, Credential, RunMode, Session, Task};
use sutazai_core::security::audit::Query;
use sutazai_core::security::authn::Attempt;
use sutazai_core::security::{LoginAnswer, SecurityOptions, SecuritySpec};
use sutazai_core::{Code, Error, Result};

const PASSWORD: &str = "correct horse battery";

/// What a badge says is whose it is; some do other things.
struct Badges(&'static str);

impl AuthProvider for Badges {
    fn scheme(&self) -> &str {
        self.0
    }

    fn authenticate(&self, credential: &Credential, _now: Timestamp) -> Result<AuthStep> {
        let secret = std::str::from_utf8(&credential.secret).unwrap();
        match secret {
            "broken" => Err(Error::new(Code::PROVIDER_FAILED, "the reader is unplugged")),
            "panic" => panic!("the reader is on fire"),
            "more" => {
                let parameters = BTreeMap::new();
                Ok(AuthStep::Challenge { scheme: "totp".to_owned(), parameters })
            }
            _ => Ok(match secret.strip_prefix("badge of ") {
                Some(owner) => {
                    let attributes = [("floor".to_owned(), "3".to_owned())].into();
                    AuthStep::Accepted(Session::new(owner, self.0).with_attributes(attributes))
                }
                None => AuthStep::Refused("not a badge of ours".to_owned()),
            }),
        }
    }

    fn challenge(
        &self,
        principal: &str,
        login: &str,
        _now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let parameters = [("login".to_owned(), login.to_owned())].into();
        Ok((principal != "bob").then_some(parameters))
    }
}

fn spec(value: Value) -> SecurityOptions {
    let mut spec: SecuritySpec = serde_json::from_value(value).unwrap();
    (spec.passwords.memory_kib, spec.passwords.passes) = (7168, 5);
    spec.options(Path::new("")).unwrap()
}

fn kernel(options: SecurityOptions) -> Kernel {
    let card = AgentCard::new("echo", ["read", "send"]).run(RunMode::Inline);
    let kernel = Kernel::builder()
        .security(options)
        .agent(from_fn(card, |task: &Task| Ok(task.input().clone())))
        .build()
        .unwrap();
    kernel.add_auth_provider(Badges("badge")).unwrap();
    kernel.start().unwrap();
    for who in ["ann", "bob"] {
        kernel.security().unwrap().set_password(who, PASSWORD, Timestamp::now()).unwrap();
    }
    kernel
}

fn credential(scheme: &str, who: Option<&str>, secret: &str) -> Credential {
    Credential::new(scheme, who.map(str::to_owned), secret.into())
}

fn begin(kernel: &Kernel, scheme: &str, who: Option<&str>, secret: &str) -> Result<LoginAnswer> {
    let attempt = Attempt::new(credential(scheme, who, secret));
    kernel.security().unwrap().log_in(attempt, Timestamp::now())
}

fn answer(kernel: &Kernel, login: &str, secret: &str) -> Result<LoginAnswer> {
    let given = credential("badge", None, secret);
    kernel.security().unwrap().log_in_answer(login, given, Timestamp::now())
}

/// The details of the records of an action, and how it ended.
fn recorded(kernel: &Kernel, action: &str) -> Vec<String> {
    let query = Query { action: Some(action.to_owned()), ..Query::default() };
    let page = kernel.security().unwrap().audit().query(&query).unwrap();
    page.records.iter().map(|found| serde_json::to_string(&found.record).unwrap()).collect()
}

#[test]
fn a_login_begins_with_a_factor_of_the_hosts() {
    let kernel = kernel(spec(json!({})));
    for who in [None, Some("ann")] {
        let LoginAnswer::Done { login, issued } =
            begin(&kernel, "badge", who, "badge of ann").unwrap()
        else {
            panic!("one factor is enough here")
        };
        assert_eq!((login.session.principal(), login.session.scheme()), ("ann", "badge"));
        assert_eq!(login.session.methods().collect::<Vec<_>>(), ["badge"]);
        let verified = kernel.security().unwrap().tokens().verify(&issued.access, Timestamp::now());
        assert_eq!(verified.unwrap().session.attributes()["floor"], "3");
    }
    let refused = begin(&kernel, "badge", None, "library card").unwrap();
    assert!(matches!(refused, LoginAnswer::Refused { .. }));
    assert!(recorded(&kernel, "login.begin").iter().any(|one| one.contains("not a badge of ours")));
}

#[test]
fn somebody_else_than_they_say_is_refused() {
    let kernel = kernel(spec(json!({})));
    let refused = begin(&kernel, "badge", Some("ann"), "badge of eve").unwrap();
    assert!(matches!(refused, LoginAnswer::Refused { .. }));
    let told = recorded(&kernel, "login.begin").concat();
    assert!(told.contains("another principal's"), "{told}");
}

#[test]
fn it_is_a_second_factor_where_the_policy_says_so() {
    let kernel = kernel(spec(json!({"logins": {"second": ["badge"]}})));
    let refused = begin(&kernel, "badge", None, "badge of ann").unwrap();
    assert!(matches!(refused, LoginAnswer::Refused { .. }), "no login begins with it");
    let LoginAnswer::Next { login, offers, .. } =
        begin(&kernel, "password", Some("ann"), PASSWORD).unwrap()
    else {
        panic!("ann has a badge")
    };
    assert_eq!(offers.len(), 1);
    assert_eq!((&*offers[0].scheme, &offers[0].parameters["login"]), ("badge", &login));
    for wrong in ["library card", "badge of eve", "more"] {
        assert!(matches!(answer(&kernel, &login, wrong).unwrap(), LoginAnswer::Refused { .. }));
    }
    assert_eq!(answer(&kernel, &login, "broken").unwrap_err().code(), Code::PROVIDER_FAILED);
    let LoginAnswer::Done { login, .. } = answer(&kernel, &login, "badge of ann").unwrap() else {
        panic!("two factors are enough")
    };
    assert_eq!(login.session.methods().collect::<Vec<_>>(), ["password", "badge"]);
    let bob = begin(&kernel, "password", Some("bob"), PASSWORD).unwrap();
    assert!(matches!(bob, LoginAnswer::Done { .. }), "bob has not enrolled it");
}

#[test]
fn what_cannot_be_told_is_neither_accepted_nor_refused() {
    let kernel = kernel(spec(json!({})));
    let error = begin(&kernel, "badge", Some("ann"), "broken").unwrap_err();
    assert_eq!(error.code(), Code::PROVIDER_FAILED);
    let error = begin(&kernel, "badge", Some("ann"), "panic").unwrap_err();
    assert_eq!(error.code(), Code::PANIC);
    let refused = begin(&kernel, "badge", Some("ann"), "more").unwrap();
    assert!(matches!(refused, LoginAnswer::Refused { .. }), "it has not decided");
    let done = begin(&kernel, "badge", Some("ann"), "badge of ann").unwrap();
    assert!(matches!(done, LoginAnswer::Done { .. }), "it goes on");
}

#[test]
fn there_is_one_of_a_scheme() {
    let kernel = kernel(spec(json!({})));
    for taken in ["badge", "password", "totp", "recovery", "api-key", "certificate"] {
        let error = kernel.add_auth_provider(Badges(taken)).unwrap_err();
        assert_eq!(error.code(), Code::ALREADY_EXISTS, "{taken}");
        let built = Kernel::builder().auth_provider(Badges("badge")).auth_provider(Badges(taken));
        assert_eq!(built.build().unwrap_err().code(), Code::ALREADY_EXISTS, "{taken}");
        let built = Kernel::builder().build().unwrap();
        built.add_auth_provider(Badges("badge")).unwrap();
        assert_eq!(
            built.add_auth_provider(Badges(taken)).unwrap_err().code(),
            Code::ALREADY_EXISTS
        );
    }
    for no_name in ["", "password totp", "a,b"] {
        assert_eq!(kernel.add_auth_provider(Badges(no_name)).unwrap_err().code(), Code::INVALID);
    }
    kernel.stop(Duration::from_secs(5)).unwrap();
    assert_eq!(kernel.add_auth_provider(Badges("late")).unwrap_err().code(), Code::NOT_RUNNING);
}

#[test]
fn they_are_let_go_of_when_the_kernel_stops() {
    let (before, later) = (Arc::new(Badges("card")), Arc::new(Badges("badge")));
    let gone = [Arc::downgrade(&before), Arc::downgrade(&later)];
    let kernel = Kernel::builder().build().unwrap();
    kernel.add_shared_auth_provider(before).unwrap();
    kernel.start().unwrap();
    kernel.add_shared_auth_provider(later).unwrap();
    assert!(gone.iter().all(|one| one.upgrade().is_some()));
    kernel.stop(Duration::from_secs(5)).unwrap();
    assert!(gone.iter().all(|one| one.upgrade().is_none()), "with the kernel still there");

    let never = Arc::new(Badges("card"));
    let gone = Arc::downgrade(&never);
    let kernel = Kernel::builder().build().unwrap();
    kernel.add_shared_auth_provider(never).unwrap();
    kernel.stop(Duration::from_secs(5)).unwrap();
    assert!(gone.upgrade().is_none(), "one that has not started");
}

#[test]
fn one_that_comes_while_the_kernel_runs_counts_from_then_on() {
    let kernel = kernel(spec(json!({})));
    let refused = begin(&kernel, "card", None, "badge of ann").unwrap();
    assert!(matches!(refused, LoginAnswer::Refused { .. }));
    kernel.add_auth_provider(Badges("card")).unwrap();
    let done = begin(&kernel, "card", None, "badge of ann").unwrap();
    assert!(matches!(done, LoginAnswer::Done { .. }));
    assert!(kernel.security().unwrap().logins().schemes().contains(&"card".to_owned()));
    assert!(recorded(&kernel, "provider.add").concat().contains("card"));
}

/// Says that it is asked, and answers when it is told to.
struct Slow {
    asked: SyncSender<()>,
    told: Mutex<Receiver<()>>,
}

impl AuthProvider for Slow {
    fn scheme(&self) -> &str {
        "slow"
    }

    fn authenticate(&self, _: &Credential, _now: Timestamp) -> Result<AuthStep> {
        self.asked.send(()).unwrap();
        self.told.lock().recv().unwrap();
        Ok(AuthStep::Accepted(Session::new("ann", "slow")))
    }
}

#[test]
fn one_that_hangs_keeps_nobody_but_its_own_login() {
    let kernel = kernel(spec(json!({})));
    let ((asked, was_asked), (tell, told)) = (sync_channel(0), sync_channel(0));
    kernel.add_auth_provider(Slow { asked, told: Mutex::new(told) }).unwrap();
    let hangs = std::thread::spawn({
        let kernel = kernel.clone();
        move || begin(&kernel, "slow", None, "x").unwrap()
    });
    was_asked.recv().unwrap();
    let done = begin(&kernel, "badge", Some("ann"), "badge of ann").unwrap();
    assert!(matches!(done, LoginAnswer::Done { .. }));
    kernel.add_auth_provider(Badges("meanwhile")).unwrap();
    assert!(!hangs.is_finished());
    tell.send(()).unwrap();
    assert!(matches!(hangs.join().unwrap(), LoginAnswer::Done { .. }));
}

/// Nor do many that hang keep the pool: others have their turn.
#[test]
fn many_that_hang_leave_the_rest_alone() {
    let kernel = kernel(SecurityOptions::default());
    let (go, gate) = crossbeam_channel::bounded::<()>(0);
    struct Hangs(crossbeam_channel::Receiver<()>);
    impl AuthProvider for Hangs {
        fn scheme(&self) -> &str {
            "hangs"
        }
        fn authenticate(&self, _: &Credential, _: Timestamp) -> Result<AuthStep> {
            let _ = self.0.recv();
            Ok(AuthStep::Refused("late".to_owned()))
        }
    }
    kernel.add_auth_provider(Hangs(gate)).unwrap();
    let surface = sutazai_core::surface::Surface::new(&kernel);
    let login = r#"{"scheme": "hangs", "secret": "x"}"#;
    let mut waiting: Vec<_> = (0..64).map(|_| surface.invoke("security.login", login)).collect();
    surface.invoke("security.status", "").wait().unwrap();
    // All but those that ask the provider are refused while it hangs.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while waiting.len() > 16 {
        assert!(std::time::Instant::now() < end, "{} wait still", waiting.len());
        waiting.retain_mut(|ticket| match ticket.try_take() {
            None => true,
            Some(answer) => {
                assert_eq!(answer.unwrap_err().code(), Code::OVERLOADED);
                false
            }
        });
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(go);
    for mut ticket in waiting {
        assert!(ticket.wait().is_ok(), "those were late, and no more");
    }
}

#[test]
fn what_is_written_down_is_in_force_from_the_start() {
    let kernel = kernel(spec(json!({
        "name": "fleet",
        "authorise": true,
        "trust_inside": false,
        "tokens": {"access_ms": 60_000},
        "policies": [
            {"cedar": "permit (principal == User::\"ann\", action, resource);"},
            {"cedar": "@id(\"no sending\") forbid (principal, action, resource == Skill::\"send\");"}
        ],
    })));
    let told = recorded(&kernel, "policy.start").concat();
    assert!(told.contains("\"policies\":2"), "{told}");
    let LoginAnswer::Done { issued, .. } = begin(&kernel, "badge", None, "badge of ann").unwrap()
    else {
        panic!("one factor is enough here")
    };
    let call = |skill: &str| {
        let mut ticket = kernel.call_as(&issued.access, Task::new(skill, 1));
        ticket.wait().map(drop)
    };
    call("read").unwrap();
    let denied = call("send").unwrap_err();
    assert_eq!(denied.code(), Code::DENIED);
    assert!(format!("{denied:#}").contains("no sending"), "{denied:#}");
    let inside = kernel.call(Task::new("read", 1)).wait().map(drop);
    assert_eq!(inside.unwrap_err().code(), Code::DENIED);
    let (from, until) = (issued.claims.iat, issued.claims.exp);
    assert_eq!(until.as_nanos() - from.as_nanos(), 60_000_000_000);
    assert_eq!((&*issued.claims.iss, &*issued.claims.aud), ("fleet", "fleet"));
}
