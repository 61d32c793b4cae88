//! A column of a sealed block: numbers, compressed by pco.
//!
//! M. Loncaric et al.: Pcodec: Better Compression for Numerical Sequences, 2025 (arXiv:2502.06112). What is
//! constant, and times that are regular, take no more than what tells them. Values that are decimals with few
//! places, as most measurements are, may be kept as whole numbers, where each comes back bit by bit
//! (after A. Afroozeh, L. Kuffo, P. Boncz: ALP: Adaptive Lossless Floating-Point Compression, SIGMOD 2023).

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};

/// The first byte: all numbers are the one that follows.
const CONSTANT: u8 = 0;
/// The first byte: a first number follows, and what each later one is more.
const REGULAR: u8 = 1;
/// The first byte: pco's own format follows.
const PCO: u8 = 2;
/// The first byte: the numbers follow as they are.
const PLAIN: u8 = 3;
/// The first byte: the number of decimal places follows (`u8`), and values as whole numbers of units of the last
/// place, as times are written. 4 is what a block makes of a column that is the same as another one.
const DECIMAL: u8 = 5;

/// Powers of ten by the number of decimal places: floats have each exactly, and quotients by them are the
/// nearest floats to the decimals.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// Whole numbers up to here are floats, each of them.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Times, or whatever else comes as integers.
pub(super) fn write_times(times: &[i64]) -> Vec<u8> {
    let first = times.first().copied().unwrap_or_default();
    let step = times.get(1).map_or(0, |second| second.wrapping_sub(first));
    let regular = times.windows(2).all(|pair| match pair {
        [a, b] => b.wrapping_sub(*a) == step,
        _ => true,
    });
    if regular {
        let mut out = vec![REGULAR];
        out.extend(first.to_le_bytes());
        out.extend(step.to_le_bytes());
        return out;
    }
    packed(times).unwrap_or_else(|| plain(times.iter().map(|t| t.to_le_bytes())))
}

/// The numbers that [`write_times`] was given; nothing when the bytes are not of so many.
pub(super) fn read_times(bytes: &[u8], count: usize) -> Option<Vec<i64>> {
    let (&kind, rest) = bytes.split_first()?;
    match kind {
        REGULAR => {
            let (first, step) = rest.split_first_chunk()?;
            let first = i64::from_le_bytes(*first);
            let step = i64::from_le_bytes(step.try_into().ok()?);
            let at = |index: i64| first.wrapping_add(step.wrapping_mul(index));
            Some((0..i64::try_from(count).ok()?).map(at).collect())
        }
        PCO => unpacked(rest, count),
        PLAIN => plain_read(rest, count, i64::from_le_bytes),
        _ => None,
    }
}

/// Values.
pub(super) fn write_values(values: &[f64]) -> Vec<u8> {
    let first = values.first().copied().unwrap_or_default().to_bits();
    if values.iter().all(|value| value.to_bits() == first) {
        let mut out = vec![CONSTANT];
        out.extend(first.to_le_bytes());
        return out;
    }
    let floats = packed(values).unwrap_or_else(|| plain(values.iter().map(|v| v.to_le_bytes())));
    // Which one is smaller is hard to tell beforehand: drifting values are, as floats, often no larger.
    match decimals(values) {
        Some((places, wholes)) => {
            let mut out = vec![DECIMAL, places];
            out.extend(write_times(&wholes));
            if out.len() < floats.len() { out } else { floats }
        }
        None => floats,
    }
}

/// The least number of decimal places that all values have, and the values as whole numbers of the last place;
/// nothing when one would not come back as it is.
fn decimals(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut places = 0;
    for value in values {
        while whole(*value, *POWERS.get(places)?).is_none() {
            places += 1;
        }
    }
    let power = *POWERS.get(places)?;
    let wholes = values.iter().map(|value| whole(*value, power)).collect::<Option<Vec<_>>>()?;
    Some((u8::try_from(places).ok()?, wholes))
}

/// A value in units of a power's inverse, if it comes back from that.
fn whole(value: f64, power: f64) -> Option<i64> {
    let whole = (value * power).round();
    let back = whole.abs() <= WHOLE_MAX && (whole / power).to_bits() == value.to_bits();
    // Zero below zero is no whole number.
    (back && (whole != 0.0 || whole.is_sign_positive())).then_some(whole as i64)
}

/// The numbers that [`write_values`] was given; nothing when the bytes are not of so many.
pub(super) fn read_values(bytes: &[u8], count: usize) -> Option<Vec<f64>> {
    let (&kind, rest) = bytes.split_first()?;
    match kind {
        CONSTANT => Some(vec![f64::from_le_bytes(rest.try_into().ok()?); count]),
        PCO => unpacked(rest, count),
        PLAIN => plain_read(rest, count, f64::from_le_bytes),
        DECIMAL => {
            let (places, wholes) = rest.split_first()?;
            let power = *POWERS.get(usize::from(*places))?;
            let wholes = read_times(wholes, count)?;
            Some(wholes.into_iter().map(|whole| whole as f64 / power).collect())
        }
        _ => None,
    }
}

/// pco's format, where it is smaller than the numbers are.
fn packed<T: Number>(numbers: &[T]) -> Option<Vec<u8>> {
    let bytes = simple_compress(numbers, &ChunkConfig::default()).ok()?;
    (bytes.len() < numbers.len() * 8).then(|| {
        let mut out = Vec::with_capacity(bytes.len() + 1);
        out.push(PCO);
        out.extend(bytes);
        out
    })
}

