use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::port::RunMode;
use crate::{Code, Error};

const WHOLE: &str = r#"
data_dir = "state"

[limits]
calls_in_flight = 1_000
queue = 0x10
pool_threads = 8
timeout = "1m 30s"
drain = "250ms"

[log]
level = "warn"
terminal = "never"
file = "/var/log/sutazai.jsonl"

[[agent]]
name = "reviewer"
kind = "process"
command = ["./bin/review", "--fast"]
skills = ["review", "lint:rust"]
description = "reviews"
run = "pool"
concurrency = 4
timeout = "5s"
env = { LANG = "C" }
cwd = "work"
max_line = "64KiB"
grace = "2s"
restart = { limit = 3, within = "30s", backoff = "1s" }
labels.team = "a"
about.review.output = { type = "integer" }
about.review.probe = { input = { lines = [1, 2.5] }, equals = 3, within = "250ms" }

[[agent]]
name = "history"
command = ["git"]
skills = ["history"]
"#;

#[test]
fn a_whole_manifest_is_read() {
    let m = Manifest::parse("fleet/sutazai.toml", WHOLE).unwrap();
    assert_eq!(m.data_dir.as_deref(), Some(Path::new("fleet/state")));
    assert_eq!(
        (m.limits.calls_in_flight, m.limits.queue, m.limits.pool_threads),
        (1000, 16, Some(8))
    );
    assert_eq!(
        (m.limits.timeout, m.limits.drain),
        (Duration::from_secs(90), Duration::from_millis(250))
    );
    assert_eq!((m.log.level, m.log.terminal), (Level::Warn, Terminal::Never));
    assert_eq!(m.log.file.as_deref(), Some(Path::new("/var/log/sutazai.jsonl")));
    let [one, two] = &m.agents[..] else { panic!("two agents") };
    assert_eq!(one.command, ["fleet/./bin/review", "--fast"]);
    assert_eq!(one.skills, ["review", "lint:rust"]);
    assert_eq!((one.kind, one.run, one.concurrency), (AgentKind::Process, RunMode::Pool, Some(4)));
    assert_eq!((one.timeout, one.grace), (Some(Duration::from_secs(5)), Duration::from_secs(2)));
    assert_eq!((one.env["LANG"].as_str(), one.labels["team"].as_str()), ("C", "a"));
    assert_eq!((one.cwd.as_path(), one.max_line), (Path::new("fleet/work"), 65536));
    let about = &one.about["review"];
    assert_eq!(about.output, Some(serde_json::json!({"type": "integer"})));
    let probe = about.probe.as_ref().unwrap();
    assert_eq!((&probe.input, probe.within_ms), (&serde_json::json!({"lines": [1, 2.5]}), 250));
    assert_eq!(probe.equals, Some(serde_json::json!(3)));
    assert_eq!((one.restart.limit, one.restart.backoff), (3, Duration::from_secs(1)));
    assert_eq!(
        (two.command.as_slice(), two.cwd.as_path()),
        (&["git".to_owned()][..], Path::new("fleet"))
    );
    assert_eq!((two.max_line, two.restart.clone()), (1 << 20, Restart::default()));
}

#[test]
fn nothing_is_required() {
    let m = Manifest::parse("sutazai.toml", "").unwrap();
    assert_eq!((m.limits, m.log, m.agents), (Limits::default(), Log::default(), Vec::new()));
    assert_eq!(m.data_dir.as_deref(), Some(Path::new(".sutazai")));
    assert_eq!(Manifest::parse("s", "data_dir = ':memory:'").unwrap().data_dir, None);
    let agent = "[[agent]]\nname = 'a'\nkind = 'process'\nskills = ['s']\ncommand = ['python3']";
    let m = Manifest::parse("sutazai.toml", agent).unwrap();
    assert_eq!(m.agents[0].cwd, Path::new("."), "a program can be started there");
}

#[test]
fn what_is_written_out_reads_the_same() {
    let m = Manifest::parse("/fleet/sutazai.toml", WHOLE).unwrap();
    let text = toml::to_string(&m).unwrap();
    assert_eq!(Manifest::parse("/fleet/sutazai.toml", &text).unwrap(), m, "{text}");
}

/// Text, then line, column, message and advice of each mistake.
type Wrong = (&'static str, &'static [(u32, u32, &'static str, &'static str)]);

