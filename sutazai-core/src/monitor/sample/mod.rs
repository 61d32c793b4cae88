//! Measuring the machine, its container and processes.
//!
//! [`System`] reads Linux's own files by descriptors that it keeps open and takes apart the bytes itself;
//! `monitor_sample_seconds` says what that costs. [`Portable`] has fewer figures, from the crate `sysinfo`, for every
//! system that it knows. [`Processes`] follows single processes, such as those of agents. All are
//! [`Monitor`](crate::port::Monitor)s, and fill the same [`Samples`](crate::port::Samples).
//!
//! Names have their units as those of Prometheus do. What ends in `_total` is a counter: it goes up, and begins at
//! zero again with what it counts. What several devices, interfaces or processors count together does not fall when one of them goes;
//! one that comes later counts from the first sample that has it. Ratios are between 0 and 1. What a system does not tell is not there: a file that
//! is missing, or cannot be read, takes its own figures away and no others.
//!
//! | names | what | from |
//! |---|---|---|
//! | `cpu_{user,system,iowait,steal,idle}_seconds_total` | time of all processors together | `/proc/stat` |
//! | `cpu_used_ratio`, `cpu_steal_ratio`, `cpu0_used_ratio`… | busy share since the sample before, with what was stolen; the stolen share | `/proc/stat` |
//! | `memory_{total,available,used}_bytes`, `memory_used_ratio`, `swap_{total,used}_bytes` | memory, as the kernel estimates what is available | `/proc/meminfo` |
//! | `memory_limit_bytes`, `memory_limit_used_ratio`, `cpu_limit_cores` | what holds for this process: the machine's, or its container's where that is less | the two above and cgroup v2 |
//! | `load1`, `load5`, `load15` | load averages | `/proc/loadavg` |
//! | `pressure_{cpu,memory,io}_{some,full}_ratio`, `…_seconds_total` | pressure stall information, over ten seconds | `/proc/pressure/*` |
//! | `disk_{read,written}_bytes_total`, `disk_{reads,writes}_total`, `disk_busy_seconds_total` | whole devices together | `/proc/diskstats` |
//! | `disk_{size,free}_bytes`, `disk_free_ratio` | the file system of [`SystemOptions::disk`]; where it is only read, its size alone | `statvfs` |
//! | `network_{received,sent}_bytes_total`, `…_packets_total`, `…_errors_total`, `…_dropped_total` | all interfaces but the loopback | `/proc/net/dev` |
//! | `process_cpu_seconds_total`, `process_children_cpu_seconds_total` (those that have ended), `process_{resident,virtual}_memory_bytes`, `process_threads`, `process_{open,max}_fds`, `process_{read,written}_bytes_total` | this process | `/proc/self/*` |
//! | `container_memory_{used,limit}_bytes`, `container_memory_used_ratio`, `container_cpu_limit_cores`, `container_throttled_seconds_total`, `container_pids`, `container_pids_limit` | the limits that hold here: of this group and those above it the least; what is used of that one; the share that is used of whichever is fullest | cgroup v2 |
//! | `gpu0_used_ratio`, `gpu0_memory_{used,total}_bytes`, `gpu0_memory_used_ratio`, `gpu0_temperature_celsius`, `gpu0_power_watts` … | NVIDIA's graphics processors (feature `nvml`, `Gpus`) | NVML |
//! | `monitor_sample_seconds` | what the sample before cost, in processor time of its thread | |
//!
//! ```
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::sample::Portable;
//! use sutazai_core::port::{Monitor, Samples};
//!
//! let monitor = Portable::new()?;
//! let mut samples = Samples::default();
//! monitor.sample(Timestamp::now(), &mut samples)?;
//! let memory = samples.iter().find(|sample| &*sample.series == "memory_total_bytes");
//! assert!(memory.is_some_and(|sample| sample.value > 0.0));
//! # Ok::<(), sutazai_core::Error>(())
//! ```

#[cfg(target_os = "linux")]
mod container;
#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(feature = "nvml")]
mod gpu;
#[cfg(target_os = "linux")]
mod grown;
#[cfg(target_os = "linux")]
mod kept;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod number;
mod portable;
#[cfg(target_os = "linux")]
mod pressure;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod system;

#[cfg(feature = "nvml")]
pub use gpu::Gpus;
pub use portable::Portable;
#[cfg(target_os = "linux")]
pub use processes::Processes;
#[cfg(target_os = "linux")]
pub use system::{Part, System, SystemOptions};
