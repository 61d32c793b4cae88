//! Limits of control groups, version 2 (the kernel's Documentation/admin-guide/cgroup-v2.rst): what holds for this
//! process is the least of its group and of those above it, and the first to be used up is the fullest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::kept::Kept;
use super::number::{after, lines, number, words};
use crate::port::Samples;

/// Groups above one another that are looked at, at most.
const DEPTH: usize = 32;

/// A group whose limits hold.
struct Group {
    memory_max: Kept,
    memory_current: Kept,
    memory_stat: Kept,
    cpu_max: Kept,
    pids_max: Kept,
    pids_current: Kept,
}

/// What is told of the groups that this process is in.
pub(super) struct Containers {
    /// From its own up.
    groups: Vec<Group>,
    /// Throttling is told of its own.
    cpu_stat: Option<Kept>,
    names: [Arc<str>; 7],
}

/// What binds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    /// The least limit of the groups.
    pub(super) memory: Option<u64>,
    /// How much is used of the limit that is nearest.
    pub(super) memory_share: Option<f64>,
    pub(super) cores: Option<f64>,
}

impl Containers {
    /// `root` is where the file system of the groups is mounted, `of` the text of `/proc/self/cgroup`.
    pub(super) fn new(root: &Path, of: &[u8]) -> Self {
        let names = [
            "container_memory_used_bytes",
            "container_memory_limit_bytes",
            "container_memory_used_ratio",
            "container_cpu_limit_cores",
            "container_throttled_seconds_total",
            "container_pids",
            "container_pids_limit",
        ];
        let folders = folders(root, of);
        let cpu_stat = folders.first().map(|folder| Kept::new(folder.join("cpu.stat")));
        let group = |folder: &PathBuf| Group {
            memory_max: Kept::new(folder.join("memory.max")),
            memory_current: Kept::new(folder.join("memory.current")),
            memory_stat: Kept::new(folder.join("memory.stat")),
            cpu_max: Kept::new(folder.join("cpu.max")),
            pids_max: Kept::new(folder.join("pids.max")),
            pids_current: Kept::new(folder.join("pids.current")),
        };
        Self { groups: folders.iter().map(group).collect(), cpu_stat, names: names.map(Arc::from) }
    }

    pub(super) fn take(&mut self, buffer: &mut Vec<u8>, out: &mut Samples) -> Bounds {
        let mut bounds = Bounds::default();
        let mut memory: Option<(u64, u64)> = None;
        let mut pids: Option<(u64, u64)> = None;
        for group in &mut self.groups {
            if let Some(there) = group.memory(buffer) {
                memory = Some(memory.filter(|least| least.1 <= there.1).unwrap_or(there));
                let share = share(there);
                bounds.memory_share =
                    Some(bounds.memory_share.map_or(share, |most| most.max(share)));
            }
            if let Some(cores) = group.cores(buffer) {
                bounds.cores = Some(bounds.cores.map_or(cores, |least| least.min(cores)));
            }
            if let Some(there) = group.pids(buffer) {
                pids = Some(tighter(pids, there));
            }
        }
        let [used_name, limit_name, ratio_name, cores_name, throttled_name, pids_name, pids_limit] =
            &self.names;
        if let Some((used, limit)) = memory {
            out.add(Arc::clone(used_name), used as f64);
            out.add(Arc::clone(limit_name), limit as f64);
            bounds.memory = Some(limit);
        }
        if let Some(share) = bounds.memory_share {
            out.add(Arc::clone(ratio_name), share);
        }
        if let Some(cores) = bounds.cores {
            out.add(Arc::clone(cores_name), cores);
        }
        let throttled = self
            .cpu_stat
            .as_mut()
            .and_then(|stat| number(after(stat.read(buffer).ok()?, b"throttled_usec ")?));
        if let Some(micros) = throttled {
            out.add(Arc::clone(throttled_name), micros as f64 / 1e6);
        }
        if let Some((used, limit)) = pids {
            out.add(Arc::clone(pids_name), used as f64);
            out.add(Arc::clone(pids_limit), limit as f64);
        }
        bounds
    }
}

impl Group {
    /// Used and limit, where there is one. What the kernel can drop at once, pages of files that nobody has used of
    /// late, is not used.
    fn memory(&mut self, buffer: &mut Vec<u8>) -> Option<(u64, u64)> {
        let limit = number(self.memory_max.read(buffer).ok()?)?;
        let current = number(self.memory_current.read(buffer).ok()?)?;
        let stat = self.memory_stat.read(buffer).unwrap_or_default();
        let inactive = after(stat, b"inactive_file ").and_then(number).unwrap_or(0);
        Some((current.saturating_sub(inactive), limit))
    }

