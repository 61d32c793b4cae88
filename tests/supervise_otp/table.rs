//! The recorded table, read: trees, steps and their logs, as `tests/oracle/otp/README.md` describes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sutazai_core::recovery::supervise::{
    AutoShutdown, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec,
};

/// A child's number; the root's is 0.
pub type Node = u32;

/// One recorded trace.
pub struct Trace {
    /// The line in the table, for whoever looks for it.
    pub text: String,
    pub nodes: Nodes,
    pub root: SupervisorSpec,
    /// The log of the start.
    pub start: String,
    /// Each step and its log.
    pub steps: Vec<(String, String)>,
    pub end: String,
}

/// What is known of each node of a tree.
pub type Nodes = BTreeMap<Node, Known>;

/// A node of a tree.
#[derive(Clone, Debug)]
pub struct Known {
    pub parent: Option<Node>,
    pub spec: ChildSpec,
    pub stop: (Stop, Meanwhile),
    pub starts: Vec<(Start, Meanwhile)>,
}

/// How a worker stops when it is asked to.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    With(char),
    Never,
}

/// What becomes of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Succeeds,
    Fails,
    Ignored,
}

/// What else happens while a worker starts or stops.
#[derive(Clone, Copy, Debug)]
pub enum Meanwhile {
    Nothing,
    Ends(Node, char),
    Terminate,
}

/// The committed table, or the one that `SUTAZAI_OTP_TABLE` names; its head, and its traces.
pub fn read() -> (Value, Vec<Trace>) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let path = std::env::var_os("SUTAZAI_OTP_TABLE")
        .map_or_else(|| committed.join("otp_supervisor.jsonl"), PathBuf::from);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines = text.lines();
    let head = serde_json::from_str(lines.next().unwrap()).unwrap();
    (head, lines.map(trace).collect())
}

fn trace(line: &str) -> Trace {
    let parts: Vec<String> = serde_json::from_str(line).unwrap();
    let [tree, start, steps @ .., end] = &parts[..] else { panic!("too short: {line}") };
    let mut reader = Reader::new(tree, 0);
    let root = reader.supervisor(None);
    let steps = steps.chunks(2).map(|step| (step[0].clone(), step[1].clone())).collect();
    Trace {
        text: line.to_owned(),
        nodes: reader.nodes,
        root,
        start: start.clone(),
        steps,
        end: end.clone(),
    }
}

/// Reads trees, children and steps, and gives numbers to the children on the way.
pub struct Reader<'t> {
    rest: &'t str,
    next: Node,
    pub nodes: Nodes,
}

impl<'t> Reader<'t> {
    /// `next` is the number of the next child.
    pub fn new(text: &'t str, next: Node) -> Self {
        Self { rest: text, next, nodes: Nodes::new() }
    }

    pub fn letter(&mut self) -> char {
        let letter = self.rest.chars().next().unwrap();
        self.rest = &self.rest[letter.len_utf8()..];
        letter
    }

    pub fn number(&mut self) -> u32 {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits.parse().unwrap()
    }

    pub fn skip(&mut self, letter: char) -> bool {
        let rest = self.rest.strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    pub fn at_digit(&self) -> bool {
        self.rest.starts_with(|c: char| c.is_ascii_digit())
    }

    pub fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn supervisor(&mut self, parent: Option<Node>) -> SupervisorSpec {
        let node = self.take_number(parent);
        assert!(self.skip('('));
        let strategy = match self.letter() {
            'o' => Strategy::OneForOne,
            'a' => Strategy::OneForAll,
            'r' => Strategy::RestForOne,
            other => panic!("{other}"),
        };
        let auto_shutdown = match self.letter() {
            'n' => AutoShutdown::Never,
            'y' => AutoShutdown::AnySignificant,
            'l' => AutoShutdown::AllSignificant,
            other => panic!("{other}"),
        };
        let intensity = self.number();
        assert!(self.skip('/'));
        let period = Duration::from_secs(self.number().into());
        assert!(self.skip(' '));
        let mut spec =
            SupervisorSpec::new(strategy).auto_shutdown(auto_shutdown).intensity(intensity, period);
        while !self.skip(')') {
            self.skip(',');
            spec = spec.child(self.child(node));
        }
        self.known(node).spec.supervisor = Some(spec.clone());
        spec
    }

    pub fn child(&mut self, parent: Node) -> ChildSpec {
        let node = self.next;
        let restart = match self.letter() {
            'P' => Restart::Permanent,
            'T' => Restart::Transient,
            'X' => Restart::Temporary,
            other => panic!("{other}"),
        };
        let significant = self.skip('!');
        let shutdown = if self.skip('k') {
            Shutdown::BrutalKill
        } else if self.skip('i') {
            Shutdown::Infinity
        } else {
            Shutdown::TimeoutMs(1000 * u64::from(self.number()))
        };
        assert!(self.skip(':'));
        let spec = if self.rest.starts_with('(') {
            ChildSpec::supervisor(node.to_string(), self.supervisor(Some(parent)))
        } else {
            self.take_number(Some(parent));
            self.worker(node);
            ChildSpec::worker(node.to_string())
        };
        let mut spec = spec.restart(restart).shutdown(shutdown);
        spec.significant = significant;
        self.known(node).spec = spec.clone();
        spec
    }

    fn worker(&mut self, node: Node) {
        let how = match self.letter() {
            'p' => Stop::With('s'),
            'n' => Stop::With('n'),
            'e' => Stop::With('e'),
            's' => Stop::Never,
            other => panic!("{other}"),
        };
        let stop = (how, self.meanwhile());
        let mut starts = Vec::new();
        while self.rest.starts_with(['+', 'f', 'i']) {
            let start = match self.letter() {
                '+' => Start::Succeeds,
                'f' => Start::Fails,
                _ => Start::Ignored,
            };
            starts.push((start, self.meanwhile()));
        }
        let known = self.known(node);
        (known.stop, known.starts) = (stop, starts);
    }

    fn meanwhile(&mut self) -> Meanwhile {
        if self.skip('#') {
            Meanwhile::Terminate
        } else if self.skip('@') {
            let node = self.number();
            Meanwhile::Ends(node, self.letter())
        } else {
            Meanwhile::Nothing
        }
    }

    fn take_number(&mut self, parent: Option<Node>) -> Node {
        let node = self.next;
        self.next += 1;
        let known = Known {
            parent,
            spec: ChildSpec::worker(node.to_string()),
            stop: (Stop::Never, Meanwhile::Nothing),
            starts: Vec::new(),
        };
        self.nodes.insert(node, known);
        node
    }

    fn known(&mut self, node: Node) -> &mut Known {
        self.nodes.get_mut(&node).unwrap()
    }
}
