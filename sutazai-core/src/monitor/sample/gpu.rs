//! Graphics processors: NVIDIA's management library, NVML, by the crate `nvml-wrapper`, which loads it at run time.

use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use parking_lot::Mutex;

use crate::base::time::Timestamp;
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// Devices that are measured, at most.
const DEVICES: u32 = 64;

/// Where distributions have the library without its headers.
#[cfg(target_os = "linux")]
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Measures NVIDIA's graphics processors: of the first one `gpu0_used_ratio` (of late, as NVML says), `gpu0_memory_{used,total}_bytes`,
/// `gpu0_memory_used_ratio`, `gpu0_temperature_celsius` and `gpu0_power_watts`. What a device does not tell is not there.
pub struct Gpus {
    source: Box<dyn Source>,
    names: Mutex<Vec<[Arc<str>; 6]>>,
}

/// Who tells of devices.
trait Source: Send + Sync {
    /// How many there are.
    fn count(&self) -> Result<u32>;
    /// What the device of this number tells.
    fn read(&self, device: u32) -> Reading;
}

/// What one device tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    /// Of a hundred.
    used_percent: Option<u32>,
    /// Used, and all.
    memory_bytes: Option<(u64, u64)>,
    celsius: Option<u32>,
    milliwatts: Option<u32>,
}

impl Gpus {
    /// Loads the library.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] where there is no library, no driver, or no device.
    pub fn new() -> Result<Self> {
        let library = Nvml::init();
        #[cfg(target_os = "linux")]
        let library = library.or_else(|_| Nvml::builder().lib_path(LIBRARY.as_ref()).init());
        Self::from(Box::new(
            library.map_err(|error| unsupported("NVML cannot be used").because(error))?,
        ))
    }

    fn from(source: Box<dyn Source>) -> Result<Self> {
        if source.count()? == 0 {
            return Err(unsupported("there is no graphics processor"));
        }
        Ok(Self { source, names: Mutex::default() })
    }
}

impl Monitor for Gpus {
    fn name(&self) -> &str {
        "gpu"
    }

    fn sample(&self, _now: Timestamp, out: &mut Samples) -> Result<()> {
        let count = self.source.count()?.min(DEVICES);
        let mut names = self.names.lock();
        for number in names.len()..count as usize {
            let series = |what: &str| Arc::from(format!("gpu{number}_{what}"));
            let what = [
                "used_ratio",
                "memory_used_bytes",
                "memory_total_bytes",
                "memory_used_ratio",
                "temperature_celsius",
                "power_watts",
            ];
            names.push(what.map(series));
        }
        for (device, names) in (0..count).zip(names.iter()) {
            self.source.read(device).tell(names, out);
        }
        Ok(())
    }
}

impl Reading {
    fn tell(self, names: &[Arc<str>; 6], out: &mut Samples) {
        let [used, memory_used, memory_total, memory_ratio, celsius, watts] = names;
        let mut add = |name: &Arc<str>, value: f64| out.add(Arc::clone(name), value);
        if let Some(percent) = self.used_percent {
            add(used, f64::from(percent.min(100)) / 100.0);
        }
        if let Some((in_use, total)) = self.memory_bytes {
            add(memory_used, in_use as f64);
            add(memory_total, total as f64);
            if total > 0 {
                add(memory_ratio, in_use as f64 / total as f64);
            }
        }
        if let Some(degrees) = self.celsius {
            add(celsius, f64::from(degrees));
        }
        if let Some(milliwatts) = self.milliwatts {
            add(watts, f64::from(milliwatts) / 1_000.0);
        }
    }
}

impl Source for Nvml {
    fn count(&self) -> Result<u32> {
        self.device_count().map_err(|error| {
            Error::new(Code::IO, "NVML does not answer").operation("monitor.sample").because(error)
        })
    }

    fn read(&self, device: u32) -> Reading {
        let Ok(device) = self.device_by_index(device) else { return Reading::default() };
        Reading {
            used_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
            memory_bytes: device.memory_info().ok().map(|memory| (memory.used, memory.total)),
            celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            milliwatts: device.power_usage().ok(),
        }
    }
}

fn unsupported(what: &'static str) -> Error {
    Error::new(Code::UNSUPPORTED, what).operation("monitor.sample")
}

impl std::fmt::Debug for Gpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpus").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    struct Two(Vec<Reading>);

    impl Source for Two {
        fn count(&self) -> Result<u32> {
            Ok(self.0.len() as u32)
        }
        fn read(&self, device: u32) -> Reading {
            self.0[device as usize]
        }
    }

    #[test]
    fn readings_become_samples() {
        let full = Reading {
            used_percent: Some(37),
            memory_bytes: Some((3 << 30, 12 << 30)),
            celsius: Some(64),
            milliwatts: Some(181_500),
        };
        let odd =
            Reading { used_percent: Some(250), memory_bytes: Some((0, 0)), ..Reading::default() };
        let gpus = Gpus::from(Box::new(Two(vec![full, odd]))).unwrap();
        let mut out = Samples::default();
        for _ in 0..2 {
            out.clear();
            gpus.sample(Timestamp::EPOCH, &mut out).unwrap();
        }
        let told: Vec<(&str, f64)> = out.iter().map(|one| (&*one.series, one.value)).collect();
        let expected = [
            ("gpu0_used_ratio", 0.37),
            ("gpu0_memory_used_bytes", (3_u64 << 30) as f64),
            ("gpu0_memory_total_bytes", (12_u64 << 30) as f64),
            ("gpu0_memory_used_ratio", 0.25),
            ("gpu0_temperature_celsius", 64.0),
            ("gpu0_power_watts", 181.5),
            ("gpu1_used_ratio", 1.0),
            ("gpu1_memory_used_bytes", 0.0),
            ("gpu1_memory_total_bytes", 0.0),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn without_a_device_it_says_so() {
        let none = Gpus::from(Box::new(Two(Vec::new()))).unwrap_err();
        assert_eq!(none.code(), Code::UNSUPPORTED);
        // Of the library itself, where this machine has none.
        if let Err(error) = Gpus::new() {
            assert!([Code::UNSUPPORTED, Code::IO].contains(&error.code()), "{error}");
        }
    }
}
