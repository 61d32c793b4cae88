//! Rows of recovery: degradation, isolation, playbooks, the safe state.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use super::who::By;
use crate::kernel::Change;
use crate::kernel::RecoveryPolicies;
use crate::recovery::{
    ActionView, DegradePolicy, DegradeStatus, Evidence, FailsafePolicy, FailsafeStatus,
    FeatureMode, IsolatePolicy, PlaybookEntry, PlaybookPolicy, PlaybookView, TargetStatus,
};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    degrade_rows(table);
    isolate_rows(table);
    playbook_rows(table);
    table.extend([
        Operation::now(
            "recovery.policies",
            "The policies in force, in the form in which they are set; guard_list has those of the guards.",
            &[Code::REQUEST_INVALID],
            policies,
        ),
        Operation::now(
            "recovery.signal",
            "Feeds a signal to the rules of degradation and the playbooks; says whether any listens.",
            &[Code::INVALID],
            signal,
        ),
        Operation::blocking(
            "recovery.failsafe_trigger",
            "Takes the safe state, once, and waits for it for as long as is said.",
            &[Code::REQUEST_INVALID],
            trigger,
        ),
        Operation::now(
            "recovery.failsafe_status",
            "Whether the safe state is taken, why, and what came of its stages.",
            &[Code::REQUEST_INVALID],
            failsafe_status,
        ),
        Operation::now(
            "recovery.failsafe_set_policy",
            "Takes another policy of the safe state from here on, SIGTERM and panics included.",
            &[Code::INVALID, Code::IO, Code::UNSUPPORTED, Code::FORKED, Code::SAFE_STATE],
            set_failsafe_policy,
        ),
    ]);
}

fn degrade_rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "recovery.degrade_level",
            "The level of degradation, what led to it, and what features do at it.",
            &[Code::REQUEST_INVALID],
            level,
        ),
        Operation::now(
            "recovery.degrade_force",
            "Puts the kernel at a level that it does not leave by itself, or gives it back to the rules.",
            &[Code::NOT_FOUND],
            force,
        ),
        Operation::now(
            "recovery.degrade_check",
            "What a feature does at the present level.",
            &[Code::DEGRADED],
            check,
        ),
        Operation::now(
            "recovery.degrade_set_policy",
            "Takes other levels, rules and features from here on.",
            &[Code::INVALID],
            set_degrade_policy,
        ),
    ]);
}

fn isolate_rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "recovery.isolate_list",
            "The targets that something is known of, sorted by name, with the evidence.",
            &[Code::REQUEST_INVALID],
            targets,
        ),
        Operation::now(
            "recovery.isolate_observe",
            "Feeds evidence about a target in: a crash, a failure, a slow call, a success, its memory.",
            &[Code::INVALID, Code::OVERLOADED],
            observe,
        ),
        Operation::now(
            "recovery.isolate_quarantine",
            "Sets a target apart, for so long or until it is released.",
            &[Code::INVALID, Code::OVERLOADED],
            quarantine,
        ),
        Operation::now(
            "recovery.isolate_release",
            "Lets a target in again, and forgives it.",
            &[Code::NOT_FOUND],
            release,
        ),
        Operation::now(
            "recovery.isolate_set_policy",
            "Takes other rules from here on; how the agents' calls go is evidence.",
            &[Code::INVALID],
            set_isolate_policy,
        ),
    ]);
}

fn playbook_rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "recovery.playbook_list",
            "The playbooks and where they stand, and the actions that they can name.",
            &[Code::REQUEST_INVALID],
            playbooks,
        ),
        Operation::now(
            "recovery.playbook_record",
            "What playbooks did and why, what was refused and why; the newest, oldest first.",
            &[Code::REQUEST_INVALID],
            record,
        ),
        Operation::now(
            "recovery.playbook_approve",
            "Says yes to an action that waits for approval; it begins.",
            &[Code::NOT_FOUND, Code::ACTION_REFUSED],
            approve,
        ),
        Operation::now(
            "recovery.playbook_deny",
            "Says no to an action that waits for approval.",
            &[Code::NOT_FOUND, Code::ACTION_REFUSED],
            deny,
        ),
        Operation::now(
            "recovery.playbook_set_policy",
            "Takes other playbooks and bounds from here on; what they did counts on, and a misspelt action is refused.",
            &[Code::INVALID, Code::SUBJECT_INVALID, Code::NOT_FOUND],
            set_playbooks,
        ),
    ]);
}

