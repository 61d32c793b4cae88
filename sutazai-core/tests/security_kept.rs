//! What is set of policies outlives the process; the room's keysets are nobody else's; files and exports.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::AuditClass;
use sutazai_core::security::audit::{Format, Query};
use sutazai_core::security::authz::{Entities, PolicySet, Request, Roles};
use sutazai_core::security::keys::{Export, ExportTo, ImportWith, Keys, Master, Secret};
use sutazai_core::security::{PolicyChange, Security, SecurityOptions};
use sutazai_core::store::{Durability, Store};
use sutazai_core::surface::Surface;

const ANN: &str = r#"permit (principal == User::"ann", action, resource);"#;

fn kernel(options: SecurityOptions, dir: &Path) -> Kernel {
    let kernel = Kernel::builder().security(options).data_dir(dir).build().unwrap();
    kernel.start().unwrap();
    kernel
}

fn stop(kernel: Kernel) {
    kernel.stop(Duration::from_secs(5)).unwrap();
}

fn may(security: &Security, who: &str) -> bool {
    let uid = |text: &str| text.parse().unwrap();
    let who = format!("User::\"{who}\"");
    let request = Request::new(uid(&who), uid("Action::\"call\""), uid("Skill::\"echo\""));
    security.policies().decide(&request).is_allowed()
}

fn policies(cedar: &str) -> PolicyChange {
    PolicyChange::Policies { cedar: cedar.to_owned(), schema: None }
}

fn bobs_roles() -> PolicyChange {
    let roles = r#"{"roles": [{"name": "caller", "permits": [{"actions": ["Action::\"call\""]}]}],
        "assignments": [{"principal": "User::\"bob\"", "role": "caller"}]}"#;
    PolicyChange::Roles(Roles::from_json(roles).unwrap())
}

