//! State of a C host's that is saved in checkpoints and restored from them.

use std::ffi::{c_char, c_void};

use parking_lot::Mutex;
use serde::Deserialize;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::reading::from_json;
use sutazai_core::port::Checkpointed;
use sutazai_core::{Code, Error, Result};

use crate::boundary::{borrow, fallible, null};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{json, text};

/// Where a `save` puts the state; the callback's until it returns.
pub struct sutazai_state {
    state: Mutex<Option<Payload>>,
}

/// State that is saved and put back. Callbacks must not throw or longjmp; they may block, and run on any
/// thread, one at a time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_checkpointed_table {
    /// `sizeof(sutazai_checkpointed_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Puts the whole state into `state` with `sutazai_state_give`. Answers NULL, or an error, which the
    /// library frees; the checkpoint is not taken then. Required.
    pub save: Option<
        unsafe extern "C" fn(user: *mut c_void, state: *mut sutazai_state) -> *mut sutazai_error,
    >,
    /// Takes on a state that `save` gave, now or in an earlier process, as JSON. Called with the state
    /// that it has already, it succeeds. Answers NULL, or an error, which the library frees; what was
    /// restored before it is put back then. Required.
    pub restore: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            state: *const c_char,
            state_len: usize,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_checkpointed_table {
    const NAME: &'static str = "sutazai_checkpointed_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Has state of the host's saved in checkpoints and restored from them, beside the kernel's own.
/// `description` is JSON: `name`, and optionally `needs`, the names of what is restored before it.
/// `recovery.checkpoint_create` takes a checkpoint, `recovery.checkpoint_restore` restores one. The
/// table's `user` belongs to the library as `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`.
///
/// # Safety
/// `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
/// says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_checkpointed_add(
    kernel: *mut sutazai_kernel,
    description: *const c_char,
    description_len: usize,
    table: *const sutazai_checkpointed_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let description = unsafe { text(description, description_len, "description") }?;
        let description = from_json("checkpointed.add", "description", description)?;
        let (save, restore) = (required(table.save, "save")?, required(table.restore, "restore")?);
        let thing = CState { description, save, restore, user };
        kernel.kernel.checkpoints().register(std::sync::Arc::new(thing))
    })
}

/// Puts the state, as JSON, where the checkpoint has it; the last one counts.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for what is not JSON.
///
/// # Safety
/// `state` is NULL, or what the callback that runs was given; `given` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_state_give(
    state: *mut sutazai_state,
    given: *const c_char,
    given_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let state = unsafe { state.as_ref() }.ok_or_else(|| null("state"))?;
        // SAFETY: the caller's promise.
        let given = unsafe { json(given, given_len, "given") }?;
        *state.state.lock() = Some(given);
        Ok(())
    })
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    #[serde(default)]
    needs: Vec<String>,
}

struct CState {
    description: Description,
    save: unsafe extern "C" fn(*mut c_void, *mut sutazai_state) -> *mut sutazai_error,
    restore: unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> *mut sutazai_error,
    user: User,
}

impl Checkpointed for CState {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn needs(&self) -> Vec<String> {
        self.description.needs.clone()
    }

    fn save(&self) -> Result<Payload> {
        let mut state = sutazai_state { state: Mutex::new(None) };
        // SAFETY: whoever added it promised that it may be called so.
        let error = unsafe { (self.save)(self.user.get(), &raw mut state) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }?;
        state.state.into_inner().ok_or_else(|| {
            Error::new(Code::INVALID, "nothing was given to be saved")
                .with("part", &self.description.name)
                .advice("call sutazai_state_give in `save`; the state may be null")
        })
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        let state = state.to_text();
        // SAFETY: whoever added it promised that it may be called so; the text lives that long.
        let error = unsafe { (self.restore)(self.user.get(), state.as_ptr().cast(), state.len()) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }
    }
}
