//! Everything of this machine and this process, by files that stay open.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::container::{Bounds, Containers};
use super::cpu::Cpus;
use super::disk::Disks;
use super::kept::Kept;
use super::memory::{Load, Memory};
use super::network::Networks;
use super::pressure::Pressure;
use super::process::{Process, Units};
use crate::base::time::Timestamp;
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// What is measured, by where it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// `cpu_…`, but the limit.
    Processors,
    /// `memory_…` and `swap_…`.
    Memory,
    /// `load…`.
    Load,
    /// `pressure_…`.
    Pressure,
    /// `disk_…_total`.
    Disks,
    /// `disk_{size,free}_bytes`, `disk_free_ratio`.
    Space,
    /// `network_…`.
    Network,
    /// `container_…`, and what holds for this process: `cpu_limit_cores`, and `memory_limit_…` as far as
    /// [`Memory`](Self::Memory) is measured or the container has a limit.
    Container,
    /// Processor time, memory and threads of this process.
    Process,
    /// `process_{open,max}_fds`, `process_{read,written}_bytes_total`.
    ProcessFiles,
}

impl Part {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::Processors,
        Self::Memory,
        Self::Load,
        Self::Pressure,
        Self::Disks,
        Self::Space,
        Self::Network,
        Self::Container,
        Self::Process,
        Self::ProcessFiles,
    ];
}

/// Where [`System`] looks, and at what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SystemOptions {
    /// What is measured; what is not costs nothing. Default: [everything](Part::ALL).
    pub parts: Vec<Part>,
    /// The file system of processes. Default: `/proc`.
    pub proc: PathBuf,
    /// The file system of control groups. Default: `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
    /// A path on the file system whose space is told. Default: `/`.
    pub disk: PathBuf,
    /// Processors that have a figure each, at most. Default: 64.
    pub cores: usize,
}

impl Default for SystemOptions {
    fn default() -> Self {
        Self {
            parts: Part::ALL.to_vec(),
            proc: "/proc".into(),
            cgroup: "/sys/fs/cgroup".into(),
            disk: "/".into(),
            cores: 64,
        }
    }
}

/// Measures the machine, the container and this process; see [the module](super) for the names.
///
/// ```
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::monitor::sample::{System, SystemOptions};
/// use sutazai_core::port::{Monitor, Samples};
///
/// let system = System::new(SystemOptions::default());
/// let mut samples = Samples::default();
/// system.sample(Timestamp::now(), &mut samples)?;
/// assert!(samples.iter().any(|sample| &*sample.series == "process_resident_memory_bytes"));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub struct System {
    state: Mutex<State>,
}

struct State {
    options: SystemOptions,
    buffer: Vec<u8>,
    stat: Kept,
    cpus: Cpus,
    meminfo: Kept,
    memory: Memory,
    loadavg: Kept,
    load: Load,
    pressures: [(Kept, Pressure); 3],
    diskstats: Kept,
    disks: Disks,
    netdev: Kept,
    networks: Networks,
    containers: Containers,
    own: Process,
    names: Names,
    cost: f64,
}

struct Names {
    own: [Arc<str>; 8],
    file_limit: Arc<str>,
    memory_limit: Arc<str>,
    memory_limit_ratio: Arc<str>,
    cores: Arc<str>,
    cost: Arc<str>,
}

impl System {
    /// Looks where the options say. What is not there then may come later.
    pub fn new(options: SystemOptions) -> Self {
        let proc = options.proc.clone();
        let at = |name: &str| Kept::new(proc.join(name));
        let pressure = |of: &str| (at(&format!("pressure/{of}")), Pressure::new(of));
        let units = Units::of_this_system();
        let mut buffer = Vec::new();
        let groups = at("self/cgroup").read(&mut buffer).map(<[u8]>::to_vec).unwrap_or_default();
        let own = Process::new(proc.join("self"), units);
        let own_names = [
            "process_cpu_seconds_total",
            "process_children_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_read_bytes_total",
            "process_written_bytes_total",
        ];
        let state = State {
            buffer,
            stat: at("stat"),
            cpus: Cpus::new(units.hz, options.cores),
            meminfo: at("meminfo"),
            memory: Memory::new(),
            loadavg: at("loadavg"),
            load: Load::new(),
            pressures: [pressure("cpu"), pressure("memory"), pressure("io")],
            diskstats: at("diskstats"),
            disks: Disks::new(),
            netdev: at("self/net/dev"),
            networks: Networks::new(),
            containers: Containers::new(&options.cgroup, &groups),
            own,
            names: Names {
                own: own_names.map(Arc::from),
                file_limit: "process_max_fds".into(),
                memory_limit: "memory_limit_bytes".into(),
                memory_limit_ratio: "memory_limit_used_ratio".into(),
                cores: "cpu_limit_cores".into(),
                cost: "monitor_sample_seconds".into(),
            },
            cost: 0.0,
            options,
        };
        Self { state: Mutex::new(state) }
    }
}

