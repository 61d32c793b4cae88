//! Rows of config.

pub(super) fn rows(_table: &mut Vec<super::Operation>) {}
