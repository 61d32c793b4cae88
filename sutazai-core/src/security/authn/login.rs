//! One login on its way: a state machine. No I/O, no clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::policy::{LoginPolicy, SecondFactor};
use crate::base::time::Timestamp;

/// What is to happen next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// All that is wanted is there.
    Done,
    /// One of these is wanted.
    Factor(Vec<String>),
    /// It leads nowhere: why.
    Dead(&'static str),
}

/// One login on its way. Whoever has proved one factor is known by name.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) principal: String,
    /// The schemes that were proved, in order.
    pub(super) proved: Vec<String>,
    /// What the providers said of the session.
    pub(super) attributes: BTreeMap<String, String>,
    /// Where it comes from, and with which device.
    pub(super) origin: Option<String>,
    pub(super) device: Option<String>,
    pub(super) device_known: bool,
    /// How risky it looks, 0 to 1.
    pub(super) risk: f64,
    /// So many have guessed in this name that one factor is not enough.
    pub(super) doubtful: bool,
    pub(super) tries: u32,
    pub(super) began: Timestamp,
}

impl Login {
    /// After the factors that were proved. `enrolled` are the second factors that the principal has.
    pub(super) fn next(&self, policy: &LoginPolicy, enrolled: &[String]) -> Next {
        if self.risk >= policy.refuse_risk {
            return Next::Dead("the risk is too high");
        }
        let has = |schemes: &[String]| self.proved.iter().any(|scheme| schemes.contains(scheme));
        let enough = has(&policy.alone) && self.risk < policy.step_up_risk;
        if enough || (self.proved.len() > 1 && has(&policy.second)) {
            return Next::Done;
        }
        let left: Vec<String> =
            enrolled.iter().filter(|scheme| !self.proved.contains(scheme)).cloned().collect();
        let demanded = policy.second_factor == SecondFactor::Always
            || self.risk >= policy.step_up_risk
            || (self.doubtful && !self.device_known);
        match (demanded, left.is_empty()) {
            (true, true) if has(&policy.alone) => Next::Dead("the risk is too high for one factor"),
            (true, true) => Next::Dead("a second factor is wanted, and there is none"),
            (_, false) if demanded || policy.second_factor == SecondFactor::Enrolled => {
                Next::Factor(left)
            }
            _ => Next::Done,
        }
    }

    /// Whether its time is up.
    pub(super) fn is_over(&self, policy: &LoginPolicy, now: Timestamp) -> bool {
        let passed = now.as_nanos().saturating_sub(self.began.as_nanos());
        // A clock set back does not make it longer.
        passed < 0 || u64::try_from(passed).is_ok_and(|ns| ns / 1_000_000 >= policy.lasts_ms)
    }
}

/// Which login of somebody's goes for another of theirs: none from a device that they have logged in from, if there is
/// another; of those the oldest from where the most come.
pub(super) fn goes_of<'a>(
    logins: &'a HashMap<String, Login>,
    principal: &str,
) -> Option<(&'a String, &'a Login)> {
    let theirs = || logins.iter().filter(|(_, one)| one.principal == principal);
    let from = |origin: &Option<String>| theirs().filter(|(_, one)| one.origin == *origin).count();
    theirs().min_by_key(|(_, one)| (one.device_known, Reverse(from(&one.origin)), one.began))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(proved: &[&str], risk: f64) -> Login {
        Login {
            principal: "ann".to_owned(),
            proved: names(proved),
            attributes: BTreeMap::new(),
            origin: None,
            device: None,
            device_known: false,
            risk,
            doubtful: false,
            tries: 0,
            began: Timestamp::EPOCH,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_second_factor_is_wanted_of_whoever_has_one_and_by_risk() {
        let policy = LoginPolicy::default();
        let totp = names(&["totp"]);
        assert_eq!(login(&["password"], 0.0).next(&policy, &[]), Next::Done);
        assert_eq!(login(&["password"], 0.0).next(&policy, &totp), Next::Factor(totp.clone()));
        assert_eq!(login(&["password", "totp"], 0.0).next(&policy, &totp), Next::Done);
        assert_eq!(login(&["passkey"], 0.0).next(&policy, &totp), Next::Done);
        assert_eq!(login(&["passkey"], 0.6).next(&policy, &totp), Next::Factor(totp.clone()));
        assert!(matches!(login(&["password"], 0.6).next(&policy, &[]), Next::Dead(_)));
        assert!(matches!(login(&["password", "totp"], 0.9).next(&policy, &totp), Next::Dead(_)));
        let never = LoginPolicy { second_factor: SecondFactor::Never, ..policy.clone() };
        assert_eq!(login(&["password"], 0.0).next(&never, &totp), Next::Done);
        assert_eq!(login(&["password"], 0.5).next(&never, &totp), Next::Factor(totp.clone()));
        let always = LoginPolicy { second_factor: SecondFactor::Always, ..policy };
        assert!(matches!(login(&["password"], 0.0).next(&always, &[]), Next::Dead(_)));
    }

    #[test]
    fn where_strangers_guess_a_known_device_needs_no_more_than_before() {
        let policy = LoginPolicy::default();
        let mut one = login(&["password"], 0.0);
        one.doubtful = true;
        assert!(matches!(one.next(&policy, &[]), Next::Dead(_)));
        one.device_known = true;
        assert_eq!(one.next(&policy, &[]), Next::Done);
    }

    #[test]
    fn two_times_the_first_factor_are_one() {
        let policy = LoginPolicy::default();
        let totp = names(&["totp"]);
        let next = login(&["password", "oidc"], 0.0).next(&policy, &totp);
        assert_eq!(next, Next::Factor(totp));
    }

    #[test]
    fn it_ends_and_a_clock_set_back_ends_it_too() {
        let policy = LoginPolicy::default();
        let at = |ms: i64| Timestamp::from_nanos(ms * 1_000_000);
        let one = login(&[], 0.0);
        assert!(!one.is_over(&policy, at(599_999)));
        assert!(one.is_over(&policy, at(600_000)) && one.is_over(&policy, at(-1)));
    }
}
