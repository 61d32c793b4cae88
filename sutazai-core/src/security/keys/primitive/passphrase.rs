//! Keys of passphrases: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// What making one key of a passphrase costs, and so one guess.
///
/// The default is RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory in KiB; 8 a lane to 1,048,576 (1 GiB).
    pub memory_kib: u32,
    /// Passes; 1 to 64.
    pub passes: u32,
    /// Lanes; 1 to 16.
    pub lanes: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

impl Cost {
    /// Whether it is within the bounds, which also hold for what an import brings along: nobody's
    /// file makes us take all memory.
    pub(in crate::security::keys) fn check(self) -> Result<Self> {
        let ok = (1..=16).contains(&self.lanes)
            && (1..=64).contains(&self.passes)
            && (8 * self.lanes..=1024 * 1024).contains(&self.memory_kib);
        ok.then_some(self).ok_or_else(|| {
            Error::new(Code::INVALID, "the cost of a passphrase is out of bounds")
                .with("memory_kib", self.memory_kib)
                .with("passes", self.passes)
                .with("lanes", self.lanes)
                .advice("1 to 16 lanes, 1 to 64 passes, 8 KiB a lane to 1 GiB")
        })
    }
}

/// The key of a passphrase with a salt (16 random bytes): 32 bytes.
///
/// # Errors
/// [`Code::INVALID`] for a cost out of bounds, a salt under 8 bytes, or a passphrase that is too long.
pub fn key(passphrase: &Secret, salt: &[u8], cost: Cost) -> Result<Secret> {
    let cost = cost.check()?;
    let failed = |e: argon2::Error| {
        Error::new(Code::INVALID, "no key can be made of the passphrase").with("reason", e)
    };
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    let mut out = vec![0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), salt, &mut out)
        .map_err(failed)?;
    Ok(Secret::new(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9106, §5.3 has a secret and associated data, which are not offered here; this is the
    /// reference implementation's (`argon2 somesalt -id -t 2 -k 256 -p 1 -l 32 <<< password`, its test.c).
    #[test]
    fn the_reference_implementation_agrees() {
        let cost = Cost { memory_kib: 256, passes: 2, lanes: 1 };
        let key = key(&Secret::from("password"), b"somesalt", cost).unwrap();
        let hex: String = key.expose().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
    }

    #[test]
    fn costs_are_bounded() {
        for (memory_kib, passes, lanes) in
            [(8, 1, 0), (8, 1, 17), (8, 0, 1), (8, 65, 1), (31, 1, 4), (u32::MAX, 1, 1)]
        {
            let cost = Cost { memory_kib, passes, lanes };
            assert_eq!(cost.check().unwrap_err().code(), Code::INVALID, "{cost:?}");
        }
    }
}
