//! How a process agent is started, bounded and restarted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::connect::millis;
use crate::{Code, Error, Result};

/// The program, and the bounds of talking to it.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::agent::connect::process::ProcessSpec;
///
/// let spec = ProcessSpec::new("python3")
///     .args(["-u", "reviewer.py"])
///     .env("PYTHONUTF8", "1")
///     .start_timeout(Duration::from_secs(5));
/// let json = serde_json::to_string(&spec)?;
/// assert_eq!(serde_json::from_str::<ProcessSpec>(&json)?, spec);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProcessSpec {
    /// The program and its arguments. No shell reads it: nothing is split, expanded or quoted. A
    /// name without `/` is looked for in `PATH`.
    pub command: Vec<String>,
    /// The directory it runs in; without it, the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Environment variables that are set for it, beside the host's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Environment variables of the host that it does not get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_remove: Vec<String>,
    /// Whether it gets none of the host's environment, only [`env`](Self::env). Default false.
    #[serde(default)]
    pub env_clear: bool,
    /// How long it may take until it says `ready`. Default 10 s.
    #[serde(default = "start_timeout", with = "millis", rename = "start_timeout_ms")]
    #[schemars(with = "u64")]
    pub start_timeout: Duration,
    /// Bytes in a line, at most, in both directions. Default 8 MiB, at least 1 KiB.
    #[serde(default = "max_line")]
    pub max_line: usize,
    /// Tasks that it holds at once, at most; further ones wait here. Default 64, at least 1; the
    /// card's `concurrency` holds where it is less.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
    /// Tasks that may wait for it, while it is busy, starts or restarts. Default 1,024.
    #[serde(default = "queue")]
    pub queue: u32,
    /// Bytes of input in the tasks that wait, at most. Default 64 MiB.
    #[serde(default = "queue_bytes")]
    pub queue_bytes: usize,
    /// How long it may hold on to a task after being asked to cancel it; then it is restarted, and
    /// its other tasks fail. Default none: it may for ever, and the task occupies its place.
    #[serde(
        default,
        with = "maybe_millis",
        rename = "cancel_grace_ms",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub cancel_grace: Option<Duration>,
    /// How long one that has been asked to stop, and has no task, has to end by itself before SIGTERM. Default 2 s.
    #[serde(default = "stop_grace", with = "millis", rename = "stop_grace_ms")]
    #[schemars(with = "u64")]
    pub stop_grace: Duration,
    /// Between SIGTERM and SIGKILL. Default 1 s.
    #[serde(default = "kill_grace", with = "millis", rename = "kill_grace_ms")]
    #[schemars(with = "u64")]
    pub kill_grace: Duration,
    /// Breaches of the protocol in a row after which it is restarted. Default 8, at least 1.
    #[serde(default = "breaches")]
    pub breaches: u32,
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
}

/// When a process that died is started again: at most [`most`](Self::most) times
/// [`within`](Self::within) any period (the restart intensity of Erlang's supervisors), after a
/// pause that doubles with each death in the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RestartPolicy {
    /// Restarts within the period, at most; 0 for never. Default 5.
    pub most: u32,
    /// The period. Default 60 s.
    #[serde(with = "millis", rename = "within_ms")]
    #[schemars(with = "u64")]
    pub within: Duration,
    /// The pause before the first restart. Default 100 ms.
    #[serde(with = "millis", rename = "first_pause_ms")]
    #[schemars(with = "u64")]
    pub first_pause: Duration,
    /// The longest pause. Default 10 s.
    #[serde(with = "millis", rename = "longest_pause_ms")]
    #[schemars(with = "u64")]
    pub longest_pause: Duration,
}

impl RestartPolicy {
    /// At most `most` restarts within any period of this length.
    pub fn at_most(most: u32, within: Duration) -> Self {
        Self { most, within, ..Self::default() }
    }

