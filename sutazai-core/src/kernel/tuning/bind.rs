//! The knobs that a tuner is given.

use std::sync::Arc;

use super::super::shared::Shared;
use super::kinds::{around, is_within};
use super::knobs::OWN;
use super::spec::TunedKnob;
use super::{about, shown};
use crate::tune::{Adjust, Knob};
use crate::{Code, Error, Result};

impl Shared {
    /// The knob that is wanted: one that the kernel knows, or the host's as it describes it.
    pub(super) fn bind(
        self: &Arc<Self>,
        wanted: &TunedKnob,
    ) -> Result<(Knob, Option<Arc<dyn Adjust>>)> {
        let TunedKnob { name, kind, value, max_step } = wanted;
        let wrong = |problem| Error::new(Code::INVALID, problem).with("knob", shown(name));
        let (knob, adjust) = match (self.knob(name), kind, value) {
            (Ok(_), _, Some(_)) => {
                return Err(wrong("the kernel knows what this knob is set to")
                    .advice("leave its value out"));
            }
            (Ok(adjust), kind, None) => {
                let present = adjust.value().map_err(|error| about(error, "knob", shown(name)))?;
                let most = adjust.kind();
                // A host's may have become another one since it was added.
                Knob::new(name.clone(), most.clone(), present.clone()).check()?;
                let kind = kind.clone().unwrap_or_else(|| around(&most, &present));
                if !is_within(&kind, &most) {
                    let word = |kind| serde_json::to_string(kind).unwrap_or_default();
                    return Err(wrong("the knob may not take all of these values")
                        .with("kind", word(&kind))
                        .with("takes", word(&most)));
                }
                (Knob::new(name.clone(), kind, present), Some(adjust))
            }
            (Err(_), Some(kind), Some(value)) if !OWN.iter().any(|own| name.starts_with(own)) => {
                (Knob::new(name.clone(), kind.clone(), value.clone()), None)
            }
            (Err(unknown), ..) => {
                // What may have been meant, where something may.
                let near = unknown.remedy().filter(|advice| advice.starts_with("did you mean"));
                let near =
                    near.map(|advice| advice.split_inclusive('?').next().unwrap_or_default());
                let near = near.map(|near| format!("{near} ")).unwrap_or_default();
                return Err(unknown.advice(format!(
                    "{near}tune.knobs lists those that the kernel knows; one of the host's needs a kind and a value, and a name that does not begin as the kernel's own do"
                )));
            }
        };
        let knob = knob.max_step(*max_step);
        knob.check()?;
        Ok((knob, adjust))
    }
}
