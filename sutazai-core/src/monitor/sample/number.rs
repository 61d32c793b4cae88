//! Numbers and words out of the kernel's texts.

/// The words of a line.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// The lines of a text.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// The number that a word begins with; none where it begins with something else, or has too many digits.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    let mut value: Option<u64> = None;
    for digit in digits {
        let digit = u64::from(digit - b'0');
        value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
    }
    value
}

/// As many numbers as there are to be, the first of these words; none where one of them is no number.
pub(super) fn numbers<'a, const N: usize>(
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Option<[u64; N]> {
    let mut all = [0; N];
    for field in &mut all {
        *field = number(words.next()?)?;
    }
    Some(all)
}

/// A number with a fraction, as `1.23`.
pub(super) fn fraction(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

/// What follows a name at the beginning of a line.
pub(super) fn after<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(text).find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(number(b"12kB"), Some(12));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!((number(b""), number(b"-1"), number(b"max")), (None, None, None));
        assert_eq!(numbers(words(b"1 2 3")), Some([1, 2]));
        assert_eq!((numbers::<2>(words(b"1")), numbers::<2>(words(b"1 x"))), (None, None));
        assert_eq!(fraction(b"0.25\n"), Some(0.25));
        assert_eq!((fraction(b"inf"), fraction(b"x"), fraction(b"\xff")), (None, None, None));
    }

    #[test]
    fn words_and_lines() {
        let text = b"cpu  1 2\t3\ncpu0 4\n";
        assert_eq!(
            words(lines(text).next().unwrap()).collect::<Vec<_>>(),
            [&b"cpu"[..], b"1", b"2", b"3"]
        );
        assert_eq!(after(text, b"cpu0 "), Some(&b"4"[..]));
        assert_eq!(after(text, b"cpu1"), None);
    }
}