#[cfg(feature = "store")]
#[test]
fn what_was_set_decides_again() {
    let dir = tempfile::tempdir().unwrap();
    let now = Timestamp::now();
    let first = kernel(SecurityOptions::default(), dir.path());
    let security = first.security().unwrap();
    security.change_policies(policies(ANN), "ops", now).unwrap();
    security.change_policies(bobs_roles(), "ops", now).unwrap();
    let entities = vec![json!({"uid": {"type": "User", "id": "eve"}, "attrs": {},
        "parents": [{"type": "User", "id": "ann"}]})];
    let (generation, _) =
        security.change_policies(PolicyChange::Entities(entities), "ops", now).unwrap();
    security.set_authorise(true, "ops", now).unwrap();
    // What the host puts together itself is its own affair.
    let given = PolicySet::from_cedar("host", "permit (principal, action, resource);").unwrap();
    security.set_policies(given, "ops", now).unwrap();
    assert!(may(security, "mallory"));
    let refused = security.change_policies(bobs_roles(), "ops", now).unwrap_err();
    assert_eq!(refused.code(), Code::UNSUPPORTED);
    stop(first);

    let second = kernel(SecurityOptions::default(), dir.path());
    let security = second.security().unwrap();
    assert!(security.authorises());
    let told = ["ann", "bob", "eve", "mallory"].map(|who| may(security, who));
    assert_eq!(told, [true, true, false, false]);
    let view = security.policies_view();
    assert_eq!((view.cedar.as_deref(), view.generation), (Some(ANN), generation));
    let parents = r#"User::"eve""#.parse().unwrap();
    assert!(security.policies().entities().is_in(&parents, &r#"User::"ann""#.parse().unwrap()));
    // What does not fit changes nothing, neither now nor later.
    let bad = security.change_policies(policies("permit (principal"), "ops", now).unwrap_err();
    assert_eq!(bad.code(), Code::POLICY_INVALID);
    assert!(may(security, "ann"));
    security.change_policies(policies(""), "ops", now).unwrap();
    let query = Query { action: Some("policy.set".into()), ..Query::default() };
    assert_eq!(security.audit().query(&query).unwrap().records.len(), 3);
    stop(second);

    let mut without = SecurityOptions::default();
    without.restore_policies = false;
    let third = kernel(without, dir.path());
    // Nothing is permitted, and that they decide is what it was.
    assert!(!may(third.security().unwrap(), "bob") && third.security().unwrap().authorises());
    stop(third);
    let fourth = kernel(SecurityOptions::default(), dir.path());
    let told = ["ann", "bob"].map(|who| may(fourth.security().unwrap(), who));
    assert_eq!(told, [false, true]);
    stop(fourth);
}

/// Opens what is in a store.
fn open(store: &Store) -> sutazai_core::Result<Security> {
    let mut options = SecurityOptions::default();
    options.master = Some(Master::key(Secret::new(vec![7; 32])).unwrap());
    Security::open(store.clone(), None, options, Timestamp::now())
}

#[test]
fn policies_that_are_valid_no_more_are_an_error_with_advice() {
    let store = Store::memory(&[]).unwrap();
    let now = Timestamp::now();
    let security = open(&store).unwrap();
    security.change_policies(policies(ANN), "ops", now).unwrap();
    drop(security);
    let namespace = "security.policies";
    let key = "part.00000000000000000001.00000";
    let part = store.get(namespace, key).unwrap().unwrap();
    let text: String = part.value.to().unwrap();
    let put = |text: &str| {
        store.put(namespace, key, &text.into(), now, Durability::Fsync).wait().unwrap();
    };
    // As a later version of the language might see it; of the same length.
    put(&text.replace("permit", "permut"));
    let error = open(&store).unwrap_err();
    assert_eq!(error.code(), Code::POLICY_INVALID);
    assert!(error.remedy().unwrap().contains("restore_policies"), "{error:#}");
    put(&text[..text.len() - 1]);
    assert_eq!(open(&store).unwrap_err().code(), Code::STORE_CORRUPT);
    put(&text);
    assert!(may(&open(&store).unwrap(), "ann"));
}

#[test]
fn what_the_host_knows_of_entities_and_roles_go_together() {
    let security = open(&Store::memory(&[]).unwrap()).unwrap();
    let now = Timestamp::now();
    security.change_policies(bobs_roles(), "ops", now).unwrap();
    let entities =
        r#"[{"uid": {"type": "User", "id": "bob"}, "attrs": {"age": 4}, "parents": []}]"#;
    security.set_entities(Entities::from_json(entities, None).unwrap(), "host", now).unwrap();
    assert!(may(&security, "bob"));
    let bobs = r#"permit (principal, action, resource) when { principal has age };"#;
    let (before, _) = security.change_policies(policies(bobs), "ops", now).unwrap();
    assert!(may(&security, "bob") && !may(&security, "ann"));
    // A candidate knows them as well, and both change at once.
    security.set_shadow("forbid (principal, action, resource);", "ops", now).unwrap();
    assert!(may(&security, "bob"));
    assert_eq!(security.shadow_report().unwrap().would_deny, 1);
    let (after, _) = security.promote_shadow("ops", now).unwrap();
    assert!(after > before && !may(&security, "bob"));
    assert_eq!(security.shadow_report().unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn an_export_that_is_named_as_the_rooms_own_is_not_imported() {
    let now = Timestamp::now();
    let master = Master::key(Secret::random(32).unwrap()).unwrap();
    let elsewhere = Keys::open(Store::memory(&[]).unwrap(), &master, None, now).unwrap();
    let spec =
        sutazai_core::security::keys::Spec::new(sutazai_core::security::keys::Purpose::Encrypt);
    elsewhere.create("sutazai.later", spec, "mallory", now).unwrap();
    let phrase = Secret::from("correct horse battery");
    let cost = serde_json::from_value(json!({"memory_kib": 64, "passes": 1, "lanes": 1})).unwrap();
    let to = ExportTo::Passphrase(&phrase, cost);
    let (export, _): (Export, _) = elsewhere.export("sutazai.later", &to, "mallory", now).unwrap();
    let security = open(&Store::memory(&[]).unwrap()).unwrap();
    let with = ImportWith::Passphrase(&phrase);
    let refused = security.import_keyset(&export, &with, "mallory", now).unwrap_err();
    assert_eq!(refused.code(), Code::DENIED);
    assert_eq!(security.keys().info("sutazai.later").unwrap_err().code(), Code::KEY_UNKNOWN);
    let query = Query { action: Some("keys.import".into()), ..Query::default() };
    let found = security.audit().query(&query).unwrap().records;
    assert_eq!(found[0].record.outcome.name(), "denied");
}

#[test]
fn the_audit_log_goes_into_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let security = open(&Store::memory(&[]).unwrap()).unwrap();
    let now = Timestamp::now();
    security.set_password("ann", "correct horse battery", now).unwrap();
    security.set_audit_durability(AuditClass::Action, Durability::Fsync, "ops", now).unwrap();
    assert_eq!(security.audit().durability(AuditClass::Action), Durability::Fsync);
    let size = security.audit().integrate(now).unwrap().size();
    let path = dir.path().join("log");
    let written = security.audit().export_file(0..size, Format::JsonLines, &path, false).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!((written, text.lines().count() as u64), (size, size));
    assert!(text.contains(r#""action":"audit.durability""#), "{text}");
}

#[test]
fn the_store_tells_nobody_what_security_keeps() {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let surface = Surface::new(&kernel);
    kernel
        .security()
        .unwrap()
        .set_password("ann", "correct horse battery", Timestamp::now())
        .unwrap();
    let kept = kernel.store().list("security.password", "", None, 10).unwrap();
    assert!(!kept.is_empty(), "the record is where the operation does not look");
    let asked = surface.invoke("store.list", r#"{"namespace": "security.password"}"#).wait();
    assert_eq!(asked.unwrap_err().code(), Code::DENIED);
    stop(kernel);
}

#[test]
fn policies_wait_for_entities_that_are_not_kept() {
    let store = Store::memory(&[]).unwrap();
    let now = Timestamp::now();
    let first = open(&store).unwrap();
    let blocked = r#"[{"uid": {"type": "User", "id": "mallory"}, "attrs": {},
        "parents": [{"type": "Group", "id": "blocked"}]}]"#;
    let entities = || Entities::from_json(blocked, None).unwrap();
    first.set_entities(entities(), "host", now).unwrap();
    let all_but = r#"permit (principal, action, resource);
        forbid (principal in Group::"blocked", action, resource);"#;
    first.change_policies_and(policies(all_but), Some(true), "ops", now).unwrap();
    assert!(first.authorises() && may(&first, "ann") && !may(&first, "mallory"));
    drop(first);
    // Without knowing who is blocked, they permit nothing.
    let second = open(&store).unwrap();
    assert!(second.authorises() && !may(&second, "ann") && !may(&second, "mallory"));
    second.change_policies(policies(&format!("{all_but} // again")), "ops", now).unwrap();
    assert!(!may(&second, "ann"));
    drop(second);
    let third = open(&store).unwrap();
    assert!(!may(&third, "ann"));
    third.set_entities(entities(), "host", now).unwrap();
    assert!(may(&third, "ann") && !may(&third, "mallory"));
    assert!(third.policies_view().cedar.unwrap().ends_with("// again"));
}

#[test]
fn both_are_changed_or_neither_is() {
    let store = Store::memory(&[]).unwrap();
    let now = Timestamp::now();
    let security = open(&store).unwrap();
    security.change_policies_and(policies(ANN), Some(true), "ops", now).unwrap();
    security.change_policies(bobs_roles(), "ops", now).unwrap();
    let schema =
        "entity User; entity Skill; action call appliesTo { principal: User, resource: Skill };";
    let misfit = PolicyChange::Policies {
        cedar: ANN.replace("action,", "action == Action::\"fly\","),
        schema: Some(schema.to_owned()),
    };
    security.change_policies_and(misfit, Some(false), "ops", now).unwrap_err();
    assert!(security.authorises() && may(&security, "ann") && may(&security, "bob"));
    // Turning it off and on leaves what is kept as it is.
    security.set_authorise(false, "ops", now).unwrap();
    security.set_authorise(true, "ops", now).unwrap();
    drop(security);
    let again = open(&store).unwrap();
    assert!(again.authorises() && may(&again, "ann") && may(&again, "bob"));
}

#[cfg(feature = "biscuit")]
#[test]
fn a_revocation_outlasts_what_it_revokes() {
    use sutazai_core::security::token::{Grant, Revocation, TokenConfig};
    let now = Timestamp::now();
    let mut tokens = TokenConfig::new("here", "here");
    tokens.refresh.absolute = Duration::from_secs(3_600);
    tokens.refresh.idle = Duration::from_secs(1_800);
    let mut options = SecurityOptions::default();
    options.tokens = Some(tokens);
    let security = Security::open(Store::memory(&[]).unwrap(), None, options, now).unwrap();
    let day = Duration::from_secs(86_400);
    let handed = security.delegations().mint(&Grant::new("ann"), None, day, now).unwrap();
    security.delegations().verify(&handed.token, now).unwrap();
    let revoked = Revocation::Subject { subject: "ann".into(), before: now };
    security.tokens().revoke(&revoked, "ops", now).unwrap();
    for hours in [0, 2, 10, 23] {
        let later = now + Duration::from_secs(hours * 3_600);
        security.tick(later);
        let refused = security.delegations().verify(&handed.token, later).unwrap_err();
        assert_eq!(refused.code(), Code::TOKEN_REVOKED, "after {hours} h");
    }
}

#[cfg(all(unix, feature = "store"))]
#[test]
fn files_of_the_kernels_own_are_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let kernel = kernel(SecurityOptions::default(), dir.path());
    let surface = Surface::new(&kernel);
    let does = |operation: &str, request: serde_json::Value| {
        let answer = surface.invoke(operation, &request.to_string()).wait();
        answer.map(drop).map_err(|error| error.code())
    };
    does("security.keyset_create", json!({"keyset": "files", "purpose": "encrypt", "by": "ops"}))
        .unwrap();
    let master = dir.path().join("master.key");
    let copy = elsewhere.path().join("copy");
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let file = |from: &Path, to: &Path| {
        does(
            "security.key_encrypt_file",
            json!({"keyset": "files", "from": from, "to": to, "replace": true}),
        )
    };
    let plain = elsewhere.path().join("plain");
    std::fs::write(&plain, "text").unwrap();
    assert_eq!(file(&master, &copy), Err(Code::DENIED));
    assert_eq!(file(&link.join("master.key"), &copy), Err(Code::DENIED));
    assert_eq!(file(&plain, &master), Err(Code::DENIED));
    assert_eq!(file(&plain, &link.join("new")), Err(Code::DENIED));
    let export = json!({"format": "json_lines", "path": master, "replace": true});
    assert_eq!(does("security.audit_export_file", export), Err(Code::DENIED));
    // What has no end is no file.
    let pipe = elsewhere.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert_eq!(file(&pipe, &copy), Err(Code::INVALID));
    assert_eq!(file(Path::new("/dev/zero"), &copy), Err(Code::INVALID));
    file(&plain, &copy).unwrap();
    assert!(copy.exists());
    stop(kernel);
}
