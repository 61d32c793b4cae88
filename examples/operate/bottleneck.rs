//! What held the run up most, and what would have changed were it better.

use serde::Serialize;
use sutazai_core::kernel::Kernel;
use sutazai_core::monitor::{BottleneckPolicy, BottleneckVerdict, Bottlenecks};

use super::page::Page;

/// Spans that are gone by.
const SPANS: u32 = 50_000;

/// The answer, as the kernel gives it.
#[derive(Serialize)]
#[serde(transparent)]
pub struct HeldUp(Bottlenecks);

impl HeldUp {
    /// Of so many seconds up to now. `None` where that cannot be told.
    pub fn within(kernel: &Kernel, seconds: f64) -> Option<Self> {
        let mut policy = BottleneckPolicy::default();
        (policy.window_s, policy.spans, policy.ranked) = (seconds.clamp(1.0, 86_400.0), SPANS, 3);
        kernel.bottlenecks(&policy).ok().map(Self)
    }

    /// As a person reads it.
    pub fn write(&self, page: &mut Page) {
        if self.0.verdict == BottleneckVerdict::NoTasks {
            return;
        }
        page.head("Bottleneck", "what the calls' time went by");
        page.wrapped("  ", &self.0.says);
        let Some(first) = self.0.ranked.first() else { return };
        for evidence in first.evidence.iter().take(5) {
            page.wrapped("    ", evidence);
        }
        let others = self.0.ranked.iter().skip(1);
        let others: Vec<_> = others
            .map(|other| format!("{} {:.0} %", other.component, 100.0 * other.share))
            .collect();
        if !others.is_empty() {
            page.line(&format!("    then {}", others.join(", ")));
        }
    }
}