fn policies(surface: &Surface, _: Nothing) -> Result<RecoveryPolicies> {
    Ok(surface.kernel().recovery().policies())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signal {
    /// Its name.
    name: String,
    /// What it says now.
    value: f64,
}

#[derive(Serialize, JsonSchema)]
struct Heard {
    /// Whether any rule or playbook listens to it.
    heard: bool,
}

fn signal(surface: &Surface, request: Signal) -> Result<Heard> {
    if request.name.is_empty() {
        return Err(Error::new(Code::INVALID, "a signal has a name")
            .operation("recovery.signal")
            .with("field", "name"));
    }
    let heard = surface.kernel().recovery().signal(&request.name, request.value)?;
    Ok(Heard { heard })
}

fn level(surface: &Surface, _: Nothing) -> Result<DegradeStatus> {
    Ok(surface.kernel().recovery().level())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Force {
    /// The level; null gives it back to the rules.
    level: Option<String>,
    /// Who says so; `host` without it.
    #[serde(default)]
    by: By,
}

fn force(surface: &Surface, request: Force) -> Result<DegradeStatus> {
    let recovery = surface.kernel().recovery();
    recovery.force_level(request.level.as_deref(), &request.by)?;
    Ok(recovery.level())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Check {
    /// The feature, or the agent, by its name.
    feature: String,
}

#[derive(Serialize, JsonSchema)]
struct Checked {
    /// What it does; one that is off is an error.
    mode: FeatureMode,
}

fn check(surface: &Surface, request: Check) -> Result<Checked> {
    Ok(Checked { mode: surface.kernel().recovery().check(&request.feature)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Policy<P> {
    /// The policy; what is left out is as by default.
    policy: P,
}

fn set_degrade_policy(surface: &Surface, request: Policy<DegradePolicy>) -> Result<DegradeStatus> {
    let recovery = surface.kernel().recovery();
    recovery.set_degrade_policy(request.policy)?;
    Ok(recovery.level())
}

#[derive(Serialize, JsonSchema)]
struct Targets {
    targets: Vec<TargetStatus>,
}

fn targets(surface: &Surface, _: Nothing) -> Result<Targets> {
    Ok(Targets { targets: surface.kernel().recovery().targets() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Observe {
    /// The target: an agent's name, or any other.
    target: String,
    /// `"crash"`, `"failure"`, `"slow"`, `"success"`, or `{"memory": bytes}`.
    evidence: Evidence,
}

fn observe(surface: &Surface, request: Observe) -> Result<TargetStatus> {
    surface.kernel().recovery().observe(&request.target, request.evidence)?;
    target(surface, &request.target)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Quarantine {
    /// The target: an agent's name, or any other.
    target: String,
    /// For so many milliseconds; until it is released without it.
    for_ms: Option<u64>,
    /// Who says so; `host` without it.
    #[serde(default)]
    by: By,
}

fn quarantine(surface: &Surface, request: Quarantine) -> Result<TargetStatus> {
    let length = request.for_ms.map(Duration::from_millis);
    surface.kernel().recovery().quarantine(&request.target, length, &request.by)?;
    target(surface, &request.target)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// The target.
    target: String,
    /// Who says so; `host` without it.
    #[serde(default)]
    by: By,
}

fn release(surface: &Surface, request: Release) -> Result<TargetStatus> {
    surface.kernel().recovery().release(&request.target, &request.by)?;
    target(surface, &request.target)
}

fn target(surface: &Surface, name: &str) -> Result<TargetStatus> {
    let recovery = surface.kernel().recovery();
    let now = surface.kernel().runtime().now();
    // It may have made room for another since.
    recovery.isolation().status(name, now).ok_or_else(|| {
        Error::new(Code::OVERLOADED, "more targets are known than there is room for")
            .with("target", name)
    })
}

fn set_isolate_policy(surface: &Surface, request: Policy<IsolatePolicy>) -> Result<Targets> {
    let recovery = surface.kernel().recovery();
    recovery.set_isolate_policy(request.policy)?;
    Ok(Targets { targets: recovery.targets() })
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    playbooks: Vec<PlaybookView>,
    /// What they can do.
    actions: Vec<ActionView>,
}

fn playbooks(surface: &Surface, _: Nothing) -> Result<Listed> {
    let recovery = surface.kernel().recovery();
    let playbooks = recovery.playbooks();
    Ok(Listed { playbooks: playbooks.list(), actions: playbooks.actions() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Newest {
    /// How many, at most; 100 without it.
    #[serde(default = "a_page")]
    limit: usize,
}

fn a_page() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
struct Record {
    entries: Vec<PlaybookEntry>,
}

fn record(surface: &Surface, request: Newest) -> Result<Record> {
    Ok(Record { entries: surface.kernel().recovery().playbooks().record(request.limit) })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Decide {
    /// The number of the entry in the record.
    entry: u64,
    /// Who says so; `host` without it.
    #[serde(default)]
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct Approved {
    /// Always true; an entry that cannot be approved is an error.
    approved: bool,
}

fn approve(surface: &Surface, request: Decide) -> Result<Approved> {
    let (kernel, entry) = (surface.kernel(), request.entry.to_string());
    let change = Change::forced("recovery.playbook_approve", &entry).by(&request.by);
    kernel.changes(change, || kernel.recovery().playbooks().approve(request.entry, &request.by))?;
    Ok(Approved { approved: true })
}

#[derive(Serialize, JsonSchema)]
struct Denied {
    /// Always true; an entry that does not wait is an error.
    denied: bool,
}

fn deny(surface: &Surface, request: Decide) -> Result<Denied> {
    let (kernel, entry) = (surface.kernel(), request.entry.to_string());
    let change = Change::forced("recovery.playbook_deny", &entry).by(&request.by);
    kernel.changes(change, || kernel.recovery().playbooks().deny(request.entry, &request.by))?;
    Ok(Denied { denied: true })
}

fn set_playbooks(surface: &Surface, request: Policy<PlaybookPolicy>) -> Result<Listed> {
    surface.kernel().recovery().set_playbooks(request.policy)?;
    playbooks(surface, Nothing {})
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Take {
    /// Why.
    reason: String,
    /// Waits for so many milliseconds of real time, at most; 0, not at all, without it.
    #[serde(default)]
    wait_ms: u64,
}

fn trigger(surface: &Surface, request: Take) -> Result<Safe> {
    let recovery = surface.kernel().recovery();
    recovery.take_safe_state(&request.reason);
    recovery.wait_safe(Duration::from_millis(request.wait_ms));
    failsafe_status(surface, Nothing {})
}

#[derive(Serialize, JsonSchema)]
struct Safe {
    #[serde(flatten)]
    status: FailsafeStatus,
    /// Where the diagnosis bundle stands; null when none was written.
    bundle: Option<String>,
}

fn failsafe_status(surface: &Surface, _: Nothing) -> Result<Safe> {
    let recovery = surface.kernel().recovery();
    let bundle = recovery.bundle().map(|path| path.display().to_string());
    Ok(Safe { status: recovery.failsafe().status(), bundle })
}

fn set_failsafe_policy(surface: &Surface, request: Policy<FailsafePolicy>) -> Result<Safe> {
    surface.kernel().recovery().set_failsafe_policy(request.policy)?;
    failsafe_status(surface, Nothing {})
}
