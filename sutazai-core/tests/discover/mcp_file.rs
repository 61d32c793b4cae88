//! A file in the form `mcpServers` that is edited.

use serde_json::json;
use sutazai_core::kernel::Kernel;

use crate::common::*;

fn server(mode: &str) -> serde_json::Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/server.py");
    json!({"command": "python3", "args": [script, mode]})
}

fn watched(file: &std::path::Path) -> Kernel {
    let kernel = kernel();
    let spec = source(json!({"mcp_config": {"path": file}}));
    kernel.add_source_of("client", spec, asked()).unwrap();
    kernel
}

#[test]
fn servers_come_and_go_with_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mcp.json");
    let servers = |servers: serde_json::Value| {
        let text = json!({"mcpServers": servers, "theme": "dark"}).to_string();
        write(&file, &text);
    };
    servers(json!({"one": server("old"), "off": {"command": "x", "disabled": true},
        "bad": {"command": "/nowhere/to/be/found"}, "odd": {}}));
    let kernel = watched(&file);
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([["one"], [], [], [], []]), "{:?}", failed(&seen));
    let items: Vec<_> = failed(&seen).into_iter().map(|(item, _)| item).collect();
    assert_eq!(items, ["bad", "odd"]);
    let pid = |name: &str| kernel.agent(name).unwrap().card.name.to_string();
    assert_eq!(pid("one"), "one");

    servers(json!({"one": server("old"), "two": server("old")}));
    assert_eq!(gave(&look(&kernel)), json!([["two"], [], [], [], []]));
    let mut changed = server("old");
    changed["env"] = json!({"A": "b"});
    servers(json!({"one": changed, "two": server("old")}));
    assert_eq!(gave(&look(&kernel)), json!([[], ["one"], [], [], []]), "it is reached anew");
    write(&file, "{\"mcpServers\": {");
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([[], [], [], [], []]));
    assert!(seen.error.unwrap().location().is_some());
    assert_eq!(names(&kernel), ["one", "two"], "a file that cannot be read says nothing");
    servers(json!({"two": server("old")}));
    assert_eq!(gave(&look(&kernel)), json!([[], [], ["one"], [], []]));
}

#[test]
fn real_servers_are_discovered() {
    let Some(folder) = servers_folder() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mcp.json");
    let package = |name: &str| {
        folder.join(format!("node-mcp/node_modules/@modelcontextprotocol/{name}/dist/index.js"))
    };
    let python = |name: &str| folder.join("venv-mcp/bin").join(name);
    let text = json!({"mcpServers": {
        "everything": {"command": "node", "args": [package("server-everything")]},
        "files": {"command": "node", "args": [package("server-filesystem"), directory.path()]},
        "time": {"command": python("mcp-server-time")},
        "sqlite": {"command": python("mcp-server-sqlite"), "args": ["--db-path", directory.path().join("x.db")]},
    }});
    write(&file, &text.to_string());
    let kernel = watched(&file);
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([["everything", "files", "time"], [], [], [], []]));
    let failed = failed(&seen);
    assert_eq!((failed.len(), &*failed[0].0), (1, "sqlite"), "{failed:?}");
    println!("sqlite: {}", failed[0].1);
    let input = json!({"message": "here"});
    let mut ticket =
        kernel.call(sutazai_core::port::Task::new("echo", input).to_agent("everything"));
    let answer = ticket.wait_timeout(LONG).unwrap().unwrap().output.to_string();
    assert!(answer.contains("here"), "{answer}");
    write(&file, r#"{"mcpServers": {}}"#);
    assert_eq!(gave(&look(&kernel)), json!([[], [], ["everything", "files", "time"], [], []]));
}

/// Where the servers that nobody here wrote are installed; see `tests/servers`.
fn servers_folder() -> Option<std::path::PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/servers");
    let folder = std::env::var("SUTAZAI_SERVERS_DIR").unwrap_or_else(|_| default.to_owned());
    let folder = std::path::PathBuf::from(folder);
    if folder.join("venv-mcp").exists() && folder.join("node-mcp").exists() {
        return Some(folder);
    }
    assert!(std::env::var("SUTAZAI_SERVERS").is_err(), "{} has no servers", folder.display());
    println!("skipped: ./tests/servers mcp installs the servers");
    None
}
