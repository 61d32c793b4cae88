//! Units that were divided are given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::Change;
use super::super::shared::Shared;
use super::carry::{LONGEST_PAUSE, PAUSE};
use super::divided::Divided;
use super::{about, shown};
use crate::Error;
use crate::base::time::Moment;
use crate::observe::Level;
use crate::tune::KnobValue;

/// Members whose knobs could not be set, and what the log has of that.
#[derive(Default)]
pub(super) struct Failing {
    members: BTreeMap<String, Waits>,
    /// Members, and codes of their errors.
    told: BTreeSet<(String, String)>,
}

struct Waits {
    error: Error,
    again: Moment,
    pause: Duration,
}

impl Failing {
    fn failed(&mut self, member: &str, error: &Error, now: Moment) {
        let last = self.members.get(member).map(|one| one.pause);
        let pause = last.map_or(PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        let waits = Waits { error: error.clone(), again: now + pause, pause };
        self.members.insert(member.to_owned(), waits);
    }

    fn set(&mut self, member: &str) {
        self.members.remove(member);
        self.told.retain(|(one, _)| one != member);
    }

    /// Whether this is not on the log yet: of each member one error of a kind is, until it can be set again.
    fn is_news(&mut self, error: &Error) -> bool {
        let member = error.context().find(|(key, _)| *key == "member");
        let member = member.map(|(_, value)| value.to_string()).unwrap_or_default();
        self.told.insert((member, error.code().to_string()))
    }
}

impl Shared {
    /// Sets knobs that shrink first: there are never more units than there are. What cannot be taken from one, or is not known
    /// to be, is not given to another. The host is told of its own.
    /// What failed is tried again after a pause that grows, or now where somebody `insists`.
    pub(super) fn give(
        self: &Arc<Self>,
        divided: &Divided,
        units: &BTreeMap<String, u64>,
        insists: bool,
    ) {
        let now = self.runtime.now();
        let mut failing = std::mem::take(&mut divided.state.lock().failing);
        let mut trouble = None;
        let mut moves = Vec::new();
        let mut has = divided.state.lock().units.clone();
        for (member, wanted) in units {
            let (knob, present) = match divided.knobs.get(member) {
                None => (None, has.get(member).copied().unwrap_or(0)),
                Some(knob) => match knob.value() {
                    Ok(KnobValue::Integer(present)) => {
                        (Some(knob), u64::try_from(present).unwrap_or(0))
                    }
                    Ok(_) => continue,
                    Err(error) => {
                        trouble = Some(about(error, "member", shown(member)));
                        continue;
                    }
                },
            };
            has.insert(member.clone(), present);
            if *wanted != present {
                moves.push((*wanted > present, member, *wanted, knob));
            }
        }
        moves.sort_by_key(|(grows, ..)| *grows);
        for (grows, member, wanted, knob) in moves {
            if grows && trouble.is_some() {
                break;
            }
            if let Some(waits) =
                failing.members.get(member).filter(|one| !insists && now < one.again)
            {
                trouble = Some(waits.error.clone());
                continue;
            }
            let word = wanted.to_string();
            // Who has no knob is given its units by the host, which is told of them below.
            let object = knob.map_or(&**member, |knob| knob.name());
            let change = Change::configuration("tune.shared", object).by(Change::KERNEL);
            let change = change.with("units", &word).with("shares", &divided.name);
            let set = self.changes(change, || {
                let value = KnobValue::Integer(i64::try_from(wanted).unwrap_or(i64::MAX));
                knob.map_or(Ok(()), |knob| knob.set(&value))
            });
            match set {
                Ok(()) => {
                    failing.set(member);
                    has.insert(member.clone(), wanted);
                }
                Err(error) => {
                    let error = about(error, "member", shown(member));
                    let error = match knob {
                        Some(knob) => about(error, "knob", shown(knob.name())),
                        None => error,
                    };
                    failing.failed(member, &error, now);
                    trouble = Some(error);
                }
            }
        }
        let news = trouble.clone().filter(|error| failing.is_news(error));
        {
            let mut state = divided.state.lock();
            state.units.clone_from(&has);
            state.trouble.clone_from(&trouble);
            state.failing = failing;
        }
        if let Some(error) = news {
            let fields = [("shares", divided.name.to_string()), ("error", format!("{error:#}"))];
            self.kept.log().record(Level::Warn, "sutazai.tune", "shares were not given", fields);
        }
        self.publish("tune.share", serde_json::json!({"shares": &*divided.name, "units": has}));
    }
}
