//! The room `security` in a kernel: logins, tokens, policies, delegation, and the record of it all.
//!
//! Long because: each way through a kernel is a test of its own, and all share one setting.
#![cfg(all(feature = "security", feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::agent::from_fn;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Credential, RunMode, Task, Terms};
use sutazai_core::security::audit::{self, Query};
use sutazai_core::security::authn::{ApiKeyOrder, Attempt};
use sutazai_core::security::authz::PolicySet;
use sutazai_core::security::token::{Grant, Revocation};
use sutazai_core::security::{LoginAnswer, Security, SecurityOptions};
use sutazai_core::{Code, Result};

const PASSWORD: &str = "correct horse battery";

fn options() -> SecurityOptions {
    let mut options = SecurityOptions::default();
    options.authorise = true;
    options.passwords.memory_kib = 7168;
    options.passwords.passes = 5;
    options
}

fn open_to_all() -> SecurityOptions {
    let mut options = options();
    options.authorise = false;
    options
}

/// A kernel on its own threads whose agents answer what they get.
fn kernel(options: SecurityOptions, dir: Option<&std::path::Path>) -> Kernel {
    let card = AgentCard::new("echo", ["read", "send", "plan"]).run(RunMode::Inline);
    let mut builder = Kernel::builder()
        .security(options)
        .agent(from_fn(card, |task: &Task| Ok(task.input().clone())));
    if let Some(dir) = dir {
        builder = builder.data_dir(dir);
    }
    let kernel = builder.build().unwrap();
    kernel.start().unwrap();
    kernel
}

fn policies(kernel: &Kernel, text: &str) {
    let set = PolicySet::from_cedar("test", text).unwrap();
    kernel.security().unwrap().set_policies(set, "test", Timestamp::now()).unwrap();
}

fn token(kernel: &Kernel, who: &str) -> String {
    let security = kernel.security().unwrap();
    let issued = security.vouch(&Grant::new(who), "test", Timestamp::now()).unwrap();
    issued.access.to_string()
}

fn call(kernel: &Kernel, token: &str, skill: &str, input: Value) -> Result<Value> {
    call_task(kernel, token, Task::new(skill, input))
}

fn call_task(kernel: &Kernel, token: &str, task: Task) -> Result<Value> {
    let outcome = kernel.call_as(token, task).wait()?;
    Ok(outcome.output.value().unwrap().as_ref().clone())
}

fn code(answer: Result<Value>) -> Code {
    answer.unwrap_err().code()
}

#[test]
fn nobody_needs_to_set_it_up() {
    let card = AgentCard::new("echo", ["read"]).run(RunMode::Inline);
    let kernel = Kernel::builder()
        .agent(from_fn(card, |task: &Task| Ok(task.input().clone())))
        .build()
        .unwrap();
    assert_eq!(kernel.security().unwrap_err().code(), Code::NOT_RUNNING);
    kernel.start().unwrap();
    kernel.call(Task::new("read", 1)).wait().unwrap();
    assert_eq!(code(call(&kernel, "v4.public.rubbish", "read", json!(1))), Code::UNAUTHENTICATED);
    let audit = kernel.security().unwrap().audit();
    let page =
        audit.query(&Query { action: Some("kernel.call".into()), ..Query::default() }).unwrap();
    let told: Vec<_> = page
        .records
        .iter()
        .map(|found| (found.record.principal.as_str(), found.record.outcome.name()))
        .collect();
    assert_eq!(told, [("-", "denied"), ("local", "success")]);
}

