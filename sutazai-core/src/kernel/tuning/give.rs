//! Units that were divided are given.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Change;
use super::super::shared::Shared;
use super::divided::Divided;
use super::{about, shown};
use crate::observe::Level;
use crate::tune::KnobValue;

impl Shared {
    /// Sets knobs that shrink first: there are never more units than there are. What cannot be taken from one, or is not known
    /// to be, is not given to another. The host is told of its own.
    pub(super) fn give(self: &Arc<Self>, divided: &Divided, units: &BTreeMap<String, u64>) {
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
            let set = knob.map_or(Ok(()), |knob| {
                let word = wanted.to_string();
                let change = Change::configuration("tune.shared", knob.name()).by(Change::KERNEL);
                let value = KnobValue::Integer(i64::try_from(wanted).unwrap_or(i64::MAX));
                self.changes(change.with("units", &word), || knob.set(&value))
            });
            match set {
                Ok(()) => drop(has.insert(member.clone(), wanted)),
                Err(error) => {
                    let error = about(error, "member", shown(member));
                    trouble = Some(match knob {
                        Some(knob) => about(error, "knob", shown(knob.name())),
                        None => error,
                    });
                }
            }
        }
        {
            let mut state = divided.state.lock();
            state.units.clone_from(&has);
            state.trouble.clone_from(&trouble);
        }
        if let Some(error) = trouble {
            let fields = [("shares", divided.name.to_string()), ("error", format!("{error:#}"))];
            self.kept.log().record(Level::Warn, "sutazai.tune", "shares were not given", fields);
        }
        self.publish("tune.share", serde_json::json!({"shares": &*divided.name, "units": has}));
    }
}
