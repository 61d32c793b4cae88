//! Which monitors fail, so that each is told of once: when it begins to, when it fails otherwise, and when it measures again.

use std::collections::BTreeMap;

use crate::monitor::Sampled;
use crate::{Code, Error};

/// The monitors that failed the last time, and how.
#[derive(Default)]
pub(super) struct Failing(BTreeMap<String, Code>);

/// What is to be told.
#[derive(Default)]
pub(super) struct News {
    pub(super) failed: Vec<(String, Error)>,
    pub(super) again: Vec<String>,
}

impl Failing {
    /// What a sample says of the monitors that there are.
    pub(super) fn see(&mut self, sampled: &Sampled, there: impl FnOnce() -> Vec<String>) -> News {
        let mut news = News::default();
        if self.0.is_empty() && sampled.failures.is_empty() {
            return news;
        }
        let there = there();
        let mut now = BTreeMap::new();
        for (monitor, error) in &sampled.failures {
            // Of several the first one.
            if !there.contains(monitor) || now.contains_key(monitor) {
                continue;
            }
            now.insert(monitor.clone(), error.code());
            if self.0.get(monitor) != Some(&error.code()) {
                news.failed.push((monitor.clone(), error.clone()));
            }
        }
        for (monitor, code) in std::mem::take(&mut self.0) {
            if now.contains_key(&monitor) || !there.contains(&monitor) {
                continue;
            }
            // Of those that have not returned, or were not asked, nothing is known yet.
            match sampled.away.contains(&monitor) || sampled.unasked.contains(&monitor) {
                true => drop(now.insert(monitor, code)),
                false => news.again.push(monitor),
            }
        }
        self.0 = now;
        news
    }

    /// A monitor is taken away: another one of its name has not failed yet.
    pub(super) fn forget(&mut self, monitor: &str) {
        self.0.remove(monitor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::monitor::{Watch, WatchPolicy};

    #[test]
    fn each_failure_is_told_of_once_and_a_new_one_again() {
        let watch = Watch::new(WatchPolicy::default(), None).unwrap();
        let mut sampled = watch.sample(Timestamp::EPOCH).unwrap();
        let mut failing = Failing::default();
        let mut see = |failures: &[(&str, Code)], away: &[&str], unasked: &[&str]| {
            let error = |code| Error::new(code, "on purpose");
            sampled.failures =
                failures.iter().map(|(name, code)| ((*name).to_owned(), error(*code))).collect();
            sampled.away = away.iter().map(|name| (*name).to_owned()).collect();
            sampled.unasked = unasked.iter().map(|name| (*name).to_owned()).collect();
            let news = failing.see(&sampled, || vec!["a".to_owned(), "b".to_owned()]);
            let failed: Vec<(String, Code)> =
                news.failed.into_iter().map(|(name, error)| (name, error.code())).collect();
            (failed, news.again)
        };
        let io = ("a", Code::IO);
        let told = |name: &str, code| (vec![(name.to_owned(), code)], Vec::new());
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(see(&[io], &[], &[]), told("a", Code::IO));
        assert_eq!(see(&[io], &[], &[]), nothing);
        assert_eq!(see(&[], &["a"], &[]), nothing);
        assert_eq!(see(&[], &[], &["a"]), nothing);
        // Now it hangs: that is another matter.
        let hangs = ("a", Code::TIMEOUT);
        assert_eq!(see(&[hangs], &["a"], &[]), told("a", Code::TIMEOUT));
        assert_eq!(see(&[hangs, ("gone", Code::IO)], &["a"], &[]), nothing);
        assert_eq!(see(&[], &[], &[]), (Vec::new(), vec!["a".to_owned()]));
        assert_eq!(see(&[], &[], &[]), nothing);
        assert_eq!(see(&[io], &[], &[]), told("a", Code::IO));
        // Another one of the name.
        failing.forget("a");
        let news = failing.see(&sampled, || vec!["a".to_owned()]);
        assert_eq!((news.failed.len(), news.again.len()), (1, 0));
    }
}