impl Monitor for System {
    fn name(&self) -> &str {
        "system"
    }

    fn sample(&self, _now: Timestamp, out: &mut Samples) -> Result<()> {
        let before = thread_seconds();
        let mut state = self.state.lock();
        let there = out.iter().count();
        state.take(out);
        if out.iter().count() == there {
            return Err(Error::new(Code::IO, "nothing of the system can be read")
                .operation("monitor.sample")
                .with("proc", state.options.proc.display())
                .advice("is the proc file system mounted there?"));
        }
        out.add(Arc::clone(&state.names.cost), state.cost);
        state.cost = (thread_seconds() - before).max(0.0);
        Ok(())
    }
}

impl State {
    fn take(&mut self, out: &mut Samples) {
        let there = out.iter().count();
        let parts = std::mem::take(&mut self.options.parts);
        let mut bounds = None;
        let mut asked = false;
        for part in &parts {
            match part {
                // What holds for this process goes by what was measured of the machine.
                Part::Container => bounds = Some(self.containers.take(&mut self.buffer, out)),
                Part::Space => {}
                part => {
                    asked = true;
                    self.take_part(*part, out);
                }
            }
        }
        // A system that tells nothing of itself has no disk and no limits either.
        if out.iter().count() > there || !asked {
            if parts.contains(&Part::Space) {
                self.disks.take_space(&self.options.disk, out);
            }
            if let Some(bounds) = bounds {
                self.take_limits(bounds, out);
            }
        }
        self.options.parts = parts;
    }

    fn take_part(&mut self, part: Part, out: &mut Samples) {
        let buffer = &mut self.buffer;
        match part {
            Part::Processors => {
                if let Ok(text) = self.stat.read(buffer) {
                    self.cpus.take(text, out);
                }
            }
            Part::Memory => {
                if let Ok(text) = self.meminfo.read(buffer) {
                    self.memory.take(text, out);
                }
            }
            Part::Load => {
                if let Ok(text) = self.loadavg.read(buffer) {
                    self.load.take(text, out);
                }
            }
            Part::Pressure => {
                for (file, pressure) in &mut self.pressures {
                    if let Ok(text) = file.read(buffer) {
                        pressure.take(text, out);
                    }
                }
            }
            Part::Disks => {
                if let Ok(text) = self.diskstats.read(buffer) {
                    self.disks.take(text, out);
                }
            }
            Part::Network => {
                if let Ok(text) = self.netdev.read(buffer) {
                    self.networks.take(text, out);
                }
            }
            Part::Process => self.take_own(out),
            Part::ProcessFiles => self.take_own_files(out),
            Part::Space | Part::Container => {}
        }
    }

    fn take_own(&mut self, out: &mut Samples) {
        let [cpu, children, resident, virtual_, threads, ..] = &self.names.own;
        if let Ok(usage) = self.own.usage() {
            out.add(Arc::clone(cpu), usage.cpu_seconds);
            out.add(Arc::clone(children), usage.ended_children_seconds);
            out.add(Arc::clone(resident), usage.resident_bytes as f64);
            out.add(Arc::clone(virtual_), usage.virtual_bytes as f64);
            out.add(Arc::clone(threads), usage.threads as f64);
        }
    }

    fn take_own_files(&mut self, out: &mut Samples) {
        let [.., files, read, written] = &self.names.own;
        if let Some(open) = self.own.open_files() {
            out.add(Arc::clone(files), open as f64);
            // It may be raised at any time; what has no limit has no figure.
            if let Some(limit) = getrlimit(Resource::Nofile).current {
                out.add(Arc::clone(&self.names.file_limit), limit as f64);
            }
        }
        if let Some((from, to)) = self.own.device_bytes() {
            out.add(Arc::clone(read), from as f64);
            out.add(Arc::clone(written), to as f64);
        }
    }

    /// What holds for this process: the machine's, or less.
    fn take_limits(&self, bounds: Bounds, out: &mut Samples) {
        let find = |name: &str| {
            let found = out.iter().find(|sample| &*sample.series == name);
            found.map(|sample| sample.value)
        };
        let (total, ratio) = (find("memory_total_bytes"), find("memory_used_ratio"));
        let limit = bounds.memory.map(|limit| limit as f64);
        let least = [total, limit].into_iter().flatten().reduce(f64::min);
        // Whichever runs out first.
        let most = [ratio, bounds.memory_share].into_iter().flatten().reduce(f64::max);
        // Unlike `available_parallelism`, which looks for the container's limit in files of its own.
        let processors =
            rustix::thread::sched_getaffinity(None).map(|set| f64::from(set.count())).ok();
        let cores = [processors, bounds.cores].into_iter().flatten().reduce(f64::min);
        let names = &self.names;
        for (name, value) in
            [(&names.memory_limit, least), (&names.memory_limit_ratio, most), (&names.cores, cores)]
        {
            if let Some(value) = value {
                out.add(Arc::clone(name), value);
            }
        }
    }
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System")
            .field("options", &self.state.lock().options)
            .finish_non_exhaustive()
    }
}

