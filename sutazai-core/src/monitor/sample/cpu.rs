//! Processors: `/proc/stat` (proc_stat(5)).

use std::sync::Arc;

use super::number::{lines, number, words};
use crate::port::Samples;

/// Ticks of one processor, or of all, by what they went to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    user: u64,
    system: u64,
    idle: u64,
    iowait: u64,
    steal: u64,
}

impl Ticks {
    /// `user nice system idle iowait irq softirq steal …`; old kernels have fewer. The time of guests is in `user`.
    fn read(line: &[u8]) -> Option<Self> {
        let mut fields = [0; 8];
        let mut count = 0;
        for (field, word) in fields.iter_mut().zip(words(line)) {
            *field = number(word)?;
            count += 1;
        }
        let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
        (count >= 4).then_some(Self {
            user: user.saturating_add(nice),
            system: system.saturating_add(irq).saturating_add(softirq),
            idle,
            iowait,
            steal,
        })
    }

    /// What went by since. A field that went back, as iowait may, has not moved.
    fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            idle: self.idle.saturating_sub(before.idle),
            iowait: self.iowait.saturating_sub(before.iowait),
            steal: self.steal.saturating_sub(before.steal),
        }
    }

    /// Both together.
    fn plus(self, more: Self) -> Self {
        Self {
            user: self.user.saturating_add(more.user),
            system: self.system.saturating_add(more.system),
            idle: self.idle.saturating_add(more.idle),
            iowait: self.iowait.saturating_add(more.iowait),
            steal: self.steal.saturating_add(more.steal),
        }
    }

    fn sum(self) -> u64 {
        let Self { user, system, idle, iowait, steal } = self;
        [user, system, idle, iowait, steal].into_iter().fold(0, u64::saturating_add)
    }

    /// Busy and stolen shares; none where no time has passed. Busy is what is not idle, with what others have had of it.
    fn shares(self) -> Option<(f64, f64)> {
        let sum = self.sum();
        let share = |ticks: u64| ticks as f64 / sum as f64;
        let busy = [self.user, self.system, self.steal].into_iter().fold(0, u64::saturating_add);
        (sum > 0).then(|| (share(busy), share(self.steal)))
    }
}

struct Core {
    name: Arc<str>,
    before: Option<Ticks>,
}

/// What was seen of the processors.
pub(super) struct Cpus {
    names: [Arc<str>; 7],
    before: Option<Ticks>,
    /// What the first look had, and what each field has gone up by since: iowait and idle may fall.
    grown: Ticks,
    cores: Vec<Core>,
    most: usize,
    /// Ticks of a second.
    hz: f64,
}

impl Cpus {
    /// `hz` are the ticks of a second. Of more processors than `most` those have no figures of their own.
    pub(super) fn new(hz: u64, most: usize) -> Self {
        let names = [
            "cpu_user_seconds_total",
            "cpu_system_seconds_total",
            "cpu_iowait_seconds_total",
            "cpu_steal_seconds_total",
            "cpu_idle_seconds_total",
            "cpu_used_ratio",
            "cpu_steal_ratio",
        ];
        Self {
            names: names.map(Arc::from),
            before: None,
            grown: Ticks::default(),
            cores: Vec::new(),
            most,
            hz: hz.max(1) as f64,
        }
    }

    pub(super) fn take(&mut self, text: &[u8], out: &mut Samples) {
        for line in lines(text) {
            let Some(rest) = line.strip_prefix(b"cpu") else { break };
            if rest.first() == Some(&b' ') {
                self.take_all(rest, out);
                continue;
            }
            let Some(core) = number(rest) else { break };
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if let (Ok(core), Some(ticks)) =
                (usize::try_from(core), Ticks::read(rest.get(digits..).unwrap_or_default()))
            {
                self.take_core(core, ticks, out);
            }
        }
    }

