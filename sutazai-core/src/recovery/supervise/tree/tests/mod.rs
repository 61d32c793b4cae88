//! The tree under virtual time: single cases, and random schedules.

mod cases;
mod random;
mod world;
