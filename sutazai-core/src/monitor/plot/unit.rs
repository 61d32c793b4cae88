//! What values are: [`Unit`].

/// The unit of values, and how they are written on an axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name; empty where there is none.
    pub name: String,
    /// Whether a thousand of them are 1,024, as of bytes.
    pub binary: bool,
}

/// Digits behind the point, at most: floats have no more.
const DIGITS: f64 = 16.0;

impl Unit {
    /// That of a series, by the end of its name as those of Prometheus have it. Of a counter (`…_total`) that of its growth in
    /// a second.
    pub fn of(series: &str) -> Self {
        let bare = series.split_once('{').map_or(series, |(name, _)| name);
        let counted = bare.strip_suffix("_total");
        let last = counted.unwrap_or(bare).rsplit('_').next().unwrap_or_default();
        let (name, binary) = match last {
            "bytes" => ("bytes", true),
            "seconds" => ("seconds", false),
            "ratio" => ("ratio", false),
            "celsius" => ("°C", false),
            "watts" => ("watts", false),
            "cores" => ("cores", false),
            _ => ("", false),
        };
        let name = match (counted, name) {
            (None, name) => name.to_owned(),
            (Some(_), "") => "per second".to_owned(),
            (Some(_), name) => format!("{name} per second"),
        };
        Self { name, binary }
    }

    /// The step between labels at or above this, as 1, 2 or 5 of a power of ten; of bytes, of so many KiB, MiB, ….
    pub(super) fn step(&self, least: f64) -> f64 {
        let (power, _) = self.prefix(least);
        let least = least / power;
        let ten = 10_f64.powf(least.log10().floor());
        let nice = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * ten);
        power * nice.into_iter().find(|nice| *nice >= least * (1.0 - 1e-9)).unwrap_or(least)
    }

    /// A value on an axis whose labels are so far apart and go up to `most`.
    pub(super) fn label(&self, value: f64, step: f64, most: f64) -> String {
        // 50 MiB are no round number of GiB.
        let fine = self.binary && most < 10_000.0 * self.prefix(step).0;
        let (power, prefix) = self.prefix(if fine { step } else { most });
        if prefix.is_none() {
            // As many digits as tell it from its neighbours.
            let digits = value.abs().log10().floor() - (step * (1.0 + 1e-9)).log10().floor();
            let digits = digits.clamp(0.0, DIGITS) as usize;
            let nought = value.abs() < step * 1e-9;
            return if nought { "0".to_owned() } else { format!("{value:.digits$e}") };
        }
        let digits = (-(step / power).log10().floor()).clamp(0.0, DIGITS) as usize;
        let value = value / power;
        let value = if value.abs() < 0.5 * 10_f64.powi(-(digits as i32)) { 0.0 } else { value };
        format!("{value:.digits$}{}", prefix.unwrap_or_default())
    }

    /// The power that a value is told in, and its prefix; none for what has none.
    fn prefix(&self, value: f64) -> (f64, Option<&'static str>) {
        let value = value.abs();
        if value != 0.0 && value < 1e-6 {
            return (1.0, None);
        }
        let (base, names): (f64, [&str; 5]) = match self.binary {
            true => (1_024.0, ["", " Ki", " Mi", " Gi", " Ti"]),
            false => (1_000.0, ["", "k", "M", "G", "T"]),
        };
        // 5,000 is told as it is.
        let first = if self.binary { base } else { 10_000.0 };
        if value < first {
            return (1.0, Some(""));
        }
        let mut power = base;
        for name in names.into_iter().skip(1) {
            if value < power * base {
                return (power, Some(name));
            }
            power *= base;
        }
        (1.0, None)
    }
}
