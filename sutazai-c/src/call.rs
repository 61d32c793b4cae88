//! Calling: agents by skill, operations by name.

use std::ffi::c_char;
use std::mem::{MaybeUninit, offset_of};
use std::sync::Arc;
use std::time::Duration;

use sutazai_core::base::payload::Payload;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::ticket::Ticket;
use sutazai_core::port::{Outcome, Task, Terms};
use sutazai_core::{Code, Error, Result};

use crate::boundary::{borrow, fallible, null, output};
use crate::buffer::sutazai_buffer;
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::task::sutazai_task;
use crate::text::{json, text};
use crate::ticket::sutazai_ticket;

/// What else a call may say. Set `size` to `sizeof(sutazai_call_options)` and everything else to
/// zero; then fill in what is wanted.
#[repr(C)]
pub struct sutazai_call_options {
    /// `sizeof(sutazai_call_options)`.
    pub size: usize,
    /// Gives up after this many milliseconds; 0 for the agent's or the kernel's default.
    pub timeout_ms: u64,
    /// The agent that is asked for; NULL for any that has the skill.
    pub agent: *const c_char,
    /// Bytes of `agent`.
    pub agent_len: usize,
    /// On behalf of whoever this token belongs to; NULL for the local session.
    pub token: *const c_char,
    /// Bytes of `token`.
    pub token_len: usize,
    /// The task that this call is a part of; NULL for the one that is being handled on this thread, if any.
    /// The call is in its trace then, and may not go round in a circle, or deeper than the limits allow.
    pub within: *const sutazai_task,
    /// Where it has to wait for a place, it goes before those of a lower number: 1 to 255; 0 for as urgent
    /// as the work that calls, or else 128.
    pub priority: u32,
    /// What else is wanted of the call, as JSON: `caller`, `affinity`, `idempotency_key`, `max_cost`, `labels`,
    /// `exclude`, `features`, as the operation "agent.call" has them; NULL for nothing.
    pub terms: *const c_char,
    /// Bytes of `terms`.
    pub terms_len: usize,
}

/// Calls an agent that has `skill` with `input` (JSON; empty is `null`), through the whole guarded
/// call. `timeout_ms` 0 is the agent's or the kernel's default. `out` gets a ticket, to be freed;
/// whatever goes wrong with the call itself is the ticket's answer. The answer is the agent's
/// output.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for arguments that are not valid; there is no ticket then.
///
/// # Safety
/// `kernel` is NULL or live; texts are good for reading; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_call(
    kernel: *mut sutazai_kernel,
    skill: *const c_char,
    skill_len: usize,
    input: *const c_char,
    input_len: usize,
    timeout_ms: u64,
    out: *mut *mut sutazai_ticket,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: the caller's promise.
        let task = unsafe { task(skill, skill_len, input, input_len, timeout_ms) }?;
        out.write(sutazai_ticket::of_call(kernel.kernel.call(task)));
        Ok(())
    })
}

/// As `sutazai_call`, with more to say.
///
/// # Errors
/// As `sutazai_call`.
///
/// # Safety
/// As `sutazai_call`; `options` is NULL or as its type says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_call_with(
    kernel: *mut sutazai_kernel,
    skill: *const c_char,
    skill_len: usize,
    input: *const c_char,
    input_len: usize,
    options: *const sutazai_call_options,
    out: *mut *mut sutazai_ticket,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: the caller's promise.
        let ticket = unsafe { call_with(kernel, (skill, skill_len), (input, input_len), options) }?;
        out.write(sutazai_ticket::of_call(ticket));
        Ok(())
    })
}

/// Calls as `sutazai_call` does and waits for the answer, which `out` gets. The quickest way to
/// call.
///
/// # Errors
/// The call's own; `SUTAZAI_BASE_WOULD_DEADLOCK` under virtual time and on threads that must not
/// block.
///
/// # Safety
/// As `sutazai_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_call_wait(
    kernel: *mut sutazai_kernel,
    skill: *const c_char,
    skill_len: usize,
    input: *const c_char,
    input_len: usize,
    timeout_ms: u64,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: the caller's promise.
        let task = unsafe { task(skill, skill_len, input, input_len, timeout_ms) }?;
        let outcome = kernel.kernel.call(task).wait()?;
        out.write(sutazai_buffer::of_json(&outcome.output));
        Ok(())
    })
}

/// Calls any operation of the kernel by name: `operation` is `room.verb`, `request` its JSON (empty
/// for a request without fields), the ticket's answer is JSON. The operation `kernel.operations`
/// lists them, `kernel.schema` describes one.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for arguments that are not valid. An operation that does not exist, or a
/// request that does not fit, is the ticket's answer.
///
/// # Safety
/// `kernel` is NULL or live; texts are good for reading; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_invoke(
    kernel: *mut sutazai_kernel,
    operation: *const c_char,
    operation_len: usize,
    request: *const c_char,
    request_len: usize,
    out: *mut *mut sutazai_ticket,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: the caller's promise.
        let ticket =
            unsafe { invoke(kernel, (operation, operation_len), (request, request_len), false) }?;
        out.write(sutazai_ticket::of_operation(ticket));
        Ok(())
    })
}