    /// Sets the pause before the first restart, and the longest.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            most: 5,
            within: Duration::from_secs(60),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl ProcessSpec {
    /// This program, without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            command: vec![program.into()],
            cwd: None,
            env: BTreeMap::new(),
            env_remove: Vec::new(),
            env_clear: false,
            start_timeout: start_timeout(),
            max_line: max_line(),
            in_flight: in_flight(),
            queue: queue(),
            queue_bytes: queue_bytes(),
            cancel_grace: None,
            stop_grace: stop_grace(),
            kill_grace: kill_grace(),
            breaches: breaches(),
            restart: RestartPolicy::default(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.command.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets the directory it runs in.
    #[must_use]
    pub fn cwd(mut self, directory: impl AsRef<Path>) -> Self {
        self.cwd = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    /// Keeps an environment variable of the host from it.
    #[must_use]
    pub fn env_remove(mut self, key: impl Into<String>) -> Self {
        self.env_remove.push(key.into());
        self
    }

    /// Keeps the host's whole environment from it.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.env_clear = true;
        self
    }

    /// Sets how long it may take to get ready.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Bounds a line, in bytes.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Bounds the tasks that it holds at once.
    #[must_use]
    pub fn in_flight(mut self, tasks: u32) -> Self {
        self.in_flight = tasks;
        self
    }

    /// Bounds the tasks that wait for it.
    #[must_use]
    pub fn queue(mut self, tasks: u32) -> Self {
        self.queue = tasks;
        self
    }

    /// Bounds the input of the tasks that wait for it, in bytes.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Restarts it when it holds on to a cancelled task for longer.
    #[must_use]
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.cancel_grace = Some(grace);
        self
    }

    /// Sets how long one that has been asked to stop, and has no task, has before SIGTERM.
    #[must_use]
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = grace;
        self
    }

    /// Sets the time between SIGTERM and SIGKILL.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// Sets after how many breaches of the protocol in a row it is restarted.
    #[must_use]
    pub fn breaches(mut self, in_a_row: u32) -> Self {
        self.breaches = in_a_row;
        self
    }

    /// Sets when it is restarted.
    #[must_use]
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// The program, as it is named.
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the key.
    pub fn validate(&self) -> Result<()> {
        let bad = |key: &str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("agent.process").with("key", key))
        };
        if self.program().is_empty() {
            return bad("command", "a process agent needs a program");
        }
        if self.command.iter().any(|part| part.contains('\0')) {
            return bad("command", "a program or argument contains a NUL character");
        }
        if self.max_line < 1024 {
            return bad("max_line", "a line must be allowed at least 1024 bytes");
        }
        if self.in_flight == 0 {
            return bad("in_flight", "a process agent must be allowed at least one task at once");
        }
        if self.breaches == 0 {
            return bad("breaches", "at least one breach of the protocol must be allowed");
        }
        let named = self.env.keys().chain(&self.env_remove);
        for key in named {
            if key.is_empty() || key.contains(['=', '\0']) {
                return bad("env", "not a name of an environment variable");
            }
        }
        if self.env.values().any(|value| value.contains('\0')) {
            return bad("env", "a value of an environment variable contains a NUL character");
        }
        Ok(())
    }

    pub(super) fn to_command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(self.program());
        command.args(self.command.iter().skip(1));
        if self.env_clear {
            command.env_clear();
        }
        for key in &self.env_remove {
            command.env_remove(key);
        }
        command.envs(&self.env);
        if let Some(directory) = &self.cwd {
            command.current_dir(directory);
        }
        command
    }
}

fn start_timeout() -> Duration {
    Duration::from_secs(10)
}
fn max_line() -> usize {
    8 << 20
}
fn in_flight() -> u32 {
    64
}
fn queue() -> u32 {
    1024
}
fn queue_bytes() -> usize {
    64 << 20
}
fn stop_grace() -> Duration {
    Duration::from_secs(2)
}

fn kill_grace() -> Duration {
    Duration::from_secs(1)
}
fn breaches() -> u32 {
    8
}

/// A duration as whole milliseconds, or nothing.
mod maybe_millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match d {
            Some(d) => crate::agent::connect::millis::serialize(d, s),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
    }
}