/// Processor time of this thread.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// What was measured under a name.
    pub(in super::super) fn value(samples: &Samples, name: &str) -> Option<f64> {
        samples.iter().find(|sample| &*sample.series == name).map(|sample| sample.value)
    }

    fn sample(system: &System) -> Samples {
        let mut samples = Samples::default();
        system.sample(Timestamp::EPOCH, &mut samples).unwrap();
        samples
    }

    #[test]
    fn this_machine_is_measured() {
        let system = System::new(SystemOptions::default());
        sample(&system);
        std::thread::sleep(std::time::Duration::from_millis(60));
        let samples = sample(&system);
        let told = |name: &str| value(&samples, name).unwrap_or(f64::NAN);
        for ratio in
            ["cpu_used_ratio", "memory_used_ratio", "memory_limit_used_ratio", "disk_free_ratio"]
        {
            assert!((0.0..=1.0).contains(&told(ratio)), "{ratio} {}", told(ratio));
        }
        assert!(told("memory_limit_bytes") <= told("memory_total_bytes"));
        assert!(told("cpu_limit_cores") >= 0.01 && told("process_threads") >= 1.0);
        assert!(told("process_resident_memory_bytes") < told("memory_total_bytes"));
        assert!(told("monitor_sample_seconds") > 0.0 && told("monitor_sample_seconds") < 1.0);
        assert!(samples.iter().all(|sample| sample.value.is_finite() && sample.value >= 0.0));
        let mut names: Vec<_> = samples.iter().map(|sample| &sample.series).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "each name once");
    }

    #[test]
    fn the_limit_of_files_is_that_of_now() {
        use rustix::process::setrlimit;
        let system = System::new(SystemOptions::default());
        let before = getrlimit(Resource::Nofile);
        let Some(limit) = before.current else { return };
        assert_eq!(value(&sample(&system), "process_max_fds"), Some(limit as f64));
        // One less: nothing that runs beside is disturbed.
        let less = rustix::process::Rlimit { current: Some(limit - 1), ..before };
        setrlimit(Resource::Nofile, less).unwrap();
        let told = value(&sample(&system), "process_max_fds");
        setrlimit(Resource::Nofile, before).unwrap();
        assert_eq!(told, Some((limit - 1) as f64));
    }

    #[test]
    fn the_least_limit_is_told_and_the_fullest_share() {
        let dir = tempfile::tempdir().unwrap();
        let (proc, groups) = (dir.path().join("proc"), dir.path().join("cgroup"));
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::create_dir_all(groups.join("pod/box")).unwrap();
        fs::write(proc.join("meminfo"), "MemTotal: 100 kB\nMemAvailable: 80 kB\n").unwrap();
        fs::write(proc.join("self/cgroup"), "0::/pod/box\n").unwrap();
        let group = |of: &str, max: &str, current: &str| {
            fs::write(groups.join(of).join("memory.max"), max).unwrap();
            fs::write(groups.join(of).join("memory.current"), current).unwrap();
        };
        let options = SystemOptions { proc, cgroup: groups.clone(), ..SystemOptions::default() };
        let system = System::new(options);
        let told = || {
            let samples = sample(&system);
            ["memory_limit_bytes", "memory_limit_used_ratio"].map(|name| value(&samples, name))
        };
        group("pod/box", "40000", "4000");
        group("pod", "50000", "45000");
        assert_eq!(told(), [Some(40_000.0), Some(0.9)]);
        group("pod", "max", "45000");
        assert_eq!(told(), [Some(40_000.0), Some(0.2)]);
        group("pod/box", "200000", "150000");
        assert_eq!(told(), [Some(102_400.0), Some(0.75)]);
    }

    #[test]
    fn what_is_missing_takes_nothing_else_away() {
        let dir = tempfile::tempdir().unwrap();
        let options = SystemOptions {
            proc: dir.path().to_owned(),
            cgroup: dir.path().join("none"),
            ..SystemOptions::default()
        };
        let system = System::new(options);
        let mut samples = Samples::default();
        assert_eq!(system.sample(Timestamp::EPOCH, &mut samples).unwrap_err().code(), Code::IO);
        // One file comes, in the middle of the run; it goes, and comes again.
        let loadavg = dir.path().join("loadavg");
        fs::write(&loadavg, "1.00 2.00 3.00 1/2 3\n").unwrap();
        assert_eq!(value(&sample(&system), "load5"), Some(2.0));
        assert_eq!(value(&sample(&system), "memory_total_bytes"), None);
        fs::write(&loadavg, "").unwrap();
        fs::write(dir.path().join("meminfo"), "MemTotal: 10 kB\nMemAvailable: 5 kB\n").unwrap();
        let samples = sample(&system);
        assert_eq!(value(&samples, "load5"), None);
        assert_eq!(value(&samples, "memory_used_ratio"), Some(0.5));
        assert_eq!(value(&samples, "memory_limit_bytes"), Some(10_240.0));
    }
}
