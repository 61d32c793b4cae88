//! The audit log of the run, verified at its end.

use console::style;
use serde::Serialize;
use sutazai_core::base::payload::Payload;
use sutazai_core::kernel::Kernel;
use sutazai_core::security::audit::{self, AuditLog, Checkpoint, VerifierKey};
use sutazai_core::store::Durability;
use sutazai_core::{Code, Error, Result};

use super::page::{Page, counted};

const NAMESPACE: &str = "operate.audit";
const KEY: &str = "checkpoint";

/// The log while the kernel runs, and what the run before has kept of it.
pub struct Watched {
    log: AuditLog,
    key: VerifierKey,
    before: Option<Checkpoint>,
}

/// What the verification found.
#[derive(Serialize)]
pub struct Verified {
    /// Records under the checkpoint.
    pub records: u64,
    /// Records that the run before had a checkpoint over, and that are still what they were.
    pub continues: Option<u64>,
    /// What is wrong; nothing, where the log is intact.
    pub wrong: Vec<String>,
    /// The key that checkpoints are verified with.
    pub key: String,
    /// The checkpoint: whoever keeps it finds out about every change of what is under it.
    pub checkpoint: String,
}

impl Watched {
    /// From the start of the kernel on.
    pub fn begin(kernel: &Kernel) -> Result<Self> {
        let security = kernel.security()?;
        let key = security.audit_key().clone();
        let kept = kernel.store().get(NAMESPACE, KEY)?;
        let note = kept.and_then(|entry| entry.value.to::<String>().ok());
        // One that does not verify is no reason to stop: that is found out at the end.
        let before = note.and_then(|note| Checkpoint::read(&note, &key).ok());
        Ok(Self { log: security.audit().clone(), key, before })
    }

    /// Keeps the checkpoint for the next run. Whoever wants it to prove something keeps it elsewhere.
    pub fn keep(&self, kernel: &Kernel) -> Result<()> {
        let now = kernel.runtime().timestamp();
        let checkpoint = self.log.integrate(now)?;
        let note = Payload::json(checkpoint.note())?;
        kernel.store().put(NAMESPACE, KEY, &note, now, Durability::Process).wait()
    }

    /// Reads the whole log anew, once the kernel has stopped.
    pub fn verify(self, directory: &std::path::Path) -> Result<Verified> {
        let checkpoint = self.log.checkpoint().ok_or_else(|| {
            Error::new(Code::INTERNAL, "the audit log of a kernel that stopped has a checkpoint")
        })?;
        let report = audit::verify(&directory.join("audit"), &self.key, self.before.as_ref())?;
        Ok(Verified {
            records: report.records,
            continues: report.continues,
            wrong: report.findings.iter().map(ToString::to_string).collect(),
            key: self.key.to_string(),
            checkpoint: checkpoint.note().to_owned(),
        })
    }
}

impl Verified {
    /// As a person reads it.
    pub fn write(&self, page: &mut Page) {
        let verdict = match self.wrong.len() {
            0 => style("verified").green().to_string(),
            n => style(counted(n as u64, "thing") + " wrong").red().to_string(),
        };
        let records = counted(self.records, "record");
        page.head("Audit log", &format!("{records}, every one read anew"));
        page.line(&format!("  {verdict}"));
        for wrong in &self.wrong {
            page.wrapped("  ", wrong);
        }
        if let Some(continues) = self.continues {
            let before = counted(continues, "record");
            page.line(&format!(
                "  begins with the {before} that the run before had a checkpoint over"
            ));
        }
        page.line(&format!("  key: {}", self.key));
        page.line("  checkpoint:");
        for line in self.checkpoint.lines() {
            page.line(&format!("    {line}"));
        }
    }
}
