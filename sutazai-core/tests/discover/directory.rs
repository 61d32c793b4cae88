//! A directory whose files each declare an agent.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use sutazai_core::agent::discover::ItemState;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, Task};
use sutazai_core::{Code, agent};

use crate::common::*;

fn declared(name: &str, version: &str, skill: &str) -> String {
    let body = worker(name, version, skill);
    format!(
        "[process]\ncommand = ['python3', '-c', \"\"\"{body}\"\"\"]\nstart_timeout = '20s'\n\n\
         [card]\nname = '{name}'\nversion = '{version}'\nskills = ['{skill}']\n"
    )
}

fn watched(directory: &Path) -> Kernel {
    let kernel = kernel();
    let spec = source(json!({"directory": {"path": directory}}));
    kernel.add_source_of("local", spec, asked()).unwrap();
    kernel
}

#[test]
fn files_come_change_and_go_and_so_do_their_agents() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let kernel = watched(directory.path());
    let mut changes = subscribe(&kernel, "agent.card_changed");
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], []]));

    write(at("one.toml"), &declared("one", "1", "read"));
    let two = json!({"process": {"command": ["python3", "-c", worker("two", "1", "count")]}});
    write(at("two.json"), &two.to_string());
    write(at("notes.txt"), "nothing to see");
    write(at(".hidden.toml"), "]");
    assert_eq!(gave(&look(&kernel)), json!([["one", "two"], [], [], [], []]));
    assert_eq!(
        (call(&kernel, "one", "read"), call(&kernel, "two", "count")),
        ("1".into(), "1".into())
    );

    // Another version takes over, and the one before stands by.
    write(at("one.toml"), &declared("one", "2", "write"));
    assert_eq!(gave(&look(&kernel)), json!([[], ["one"], [], [], []]));
    assert_eq!(call(&kernel, "one", "write"), "2");
    assert_eq!(kernel.agent("one").unwrap().standby, ["1"]);
    let change = json!({"version": {"before": "1", "after": "2"},
        "skills_added": ["write"], "skills_removed": ["read"]});
    let expected = json!({"agent": "one", "source": "local", "item": "one.toml", "version": "2", "change": change});
    assert_eq!(events(&mut changes), [expected]);

    // The same version with another program takes its place.
    let text = declared("one", "2", "write").replace("output='2'", "output='anew'");
    write(at("one.toml"), &text);
    assert_eq!(gave(&look(&kernel)), json!([[], ["one"], [], [], []]));
    assert_eq!(call(&kernel, "one", "write"), "anew");
    assert!(events(&mut changes).is_empty(), "its card is the same");

    // A file that goes by another name declares the same agent.
    fs::rename(at("one.toml"), at("uno.toml")).unwrap();
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], []]));
    assert_eq!(state(&kernel, "uno.toml"), Some(ItemState::Registered));

    fs::remove_file(at("uno.toml")).unwrap();
    assert_eq!(gave(&look(&kernel)), json!([[], [], ["one"], [], []]));
    assert_eq!(names(&kernel), ["two"]);
    kernel.remove_source("local", false).unwrap();
    assert!(names(&kernel).is_empty() && kernel.sources().is_empty());
}

#[test]
fn an_agent_may_be_called_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    let kernel = watched(directory.path());
    write(&file, &declared("one", "1", "s"));
    look(&kernel);
    write(&file, &declared("other", "1", "s"));
    assert_eq!(gave(&look(&kernel)), json!([["other"], [], [], [], []]));
    assert_eq!(names(&kernel), ["other"]);
}

#[test]
fn mistakes_have_their_places_and_spare_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let kernel = watched(directory.path());
    let mut told = subscribe(&kernel, "agent.not_discovered");
    write(at("a.toml"), "[process]\ncommand = ['x']\n\n[card]\nname = 'a'\nskils = ['s']\n");
    write(at("b.json"), r#"{"process": {"command": "x"}}"#);
    write(at("c.json"), "{\"process\":\n  {,}}");
    write(at("d.toml"), "");
    write(at("e.toml"), "[process]\ncommand = ['']\n");
    write(
        at("f.toml"),
        "[process]\ncommand = ['/nowhere/to/be/found']\n[card]\nname = 'f'\nskills = ['s']\n",
    );
    write(
        at("g.toml"),
        "[card]\nname = 'g'\nskills = ['s']\n[process]\ncommand = ['x']\nin_flight = 0\n",
    );
    write(at("z.toml"), &declared("good", "1", "s"));
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([["good"], [], [], [], []]));
    let failed = failed(&seen);
    let said = |item: &str| {
        let found = failed.iter().find(|(name, _)| name == item);
        found.unwrap_or_else(|| panic!("{item}: {failed:?}")).1.clone()
    };
    assert!(
        said("a.toml").contains("a.toml:6:1: unknown key \"skils\"; did you mean \"skills\"?"),
        "{}",
        said("a.toml")
    );
    assert!(
        said("b.json").contains("\"process.command\" must be an array, not \"x\""),
        "{}",
        said("b.json")
    );
    assert!(said("c.json").contains("2:4"), "{}", said("c.json"));
    assert!(said("d.toml").contains("add one of process"), "{}", said("d.toml"));
    assert!(said("e.toml").contains("process.command"), "{}", said("e.toml"));
    assert!(said("f.toml").contains("agent.process"), "{}", said("f.toml"));
    assert!(said("g.toml").contains("process.in_flight"), "{}", said("g.toml"));
    assert_eq!(failed.len(), 7);
    assert_eq!(events(&mut told).len(), 7);
    look(&kernel);
    assert!(events(&mut told).is_empty(), "each is told once");
    write(at("d.toml"), "x = 1\n");
    look(&kernel);
    assert_eq!(events(&mut told).len(), 1, "it is wrong in another way");
}

