//! Which factors a login takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::throttle::ThrottlePolicy;
use crate::{Code, Error, Result};

/// When a second factor is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactor {
    /// Only where the risk wants it.
    Never,
    /// Of everybody who has one, and where the risk wants it.
    #[default]
    Enrolled,
    /// Of everybody: whoever has none cannot log in.
    Always,
}

/// Which factors a login takes, and how much of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoginPolicy {
    /// Schemes that a login may begin with. Default: every scheme that has a provider, but for those
    /// of [`second`](Self::second).
    pub first: Vec<String>,
    /// Schemes that are second factors. Default: `totp`, `webauthn`, `recovery`.
    pub second: Vec<String>,
    /// Schemes that are two factors in one, and schemes of programs, which have one only. Default:
    /// `passkey`, `api-key`, `certificate`.
    pub alone: Vec<String>,
    /// When a second factor is wanted. Default: of everybody who has one.
    pub second_factor: SecondFactor,
    /// From this risk on (0 to 1) a second factor is wanted in any case. Default: 0.5.
    pub step_up_risk: f64,
    /// From this risk on (0 to 1) nobody logs in. Default: 0.9.
    pub refuse_risk: f64,
    /// How long a login may take, in milliseconds. Default: 600,000 (10 minutes).
    pub lasts_ms: u64,
    /// Wrong answers until a login is over. Default: 5.
    pub tries: u32,
    /// Logins that are under way at once; of more, the oldest goes. Default: 10,000.
    pub at_once: usize,
    /// Logins of one principal that are under way at once; of more, their oldest goes. Default: 5.
    pub of_one: usize,
    /// How guessing is slowed down.
    pub throttle: ThrottlePolicy,
}

impl Default for LoginPolicy {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            first: Vec::new(),
            second: names(&["totp", "webauthn", "recovery"]),
            alone: names(&["passkey", "api-key", "certificate"]),
            second_factor: SecondFactor::default(),
            step_up_risk: 0.5,
            refuse_risk: 0.9,
            lasts_ms: 600_000,
            tries: 5,
            at_once: 10_000,
            of_one: 5,
            throttle: ThrottlePolicy::default(),
        }
    }
}

impl LoginPolicy {
    pub(in crate::security) fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, what: &'static str| {
            Error::new(Code::INVALID, what).operation("security.login").with("field", field)
        };
        for (field, risk) in
            [("step_up_risk", self.step_up_risk), ("refuse_risk", self.refuse_risk)]
        {
            if !(0.0..=1.0).contains(&risk) {
                return Err(invalid(field, "risks are 0 to 1"));
            }
        }
        if !(1_000..=86_400_000).contains(&self.lasts_ms) {
            return Err(invalid("lasts_ms", "a login lasts a second to a day"));
        }
        let none = [
            ("tries", self.tries == 0),
            ("at_once", self.at_once == 0),
            ("of_one", self.of_one == 0),
        ];
        if let Some((field, _)) = none.into_iter().find(|(_, none)| *none) {
            return Err(invalid(field, "tries and logins at once are 1 at least"));
        }
        if let Some(both) = self.first.iter().find(|scheme| self.second.contains(scheme)) {
            let what = "a scheme is the first factor or the second";
            return Err(invalid("first", what).with("scheme", both));
        }
        Ok(())
    }

    /// Whether a login may begin with this scheme.
    pub(super) fn begins(&self, scheme: &str) -> bool {
        let is = |schemes: &[String]| schemes.iter().any(|one| one == scheme);
        is(&self.alone) || is(&self.first) || (self.first.is_empty() && !is(&self.second))
    }
}
