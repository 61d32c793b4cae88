//! The examples that show how it is done run, and show what they say. The big one has a test of its own
//! (`operate.rs`), those of C and C++ are run by `tests/c/run`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

#[path = "example/mod.rs"]
mod example;

/// What an example prints.
fn output(name: &str) -> String {
    let ran = Command::new(example::built(name)).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{text}{}", String::from_utf8_lossy(&ran.stderr));
    text
}

#[test]
fn the_quick_start() {
    assert!(output("quickstart").starts_with("\"HELLO\"\n"));
}

#[test]
fn agents_that_are_found() {
    let text = output("discovery");
    for line in [
        "found: [\"counter\"]\ncount: 5\n",
        "counter.toml lies: true\ncount: 5\n",
        "gone: [\"counter\"]\n",
        "event: agent.discovered\n",
        "event: agent.lost\n",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn agents_that_are_made_when_they_are_wanted() {
    let text = output("create");
    for line in [
        "explained: table Chosen",
        "explained: server Refused the template has no parameter \"mile\"; the host has no factory \"server\"; the program",
        "tried: guesser it does not pass its probe: 1000 is wanted, not 900",
        "created: table-1 for Some(Some(\"table\"))",
        "answer: 3218",
        "not made: agent.not_made for ",
        "pool: [\"table-2\", \"table-3\"]",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn an_agent_with_several_lives() {
    let text = output("lives");
    for line in [
        "first life: 1 2\n",
        "it died: agent.exited (Transient)\n",
        "second life: 1\n",
        "restarts: 1\n",
        "\"ready\" → \"failed\": \"it has ended: ",
        "\"failed\" → \"starting\": \"it is started again\"\n",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn what_is_done_about_failures() {
    let text = output("recovery");
    for line in [
        "guarded calls: breaker of first: Some(Open)",
        "a guarded function: page after 3 tries",
        "classified: transient by index is building",
        "supervision: 2 done, 1 set aside",
        "rollback: level 1, Some(Code(9007 recovery.saga_undone))",
        "degradation: reduced",
        "isolation: Some(Quarantined), then Some(Healthy)",
        "3 caches dropped",
        "failsafe: Safe [\"close_valve\", \"stop_admitting\", \"drain\", \"flush\", \"dump\"]",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn who_may_do_what_and_proof_of_it() {
    let text = output("security");
    for line in [
        "password: next, one of [\"totp\"]\n",
        "totp: done, ann\n",
        "ann reads: \"read the plan\"\n",
        "ann deletes: security.denied\n",
        "the clerk reads: \"read the plan\"\n",
        "the clerk mails: security.denied\n",
        "rotated: decrypted \"buy milk\", 2 keys\n",
        "proved: ann's deletion was denied\n",
        "verified: 0 findings\n",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}