#[test]
fn from_login_to_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = kernel(options(), Some(dir.path()));
    let security = kernel.security().unwrap();
    let now = Timestamp::now();
    security.passwords().set("ann", PASSWORD, now).unwrap();
    policies(
        &kernel,
        r#"permit (principal == User::"ann", action, resource == Skill::"read")
           when { context.methods.contains("password") };"#,
    );
    let attempt = |text: &str| {
        Attempt::new(Credential::new("password", Some("ann".into()), text.into())).origin("home")
    };
    let refused = security.log_in(attempt("wrong"), now).unwrap();
    assert!(matches!(refused, LoginAnswer::Refused { .. }));
    let LoginAnswer::Done { issued, .. } = security.log_in(attempt(PASSWORD), now).unwrap() else {
        panic!("one factor is enough here")
    };
    assert_eq!(call(&kernel, &issued.access, "read", json!(7)).unwrap(), json!(7));
    assert_eq!(code(call(&kernel, &issued.access, "send", json!(7))), Code::DENIED);
    assert_eq!(code(call(&kernel, &token(&kernel, "bob"), "read", json!(7))), Code::DENIED);
    // What runs in the process needs no permission.
    kernel.call(Task::new("send", 1)).wait().unwrap();

    // Revoked, it is good for nothing, at once.
    let all = Revocation::Subject { subject: "ann".into(), before: Timestamp::now() };
    security.tokens().revoke(&all, "root", Timestamp::now()).unwrap();
    assert_eq!(code(call(&kernel, &issued.access, "read", json!(7))), Code::UNAUTHENTICATED);

    let key = security.audit_key().clone();
    let checkpoint = security.audit().integrate(Timestamp::now()).unwrap();
    let query = Query { principal: Some("ann".into()), ..Query::default() };
    let page = security.audit().query(&query).unwrap();
    let mut told: Vec<String> = page
        .records
        .iter()
        .map(|found| format!("{} {}", found.record.action, found.record.outcome.name()))
        .collect();
    told.reverse();
    assert_eq!(
        told,
        [
            "login.begin denied",
            "login.done success",
            "token.issue success",
            "kernel.call success",
            "kernel.call denied",
        ]
    );
    kernel.stop(Duration::from_secs(5)).unwrap();
    drop(kernel);
    let report = audit::verify(&dir.path().join("audit"), &key, Some(&checkpoint)).unwrap();
    assert!(report.is_intact(), "{report:?}");
}

#[test]
fn it_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = kernel(options(), Some(dir.path()));
    let good = token(&first, "ann");
    let gone = token(&first, "bob");
    let security = first.security().unwrap();
    security.tokens().revoke_token(&gone, "root", Timestamp::now()).unwrap();
    let order = ApiKeyOrder {
        principal: "ci".into(),
        label: String::new(),
        scopes: vec!["re*".into()],
        lasts_ms: None,
    };
    let key = security.api_keys().make(order, Timestamp::now()).unwrap().key;
    let log = security.audit_key().to_string();
    first.stop(Duration::from_secs(5)).unwrap();
    drop(first);

    let second = kernel(open_to_all(), Some(dir.path()));
    assert_eq!(second.security().unwrap().audit_key().to_string(), log);
    assert_eq!(call(&second, &good, "read", json!(1)).unwrap(), json!(1));
    assert_eq!(code(call(&second, &gone, "read", json!(1))), Code::UNAUTHENTICATED);
    // Scopes bind whether or not policies decide.
    assert_eq!(call(&second, &key, "read", json!(1)).unwrap(), json!(1));
    assert_eq!(code(call(&second, &key, "send", json!(1))), Code::DENIED);
    assert_eq!(code(call(&second, &key[..20], "read", json!(1))), Code::UNAUTHENTICATED);
    // Keys rotate, and what they signed is still good.
    let security = second.security().unwrap();
    security.rotate("sutazai.tokens", "root", Timestamp::now()).unwrap();
    assert_eq!(call(&second, &good, "read", json!(1)).unwrap(), json!(1));
    assert_eq!(call(&second, &token(&second, "ann"), "read", json!(1)).unwrap(), json!(1));
    assert_eq!(
        security.rotate("sutazai.audit", "root", Timestamp::now()).unwrap_err().code(),
        Code::INVALID
    );
    second.stop(Duration::from_secs(5)).unwrap();
}

