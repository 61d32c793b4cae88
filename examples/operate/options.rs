//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// Runs a fleet of agents over every file below a directory, under one kernel: finds credentials,
/// measures, asks git, reviews, and puts up with an agent that fails.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "operate",
    after_help = "Exit codes:\n  \
        0    every file went to every agent (findings and failed calls do not change that)\n  \
        1    the run could not be made or completed\n  \
        2    the command line is wrong\n  \
        3    completed, but an agent was unavailable or gave up (git or python3 missing, say)\n  \
        130  interrupted: Ctrl-C drains and reports, a second one ends at once\n\n\
        Not read: what symbolic links lead to, FIFOs, sockets, devices, .git, .hg, .svn,\n\
        node_modules, __pycache__, Python's virtual environments and folders with a CACHEDIR.TAG\n\
        (cargo's target). All of it is counted."
)]
pub struct Options {
    /// The directory; default: this repository
    pub dir: Option<PathBuf>,
    /// Where state is kept
    #[arg(long, value_name = "DIR", default_value = ".sutazai")]
    pub data_dir: PathBuf,
    /// How long a call may take, in seconds (flaky has 100 ms)
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,
    /// A client's file of MCP servers ("mcpServers"), which are started and asked too
    #[arg(long, value_name = "FILE")]
    pub mcp_config: Option<PathBuf>,
    /// Calls of one agent under way at once
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Python processes that review; default: one a core, at most 8
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub reviewers: Option<u16>,
    /// Files larger than this are not read, in MiB
    #[arg(long, value_name = "MIB", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_size: u32,
    /// Findings shown of each kind
    #[arg(long, value_name = "N", default_value = "8")]
    pub limit: usize,
    /// Leave nothing out: enter .git, target, node_modules and the like too
    #[arg(long)]
    pub all: bool,
    /// The report as JSON, to stdout
    #[arg(long)]
    pub json: bool,
    /// No progress
    #[arg(long, short)]
    pub quiet: bool,
    /// No colour (NO_COLOR is heeded too)
    #[arg(long)]
    pub no_color: bool,
    /// Be this agent instead, on stdin and stdout
    #[arg(long, hide = true, value_parser = ["history"])]
    pub agent: Option<String>,
}

impl Options {
    /// How many Python processes review.
    pub fn reviewers(&self) -> usize {
        // More would wait for files: one thread walks, and one hands them to all reviewers.
        const MOST: usize = 8;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
        self.reviewers.map_or_else(cores, usize::from)
    }

    /// Bytes of a file that are read, at most.
    pub fn most(&self) -> u64 {
        u64::from(self.max_size) << 20
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0".to_owned()),
    }
}