const WRONG: &[Wrong] = &[
    ("[limit]\n", &[(1, 2, "unknown key \"limit\"", "did you mean \"limits\"?")]),
    (
        "colour = 1\n",
        &[(
            1,
            1,
            "unknown key \"colour\"",
            "valid here: data_dir, limits, log, agent, create, recovery, discovery, security, monitor, tune",
        )],
    ),
    (
        "[limits]\n  timout = \"1s\"\n",
        &[(2, 3, "unknown key \"timout\"", "did you mean \"timeout\"?")],
    ),
    (
        "[limits]\ntimeout = 30\n",
        &[(
            2,
            11,
            "\"timeout\" must be a duration such as \"250ms\", \"30s\", \"5m\" or \"1h 30m\", not an integer",
            "say the unit: \"30s\" or \"30ms\"",
        )],
    ),
    (
        "[limits]\ntimeout = \"soon\"\n",
        &[(
            2,
            11,
            "\"timeout\" must be a duration such as \"250ms\", \"30s\", \"5m\" or \"1h 30m\", not \"soon\"",
            "the units are ns, us, ms, s, m and h",
        )],
    ),
    (
        "[limits]\ntimeout = \"0s\"\n",
        &[(2, 11, "\"timeout\" is out of range", "it must be from 1ms to 168h")],
    ),
    (
        "[limits]\nqueue = 0\n",
        &[(2, 9, "\"queue\" is out of range", "it must be from 1 to 10000000")],
    ),
    (
        "[limits]\nqueue = -1\n",
        &[(2, 9, "\"queue\" is out of range", "it must be from 1 to 10000000")],
    ),
    ("[limits]\nqueue = \"é\" # é\n", &[(2, 9, "\"queue\" must be an integer, not \"é\"", "")]),
    ("limits = 3\n", &[(1, 10, "\"limits\" must be a table, not an integer", "")]),
    (
        "log.level = \"wran\"\n",
        &[(1, 13, "\"level\" cannot be \"wran\"", "did you mean \"warn\"?")],
    ),
    (
        "log.level = \"loud\"\n",
        &[(
            1,
            13,
            "\"level\" cannot be \"loud\"",
            "expected one of \"trace\", \"debug\", \"info\", \"warn\", \"error\", \"off\"",
        )],
    ),
    (
        "log.terminal = true\n",
        &[(
            1,
            16,
            "\"terminal\" must be one of \"auto\", \"always\", \"never\", not a boolean",
            "",
        )],
    ),
    ("data_dir = \"\"\n", &[(1, 12, "\"data_dir\" is not a path", "")]),
    (
        "[agent]\nname = \"a\"\n",
        &[(1, 1, "\"agent\" must be an array of tables, not a table", "begin each with [[agent]]")],
    ),
    (
        "\n[[agent]]\nname = \"a\"\nskills = [\"s\"]\n",
        &[(2, 1, "\"command\" is missing", "add command = [\"program\", \"argument\"]")],
    ),
    (
        "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskils = [\"s\"]\n",
        &[(4, 1, "unknown key \"skils\"", "did you mean \"skills\"?")],
    ),
    (
        "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nabilities = [\"s\"]\n",
        &[
            (1, 1, "\"skills\" is missing", "add skills = [\"…\"]"),
            (
                4,
                1,
                "unknown key \"abilities\"",
                "valid here: name, kind, run, timeout, skills, command, about, description, concurrency, env, cwd, max_line, grace, restart, labels",
            ),
        ],
    ),
    (
        "[[agent]]\nname = \"a b\"\nskills = []\ncommand = [\"x\", 3]\n",
        &[
            (
                2,
                8,
                "\"a b\" is not a valid name",
                "use 1 to 128 letters, digits, \"_\", \"-\", \"/\", \":\" and \".\"",
            ),
            (3, 10, "\"skills\" is empty", "give at least one"),
            (4, 17, "\"command\" must be an array of strings, not an integer", ""),
        ],
    ),
    (
        "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskills = [\"s\"]\n[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskills = [\"s\", \"s\"]\nconcurency = 2\n",
        &[
            (6, 8, "there is an agent \"a\" already", "give each agent a name of its own"),
            (8, 16, "the skill \"s\" is there already", ""),
            (9, 1, "unknown key \"concurency\"", "did you mean \"concurrency\"?"),
        ],
    ),
    (
        "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskills = [\"s\"]\nrun = \"inline\"\nmax_line = \"1kib\"\nenv = { A = 1 }\nrestart.limit = 1.5\nkind = \"proces\"\n",
        &[
            (5, 7, "a process cannot run inline", "leave \"run\" out"),
            (
                6,
                12,
                "\"max_line\" must be a size such as \"64KiB\", \"1MiB\" or a number of bytes, not \"1kib\"",
                "the units are B, kB, MB, GB, KiB, MiB and GiB",
            ),
            (7, 13, "\"A\" must be a string, not an integer", ""),
            (8, 17, "\"limit\" must be an integer, not a float", ""),
            (9, 8, "\"kind\" cannot be \"proces\"", "did you mean \"process\"?"),
        ],
    ),
    (
        "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskills = [\"s\"]\nabout.s.probe = { within = 3, eqals = 1 }\n",
        &[
            (
                5,
                28,
                "\"within\" must be a duration such as \"250ms\", \"30s\", \"5m\" or \"1h 30m\", not an integer",
                "say the unit: \"3s\" or \"3ms\"",
            ),
            (5, 31, "unknown key \"eqals\"", "did you mean \"equals\"?"),
        ],
    ),
    (
        "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskills = [\"s\"]\nabout.t.probe.input = 1\n",
        &[(5, 1, "\"about\" speaks of \"t\", which is not among the skills", "the skills are s")],
    ),
    ("[limits\nqueue = 1\n", &[(1, 8, "unclosed table, expected `]`", "")]),
    ("a = 1\na = 2\n", &[(2, 1, "duplicate key", "")]),
    (
        "\u{feff}x = 1\n",
        &[(
            1,
            1,
            "unknown key \"x\"",
            "valid here: data_dir, limits, log, agent, create, recovery, discovery, security, monitor, tune",
        )],
    ),
];