#[test]
fn the_agent_stays_while_its_declaration_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    let kernel = watched(directory.path());
    write(&file, &declared("a", "1", "s"));
    look(&kernel);
    write(&file, "[process");
    let seen = look(&kernel);
    assert_eq!((gave(&seen), seen.failed.len()), (json!([[], [], [], [], []]), 1));
    assert_eq!(call(&kernel, "a", "s"), "1");
    // Nor does one that cannot be started take over.
    write(&file, &declared("a", "2", "s").replace("python3", "/nowhere"));
    let seen = look(&kernel);
    assert_eq!((gave(&seen), seen.failed.len()), (json!([[], [], [], [], []]), 1));
    assert_eq!(call(&kernel, "a", "s"), "1");
    write(&file, &declared("a", "2", "s"));
    assert_eq!(gave(&look(&kernel)), json!([[], ["a"], [], [], []]));
    assert_eq!(call(&kernel, "a", "s"), "2");
}

#[test]
fn what_others_may_write_is_not_run() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    let kernel = watched(directory.path());
    write(&file, &declared("a", "1", "s"));
    mode(&file, 0o666);
    let seen = look(&kernel);
    assert_eq!(seen.failed[0].error.as_ref().unwrap().code(), Code::DENIED);
    mode(&file, 0o600);
    assert_eq!(gave(&look(&kernel)), json!([["a"], [], [], [], []]));
    mode(directory.path(), 0o777);
    write(&file, &declared("a", "2", "s"));
    let seen = look(&kernel);
    assert_eq!(seen.failed[0].error.as_ref().unwrap().code(), Code::DENIED);
    mode(directory.path(), 0o700);
}

#[test]
fn a_name_that_is_taken_stays_with_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = watched(directory.path());
    let own = agent::from_fn(AgentCard::new("a", ["s"]), |_: &Task| Ok("the host's"));
    kernel.add_agent(own).unwrap();
    write(directory.path().join("a.toml"), &declared("a", "1", "s"));
    let seen = look(&kernel);
    assert_eq!(seen.failed[0].error.as_ref().unwrap().code(), Code::ALREADY_EXISTS);
    assert_eq!(call(&kernel, "a", "s"), "the host's");
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    assert_eq!(gave(&look(&kernel)), json!([["a"], [], [], [], []]));
    // What the host removes stays removed until it is declared otherwise.
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], []]));
    assert_eq!(state(&kernel, "a.toml"), Some(ItemState::Released));
    write(directory.path().join("a.toml"), &declared("a", "2", "s"));
    assert_eq!(gave(&look(&kernel)), json!([["a"], [], [], [], []]));
}

#[test]
fn of_two_that_declare_one_name_the_first_has_it() {
    for _ in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let kernel = watched(directory.path());
        for (file, version) in [("b.toml", "b"), ("a.toml", "a"), ("c.toml", "c")] {
            write(directory.path().join(file), &declared("x", version, "s"));
        }
        let seen = look(&kernel);
        assert_eq!(gave(&seen), json!([["x"], [], [], [], []]));
        assert_eq!(kernel.agent("x").unwrap().card.version, "a");
        let failed: Vec<_> = seen.failed.iter().map(|it| &*it.item).collect();
        assert_eq!(failed, ["b.toml", "c.toml"]);
    }
}

#[test]
fn a_directory_that_is_not_there_says_nothing_about_its_agents() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("agents.d");
    let kernel = watched(&directory);
    let seen = look(&kernel);
    assert_eq!(seen.error.unwrap().code(), Code::NOT_FOUND);
    fs::create_dir(&directory).unwrap();
    write(directory.join("a.toml"), &declared("a", "1", "s"));
    assert_eq!(gave(&look(&kernel)), json!([["a"], [], [], [], []]));
    fs::rename(&directory, outer.path().join("elsewhere")).unwrap();
    let seen = look(&kernel);
    assert!(seen.error.is_some());
    assert_eq!(gave(&seen), json!([[], [], [], [], []]));
    assert_eq!(names(&kernel), ["a"]);
}
