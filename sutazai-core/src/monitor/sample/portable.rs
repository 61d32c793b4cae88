//! The figures that the crate `sysinfo` has, on every system that it knows.

use std::sync::Arc;

use parking_lot::Mutex;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::base::time::Timestamp;
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// Measures with the crate `sysinfo`: processors, memory, load and this process, by the names of
/// [the module](super).
pub struct Portable {
    state: Mutex<State>,
}

struct State {
    system: System,
    pid: Option<Pid>,
    /// Shares of processors are of the time since the look before.
    looked: bool,
}

impl Portable {
    /// Has not looked yet: shares of processors are there from the second sample on.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] on a system that `sysinfo` does not know.
    pub fn new() -> Result<Self> {
        let system = System::new().map_err(|error| {
            Error::new(Code::UNSUPPORTED, "nothing is known of this system")
                .operation("monitor.sample")
                .because(error)
        })?;
        let pid = sysinfo::get_current_pid().ok();
        Ok(Self { state: Mutex::new(State { system, pid, looked: false }) })
    }
}

impl Monitor for Portable {
    fn name(&self) -> &str {
        "portable"
    }

    fn sample(&self, _now: Timestamp, out: &mut Samples) -> Result<()> {
        let State { system, pid, looked } = &mut *self.state.lock();
        system.refresh_cpu_usage();
        system.refresh_memory();
        if *looked {
            out.add("cpu_used_ratio", f64::from(system.global_cpu_usage()) / 100.0);
            for (number, cpu) in system.cpus().iter().enumerate() {
                let name: Arc<str> = format!("cpu{number}_used_ratio").into();
                out.add(name, f64::from(cpu.usage()) / 100.0);
            }
        }
        *looked = true;
        let (total, available) = (system.total_memory(), system.available_memory());
        let used = total.saturating_sub(available);
        out.add("memory_total_bytes", total as f64);
        out.add("memory_available_bytes", available as f64);
        out.add("memory_used_bytes", used as f64);
        if total > 0 {
            out.add("memory_used_ratio", used as f64 / total as f64);
        }
        out.add("swap_total_bytes", system.total_swap() as f64);
        out.add("swap_used_bytes", system.used_swap() as f64);
        if let Ok(load) = System::load_average() {
            out.add("load1", load.one);
            out.add("load5", load.five);
            out.add("load15", load.fifteen);
        }
        if let Some(pid) = *pid {
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
            if let Some(process) = system.process(pid) {
                let seconds = process.accumulated_cpu_time() as f64 / 1_000.0;
                out.add("process_cpu_seconds_total", seconds);
                out.add("process_resident_memory_bytes", process.memory() as f64);
                out.add("process_virtual_memory_bytes", process.virtual_memory() as f64);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Portable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Portable").finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::system::tests::value;
    use super::super::{System, SystemOptions};
    use super::*;

    /// Both look at the same machine.
    #[test]
    fn it_agrees_with_the_files() {
        let (portable, system) = (Portable::new().unwrap(), System::new(SystemOptions::default()));
        let (mut one, mut other) = (Samples::default(), Samples::default());
        portable.sample(Timestamp::EPOCH, &mut one).unwrap();
        system.sample(Timestamp::EPOCH, &mut other).unwrap();
        for name in ["memory_total_bytes", "swap_total_bytes"] {
            assert_eq!(value(&one, name), value(&other, name), "{name}");
        }
        let (a, b) =
            (value(&one, "memory_available_bytes"), value(&other, "memory_available_bytes"));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!((a - b).abs() / a < 0.05, "{a} {b}");
    }
}
