//! [`Migrations`]: the tables a room contributes, and how they grew.

use crate::{Code, Error, Result};

/// What one room contributes to the database. Every table, view, index and trigger it creates
/// belongs to a table named `<room>_…`; a step that reaches outside is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// The room: lower-case letters and digits, a letter first.
    pub room: &'static str,
    /// Its steps, in ascending order of version. Steps that were released never change.
    pub steps: &'static [Step],
}

/// One change of a room's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The version that the room's tables have after it; from 1.
    pub version: u32,
    /// The oldest version of the room's code that may still work on tables of this version. Equal
    /// to `version` when older code would misread or spoil them, less when the change only adds.
    pub oldest_reader: u32,
    /// One or more SQL statements, run in the room's transaction.
    pub sql: &'static str,
}

impl Migrations {
    /// The version that this code brings the room's tables to; 0 for a room without tables.
    pub fn supported(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.version)
    }
}

/// Checks what the rooms hand in, before anything is touched.
pub(super) fn check(rooms: &[Migrations]) -> Result<()> {
    for (index, migrations) in rooms.iter().enumerate() {
        let room = migrations.room;
        let invalid = |what: &'static str| {
            Error::new(Code::INVALID, what).operation("store.open").with("room", room)
        };
        let mut bytes = room.bytes();
        let named = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && room != "sqlite";
        if !named {
            return Err(invalid(
                "not a room's name: lower-case letters and digits, a letter first",
            ));
        }
        if rooms.iter().take(index).any(|other| other.room == room) {
            return Err(invalid("two sets of migrations for one room"));
        }
        let mut before = 0;
        for step in migrations.steps {
            let wrong = |what| Err(invalid(what).with("version", step.version));
            if step.version <= before {
                return wrong("versions of migrations must start at 1 and ascend");
            }
            if step.oldest_reader == 0 || step.oldest_reader > step.version {
                return wrong("the oldest reader must be between 1 and the step's version");
            }
            before = step.version;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn step(version: u32, oldest_reader: u32) -> Step {
        Step { version, oldest_reader, sql: "" }
    }

    #[test]
    fn what_rooms_hand_in_is_checked() {
        const GOOD: Migrations = Migrations { room: "tune2", steps: &[step(1, 1), step(4, 1)] };
        assert_eq!(GOOD.supported(), 4);
        check(&[GOOD]).unwrap();
        const BAD: &[&[Migrations]] = &[
            &[GOOD, GOOD],
            &[Migrations { room: "", steps: &[] }],
            &[Migrations { room: "2x", steps: &[] }],
            &[Migrations { room: "a_b", steps: &[] }],
            &[Migrations { room: "sqlite", steps: &[] }],
            &[Migrations { room: "a", steps: &[step(0, 0)] }],
            &[Migrations { room: "a", steps: &[step(1, 2)] }],
            &[Migrations { room: "a", steps: &[step(2, 1), step(2, 1)] }],
        ];
        for rooms in BAD {
            assert_eq!(check(rooms).unwrap_err().code(), Code::INVALID, "{rooms:?}");
        }
    }
}
