//! The report: as a person reads it, and as JSON.

use std::io::Write as _;

use console::{Style, style};
use serde::Serialize;
use sutazai_core::recovery::{BreakerState, IsolateState};

use super::audit::Verified;
use super::bottleneck::HeldUp;
use super::findings::Findings;
use super::options::Options;
use super::page::{Page, counted, grouped};
use super::resources::Resources;
use super::row::Row;
use super::servers::Discovered;
use super::shares::Allocation;
use super::table::Table;
use super::tuning::Tuned;
use super::walk::Met;

/// All there is to say.
#[derive(Serialize)]
pub struct Report<'a> {
    /// The directory.
    pub root: String,
    /// Where state is kept.
    pub data_dir: Option<String>,
    /// Whether it was ended early.
    pub interrupted: bool,
    /// How long it took.
    pub seconds: f64,
    /// How the agents did.
    pub agents: Vec<Row>,
    /// Who got the work, where several have a skill.
    pub allocation: Vec<Allocation>,
    /// What the run used, and how healthy it all was at the end.
    pub resources: Option<Resources>,
    /// What held it up most.
    pub held_up: Option<HeldUp>,
    /// What was tuned meanwhile.
    pub tuned: Option<Tuned>,
    /// Which MCP servers were found.
    pub discovered: Discovered,
    /// What was met on the way.
    pub met: &'a Met,
    /// What was found.
    #[serde(serialize_with = "findings_as_json")]
    pub findings: &'a Findings,
    /// What verifying the audit log found, once the kernel has stopped.
    pub audit: Option<Verified>,
}

