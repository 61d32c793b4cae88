//! Plays a recorded trace to our tree: its workers do what the recorded ones did, and everything that
//! happens is written down in the words of the table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use sutazai_core::base::time::Moment;
use sutazai_core::port::{ChildExit, ChildStart, Generation};
use sutazai_core::recovery::supervise::tree::{Action, Request, Token, Tree};
use sutazai_core::recovery::supervise::{Cause, Kind, State, Transition};
use sutazai_core::{Code, Error};

use crate::coverage::Coverage;
use crate::table::{Meanwhile, Node, Nodes, Reader, Start, Stop, Trace};

/// Compares one trace; the first difference as text.
pub fn compare(trace: &Trace, coverage: &mut Coverage) -> Result<(), String> {
    let tree = Tree::new("0", trace.root.clone(), 0).map_err(|e| e.to_string())?;
    let mut world = World::new(tree, trace.nodes.clone(), coverage);
    world.tree.start(world.now).unwrap();
    world.run();
    check("start", &trace.start, &world.take_log())?;
    for (step, log) in &trace.steps {
        world.step(step);
        world.run();
        check(step, log, &world.take_log())?;
    }
    check("final state", &trace.end, &world.final_state())
}

fn check(what: &str, theirs: &str, ours: &str) -> Result<(), String> {
    if theirs == ours {
        return Ok(());
    }
    Err(format!("{what}\n  OTP:  {theirs}\n  ours: {ours}"))
}

struct World<'c> {
    tree: Tree,
    nodes: Nodes,
    now: Moment,
    log: String,
    /// The workers that live.
    living: HashMap<Node, Generation>,
    by_life: HashMap<Generation, Node>,
    starts: HashMap<Node, usize>,
    supervisors: HashMap<Node, State>,
    /// What was killed with a supervisor whose end is yet to be told.
    orphans: BTreeSet<Node>,
    answers: BTreeMap<Token, char>,
    next_token: Token,
    coverage: &'c mut Coverage,
}

impl<'c> World<'c> {
    fn new(tree: Tree, nodes: Nodes, coverage: &'c mut Coverage) -> Self {
        Self {
            tree,
            nodes,
            now: Moment::ZERO + Duration::from_secs(1000),
            log: String::new(),
            living: HashMap::new(),
            by_life: HashMap::new(),
            starts: HashMap::new(),
            supervisors: HashMap::new(),
            orphans: BTreeSet::new(),
            answers: BTreeMap::new(),
            next_token: 0,
            coverage,
        }
    }

    fn take_log(&mut self) -> String {
        assert!(self.orphans.is_empty());
        if !self.answers.is_empty() {
            self.log.push('|');
            self.log.extend(std::mem::take(&mut self.answers).into_values());
        }
        std::mem::take(&mut self.log)
    }

    fn note(&mut self, sign: char, node: Node) {
        write!(self.log, "{sign}{node}").unwrap();
    }

    // ---- steps ----

    fn step(&mut self, text: &str) {
        let mut reader = Reader::new(text, self.nodes.keys().max().unwrap() + 1);
        if reader.at_digit() {
            self.now = self.now + Duration::from_secs(reader.number().into());
        }
        match reader.letter() {
            'b' => {
                reader.number();
                assert!(reader.skip(':'));
                while !reader.at_end() {
                    reader.skip(',');
                    let letter = reader.letter();
                    self.item(letter, &mut reader);
                }
            }
            letter @ ('A' | 'I') => {
                let parent = reader.number();
                assert!(reader.skip(':'));
                let spec = Box::new(reader.child(parent));
                if letter == 'A' {
                    self.nodes.append(&mut reader.nodes);
                }
                self.ask(Request::StartChild { supervisor: self.path(parent), spec });
            }
            'E' => {
                let known = &self.nodes[&reader.number()];
                let supervisor = self.path(known.parent.unwrap());
                self.ask(Request::StartChild { supervisor, spec: Box::new(known.spec.clone()) });
            }
            'Z' => self.tree.stop(Moment::FAR, self.now),
            letter => self.item(letter, &mut reader),
        }
    }

    fn item(&mut self, letter: char, reader: &mut Reader<'_>) {
        let node = reader.number();
        let path = self.path(node);
        match letter {
            'c' => {
                let reason = reader.letter();
                self.coverage.crash(&self.nodes, node, reason);
                self.end(node, reason);
            }
            'T' => self.ask(Request::TerminateChild { path }),
            'R' => self.ask(Request::RestartChild { path }),
            'D' => self.ask(Request::DeleteChild { path }),
            other => panic!("{other}"),
        }
    }

    fn ask(&mut self, request: Request) {
        self.tree.ask(self.next_token, request, self.now);
        self.next_token += 1;
    }

    fn path(&self, node: Node) -> String {
        match self.nodes[&node].parent {
            Some(parent) => format!("{}>{node}", self.path(parent)),
            None => node.to_string(),
        }
    }

    // ---- what the tree wants ----

    /// Does what the tree says until it wants nothing, and no deadline is left.
    fn run(&mut self) {
        loop {
            while let Some(action) = self.tree.poll() {
                self.act(action);
            }
            let Some(next) = self.tree.next_tick() else { return };
            self.now = self.now.max(next);
            self.tree.tick(self.now);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { life, .. } => self.start(life.id.parse().unwrap(), life.generation),
            Action::Stop { generation, .. } => self.stop(generation),
            // What it was is told when it is over.
            Action::Kill { generation } => self.tree.killed(generation, self.now),
            Action::Changed(transition) => self.changed(&transition),
            Action::Answer(token, result) => {
                let letter = result.map_or_else(|error| letter(&error), |()| 'o');
                self.answers.insert(token, letter);
            }
            _ => {}
        }
    }

