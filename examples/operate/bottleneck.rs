//! What held the run up most, and what would have changed were it better.

use console::style;
use serde::Serialize;
use sutazai_core::kernel::Kernel;
use sutazai_core::monitor::{BottleneckPolicy, BottleneckVerdict, Bottlenecks, Improvement};

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
        for evidence in first.evidence.iter().take(4) {
            page.wrapped("    ", evidence);
        }
        for what_if in &first.what_if {
            let change = match what_if.change {
                Improvement::Faster(share) => format!("{:.0} % faster", 100.0 * share),
                Improvement::MoreCapacity(more) => format!("with {more} more at once"),
            };
            page.line(&format!(
                "    {}: {:+.0} % calls a second, {:+.0} % of their time",
                style(change).bold(),
                100.0 * (what_if.throughput - 1.0),
                100.0 * (what_if.latency - 1.0)
            ));
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
