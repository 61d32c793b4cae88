//! The main job: a fleet of agents over every file below a directory, under one kernel.
//!
//! ```text
//! cargo run --release --example operate [DIR]
//! ```
//!
//! Five agents of different make: `secrets` (a closure), `measure` (an asynchronous closure),
//! `history` (a process: this program again, which asks git), `reviewer` (Python processes) and
//! `flaky` (fails and hangs, and is guarded, with `spare` beside it). MCP servers that are installed are discovered, and
//! one that knows files gets them too. Every call goes the kernel's guarded way; `--help` says the rest.

mod audit;
mod board;
mod bottleneck;
mod drive;
mod file;
mod findings;
mod flaky;
mod fleet;
mod history;
mod interrupt;
mod measure;
mod options;
mod page;
mod report;
mod resources;
mod row;
mod secrets;
mod servers;
mod shares;
mod table;
mod tuning;
mod walk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser as _;
use sutazai_core::base::payload::Payload;
use sutazai_core::kernel::{Kernel, Limits};
use sutazai_core::store::Durability;
use sutazai_core::{Code, Error, Result};

use board::Board;
use drive::Drive;
use findings::Findings;
use interrupt::Interrupt;
use options::Options;
use report::Report;
use row::Row;
use walk::Walk;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.agent.is_some() {
        return history::serve();
    }
    if options.no_color {
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }
    match operate(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("operate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// How long what is under way may take to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Completed, but somebody was missing.
const SOMEBODY_MISSING: u8 = 3;

fn operate(options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    let root = root(options)?;
    let mut limits = Limits::default();
    limits.timeout = Some(options.timeout);
    let kernel = Kernel::builder()
        .data_dir(&options.data_dir)
        .limits(limits)
        .sample_every(resources::EVERY)
        .build()?;
    kernel.start()?;
    let started = kernel.runtime().timestamp();
    let watched = audit::Watched::begin(&kernel)?;
    let mut fleet = fleet::assemble(&kernel, options)?;
    let (discovered, server) = servers::discover(&kernel, options, &root)?;
    fleet.extend(server);

    let before = kernel.agents();
    let board = Arc::new(Board::new(&fleet));
    let shown = Arc::clone(&board);
    let interrupt = Interrupt::listen(move || shown.draining.store(true, Ordering::Relaxed))
        .map_err(|e| Error::new(Code::IO, "cannot listen for Ctrl-C").because(e))?;
    let findings = Arc::new(Mutex::new(Findings::new(options.limit)));
    let watch = shares::Watch::begin(&kernel, &fleet);
    let calls = tuning::Calls::new(options.concurrency);
    calls.tune(&kernel)?;
    let met = {
        let _display = (!options.quiet).then(|| board.display(&kernel));
        let except = kernel.data_dir().map(absolute);
        let walk = Walk { root: root.clone(), all: options.all, most: options.most(), except };
        let drive = Drive {
            kernel: &kernel,
            interrupt: &interrupt,
            calls: &calls,
            board: &board,
            findings: &findings,
        };
        drive.run(&fleet, &walk)
    };

    let tuned = tuning::Tuned::end(&kernel);
    let allocation = watch.map(shares::Watch::end).unwrap_or_default();
    let findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
    let agents = kernel.agents();
    let members = fleet.iter().zip(&board.lanes);
    let rows =
        members.map(|(member, lane)| Row::new(member, lane, &kernel, [&before, &agents])).collect();
    let mut report = Report {
        root: root.display().to_string(),
        data_dir: kernel.data_dir().map(|path| absolute(path).display().to_string()),
        interrupted: interrupt.came(),
        seconds: began.elapsed().as_secs_f64(),
        agents: rows,
        allocation,
        resources: resources::Resources::since(&kernel, started),
        held_up: bottleneck::HeldUp::within(&kernel, began.elapsed().as_secs_f64()),
        tuned,
        discovered,
        met: &met,
        findings: &findings,
        audit: None,
    };
    keep(&kernel, &report)?;
    watched.keep(&kernel)?;
    let directory = kernel.data_dir().map(absolute);
    kernel.stop(GRACE)?;
    report.audit = directory.map(|directory| watched.verify(&directory)).transpose()?;
    let intact = report.audit.as_ref().is_none_or(|audit| audit.wrong.is_empty());
    let code = if !intact {
        ExitCode::FAILURE
    } else if report.interrupted {
        ExitCode::from(interrupt::EXIT_CODE)
    } else if report.agents.iter().all(|agent| agent.missing.is_none()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(SOMEBODY_MISSING)
    };
    report.write(options);
    Ok(code)
}

fn root(options: &Options) -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = options.dir.as_deref().unwrap_or(here);
    let unreadable = |why: std::io::Error| {
        Error::new(Code::NOT_FOUND, "cannot read the directory")
            .with("directory", given.display())
            .because(why)
    };
    let root = given.canonicalize().map_err(unreadable)?;
    std::fs::read_dir(&root).map_err(unreadable)?;
    Ok(root)
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Keeps the report in the data directory, under the directory that it is about.
fn keep(kernel: &Kernel, report: &Report<'_>) -> Result<()> {
    let now = kernel.runtime().timestamp();
    let value = Payload::json(report)?;
    // Keys are bounded; a path that is longer is kept under its end.
    let start = report.root.len().saturating_sub(512);
    let key: String = report.root.chars().skip(start).collect();
    kernel.store().put("operate", &key, &value, now, Durability::Process).wait()
}