#[test]
fn arguments_that_do_not_come_from_the_user_can_be_forbidden() {
    let kernel = kernel(options(), None);
    policies(
        &kernel,
        r#"permit (principal, action, resource);
           @id("recipients are the user's")
           forbid (principal, action, resource == Skill::"send")
           when { context.from has to && context.from.to != "user" };
           @id("small amounts")
           forbid (principal, action, resource == Skill::"send") when { context.input.amount > 100 };"#,
    );
    let ann = token(&kernel, "ann");
    let send = |input: Value, sources: &[(&str, &str)]| {
        let mut terms = Terms::default();
        terms.sources =
            sources.iter().map(|(at, from)| ((*at).to_owned(), (*from).to_owned())).collect();
        call_task(&kernel, &ann, Task::new("send", input).terms(terms))
    };
    let mail = json!({"to": "bob", "amount": 7, "text": {"body": ["x"]}});
    assert!(send(mail.clone(), &[]).is_ok());
    assert!(send(mail.clone(), &[("/text", "web")]).is_ok());
    assert_eq!(code(send(mail.clone(), &[("/to", "web")])), Code::DENIED);
    assert_eq!(code(send(mail.clone(), &[("", "tool")])), Code::DENIED);
    assert!(send(mail.clone(), &[("", "tool"), ("/to", "user")]).is_ok());
    assert_eq!(
        code(send(json!({"to": ["a", "b"], "amount": 1}), &[("/to/1", "web")])),
        Code::DENIED
    );
    assert_eq!(code(send(json!({"to": "bob", "amount": 101}), &[])), Code::DENIED);
    // A forbid that cannot be evaluated forbids.
    for amount in [json!("7"), json!(1.5), Value::Null] {
        assert_eq!(code(send(json!({"to": "bob", "amount": amount}), &[])), Code::DENIED);
    }
    // What looks like an entity in foreign JSON is none.
    let forged =
        json!({"to": "bob", "amount": 1, "who": {"__entity": {"type": "User", "id": "x"}}});
    assert!(send(forged, &[]).is_ok());
}

#[test]
fn policies_see_the_risk_and_ask_for_more() {
    use sutazai_core::security::risk::RiskSignal;
    let kernel = kernel(options(), None);
    policies(
        &kernel,
        r#"permit (principal, action, resource) when { context.risk < 50 };
           @step_up("totp")
           permit (principal, action, resource == Skill::"read") when { context.risk >= 50 };"#,
    );
    let ann = token(&kernel, "ann");
    assert!(call(&kernel, &ann, "send", json!(1)).is_ok());
    let now = Timestamp::now();
    kernel.security().unwrap().risks().raise("ann", RiskSignal::Threat, 1.0, now);
    assert_eq!(code(call(&kernel, &ann, "send", json!(1))), Code::DENIED);
    assert_eq!(code(call(&kernel, &ann, "read", json!(1))), Code::STEP_UP);
    let security = kernel.security().unwrap();
    let grant = Grant::new("ann").authenticated(["password", "totp"], now);
    let stronger = security.vouch(&grant, "test", now).unwrap();
    assert!(call(&kernel, &stronger.access, "read", json!(1)).is_ok());
    assert!(call(&kernel, &token(&kernel, "bob"), "send", json!(1)).is_ok(), "it is ann's");
}

#[test]
fn a_token_that_is_revoked_is_none_for_the_calls_within_its_call() {
    let kernel = kernel(open_to_all(), None);
    let inner = kernel.clone();
    let card = AgentCard::new("relay", ["relay"]).run(RunMode::Inline);
    kernel
        .add_agent(from_fn(card, move |task: &Task| {
            if task.input().to::<bool>()? {
                let all = Revocation::Subject { subject: "ann".into(), before: Timestamp::now() };
                inner.security()?.tokens().revoke(&all, "root", Timestamp::now())?;
            }
            inner.call(Task::new("read", 7)).wait().map(|outcome| outcome.output)
        }))
        .unwrap();
    let ann = token(&kernel, "ann");
    assert_eq!(call(&kernel, &ann, "relay", json!(false)).unwrap(), json!(7));
    assert_eq!(code(call(&kernel, &ann, "relay", json!(true))), Code::UNAUTHENTICATED);
}