impl Report<'_> {
    /// Writes it to stdout. Nobody reading is no failure of the run.
    pub fn write(&self, options: &Options) {
        let text = if options.json {
            serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
        } else {
            self.text(options.limit)
        };
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn text(&self, limit: usize) -> String {
        let (_, width) = console::Term::stdout().size();
        let term = console::Term::stdout();
        let width = if term.is_term() { usize::from(width).max(40) } else { 200 };
        let mut page = Page { text: String::new(), width };
        let how = if self.interrupted { style("interrupted: ").yellow() } else { style("") };
        page.line(&format!(
            "{how}{} files below {} in {:.1} s",
            grouped(self.met.files),
            style(&self.root).bold(),
            self.seconds
        ));
        page.line("");
        self.agents(&mut page);
        self.allocation(&mut page);
        if let Some(resources) = &self.resources {
            resources.write(&mut page);
        }
        if let Some(held_up) = &self.held_up {
            held_up.write(&mut page);
        }
        if let Some(tuned) = &self.tuned {
            tuned.write(&mut page);
        }
        self.discovered(&mut page);
        self.undone(&mut page);
        self.failures(&mut page);
        self.left_out(&mut page);
        if limit > 0 {
            self.secrets(&mut page);
            self.measures(&mut page);
            self.history(&mut page);
            self.review(&mut page);
        }
        if let Some(directory) = &self.data_dir {
            page.line("");
            page.line(&format!("data directory: {directory}"));
        }
        if let Some(audit) = &self.audit {
            audit.write(&mut page);
        }
        page.text
    }

    fn agents(&self, page: &mut Page) {
        let mut table = Table::new(&[1, 2, 3, 4, 5]);
        let dim = Style::new().dim();
        let heads = ["agent", "calls", "failed", "p50", "p99", "restarts", ""];
        table.row(heads.map(|head| dim.apply_to(head).to_string()));
        for row in &self.agents {
            let time = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), duration);
            let failed = match row.failed {
                0 => "0".to_owned(),
                n => style(grouped(n)).red().to_string(),
            };
            table.row([
                style(row.agent).bold().to_string(),
                grouped(row.calls),
                failed,
                time(row.p50_ns),
                time(row.p99_ns),
                grouped(row.restarts),
                match (&row.missing, row.agent, row.processes) {
                    (Some(_), ..) => style("missing").yellow().to_string(),
                    (None, "flaky", _) => dim.apply_to(guarded(row)).to_string(),
                    (None, "spare", _) => dim.apply_to("stands in for flaky").to_string(),
                    (None, _, 1) => String::new(),
                    (None, _, n) => dim.apply_to(format!("{n} processes (slowest)")).to_string(),
                },
            ]);
        }
        page.table(&table);
        for row in &self.agents {
            if let Some(why) = &row.missing {
                let name = style(row.agent).yellow();
                page.wrapped(&format!("  {name}: "), why);
            }
        }
    }

    /// Who got the work over time, as the kernel's router learned who is good at it.
    fn allocation(&self, page: &mut Page) {
        if self.allocation.is_empty() {
            return;
        }
        page.head(
            "Allocation",
            "each agent's share of its skill's calls, from the first to the last",
        );
        let mut table = Table::new(&[2, 3]);
        for Allocation { skill, agents } in &self.allocation {
            let all: u64 = agents.iter().map(|share| share.calls).sum();
            for (n, share) in agents.iter().enumerate() {
                let part = 100.0 * share.calls as f64 / all.max(1) as f64;
                table.row([
                    if n == 0 { (*skill).to_owned() } else { String::new() },
                    style(&share.agent).bold().to_string(),
                    grouped(share.calls),
                    format!("{part:.0} %"),
                    format!("▕{}▏", share.chart()),
                ]);
            }
        }
        page.table(&table);
    }

    /// The MCP servers that were found, and what they were asked for.
    fn discovered(&self, page: &mut Page) {
        let Discovered { servers, missing } = &self.discovered;
        if servers.is_empty() && missing.is_empty() {
            page.head(
                "MCP servers",
                "none is installed; mcp-server-git would be found, say, or --mcp-config's",
            );
            return;
        }
        page.head("MCP servers", "found by discovery, and asked for something");
        let mut table = Table::new(&[2]);
        for server in servers {
            let tools = counted(server.tools as u64, "tool");
            let asked = server.asked.clone().unwrap_or_else(|| "asked for nothing".to_owned());
            let name = style(&server.agent).bold().to_string();
            let answer = server.answer.clone().unwrap_or_default();
            table.row([name, server.version.clone(), tools, asked, answer]);
        }
        page.table(&table);
        for (server, why) in missing {
            page.wrapped(&format!("  {}: ", style(server).yellow()), why);
        }
    }

    /// What an interruption left undone.
    fn undone(&self, page: &mut Page) {
        let dropped = self.agents.iter().any(|row| row.dropped > 0);
        if !self.interrupted || (!dropped && self.met.unvisited.is_none()) {
            return;
        }
        page.head("Left undone", "");
        if let Some(unvisited) = &self.met.unvisited {
            let files = counted(unvisited.files, "file");
            let folders = counted(unvisited.folders, "folder");
            let what = format!(
                "{files} and {folders}, and what is in them; the walk ended at {}",
                unvisited.after
            );
            page.wrapped("  not visited: ", &what);
        }
        let mut table = Table::new(&[1]);
        for row in self.agents.iter().filter(|row| row.dropped > 0) {
            let of =
                format!("of {} were not given to it", counted(row.answered + row.dropped, "file"));
            table.row([style(row.agent).bold().to_string(), grouped(row.dropped), of]);
        }
        page.table(&table);
    }

    fn failures(&self, page: &mut Page) {
        if self.findings.failures.is_empty() {
            return;
        }
        page.head("Failed calls", "the first of each kind");
        let mut table = Table::new(&[1]).path(3);
        for ((agent, code), failures) in &self.findings.failures {
            let (count, file) = (grouped(failures.count), failures.file.clone());
            let example = failures.example.clone();
            table.row([(*agent).to_owned(), count, (*code).to_owned(), file, example]);
        }
        page.table(&table);
    }

    fn left_out(&self, page: &mut Page) {
        let met = self.met;
        let not_utf8 = &self.findings.not_utf8;
        if met.left_out.is_empty() && met.binary + met.huge + not_utf8.total == 0 {
            return;
        }
        page.head("Out of the ordinary", "");
        let mut table = Table::new(&[0]);
        for (count, what, examples) in [
            (met.binary, "binary files: not read", String::new()),
            (met.huge, "huge files: not read", String::new()),
            (not_utf8.total, "text files that are not UTF-8", {
                let names: Vec<_> = not_utf8.first.iter().take(3).map(|(_, f)| &**f).collect();
                names.join(", ")
            }),
        ] {
            if count > 0 {
                table.row([grouped(count), what.to_owned(), examples]);
            }
        }
        for (reason, left_out) in &met.left_out {
            let examples = left_out.examples.join(", ");
            table.row([grouped(left_out.count), format!("{reason}: left out"), examples]);
        }
        page.table(&table);
    }

    fn secrets(&self, page: &mut Page) {
        let secrets = &self.findings.secrets;
        page.head(
            "Credentials",
            &match secrets.total {
                0 => "none found".to_owned(),
                n => format!("{} found", grouped(n)),
            },
        );
        let mut table = Table::new(&[]).path(1);
        for (_, secret) in &secrets.first {
            let place = format!("{}:{}", secret.file, secret.what.line);
            table.row([
                style(&secret.what.rule).red().to_string(),
                place,
                secret.what.shown.clone(),
            ]);
        }
        page.table(&table);
        page.rest(secrets.total, secrets.first.len());
    }

    fn measures(&self, page: &mut Page) {
        let functions = &self.findings.functions;
        page.head("Longest functions", &format!("{} lines of text", grouped(self.findings.lines)));
        let mut table = Table::new(&[0]).path(2);
        for (lines, function) in &functions.first {
            let place = format!("{}:{}", function.file, function.what.line);
            table.row([format!("{lines} lines"), function.what.name.clone(), place]);
        }
        page.table(&table);

        let todos = &self.findings.todos;
        page.head("TODO, FIXME, HACK, XXX", &grouped(todos.total));
        let mut table = Table::new(&[0]).path(1);
        for (count, file) in &todos.first {
            table.row([grouped(*count as u64), file.to_string()]);
        }
        page.table(&table);
    }

    fn history(&self, page: &mut Page) {
        let hottest = &self.findings.hottest;
        let known = match hottest.total {
            0 => "git knows none of the files".to_owned(),
            n => format!("git knows {} of the files", grouped(n)),
        };
        page.head("Most often changed", &known);
        let mut table = Table::new(&[0, 1]).path(3);
        for (commits, history) in &hottest.first {
            let what = &history.what;
            table.row([
                counted(u64::from(*commits), "commit"),
                counted(u64::from(what.authors), "author"),
                date(what.last),
                history.file.to_string(),
            ]);
        }
        page.table(&table);
    }

    fn review(&self, page: &mut Page) {
        let review = &self.findings.review;
        let total = review.values().sum();
        page.head("Review", &counted(total, "remark"));
        let mut rules: Vec<_> = review.iter().collect();
        rules.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        if !rules.is_empty() {
            let rules: Vec<_> =
                rules.iter().map(|(r, n)| format!("{r} {}", grouped(**n))).collect();
            page.wrapped("  ", &rules.join(", "));
        }
        let mut table = Table::new(&[]).path(1);
        for (_, remark) in &self.findings.defects.first {
            let place = format!("{}:{}", remark.file, remark.what.line);
            let rule = style(&remark.what.rule).yellow().to_string();
            table.row([rule, place, remark.what.message.clone()]);
        }
        page.table(&table);
        page.rest(self.findings.defects.total, self.findings.defects.first.len());
    }
}