fn unpacked<T: Number + Default>(bytes: &[u8], count: usize) -> Option<Vec<T>> {
    let mut out = vec![T::default(); count];
    let progress = simple_decompress_into(bytes, &mut out).ok()?;
    (progress.finished && progress.n_processed == count).then_some(out)
}

fn plain(numbers: impl Iterator<Item = [u8; 8]>) -> Vec<u8> {
    std::iter::once(PLAIN).chain(numbers.flatten()).collect()
}

fn plain_read<T>(bytes: &[u8], count: usize, read: impl Fn([u8; 8]) -> T) -> Option<Vec<T>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    (rest.is_empty() && numbers.len() == count).then(|| numbers.iter().map(|n| read(*n)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_numbers_come_back(bits in prop::collection::vec(any::<u64>(), 0..400)) {
            let values: Vec<f64> = bits.iter().map(|b| f64::from_bits(*b)).collect();
            let read = read_values(&write_values(&values), values.len()).unwrap();
            prop_assert!(read.iter().map(|v| v.to_bits()).eq(bits.iter().copied()));
            let times: Vec<i64> = bits.iter().map(|b| *b as i64).collect();
            prop_assert_eq!(read_times(&write_times(&times), times.len()).unwrap(), times);
        }

        #[test]
        fn changed_bytes_are_something_else_or_none(
            hundredths in prop::collection::vec(-10_000..10_000_i32, 50..300),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            count in 0..400_usize,
        ) {
            let values: Vec<f64> = hundredths.iter().map(|h| f64::from(*h) / 100.0).collect();
            let mut bytes = write_values(&values);
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            // The checksum keeps them from coming here; if they did, nothing would break.
            for count in [count, values.len()] {
                prop_assert!(read_values(&bytes, count).is_none_or(|read| read.len() == count));
                prop_assert!(read_times(&bytes, count).is_none_or(|read| read.len() == count));
            }
        }

        #[test]
        fn decimals_come_back(hundredths in prop::collection::vec(-10_000..10_000_i32, 1..400)) {
            let values: Vec<f64> = hundredths.iter().map(|h| f64::from(*h) / 100.0).collect();
            let bytes = write_values(&values);
            prop_assert_eq!(&read_values(&bytes, values.len()).unwrap(), &values);
            prop_assert!(read_values(&bytes, values.len() + 1).is_none() || values.iter().all(|v| *v == values[0]));
        }
    }

    proptest! {
        #[test]
        fn decimals_with_others_among_them_come_back(
            wholes in prop::collection::vec(any::<i32>(), 1..300),
            places in 0..16_usize,
            odd in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..3),
        ) {
            let mut values: Vec<f64> = wholes.iter().map(|w| f64::from(*w) / POWERS[places]).collect();
            for (place, bits) in odd {
                let place = place.index(values.len());
                values[place] = f64::from_bits(bits);
            }
            let read = read_values(&write_values(&values), values.len()).unwrap();
            prop_assert!(read.iter().map(|v| v.to_bits()).eq(values.iter().map(|v| v.to_bits())));
        }
    }

    #[test]
    fn decimals_are_told_from_what_is_none() {
        let told = |values: &[f64]| decimals(values).map(|(places, _)| places);
        assert_eq!(decimals(&[1.25, -3.0, 0.0]), Some((2, vec![125, -300, 0])));
        assert_eq!(told(&[1e15, 9_007_199_254_740_992.0]), Some(0));
        assert_eq!(told(&[0.1 + 0.2, 0.5]), None, "a last bit more than a decimal");
        for odd in [-0.0, f64::NAN, f64::INFINITY, 1e300, 5e-324, 1.0 / 3.0] {
            assert_eq!(told(&[0.5, odd]), None, "{odd}");
        }
    }

    #[test]
    fn a_step_of_decimals_takes_no_more_than_what_tells_it() {
        let values: Vec<f64> = (0..1_800).map(|i| f64::from(i) / 100.0).collect();
        let bytes = write_values(&values);
        assert_eq!((bytes.len(), read_values(&bytes, 1_800)), (19, Some(values)));
    }

    #[test]
    fn bytes_of_before_decimals_are_read() {
        // As pco's format and plain floats were written for every column until then.
        let values: Vec<f64> = (0..300).map(|i| f64::from(i * i % 97) / 100.0).collect();
        let packed = packed(&values).unwrap();
        assert_eq!(read_values(&packed, 300).unwrap(), values);
        let plain = plain(values.iter().map(|v| v.to_le_bytes()));
        assert_eq!(read_values(&plain, 300).unwrap(), values);
    }

    #[test]
    fn what_says_itself_is_short() {
        let times: Vec<i64> = (0..1_800).map(|i| 1_795_735_467_939 + 1_000 * i).collect();
        assert_eq!(write_times(&times).len(), 17);
        assert_eq!(write_values(&[-0.0; 1_800]).len(), 9);
        assert!(read_values(&write_values(&[-0.0; 9]), 9).unwrap()[0].is_sign_negative());
        assert_ne!(write_values(&[0.0, -0.0])[0], CONSTANT);
    }

    #[test]
    fn other_bytes_are_none() {
        for bytes in [&[][..], &[0, 1], &[1, 2, 3], &[2, 0, 0], &[3, 1], &[5], &[5, 99, 1], &[9, 9]]
        {
            assert!(read_times(bytes, 5).is_none() && read_values(bytes, 5).is_none());
        }
    }
}