#[test]
fn what_is_allowed_and_why_not_can_be_on_the_record() {
    let mut options = options();
    options.record_allowed = true;
    let kernel = kernel(options, None);
    policies(&kernel, r#"permit (principal, action, resource == Skill::"read");"#);
    let ann = token(&kernel, "ann");
    call(&kernel, &ann, "read", json!(1)).unwrap();
    assert_eq!(code(call(&kernel, &ann, "send", json!(1))), Code::DENIED);
    let security = kernel.security().unwrap();
    let weak = security.set_password("ann", "short", Timestamp::now()).unwrap_err();
    assert_eq!(weak.code(), Code::PASSWORD_WEAK);
    let told = |action: &str| {
        let query = Query { action: Some(action.into()), ..Query::default() };
        let page = security.audit().query(&query).unwrap();
        let records = page.records.into_iter().map(|found| found.record);
        records.map(|it| (it.outcome.name(), it.object, it.details)).collect::<Vec<_>>()
    };
    let allowed = told("kernel.authorise");
    assert_eq!((allowed.len(), allowed[0].0, &*allowed[0].1), (1, "success", "read"));
    let denied = told("kernel.call").remove(0);
    assert_eq!((denied.0, &*denied.1), ("denied", "send"));
    let why = format!("{:?}", denied.2["why"]);
    assert!(why.contains("no policy permits it"), "{why}");
    let set: Vec<_> = told("password.set").into_iter().map(|it| it.0).collect();
    assert_eq!(set, ["failure", "success"], "newest first: it was to be, and failed");
}

#[test]
fn annotations_that_cannot_be_refuse() {
    let kernel = kernel(options(), None);
    let ann = token(&kernel, "ann");
    for bad in [
        r#"@rate_limit("often")"#,
        r#"@step_up("")"#,
        r#"@redact(" , ")"#,
        r#"@approval_within_s("x") @approval("")"#,
    ] {
        policies(&kernel, &format!("{bad} permit (principal, action, resource);"));
        assert_eq!(code(call(&kernel, &ann, "read", json!(1))), Code::DENIED, "{bad}");
    }
    policies(&kernel, r#"@rate_limit("2/60") permit (principal, action, resource);"#);
    assert!(
        call(&kernel, &ann, "read", json!(1)).is_ok()
            && call(&kernel, &ann, "read", json!(1)).is_ok()
    );
    assert_eq!(code(call(&kernel, &ann, "read", json!(1))), Code::RATE_LIMITED);
}

/// What was meant to ask for something and does not is refused where it is set; other annotations are the host's own.
#[test]
fn annotations_that_nearly_ask_are_refused() {
    let kernel = kernel(options(), None);
    let security = kernel.security().unwrap();
    let set = |text: &str| {
        let set = PolicySet::from_cedar("test", text).unwrap();
        security.set_policies(set, "test", Timestamp::now()).map(drop)
    };
    for bad in [
        r#"@aproval("ops") permit (principal, action, resource);"#,
        r#"@readonly permit (principal, action, resource);"#,
        r#"@redcat("a") permit (principal, action, resource);"#,
        r#"@step_up_within_s("5") permit (principal, action, resource);"#,
        r#"@rate_limit_of("x") permit (principal, action, resource);"#,
        r#"@approval("ops") forbid (principal, action, resource);"#,
    ] {
        assert_eq!(set(bad).unwrap_err().code(), Code::POLICY_INVALID, "{bad}");
    }
    set(r#"@id("p") @description("x") @owner("team") permit (principal, action, resource);"#)
        .unwrap();
}

#[cfg(feature = "biscuit")]
#[test]
fn an_agent_is_handed_less() {
    use sutazai_core::port::Session;
    use sutazai_core::security::token::delegate::Attenuation;
    let kernel = kernel(open_to_all(), None);
    let security = kernel.security().unwrap();
    let now = Timestamp::now();
    let grant = Grant::of(&Session::new("ann", "password"), now).unwrap();
    let minted = security.delegations().mint(&grant, None, Duration::from_secs(600), now).unwrap();
    let less = Attenuation::new("planner").skills(["read"]).argument_prefix("path", "/home/ann/");
    let handed = security.delegations().attenuate(&minted.token, &less, now).unwrap();
    assert!(call(&kernel, &minted.token, "send", json!({})).is_ok());
    assert!(call(&kernel, &handed, "read", json!({"path": "/home/ann/x"})).is_ok());
    assert_eq!(code(call(&kernel, &handed, "read", json!({"path": "/etc/shadow"}))), Code::DENIED);
    assert_eq!(code(call(&kernel, &handed, "send", json!({"path": "/home/ann/x"}))), Code::DENIED);
}

#[test]
fn a_master_key_is_needed_and_the_same() {
    use sutazai_core::security::keys::{Master, Secret};
    let dir = tempfile::tempdir().unwrap();
    let with = |byte: u8| {
        let mut options = options();
        options.master = Some(Master::key(Secret::new(vec![byte; 32])).unwrap());
        options
    };
    let first = kernel(with(1), Some(dir.path()));
    first.stop(Duration::from_secs(5)).unwrap();
    drop(first);
    let builder = Kernel::builder().security(with(2)).data_dir(dir.path()).build().unwrap();
    assert_eq!(builder.start().unwrap_err().code(), Code::MASTER_KEY);
    drop(builder);
    let again = kernel(with(1), Some(dir.path()));
    again.stop(Duration::from_secs(5)).unwrap();
    assert!(!dir.path().join("master.key").exists());
}

#[test]
fn a_security_by_itself_knows_its_threads() {
    let dir = tempfile::tempdir().unwrap();
    let data = sutazai_core::store::DataDir::open(dir.path()).unwrap();
    let store = sutazai_core::store::Store::open(&data, &[]).unwrap();
    store.start().unwrap();
    let now = Timestamp::now();
    let security = Arc::new(Security::open(store.clone(), Some(&data), options(), now).unwrap());
    assert!(security.tick(now).failures.is_empty());
    assert_eq!(security.status().policies.policies, 0);
    security.close(now).unwrap();
    store.close(Duration::from_secs(5)).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(dir.path().join("master.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(security);

    // Without its file the keys are not opened, and no other file takes its place.
    std::fs::remove_file(dir.path().join("master.key")).unwrap();
    let store = sutazai_core::store::Store::open(&data, &[]).unwrap();
    store.start().unwrap();
    let error = Security::open(store.clone(), Some(&data), options(), now).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::MASTER_KEY);
    assert!(error.remedy().unwrap().contains("backup"), "{error}");
    assert!(!dir.path().join("master.key").exists());
    store.close(Duration::from_secs(5)).unwrap();
}

#[test]
fn the_health_of_agents_and_what_is_sensitive_raise_the_risk_of_a_call() {
    let mut card = AgentCard::new("vault", ["open"]).run(RunMode::Inline);
    card.about.entry("open".into()).or_default().sensitivity = 100;
    let kernel = kernel(options(), None);
    kernel.add_agent(from_fn(card, |task: &Task| Ok(task.input().clone()))).unwrap();
    policies(
        &kernel,
        r#"permit (principal, action, resource);
           @id("risky") forbid (principal, action, resource) when { context.risk > 25 };"#,
    );
    let ann = token(&kernel, "ann");
    assert_eq!(call(&kernel, &ann, "read", json!(1)).unwrap(), json!(1));
    let refused = call(&kernel, &ann, "open", json!(1)).unwrap_err();
    assert_eq!(refused.code(), Code::DENIED);
    assert!(refused.to_string().contains("forbidden by risky"), "{refused}");
    // What was weighed is of that call only.
    assert_eq!(call(&kernel, &ann, "read", json!(1)).unwrap(), json!(1));

    kernel.recovery().quarantine("echo", None, "test").unwrap();
    assert_eq!(code(call(&kernel, &ann, "read", json!(1))), Code::DENIED);
    // One that is well would get it.
    let card = AgentCard::new("other", ["read"]).run(RunMode::Inline);
    kernel.add_agent(from_fn(card, |_: &Task| Ok(Payload::from("other")))).unwrap();
    assert_eq!(call(&kernel, &ann, "read", json!(1)).unwrap(), json!("other"));
    assert_eq!(code(call_task(&kernel, &ann, Task::new("read", 1).to_agent("echo"))), Code::DENIED);

    let mut card = AgentCard::new("wrong", ["leak"]);
    card.about.entry("leak".into()).or_default().sensitivity = 101;
    let refused = kernel.add_agent(from_fn(card, |_: &Task| Ok(Payload::NULL))).unwrap_err();
    assert_eq!(refused.code(), Code::INVALID);
}

#[test]
fn an_answer_that_is_given_again_is_given_as_the_policy_says() {
    let kernel = kernel(options(), None);
    policies(
        &kernel,
        r#"permit (principal, action, resource) when { context.scheme != "api-key" };
           @redact("ssn") permit (principal, action, resource == Skill::"read")
               when { context.scheme == "api-key" };
           @step_up("totp") permit (principal, action, resource == Skill::"send")
               when { context.scheme == "api-key" };"#,
    );
    let now = Timestamp::now();
    let ann = token(&kernel, "ann");
    let order = ApiKeyOrder {
        principal: "ann".into(),
        label: String::new(),
        scopes: Vec::new(),
        lasts_ms: None,
    };
    let key = kernel.security().unwrap().make_api_key(order, now).unwrap().key.to_string();
    let input = json!({"ssn": "123", "name": "Ann"});
    let again = |token: &str, skill: &str| {
        let terms = Terms::default().idempotency_key("k");
        call_task(&kernel, token, Task::new(skill, input.clone()).terms(terms))
    };
    assert_eq!(again(&ann, "read").unwrap(), input);
    let seen = again(&key, "read").unwrap();
    assert!(seen["name"] == "Ann" && seen["ssn"] != "123", "{seen}");
    assert_eq!(again(&ann, "read").unwrap(), input, "what is kept is the whole");
    assert_eq!(again(&ann, "send").unwrap(), input);
    assert_eq!(code(again(&key, "send")), Code::STEP_UP);
    let audit = kernel.security().unwrap().audit();
    let query = Query { action: Some("kernel.call_again".into()), ..Query::default() };
    assert_eq!(audit.query(&query).unwrap().records.len(), 2);
}

#[test]
fn a_candidate_sees_what_it_asks_for() {
    let kernel = kernel(options(), None);
    policies(&kernel, r#"permit (principal == User::"ann", action, resource);"#);
    let security = kernel.security().unwrap();
    let candidate = r#"permit (principal, action, resource)
        when { context has input && context.input has dry_run };"#;
    security.set_shadow(candidate, "ops", Timestamp::now()).unwrap();
    let bob = token(&kernel, "bob");
    assert_eq!(code(call(&kernel, &bob, "send", json!({"dry_run": true}))), Code::DENIED);
    let report = security.shadow_report().unwrap();
    assert_eq!((report.compared, report.would_allow), (1, 1));
}

#[test]
fn who_is_disabled_approves_nothing() {
    let kernel = kernel(options(), None);
    policies(&kernel, r#"@approval("chief,deputy") permit (principal, action, resource);"#);
    let security = kernel.security().unwrap();
    let mut waiting = kernel.call_as(&token(&kernel, "ann"), Task::new("send", 1));
    let call = kernel.approvals()[0].call;
    let now = Timestamp::now();
    security.disable_principal("chief", "left", "ops", now).unwrap();
    assert_eq!(kernel.approve(call, "chief").unwrap_err().code(), Code::DENIED);
    assert_eq!(kernel.reject(call, "chief", "").unwrap_err().code(), Code::DENIED);
    let query = Query { principal: Some("chief".into()), ..Query::default() };
    let told: Vec<_> = security.audit().query(&query).unwrap().records;
    let told: Vec<_> = told.iter().map(|found| found.record.action.as_str()).collect();
    assert!(told.contains(&"approve") && told.contains(&"reject"), "{told:?}");
    kernel.approve(call, "deputy").unwrap();
    waiting.wait().unwrap();
}