#[test]
fn every_mistake_is_found_where_it_stands() {
    for (text, expected) in WRONG {
        let errors = Manifest::check("s.toml", text).unwrap_err();
        let found: Vec<_> = errors
            .iter()
            .map(|e| {
                let at = e.location().unwrap();
                (at.line, at.column, e.message(), e.remedy().unwrap_or(""))
            })
            .collect();
        assert_eq!(found, *expected, "{text}");
        for error in &errors {
            let at = error.location().unwrap();
            let line = text.trim_start_matches('\u{feff}').lines().nth(at.line as usize - 1);
            assert_eq!(Some(at.excerpt.as_str()), line);
            assert_eq!((error.code(), at.file.as_str()), (Code::MANIFEST_INVALID, "s.toml"));
        }
        assert_eq!(Manifest::parse("s.toml", text).unwrap_err().problems(), errors);
    }
}

#[test]
fn every_mistake_is_shown_with_its_line_and_a_caret() {
    let text = "[[agent]]\nname = \"a\"\ncommand = [\"x\"]\nskils = [\"s\"]\nconcurrency = 0\n";
    let error = Manifest::parse("s.toml", text).unwrap_err();
    let expected = "config.manifest: 2 problems\n\
        s.toml:4:1: unknown key \"skils\"; did you mean \"skills\"?\n\
        4 | skils = [\"s\"]\n\
        \u{20} | ^\n\
        s.toml:5:15: \"concurrency\" is out of range; it must be from 1 to 1000000\n\
        5 | concurrency = 0\n\
        \u{20} |               ^";
    assert_eq!(error.to_string(), expected);
    assert_eq!(format!("{error:#}"), expected);
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sutazai.toml");
    std::fs::write(&path, b"data_dir = \"a\"\nlog.file = \"\xff\"\n").unwrap();
    let error = Manifest::read(&path).unwrap_err();
    let at = error.location().unwrap();
    assert_eq!((error.code(), at.line, at.column), (Code::MANIFEST_INVALID, 2, 13));

    let error = Manifest::read(dir.path().join("sutazai.tmol")).unwrap_err();
    assert_eq!(error.code(), Code::MANIFEST_UNREADABLE);
    assert_eq!(error.remedy(), Some("did you mean \"sutazai.toml\"?"));
    assert_eq!(error.message(), "there is no such file");

    let error = Manifest::read(dir.path()).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::MANIFEST_UNREADABLE, "it is a directory, not a file")
    );

    std::fs::File::create(&path).unwrap().set_len((4 << 20) + 1).unwrap();
    let error = Manifest::read(&path).unwrap_err();
    assert_eq!(error.message(), "the file is larger than 4 MiB");
}