    fn start(&mut self, node: Node, generation: Generation) {
        let count = self.starts.entry(node).or_default();
        *count += 1;
        let known = &self.nodes[&node];
        let (start, meanwhile) =
            known.starts.get(*count - 1).copied().unwrap_or((Start::Succeeds, Meanwhile::Nothing));
        let supervisor = known.parent.unwrap();
        self.meanwhile(meanwhile, supervisor);
        if self.tree.counts(&self.path(supervisor)).is_none() {
            // It was killed, and never sees what becomes of this start.
            return;
        }
        let result = match start {
            Start::Succeeds => {
                self.note('+', node);
                self.living.insert(node, generation);
                self.by_life.insert(generation, node);
                Ok(ChildStart::Running)
            }
            Start::Ignored => {
                self.note('~', node);
                Ok(ChildStart::Ignored)
            }
            Start::Fails => {
                self.note('!', node);
                Err(Error::new(Code::IO, "on purpose"))
            }
        };
        assert!(self.tree.started(generation, result, self.now));
    }

    fn stop(&mut self, generation: Generation) {
        let node = self.by_life[&generation];
        if self.living.get(&node) != Some(&generation) {
            return;
        }
        let known = &self.nodes[&node];
        let (Stop::With(reason), meanwhile) = known.stop else { return };
        self.meanwhile(meanwhile, known.parent.unwrap());
        self.end(node, reason);
    }

    /// What happens to a supervisor while a child of it starts or stops.
    fn meanwhile(&mut self, meanwhile: Meanwhile, supervisor: Node) {
        let state = self.supervisors[&supervisor];
        match meanwhile {
            Meanwhile::Ends(sibling, reason)
                if state != State::Starting && self.living.contains_key(&sibling) =>
            {
                self.coverage.meanwhile += 1;
                self.end(sibling, reason);
            }
            Meanwhile::Terminate if state == State::Running && supervisor != 0 => {
                self.coverage.meanwhile += 1;
                self.ask(Request::TerminateChild { path: self.path(supervisor) });
            }
            _ => {}
        }
    }

    fn end(&mut self, node: Node, reason: char) {
        let generation = self.living.remove(&node).unwrap();
        write!(self.log, "-{node}{reason}").unwrap();
        let exit = match reason {
            'n' => ChildExit::Normal,
            's' | 't' => ChildExit::Shutdown,
            _ => ChildExit::Failed(Error::new(Code::IO, "on purpose")),
        };
        self.tree.exited(generation, exit, self.now);
    }

    fn changed(&mut self, transition: &Transition) {
        let node: Node = transition.path.rsplit('>').next().unwrap().parse().unwrap();
        let supervisor = transition.kind == Kind::Supervisor;
        if transition.cause == Cause::Orphaned {
            let lived = matches!(transition.from, State::Running | State::Stopping);
            if supervisor || self.living.remove(&node).is_some() {
                assert!(lived || supervisor);
                if lived {
                    self.orphans.insert(node);
                }
            }
            return;
        }
        if !supervisor {
            if transition.cause == Cause::Killed && self.living.remove(&node).is_some() {
                write!(self.log, "-{node}k").unwrap();
            }
            return;
        }
        self.supervisors.insert(node, transition.to);
        match (transition.from, transition.to) {
            (_, State::Starting) => self.note('(', node),
            (State::Starting, State::Running) => self.note('+', node),
            (State::Starting, _) => self.note('!', node),
            (_, State::Stopping) => match transition.cause {
                Cause::Intensity => self.note('^', node),
                Cause::AutoShutdown => self.coverage.auto_shutdowns += 1,
                _ => {}
            },
            (State::Stopping, _) if transition.cause == Cause::Killed => {
                write!(self.log, "-{node}k").unwrap();
                let orphans: Vec<_> =
                    std::mem::take(&mut self.orphans).iter().map(Node::to_string).collect();
                if !orphans.is_empty() {
                    write!(self.log, "[{}]", orphans.join(",")).unwrap();
                }
            }
            (State::Stopping, _) => write!(self.log, "-{node}s").unwrap(),
            _ => {}
        }
    }

    // ---- the end ----

    fn final_state(&self) -> String {
        let supervisors = self.nodes.keys().filter_map(|node| {
            let status = self.tree.supervisor(&self.path(*node), self.now)?;
            let mut text = format!("{node}:");
            for child in &status.children {
                let sign = match child.state {
                    State::Running => '+',
                    State::Restarting => 'r',
                    _ => '-',
                };
                write!(text, "{}{sign}", child.id).unwrap();
            }
            let c = status.counts;
            write!(text, "={}.{}.{}.{}", c.specs, c.active, c.supervisors, c.workers).unwrap();
            Some(text)
        });
        let all: Vec<String> = supervisors.collect();
        if all.is_empty() { "x".to_owned() } else { all.join(" ") }
    }
}

/// An answer's letter in the table.
fn letter(error: &Error) -> char {
    let context = |key| error.context().find(|(k, _)| *k == key).map(|(_, value)| value);
    match (error.code(), context("state")) {
        (Code::NOT_FOUND, _) if context("child").is_some() => 'f',
        (Code::NOT_FOUND | Code::NOT_RUNNING, _) => 'z',
        (Code::ALREADY_EXISTS, Some("running" | "stopping" | "exited")) => 'a',
        (Code::ALREADY_EXISTS, _) => 'p',
        (Code::CHILD_START, _) => 'e',
        (Code::INVALID, Some("running")) => 'r',
        (Code::INVALID, Some("restarting")) => 'g',
        (Code::INVALID, None) => 'x',
        _ => panic!("{error}"),
    }
}
