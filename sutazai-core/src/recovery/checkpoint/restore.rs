//! Restoring several things as one: all of them, or none.

use crate::base::payload::Payload;
use crate::port::Checkpointed;
use crate::recovery::caught::caught;
use crate::{Class, Code, Error, Result};

/// Something and the state it is to take on.
pub(super) struct Wanted<'a> {
    pub(super) thing: &'a dyn Checkpointed,
    pub(super) name: &'a str,
    pub(super) state: &'a Payload,
}

/// Gives each thing its state, in this order, and looks whether it has taken it on. When one fails, it
/// and those before it are given back what they had, in reverse.
///
/// # Errors
/// [`Code::RESTORE_FAILED`] with the way it went: persistent when everything has been put back,
/// critical when something has not.
pub(super) fn restore(wanted: &[Wanted<'_>]) -> Result<()> {
    let mut before = Vec::with_capacity(wanted.len());
    for want in wanted {
        let state = caught(|| want.thing.save()).map_err(|error| {
            failed(wanted, 0)
                .with("failed", want.name)
                .classed(Class::Persistent)
                .advice("nothing was changed: what is to be restored could not be saved before")
                .because(error)
        })?;
        before.push(state);
    }
    for (index, want) in wanted.iter().enumerate() {
        if let Err(error) = take_on(want.thing, want.state) {
            return Err(put_back(wanted, &before, index, error));
        }
    }
    Ok(())
}

fn take_on(thing: &dyn Checkpointed, state: &Payload) -> Result<()> {
    caught(|| thing.restore(state))?;
    if caught(|| thing.has(state))? {
        return Ok(());
    }
    Err(Error::new(Code::RESTORE_FAILED, "it reported success, and its state is another one"))
}

fn put_back(wanted: &[Wanted<'_>], before: &[Payload], at: usize, error: Error) -> Error {
    let (mut done, mut left) = (Vec::new(), Vec::new());
    for (want, state) in wanted.iter().zip(before).take(at + 1).rev() {
        match take_on(want.thing, state) {
            Ok(()) => done.push(want.name),
            Err(error) => left.push(format!("{}: {error:#}", want.name)),
        }
    }
    let name = wanted.get(at).map_or("", |want| want.name);
    let failure = failed(wanted, at + 1)
        .with("failed", name)
        .with("put_back", done.join(", "))
        .because(error);
    if left.is_empty() {
        return failure
            .classed(Class::Persistent)
            .advice("everything is as it was before; put right what failed, and restore again");
    }
    failure
        .with("not_put_back", left.join("; "))
        .classed(Class::Critical)
        .advice("put these right by hand, or restore another checkpoint")
}

/// The error with the way as far as it was gone.
fn failed(wanted: &[Wanted<'_>], gone: usize) -> Error {
    let path: Vec<_> = wanted.iter().take(gone).map(|want| want.name).collect();
    Error::new(Code::RESTORE_FAILED, "the checkpoint was not restored")
        .operation("recovery.checkpoint_restore")
        .with("path", path.join(" → "))
}