    fn take_all(&mut self, line: &[u8], out: &mut Samples) {
        let Some(ticks) = Ticks::read(line) else { return };
        let [user, system, iowait, steal, idle, used_ratio, steal_ratio] = &self.names;
        let since = self.before.map(|before| ticks.since(before));
        self.grown = self.grown.plus(since.unwrap_or(ticks));
        let counters = [
            (user, self.grown.user),
            (system, self.grown.system),
            (iowait, self.grown.iowait),
            (steal, self.grown.steal),
            (idle, self.grown.idle),
        ];
        for (name, ticks) in counters {
            // A quotient is the nearest number to the decimal, which is kept in fewer bytes than its neighbours.
            out.add(Arc::clone(name), ticks as f64 / self.hz);
        }
        if let Some((used, stolen)) = since.and_then(Ticks::shares) {
            out.add(Arc::clone(used_ratio), used);
            out.add(Arc::clone(steal_ratio), stolen);
        }
        self.before = Some(ticks);
    }

    fn take_core(&mut self, core: usize, ticks: Ticks, out: &mut Samples) {
        if core >= self.most {
            return;
        }
        while self.cores.len() <= core {
            let name = format!("cpu{}_used_ratio", self.cores.len());
            self.cores.push(Core { name: name.into(), before: None });
        }
        let Some(core) = self.cores.get_mut(core) else { return };
        let shares = core.before.and_then(|before| ticks.since(before).shares());
        if let Some((used, _)) = shares {
            out.add(Arc::clone(&core.name), used);
        }
        core.before = Some(ticks);
    }
}

#[cfg(test)]
mod tests {
    use super::super::system::tests::value;
    use super::*;

    #[test]
    fn counters_and_shares() {
        let mut cpus = Cpus::new(100, 8);
        let mut out = Samples::default();
        cpus.take(
            b"cpu  100 10 50 800 40 5 5 10 0 0\ncpu0 100 10 50 800 40 5 5 10 0 0\nintr 5\n",
            &mut out,
        );
        assert_eq!(value(&out, "cpu_user_seconds_total"), Some(1.1));
        assert_eq!(value(&out, "cpu_system_seconds_total"), Some(0.6));
        assert_eq!(value(&out, "cpu_used_ratio"), None, "of no time");
        out.clear();
        cpus.take(
            b"cpu  130 10 60 840 40 5 5 20 0 0\ncpu0 130 10 60 840 40 5 5 20 0 0\ncpu2 1 1 1 1\n",
            &mut out,
        );
        // 40 of 90 ticks, and 10 stolen, which are no less busy.
        assert!((value(&out, "cpu_used_ratio").unwrap_or_default() - 50.0 / 90.0).abs() < 1e-12);
        assert!((value(&out, "cpu_steal_ratio").unwrap_or_default() - 10.0 / 90.0).abs() < 1e-12);
        assert_eq!(value(&out, "cpu0_used_ratio"), value(&out, "cpu_used_ratio"));
        assert_eq!(value(&out, "cpu2_used_ratio"), None);
    }

    #[test]
    fn what_goes_back_has_not_moved() {
        let mut cpus = Cpus::new(100, 0);
        let mut out = Samples::default();
        cpus.take(b"cpu  100 0 0 100 50", &mut out);
        cpus.take(b"cpu  110 0 0 110 40\ncpu0 1 1 1 1\n", &mut out);
        assert_eq!(value(&out, "cpu_used_ratio"), Some(0.5));
        assert_eq!(value(&out, "cpu0_used_ratio"), None);
        out.clear();
        cpus.take(b"cpu  110 0 0 90 45", &mut out);
        let told = ["user", "idle", "iowait"].map(|of| format!("cpu_{of}_seconds_total"));
        assert_eq!(told.map(|name| value(&out, &name)), [Some(1.1), Some(1.1), Some(0.55)]);
        out.clear();
        cpus.take(b"cpu  110 0 0 110 40\n", &mut out);
        out.clear();
        cpus.take(b"cpu  110 0 0 110 40\n", &mut out);
        assert_eq!(value(&out, "cpu_used_ratio"), None);
        for rubbish in [&b""[..], b"cpu", b"cpu \n", b"cpu  x y\n", b"cpux 1 2 3 4\n", b"\xff\xfe"]
        {
            out.clear();
            cpus.take(rubbish, &mut out);
            assert_eq!(out.iter().count(), 0);
        }
    }
}
