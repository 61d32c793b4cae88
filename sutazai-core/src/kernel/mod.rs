//! What composes the rooms: dependency injection and the lifecycle of components.

pub mod inject;
pub mod lifecycle;
