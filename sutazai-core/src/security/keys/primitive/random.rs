//! Random bytes of the operating system.

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{Code, Error, Result};

/// Fills the buffer with random bytes fit for keys.
///
/// # Errors
/// [`Code::INTERNAL`] when the system gives none.
pub fn fill(out: &mut [u8]) -> Result<()> {
    SystemRandom::new()
        .fill(out)
        .map_err(|_| Error::new(Code::INTERNAL, "the operating system gives no random bytes"))
}

/// So many random bytes that need not be secret.
///
/// # Errors
/// As [`fill`].
pub fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}