#[test]
fn a_missing_program_or_directory_is_a_mistake_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("review.sh"), "").unwrap();
    let path = dir.path().join("sutazai.toml");
    let agent = "[[agent]]\nname = 'a'\nskills = ['s']\n";
    std::fs::write(&path, format!("{agent}command = ['./reviw.sh']\ncwd = 'nowhere'\n")).unwrap();
    let error = Manifest::read(&path).unwrap_err();
    let found: Vec<_> = error
        .problems()
        .iter()
        .map(|e| (e.location().unwrap().line, e.message().to_owned(), e.remedy()))
        .collect();
    assert_eq!(
        found,
        [
            (
                4,
                "there is no program \"./reviw.sh\"".to_owned(),
                Some("did you mean \"review.sh\"?")
            ),
            (5, "there is no directory \"nowhere\"".to_owned(), None),
        ]
    );
    std::fs::write(&path, format!("{agent}command = ['./review.sh']\n")).unwrap();
    assert_eq!(Manifest::read(&path).unwrap().agents[0].cwd, dir.path());
}

#[test]
fn mistakes_are_bounded() {
    let text: String = (0..10_000).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(Manifest::check("s.toml", &text).unwrap_err().len(), 100);
    assert!(Manifest::parse("s.toml", &" ".repeat((4 << 20) + 1)).is_err());
    assert!(Manifest::parse("s.toml", &"[".repeat(100_000)).is_err());
}

/// The schema (made from the types) and the reader (made by hand) know the same keys.
#[test]
fn the_schema_and_the_reader_agree() {
    let schema = Manifest::schema();
    let keys = |table: &serde_json::Value| -> BTreeSet<String> {
        table["properties"].as_object().unwrap().keys().cloned().collect()
    };
    for (at, text) in [
        ("", "?? = 1"),
        ("Limits", "limits.?? = 1"),
        ("Log", "log.?? = 1"),
        ("AgentEntry", "[[agent]]\n?? = 1"),
        ("Restart", "[[agent]]\nrestart.?? = 1"),
    ] {
        let text = text.replace("??", "xxxxxxxxxxxx");
        let errors = Manifest::check("s", &text).unwrap_err();
        let valid = errors.iter().find_map(|e| e.remedy()?.strip_prefix("valid here: ")).unwrap();
        let read: BTreeSet<String> = valid.split(", ").map(str::to_owned).collect();
        let table = if at.is_empty() { &schema } else { &schema["$defs"][at] };
        assert_eq!(keys(table), read, "{at}");
    }
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let required = &Manifest::schema()["$defs"]["AgentEntry"]["required"];
    assert_eq!(*required, serde_json::json!(["name", "command", "skills"]));
    assert_eq!(Manifest::schema()["required"], serde_json::Value::Null);
    assert_eq!(Manifest::schema()["$defs"]["Limits"]["required"], serde_json::Value::Null);
}

fn inside(errors: &[Error], text: &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(!errors.is_empty());
    for error in errors {
        let at = error.location().expect("a location");
        let line = text.split('\n').nth(at.line as usize - 1).expect("a line of the text");
        let line = line.strip_suffix('\r').unwrap_or(line);
        assert!(at.column as usize <= line.chars().count() + 2, "{error:?}");
        assert!(line.chars().count() > 200 || line == at.excerpt);
        assert!(!error.report().to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        if let Err(errors) = Manifest::check("s.toml", &text) {
            inside(&errors, &text);
        }
    }

    #[test]
    fn no_damaged_manifest_panics(
        cut in 0..WHOLE.len(),
        skip in 0..24_usize,
        put in "[\\[\\]{}=\"'\\\\#.,\n\r\t \u{0}é0-9a-z_-]{0,8}",
    ) {
        let end = WHOLE.floor_char_boundary((cut + skip).min(WHOLE.len()));
        let text = format!("{}{put}{}", &WHOLE[..WHOLE.floor_char_boundary(cut)], &WHOLE[end..]);
        if let Err(errors) = Manifest::check("s.toml", &text) {
            inside(&errors, &text);
        }
    }
}