    /// `quota period`, in microseconds; `max` for no limit.
    fn cores(&mut self, buffer: &mut Vec<u8>) -> Option<f64> {
        let text = self.cpu_max.read(buffer).ok()?;
        let mut words = words(lines(text).next()?);
        let (quota, period) = (number(words.next()?)?, number(words.next()?)?);
        (period > 0).then(|| quota as f64 / period as f64)
    }

    fn pids(&mut self, buffer: &mut Vec<u8>) -> Option<(u64, u64)> {
        let limit = number(self.pids_max.read(buffer).ok()?)?;
        Some((number(self.pids_current.read(buffer).ok()?)?, limit))
    }
}

/// How much of it is used.
fn share((used, limit): (u64, u64)) -> f64 {
    match limit {
        0 => 1.0,
        limit => used as f64 / limit as f64,
    }
}

/// Whichever is nearer to its limit.
fn tighter(one: Option<(u64, u64)>, other: (u64, u64)) -> (u64, u64) {
    one.filter(|one| share(*one) >= share(other)).unwrap_or(other)
}

/// The folders of the group that `0::/path` names, and of those above it; where both versions are mounted, the second
/// one is below `unified`.
fn folders(root: &Path, of: &[u8]) -> Vec<PathBuf> {
    let Some(path) = lines(of).find_map(|line| line.strip_prefix(b"0::")) else {
        return Vec::new();
    };
    let Ok(path) = std::str::from_utf8(path) else { return Vec::new() };
    let below = path.trim_start_matches('/');
    // Outside of what this process may see.
    if below.split('/').any(|part| part == "..") {
        return Vec::new();
    }
    let unified = root.join("unified");
    let root = if unified.is_dir() { unified } else { root.to_owned() };
    let own = root.join(below);
    let own = if own.is_dir() { own } else { root.clone() };
    own.ancestors()
        .take_while(|folder| folder.starts_with(&root))
        .take(DEPTH)
        .map(Path::to_owned)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::super::system::tests::value;
    use super::*;

    #[test]
    fn the_tightest_limit_is_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("pod/box");
        fs::create_dir_all(&own).unwrap();
        let write = |at: &Path, name: &str, text: &str| fs::write(at.join(name), text).unwrap();
        write(&own, "memory.max", "max\n");
        write(&own, "memory.current", "5000\n");
        write(&own, "cpu.max", "max 100000\n");
        write(&own, "cpu.stat", "usage_usec 10\nthrottled_usec 2500000\n");
        write(&own, "pids.max", "100\n");
        write(&own, "pids.current", "7\n");
        let pod = dir.path().join("pod");
        write(&pod, "memory.max", "10000\n");
        write(&pod, "memory.current", "8000\n");
        write(&pod, "memory.stat", "anon 1\ninactive_file 500\nfile 9\n");
        write(&pod, "cpu.max", "150000 100000\n");
        let mut containers = Containers::new(dir.path(), b"1:cpu:/x\n0::/pod/box\n");
        let mut out = Samples::default();
        let bounds = containers.take(&mut Vec::new(), &mut out);
        let expected = Bounds { memory: Some(10000), memory_share: Some(0.75), cores: Some(1.5) };
        assert_eq!(bounds, expected);
        assert_eq!(value(&out, "container_memory_used_ratio"), Some(0.75));
        assert_eq!(value(&out, "container_throttled_seconds_total"), Some(2.5));
        assert_eq!(
            (value(&out, "container_pids"), value(&out, "container_pids_limit")),
            (Some(7.0), Some(100.0))
        );
        // A limit that is set later holds from then on.
        write(&own, "memory.max", "5200\n");
        let bounds = containers.take(&mut Vec::new(), &mut out);
        assert_eq!((bounds.memory, bounds.memory_share), (Some(5200), Some(5000.0 / 5200.0)));
        // The group above may be nearer to its limit than the one with the least is.
        write(&own, "memory.max", "9000\n");
        write(&own, "memory.current", "100\n");
        write(&pod, "memory.current", "10000\n");
        out.clear();
        let bounds = containers.take(&mut Vec::new(), &mut out);
        assert_eq!((bounds.memory, bounds.memory_share), (Some(9000), Some(0.95)));
        let told = ["limit_bytes", "used_bytes", "used_ratio"];
        let told = told.map(|what| value(&out, &format!("container_memory_{what}")));
        assert_eq!(told, [Some(9000.0), Some(100.0), Some(0.95)]);
    }

    #[test]
    fn where_there_are_no_groups_nothing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for of in [&b""[..], b"0::/", b"0::/../above", b"0::/gone", b"4:cpu:/a", b"0::\xff"] {
            let mut out = Samples::default();
            let bounds = Containers::new(dir.path(), of).take(&mut Vec::new(), &mut out);
            assert_eq!((bounds, out.iter().count()), (Bounds::default(), 0));
        }
    }
}