/// Keys of JSON objects are text: failures by agent and code become rows.
fn findings_as_json<S: serde::Serializer>(
    findings: &&Findings,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let failures: Vec<_> = findings
        .failures
        .iter()
        .map(|((agent, code), failures)| {
            serde_json::json!({"agent": agent, "code": code, "count": failures.count,
                "file": failures.file, "example": failures.example})
        })
        .collect();
    serde_json::json!({
        "secrets": findings.secrets,
        "lines": findings.lines,
        "not_utf8": findings.not_utf8,
        "longest_functions": findings.functions,
        "todos": findings.todos,
        "most_changed": findings.hottest,
        "review": findings.review,
        "defects": findings.defects,
        "failures": failures,
    })
    .serialize(serializer)
}

/// Nanoseconds with three significant digits.
fn duration(ns: u64) -> String {
    let ns = ns as f64;
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "µs"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// Seconds since 1970 as a day.
fn date(seconds: i64) -> String {
    let time =
        sutazai_core::base::time::Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000));
    time.to_string().chars().take(10).collect()
}

/// What the guard did about an agent that fails on purpose.
fn guarded(row: &Row) -> String {
    let mut text = "fails on purpose".to_owned();
    if let Some(retries) = row.retries {
        text += &format!(", {} tried again", grouped(retries));
    }
    if let Some(breaker) = row.breaker.as_ref().filter(|breaker| breaker.opened > 0) {
        let state = match breaker.state {
            BreakerState::Closed => "and closed again",
            BreakerState::Open => "and is open",
            BreakerState::HalfOpen => "and probes it",
        };
        text += &format!("; breaker opened {}×, {state}", breaker.opened);
    }
    if let Some(isolation) = &row.isolation {
        let state = match isolation.state {
            IsolateState::Healthy | IsolateState::Suspect => "and let in again",
            IsolateState::Quarantined => "and still is",
            IsolateState::Probing => "and is being probed",
        };
        text += &format!("; quarantined {}×, {state}", isolation.quarantined);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [7, 1_234, 56_789_000, 3_000_000_000].map(duration),
            ["7.00 ns", "1.23 µs", "56.8 ms", "3.00 s"]
        );
        assert_eq!(counted(1, "author"), "1 author");
        assert_eq!(date(1_700_000_000), "2023-11-14");
    }
}
