//! Progress while it runs: a line an agent on a terminal, a plain line now and then elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sutazai_core::kernel::Kernel;

use super::fleet::Member;
use super::resources;

/// What is shown, as it stands.
#[derive(Default)]
pub struct Board {
    /// One an agent, in the fleet's order.
    pub lanes: Vec<Arc<Lane>>,
    /// Files found so far.
    pub files: AtomicU64,
    /// Whether the walk has ended.
    pub walked: AtomicBool,
    /// Whether an interruption came.
    pub draining: AtomicBool,
    done: AtomicBool,
}

/// How far one agent is.
#[derive(Default)]
pub struct Lane {
    /// Files that are for it.
    pub wanted: AtomicU64,
    /// Calls that ended.
    pub done: AtomicU64,
    /// Calls that failed.
    pub failed: AtomicU64,
    /// Files that it was not given, because of an interruption.
    pub dropped: AtomicU64,
    name: &'static str,
    unavailable: bool,
}

/// Shows the board until dropped.
pub struct Display {
    board: Arc<Board>,
    thread: Option<JoinHandle<()>>,
}

const REDRAW: Duration = Duration::from_millis(100);
const PLAIN_LINE: Duration = Duration::from_secs(5);

impl Board {
    /// A board for this fleet.
    pub fn new(fleet: &[Member]) -> Self {
        let lane = |member: &Member| {
            let unavailable = member.unavailable.is_some();
            Arc::new(Lane { name: member.name, unavailable, ..Lane::default() })
        };
        Self { lanes: fleet.iter().map(lane).collect(), ..Self::default() }
    }

    /// Shows it on stderr, from a thread of its own.
    pub fn display(self: &Arc<Self>, kernel: &Kernel) -> Display {
        let (board, kernel) = (Arc::clone(self), kernel.clone());
        let body = move || {
            if console::Term::stderr().is_term() {
                board.draw_bars(&kernel);
            } else {
                board.print_lines(&kernel);
            }
        };
        let thread = std::thread::Builder::new().name("operate-display".to_owned()).spawn(body);
        Display { board: Arc::clone(self), thread: thread.ok() }
    }

    fn draw_bars(&self, kernel: &Kernel) {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let walk = all.add(ProgressBar::new_spinner());
        let bars: Vec<ProgressBar> =
            self.lanes.iter().map(|_| all.add(ProgressBar::new(0))).collect();
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━╌")
        };
        walk.set_style(style("{spinner:.cyan} {msg}"));
        for (bar, lane) in bars.iter().zip(&self.lanes) {
            bar.set_style(style("  {prefix:<9} {bar:28.green/dim} {pos:>7}/{len:<7} {msg}"));
            bar.set_prefix(lane.name);
            if lane.unavailable {
                bar.set_style(style("  {prefix:<9} {msg:.yellow}"));
                bar.set_message("unavailable");
            }
        }
        loop {
            let ended = self.done.load(Relaxed);
            let walking = if self.walked.load(Relaxed) { "found" } else { "walking:" };
            let drain = if self.draining.load(Relaxed) {
                " · draining; Ctrl-C again ends at once"
            } else {
                ""
            };
            let used = resources::now(kernel);
            walk.set_message(format!("{walking} {} files{used}{drain}", self.files.load(Relaxed)));
            walk.tick();
            for (bar, lane) in bars.iter().zip(&self.lanes) {
                bar.set_length(lane.wanted.load(Relaxed));
                bar.set_position(lane.done.load(Relaxed));
                let failed = lane.failed.load(Relaxed);
                if failed > 0 {
                    bar.set_message(format!("{failed} failed"));
                }
            }
            if ended {
                break;
            }
            std::thread::park_timeout(REDRAW);
        }
        // What was shown is said again, and better, by the report.
        let _ = all.clear();
    }

    fn print_lines(&self, kernel: &Kernel) {
        let mut last = Instant::now();
        while !self.done.load(Relaxed) {
            std::thread::park_timeout(REDRAW);
            if last.elapsed() < PLAIN_LINE {
                continue;
            }
            last = Instant::now();
            let lanes: Vec<_> = self
                .lanes
                .iter()
                .filter(|lane| !lane.unavailable)
                .map(|lane| format!("{} {}", lane.name, lane.done.load(Relaxed)))
                .collect();
            let used = resources::now(kernel);
            let files = self.files.load(Relaxed);
            eprintln!("{files} files{used}; done: {}", lanes.join(", "));
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.board.done.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
