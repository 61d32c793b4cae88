//! Agents that are made from templates of MCP servers that nobody here wrote: one that works, one that crashes at its
//! start, and a card that claims a tool which the server has not.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sutazai_core::Code;
use sutazai_core::agent::create::{Template, TemplateKind, Want};
use sutazai_core::kernel::{CreateOptions, Kernel};
use sutazai_core::port::{SkillCard, SkillProbe, Task};

use crate::common::servers;

fn template(folder: &Path, name: &str, skills: &[&str], cost: f64) -> Template {
    let program = folder.join("venv-mcp/bin").join(format!("mcp-server-{name}"));
    let process = json!({"command": [program, "{more}"], "start_timeout_ms": 60_000});
    let server = json!({"transport": {"stdio": process}, "probe_timeout_ms": 60_000});
    let template =
        Template::new(name, skills.iter().copied(), TemplateKind::Mcp(server)).cost(cost);
    template.parameter("more", json!({"type": "string"}), None)
}

fn long() -> CreateOptions {
    CreateOptions::default().within(Duration::from_secs(300))
}

/// Whether any process has this in its command line.
fn runs(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(marker)
    })
}

#[test]
fn one_that_crashes_at_its_start_says_why_and_the_next_has_its_turn() {
    let Some(folder) = servers() else { return };
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let home = tempfile::tempdir().unwrap();
    let database = home.path().join("creation.db");
    let database = database.to_str().unwrap();
    let skills = ["get_current_time", "list_tables"];
    let mut sqlite = template(&folder, "sqlite", &skills, 0.0);
    sqlite.parameters.get_mut("more").unwrap().default =
        Some(json!(format!("--db-path={database}")));
    kernel.add_template(sqlite, false).unwrap();

    let error = kernel.create_agent(Want::new("list_tables"), long()).wait().unwrap_err();
    assert_eq!(error.code(), Code::AGENT_NOT_MADE);
    let tried = &error.problems()[1];
    let of = |key: &str| tried.context().find(|(k, _)| *k == key).map(|(_, value)| value);
    assert_eq!(
        (tried.code(), of("template"), of("stage")),
        (Code::AGENT_START, Some("sqlite"), Some("start"))
    );
    let said = of("stderr").unwrap_or_default();
    assert!(said.contains("Traceback") || said.contains("Error"), "{tried:#}");
    assert!(kernel.agents().is_empty());
    assert!(!runs(database), "no process is left");

    // A lie is cheap: this card has a tool that the server does not offer.
    let lying = template(&folder, "git", &["get_current_time"], 1.0);
    let mut lying = lying.parameter("more", json!({"type": "string"}), Some(json!("-v")));
    lying.name = "lying".to_owned();
    kernel.add_template(lying, false).unwrap();
    let utc = SkillProbe::new(json!({"timezone": "UTC"})).contains("UTC").within_ms(60_000);
    let time = template(&folder, "time", &["get_current_time", "convert_time"], 2.0)
        .parameter("more", json!({"type": "string"}), Some(json!("--local-timezone=UTC")))
        .about("get_current_time", SkillCard::new("tells the time").probe(utc));
    kernel.add_template(time, false).unwrap();
    let created = kernel.create_agent(Want::new("get_current_time"), long()).wait().unwrap();
    assert_eq!(created.template, "time");
    let failed: Vec<_> = created.failed.iter().map(|it| (it.template.as_str(), it.stage)).collect();
    assert!(failed.contains(&("lying", "probe")), "{failed:?}");
    let probe = created.probe.unwrap();
    let verdicts: Vec<_> = probe.skills.iter().map(|it| it.verdict.name()).collect();
    assert_eq!(
        verdicts,
        ["right", "offered"],
        "the one by its probe, the other by the server's list"
    );
    let lie = created.failed.iter().find(|it| it.template == "lying").unwrap();
    assert!(lie.error.message().ends_with("the other side does not offer it"), "{}", lie.error);

    let asked =
        kernel.call(Task::new("get_current_time", json!({"timezone": "UTC"}))).wait().unwrap();
    assert!(asked.output.to_string().contains("UTC"));
    kernel.stop(Duration::from_secs(10)).unwrap();
}
