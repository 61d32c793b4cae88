//! Who somebody is, what they may do, and proof of what was done. `cargo run --example security`.

use std::time::Duration;

use serde_json::json;
use sutazai_core::agent;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, AuditOutcome, Credential, Task};
use sutazai_core::security::audit::{self, Query};
use sutazai_core::security::authn::Attempt;
use sutazai_core::security::keys::{Purpose, Spec};
use sutazai_core::security::token::delegate::Attenuation;
use sutazai_core::security::{LoginAnswer, PolicyChange};
use sutazai_core::{Code, Error, Result};

/// Ann may do anything but delete.
const POLICIES: &str = r#"
    permit (principal == User::"ann", action == Action::"call", resource);
    forbid (principal, action, resource == Skill::"delete");
"#;

fn main() -> Result<()> {
    let dir = tempfile::tempdir().map_err(|e| Error::new(Code::IO, "no folder").because(e))?;
    let kernel = Kernel::builder().data_dir(dir.path()).build()?;
    kernel.start()?;
    let card = AgentCard::new("office", ["read", "mail", "delete"]);
    kernel.add_agent(agent::from_fn(card, |task: &Task| {
        Ok(format!("{} {}", task.skill(), task.input().to::<String>()?))
    }))?;
    kernel.security()?.change_policies(
        PolicyChange::Policies { cedar: POLICIES.to_owned(), schema: None },
        "ops",
        Timestamp::now(),
    )?;
    kernel.security()?.set_authorise(true, "ops", Timestamp::now())?;

    let access = log_in(&kernel)?;
    call("ann reads", &kernel, &access, "read");
    call("ann deletes", &kernel, &access, "delete");
    // The agent that acts for her gets less than she has, and can give nothing back.
    let less = Attenuation::new("clerk").skills(["read"]);
    let now = Timestamp::now();
    let handed = kernel.security()?.delegate(&access, Duration::from_secs(60), Some(&less), now)?;
    call("the clerk reads", &kernel, &handed.token, "read");
    call("the clerk mails", &kernel, &handed.token, "mail");
    keys(&kernel)?;
    proof(&kernel, &dir.path().join("audit"))?;
    kernel.stop(Duration::from_secs(5))
}

/// With a password and a code that the authenticator shows.
fn log_in(kernel: &Kernel) -> Result<String> {
    let (security, now) = (kernel.security()?, Timestamp::now());
    security.set_password("ann", "correct horse battery", now)?;
    let shown = totp_rs::Totp::from_url(security.totp().enrol("ann", now)?.url)
        .map_err(|e| Error::new(Code::INVALID, e.to_string()))?;
    let code = |at: Timestamp| {
        shown.generate(u64::try_from(at.as_nanos() / 1_000_000_000).unwrap_or(0)).to_string()
    };
    // Each code is good once: she has confirmed with one, and logs in with the next.
    let first = Timestamp::from_nanos(now.as_nanos() - 30_000_000_000);
    security.confirm_totp("ann", &code(first), now)?;

    let password = Credential::new("password", Some("ann".into()), "correct horse battery".into());
    let LoginAnswer::Next { login, offers, .. } = security.log_in(Attempt::new(password), now)?
    else {
        return Err(Error::new(Code::UNAUTHENTICATED, "a second factor was expected"));
    };
    let schemes: Vec<_> = offers.iter().map(|offer| &*offer.scheme).collect();
    println!("password: next, one of {schemes:?}");
    let answer = Credential::new("totp", None, code(now).into_bytes());
    let LoginAnswer::Done { login, issued } = security.log_in_answer(&login, answer, now)? else {
        return Err(Error::new(Code::UNAUTHENTICATED, "the code was refused"));
    };
    println!("totp: done, {}", login.session.principal());
    Ok(issued.access.to_string())
}

fn call(who: &str, kernel: &Kernel, token: &str, skill: &str) {
    match kernel.call_as(token, Task::new(skill, "the plan")).wait() {
        Ok(outcome) => println!("{who}: {}", outcome.output),
        Err(error) => println!("{who}: {}", error.code().name()),
    }
}

/// A fresh key takes over, and what the one before has made can still be opened.
fn keys(kernel: &Kernel) -> Result<()> {
    let (keys, now) = (kernel.security()?.keys(), Timestamp::now());
    keys.create("notes", Spec::new(Purpose::Encrypt), "ops", now)?;
    let sealed = keys.encryptor("notes")?.encrypt(b"note 7", b"buy milk")?;
    kernel.security()?.rotate("notes", "ops", now)?;
    let plain = keys.encryptor("notes")?.decrypt(b"note 7", &sealed)?;
    let plain = String::from_utf8_lossy(&plain);
    println!("rotated: decrypted {plain:?}, {} keys", keys.info("notes")?.keys.len());
    Ok(())
}

/// That she was denied is in the log, which whoever has its public key can check.
fn proof(kernel: &Kernel, folder: &std::path::Path) -> Result<()> {
    let (security, now) = (kernel.security()?, Timestamp::now());
    let denied = Query {
        principal: Some("ann".into()),
        object: Some("delete".into()),
        outcome: Some(AuditOutcome::Denied),
        ..Query::default()
    };
    let found = security.audit().query(&denied)?.records;
    let Some(found) = found.first() else { return Err(Error::new(Code::NOT_FOUND, "no record")) };
    let evidence = json!(security.audit().prove(found.index, now)?); // to keep, or to send
    let evidence: audit::Evidence = serde_json::from_value(evidence)
        .map_err(|e| Error::new(Code::AUDIT_PROOF, e.to_string()))?;
    let (record, _) = evidence.verify(security.audit_key())?;
    println!("proved: {}'s deletion was {}", record.principal, record.outcome.name());
    let kept = security.audit().integrate(now)?;
    let report = audit::verify(folder, security.audit_key(), Some(&kept))?;
    println!("verified: {} findings", report.findings.len());
    Ok(())
}
