//! Knobs of the kernel's own rooms: the fields of policies that are in force and can be set while it runs.

use std::sync::{Arc, Weak};

use serde_json::Value;

use super::super::shared::Shared;
use crate::tune::{Adjust, KnobKind, KnobScale, KnobValue};
use crate::{Code, Error, Result};

/// A field of a policy, and what it may be set to.
struct Field {
    /// Its place in the policy.
    path: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Whole(i64, i64, KnobScale),
    Number(f64, f64, KnobScale),
}

impl Kind {
    fn knob(self) -> KnobKind {
        match self {
            Self::Whole(low, high, scale) => KnobKind::Integer { low, high, scale },
            Self::Number(low, high, scale) => KnobKind::Float { low, high, scale },
        }
    }
}

const fn whole(path: &'static str, low: i64, high: i64) -> Field {
    let scale = if low > 0 { KnobScale::Log } else { KnobScale::Linear };
    Field { path, kind: Kind::Whole(low, high, scale) }
}

const fn number(path: &'static str, low: f64, high: f64) -> Field {
    Field { path, kind: Kind::Number(low, high, KnobScale::Linear) }
}

/// Of guards. What keeps a target safe (breakers) is not tuned.
#[cfg(feature = "recovery")]
const GUARD: &[Field] = &[
    whole("timeout_ms", 1, 3_600_000),
    whole("attempt_timeout_ms", 1, 3_600_000),
    whole("bulkhead/concurrency", 1, 4_096),
    whole("bulkhead/queue", 0, 65_536),
    whole("rate/calls", 1, 1_000_000),
    whole("retry/attempts", 1, 16),
    number("hedge/quantile", 0.5, 0.999),
    whole("hedge/min_ms", 1, 60_000),
    number("hedge/budget", 0.001, 1.0),
];

/// Of pools.
#[cfg(feature = "agent")]
const POOL: &[Field] = &[
    whole("min", 0, 1_000),
    whole("max", 1, 1_000),
    number("grow_at", 0.05, 1.0),
    number("shrink_at", 0.0, 0.95),
    whole("grow_after_ms", 1, 3_600_000),
    whole("idle_ms", 1, 86_400_000),
];

/// One of them.
struct Own {
    name: String,
    shared: Weak<Shared>,
    place: Place,
    field: &'static Field,
}

enum Place {
    #[cfg(feature = "recovery")]
    Guard(super::super::CallsTo),
    #[cfg(feature = "agent")]
    Pool(Arc<str>),
}

/// All that there are now.
pub(super) fn all(shared: &Arc<Shared>) -> Vec<Arc<dyn Adjust>> {
    let mut all: Vec<Arc<dyn Adjust>> = Vec::new();
    #[cfg(feature = "recovery")]
    for (calls, policy) in shared.guards.policies() {
        let Ok(policy) = serde_json::to_value(policy) else { continue };
        let of = super::super::guards::name(&calls);
        for field in there(GUARD, &policy) {
            let place = Place::Guard(calls.clone());
            all.push(Own::of(format!("guard/{of}/{}", field.path), shared, place, field));
        }
    }
    #[cfg(feature = "agent")]
    for (name, policy) in shared.creation.pools.policies() {
        let Ok(policy) = serde_json::to_value(policy) else { continue };
        for field in there(POOL, &policy) {
            let place = Place::Pool(Arc::clone(&name));
            all.push(Own::of(format!("pool/{name}/{}", field.path), shared, place, field));
        }
    }
    all
}

/// The fields that a policy has.
fn there<'a>(
    fields: &'static [Field],
    policy: &'a Value,
) -> impl Iterator<Item = &'static Field> + 'a {
    fields.iter().filter(|field| value(policy, field).is_some())
}

fn value(policy: &Value, field: &Field) -> Option<KnobValue> {
    let found = policy.pointer(&format!("/{}", field.path))?;
    match field.kind {
        Kind::Whole(..) => found.as_i64().map(KnobValue::Integer),
        Kind::Number(..) => found.as_f64().map(KnobValue::Number),
    }
}

impl Own {
    fn of(
        name: String,
        shared: &Arc<Shared>,
        place: Place,
        field: &'static Field,
    ) -> Arc<dyn Adjust> {
        Arc::new(Self { name, shared: Arc::downgrade(shared), place, field })
    }

    fn shared(&self) -> Result<Arc<Shared>> {
        self.shared.upgrade().ok_or_else(|| Error::new(Code::NOT_RUNNING, "the kernel is gone"))
    }

    fn gone(&self) -> Error {
        Error::new(Code::NOT_FOUND, "there is no such knob any more")
            .with("knob", &self.name)
            .advice("the guard or pool whose field it was is gone, or has none")
    }

    /// The policy with another value in it.
    fn changed<P>(&self, policy: &P, value: &KnobValue) -> Result<P>
    where
        P: serde::Serialize + serde::de::DeserializeOwned,
    {
        let not_valid = |error: serde_json::Error| {
            Error::new(Code::INVALID, "the policy cannot take this value")
                .with("knob", &self.name)
                .with("problem", error)
        };
        let mut policy = serde_json::to_value(policy).map_err(not_valid)?;
        let place = policy.pointer_mut(&format!("/{}", self.field.path));
        *place.ok_or_else(|| self.gone())? = serde_json::to_value(value).map_err(not_valid)?;
        serde_json::from_value(policy).map_err(not_valid)
    }
}

impl Adjust for Own {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> KnobKind {
        self.field.kind.knob()
    }

    fn value(&self) -> Result<KnobValue> {
        let shared = self.shared()?;
        let policy = match &self.place {
            #[cfg(feature = "recovery")]
            Place::Guard(calls) => (shared.guards.policies().into_iter())
                .find(|(of, _)| of == calls)
                .and_then(|(_, policy)| serde_json::to_value(policy).ok()),
            #[cfg(feature = "agent")]
            Place::Pool(name) => (shared.creation.pools.policies().into_iter())
                .find(|(of, _)| of == name)
                .and_then(|(_, policy)| serde_json::to_value(policy).ok()),
        };
        policy.and_then(|policy| value(&policy, self.field)).ok_or_else(|| self.gone())
    }

    fn set(&self, value: &KnobValue) -> Result<()> {
        let shared = self.shared()?;
        match &self.place {
            #[cfg(feature = "recovery")]
            Place::Guard(calls) => shared.guards.update(calls.clone(), |policy| {
                self.changed(policy.ok_or_else(|| self.gone())?, value).map(Some)
            }),
            #[cfg(feature = "agent")]
            Place::Pool(name) => {
                shared.creation.pools.update(name, |policy| self.changed(policy, value))
            }
        }
    }
}