/// Calls an operation as `sutazai_invoke` does and waits for its answer, which `out` gets.
///
/// # Errors
/// The operation's own; `SUTAZAI_BASE_WOULD_DEADLOCK` under virtual time, unless the operation
/// answers at once, on threads that must not block, and in a worker's callback for what would have to end
/// its own child first.
///
/// # Safety
/// As `sutazai_invoke`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_invoke_wait(
    kernel: *mut sutazai_kernel,
    operation: *const c_char,
    operation_len: usize,
    request: *const c_char,
    request_len: usize,
    out: *mut sutazai_buffer,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: the caller's promise.
        let mut ticket =
            unsafe { invoke(kernel, (operation, operation_len), (request, request_len), true) }?;
        out.write(sutazai_buffer::of_json(&ticket.wait()?));
        Ok(())
    })
}

type Span = (*const c_char, usize);

/// # Safety
/// Both texts are good for reading.
unsafe fn invoke(
    kernel: &sutazai_kernel,
    operation: Span,
    request: Span,
    waits: bool,
) -> Result<Ticket<Payload>> {
    // SAFETY: the caller's promise.
    let operation = unsafe { text(operation.0, operation.1, "operation") }?;
    // SAFETY: the caller's promise.
    let request = unsafe { text(request.0, request.1, "request") }?;
    Ok(if waits {
        kernel.surface.invoke_waiting(operation, request)
    } else {
        kernel.surface.invoke(operation, request)
    })
}

/// # Safety
/// Both texts are good for reading.
#[inline]
unsafe fn task(
    skill: *const c_char,
    skill_len: usize,
    input: *const c_char,
    input_len: usize,
    timeout_ms: u64,
) -> Result<Task> {
    // SAFETY: the caller's promise.
    let skill = unsafe { text(skill, skill_len, "skill") }?;
    // SAFETY: the caller's promise.
    let input = unsafe { json(input, input_len, "input") }?;
    let task = Task::new(skill, input);
    Ok(match timeout_ms {
        0 => task,
        ms => task.timeout(Duration::from_millis(ms)),
    })
}

/// A priority that was handed in.
pub(crate) fn priority(given: u32) -> Result<u8> {
    u8::try_from(given).map_err(|_| {
        Error::new(Code::INVALID, "a priority is a number from 1 to 255").with("priority", given)
    })
}

/// # Safety
/// Texts are good for reading, options are as their type says.
unsafe fn call_with(
    kernel: &sutazai_kernel,
    skill: Span,
    input: Span,
    options: *const sutazai_call_options,
) -> Result<Ticket<Outcome>> {
    if options.is_null() {
        return Err(null("options"));
    }
    // SAFETY: options begin with their size.
    let size = unsafe { options.cast::<usize>().read() };
    let known = size_of::<sutazai_call_options>();
    // A program that was compiled with an older header passes fewer fields.
    if !(offset_of!(sutazai_call_options, priority)..=known).contains(&size) {
        return Err(Error::new(Code::INVALID, "the size of the call's options is not possible")
            .with("size", size)
            .with("known", known)
            .advice("set `size` to sizeof(sutazai_call_options)"));
    }
    let mut whole = MaybeUninit::<sutazai_call_options>::zeroed();
    // SAFETY: the caller's promise: so many bytes are there, and there is room for them. All zeros is a
    // valid value.
    let options = unsafe {
        whole.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(options.cast(), size);
        whole.assume_init()
    };
    // SAFETY: the caller's promise.
    let mut task = unsafe { task(skill.0, skill.1, input.0, input.1, options.timeout_ms) }?;
    if !options.agent.is_null() {
        // SAFETY: the caller's promise.
        let agent = unsafe { text(options.agent, options.agent_len, "agent") }?;
        task = task.to_agent(Arc::<str>::from(agent));
    }
    if !options.within.is_null() {
        // SAFETY: the caller's promise.
        task = task.part_of(&unsafe { borrow(options.within) }?.task);
    }
    if options.priority != 0 {
        task = task.priority(priority(options.priority)?);
    }
    if !options.terms.is_null() {
        // SAFETY: the caller's promise.
        let terms = unsafe { text(options.terms, options.terms_len, "terms") }?;
        task = task.terms(from_json::<Terms>("agent.call", "terms", terms)?);
    }
    if options.token.is_null() {
        return Ok(kernel.kernel.call(task));
    }
    // SAFETY: the caller's promise.
    let token = unsafe { text(options.token, options.token_len, "token") }?;
    Ok(kernel.kernel.call_as(token, task))
}
