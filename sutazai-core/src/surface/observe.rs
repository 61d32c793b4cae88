//! Rows of observe.

pub(super) fn rows(_table: &mut Vec<super::Operation>) {}
