//! Seasons: found in the values of a series, and taken out of them as they come.

mod find;
mod fold;
mod profile;
mod rounds;
#[cfg(test)]
mod tests;

pub(super) use find::find;
pub(super) use fold::means;
pub(super) use profile::{Profile, Rest};
pub(super) use rounds::{Rounds, Turn};
