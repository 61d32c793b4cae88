//! [`Terminal`]: records as lines for people.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::{Level, LogRecord, LogSink};

/// Writes readable lines: `12:34:56.789 WARN  backup: disk is nearly full free_bytes=4096`. Times
/// are UTC. Control characters are escaped, so that a record cannot steer the terminal or fake a
/// line. Writing waits for the terminal.
pub struct Terminal {
    out: Mutex<Box<dyn Write + Send>>,
    colour: bool,
}

impl Terminal {
    /// To standard error; in colour when that is a terminal and the environment variable
    /// `NO_COLOR` is not set, or empty (<https://no-color.org>).
    pub fn stderr() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let stderr = std::io::stderr();
        let colour = stderr.is_terminal() && !unwanted;
        Self::new(stderr, colour)
    }

    /// To anything.
    pub fn new(out: impl Write + Send + 'static, colour: bool) -> Self {
        Self { out: Mutex::new(Box::new(out)), colour }
    }

    fn line(&self, record: &LogRecord) -> String {
        let (dim, level, reset) = if self.colour {
            ("\x1b[2m", colour_of(record.level), "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut line = String::with_capacity(128);
        let time = clock_time(record.time.as_nanos());
        let name = record.level.name().to_ascii_uppercase();
        // Writing into a `String` cannot fail.
        let _ = write!(line, "{dim}{time}{reset} {level}{name:<5}{reset} {dim}");
        escape(&mut line, &record.target);
        let _ = write!(line, ":{reset} ");
        escape(&mut line, &record.message);
        for (key, value) in &record.fields {
            let _ = write!(line, " {dim}");
            escape(&mut line, key);
            let _ = write!(line, "={reset}");
            match value {
                // Quoted where it would not be one word.
                Value::String(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                    escape(&mut line, &format!("{text:?}"));
                }
                Value::String(text) => escape(&mut line, text),
                other => escape(&mut line, &other.to_string()),
            }
        }
        line.push('\n');
        line
    }
}

impl LogSink for Terminal {
    fn name(&self) -> &str {
        "terminal"
    }

    fn write(&self, record: &Arc<LogRecord>) {
        let line = self.line(record);
        // There is nobody to tell that the terminal has gone.
        let _ = self.out.lock().write_all(line.as_bytes());
    }

    fn flush(&self) {
        let _ = self.out.lock().flush();
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("colour", &self.colour).finish_non_exhaustive()
    }
}

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::Trace => "\x1b[2m",
        Level::Debug => "\x1b[36m",
        Level::Info => "\x1b[32m",
        Level::Warn => "\x1b[33m",
        Level::Error => "\x1b[31;1m",
    }
}

fn clock_time(nanos: i64) -> String {
    const DAY: i64 = 86_400_000;
    let millis = nanos.div_euclid(1_000_000).rem_euclid(DAY);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn escape(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}
