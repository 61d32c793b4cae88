//! The JSON that `sutazai_kernel_new` takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::grammar;
use sutazai_core::kernel::{Kernel, Limits, LogConfig};
use sutazai_core::security::SecuritySpec;
use sutazai_core::{Code, Error, Result};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    manifest: Option<PathBuf>,
    manifest_text: Option<String>,
    data_dir: Option<PathBuf>,
    seed: Option<u64>,
    clock: ClockKind,
    limits: Bounds,
    log: LogChoice,
    security: Option<SecuritySpec>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ClockKind {
    #[default]
    Real,
    Virtual,
}

/// What is left out stays as [`Limits::default`] has it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Bounds {
    calls: Option<usize>,
    /// Calls within calls.
    depth: Option<u32>,
    /// Zero for no bound.
    timeout_ms: Option<u64>,
    pool: Option<usize>,
    queue: Option<usize>,
    spans: Option<usize>,
    records: Option<usize>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LogChoice {
    filter: Option<String>,
    terminal: bool,
    file: Option<PathBuf>,
}

/// Builds a kernel as the text says; an empty text says nothing.
pub(crate) fn build(text: &str) -> Result<Kernel> {
    let config: Config = if text.trim().is_empty() {
        Config::default()
    } else {
        from_json("kernel.new", "configuration", text)?
    };
    let mut builder = Kernel::builder().limits(config.limits.applied()).log(config.log.applied());
    let manifest = match (&config.manifest, &config.manifest_text) {
        (Some(_), Some(_)) => {
            return Err(Error::new(Code::INVALID, "both manifest and manifest_text are given")
                .operation("kernel.new"));
        }
        (Some(path), None) => Some(grammar().read(path)?),
        (None, Some(text)) => Some(grammar().parse("manifest_text", text)?),
        (None, None) => None,
    };
    if let Some(security) = &config.security {
        if manifest.as_ref().is_some_and(|manifest| manifest.security.is_some()) {
            return Err(Error::new(
                Code::INVALID,
                "both security and the manifest's [security] are given",
            )
            .operation("kernel.new"));
        }
        builder = builder.security(security.options(Path::new(""))?);
    }
    if let Some(manifest) = &manifest {
        builder = builder.manifest(manifest);
    }
    if let Some(path) = config.data_dir {
        builder = builder.data_dir(path);
    }
    if let Some(seed) = config.seed {
        builder = builder.seed(seed);
    }
    if matches!(config.clock, ClockKind::Virtual) {
        builder = builder.runtime(Arc::new(Manual::new()));
    }
    builder.build()
}

impl Bounds {
    fn applied(self) -> Limits {
        let mut limits = Limits::default();
        limits.calls = self.calls.unwrap_or(limits.calls);
        limits.depth = self.depth.unwrap_or(limits.depth);
        if let Some(ms) = self.timeout_ms {
            limits.timeout = (ms != 0).then(|| Duration::from_millis(ms));
        }
        limits.pool = self.pool.or(limits.pool);
        limits.queue = self.queue.or(limits.queue);
        limits.spans = self.spans.unwrap_or(limits.spans);
        limits.records = self.records.unwrap_or(limits.records);
        limits
    }
}

impl LogChoice {
    fn applied(self) -> LogConfig {
        let mut log = LogConfig::default().terminal(self.terminal);
        if let Some(filter) = self.filter {
            log = log.filter(filter);
        }
        match self.file {
            Some(path) => log.file(path),
            None => log,
        }
    }
}
