//! Dependency injection: values that are provided by name and built when they are asked for.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use sutazai_core::kernel::inject::{Any, Lifetime, ProvidedScope};
use sutazai_core::{Code, Error, Result};

use crate::boundary::{Handle, borrow, fallible, give, infallible, output, peek, release};
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{sutazai_str, text, texts};

/// Lifetime of a value: built once, when it is first asked for; the kernel's until it stops.
pub const SUTAZAI_LIFETIME_SINGLETON: u32 = 1;
/// Lifetime of a value: built once in each scope that asks for it; the scope's.
pub const SUTAZAI_LIFETIME_SCOPED: u32 = 2;
/// Lifetime of a value: built anew each time it is asked for.
pub const SUTAZAI_LIFETIME_TRANSIENT: u32 = 3;

/// A hold on a value: what it points to stays until all holds on it are freed, also when the kernel
/// or the scope that it came from is gone.
pub struct sutazai_value {
    home: Home,
    value: Arc<Built>,
}

/// Something that opens and closes, such as a request: each value of `SUTAZAI_LIFETIME_SCOPED` is
/// built at most once in it.
pub struct sutazai_scope {
    home: Home,
    scope: ProvidedScope,
}

impl Handle for sutazai_value {
    const NAME: &'static str = "value";
    fn home(&self) -> Home {
        self.home
    }
}

impl Handle for sutazai_scope {
    const NAME: &'static str = "scope";
    fn home(&self) -> Home {
        self.home
    }
}

/// What builds values of one name. Callbacks must not throw or longjmp.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_factory_table {
    /// `sizeof(sutazai_factory_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last `build` and the last `destroy`, on any thread. May
    /// be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Builds a value, anything but NULL, into `out`. `needs` are the values that it was provided
    /// with, `needs_len` of them, in the order of their names; the array lives until `build`
    /// returns, each value at least as long as the one that is built. Answers NULL, or an error,
    /// which the library frees: nothing is built then, and whoever asks next tries again. Runs on
    /// the thread that asks and may block; at most once at a time for a singleton and for what is
    /// scoped in one scope, otherwise on several threads at once. Required.
    pub build: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            needs: *const *mut c_void,
            needs_len: usize,
            out: *mut *mut c_void,
        ) -> *mut sutazai_error,
    >,
    /// Lets go of a value that `build` built; called once for each, before what it was built from
    /// is let go of, on the thread that gives up the last hold on it, or that stops or frees the
    /// kernel. May be NULL.
    pub destroy: Option<unsafe extern "C" fn(user: *mut c_void, value: *mut c_void)>,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_factory_table {
    const NAME: &'static str = "sutazai_factory_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Provides a value by name: `table` builds it when it is first asked for, out of the `needs_len`
/// values that `needs` names, which may be provided later. `lifetime` is one of
/// `SUTAZAI_LIFETIME_…`. Values are provided until the first one is asked for, the first scope is
/// opened or the kernel starts; then the whole graph is checked, and closed unless something is
/// wrong with it. The table's `user` belongs to the library as `sutazai_agent_add` says.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a name, lifetime or table that is not valid;
/// `SUTAZAI_BASE_ALREADY_EXISTS` for a name that is taken; `SUTAZAI_BASE_NOT_RUNNING` when the graph
/// is closed.
///
/// # Safety
/// `kernel` is NULL or live; `name` is good for reading, and so are `needs_len` texts at `needs`;
/// `table` is NULL or as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_provide(
    kernel: *mut sutazai_kernel,
    name: *const c_char,
    name_len: usize,
    needs: *const sutazai_str,
    needs_len: usize,
    lifetime: u32,
    table: *const sutazai_factory_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, name_len, "name") }?;
        // SAFETY: the caller's promise.
        let needs = unsafe { texts(needs, needs_len, "needs") }?;
        let lifetime = lifetime_of(lifetime)?;
        let build = required(table.build, "build")?;
        let factory = Arc::new(Factory { build, destroy: table.destroy, user });
        kernel.kernel.provided().provide(name, &needs, lifetime, move |needs| factory.build(needs))
    })
}

/// The value of this name, which is built now unless it was before; blocks while its factory runs,
/// here or on another thread. `out` gets a hold on it, to be freed.
///
/// # Errors
/// What is wrong with the graph, found when the first value is asked for, with the whole path:
/// `SUTAZAI_KERNEL_INJECT_MISSING` for what nothing provides, `SUTAZAI_KERNEL_INJECT_CYCLE` for what
/// needs itself, `SUTAZAI_KERNEL_INJECT_SCOPE` for a scoped value that a singleton would keep, or
/// that is asked for outside of a scope. `SUTAZAI_KERNEL_INJECT_FAILED` when a factory failed, with
/// its error as the cause. `SUTAZAI_BASE_NOT_RUNNING` once the kernel has stopped.
/// `SUTAZAI_BASE_WOULD_DEADLOCK` when another thread is building it and this one must not wait.
///
/// # Safety
/// `kernel` is NULL or live; `name` is good for reading; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_get(
    kernel: *mut sutazai_kernel,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut sutazai_value,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let (name, out) = unsafe { (text(name, name_len, "name")?, output(out, "out")?) };
        let value = kernel.kernel.provided().get(name)?;
        out.write(sutazai_value::give(value)?);
        Ok(())
    })
}

/// Opens a scope. `out` gets it, to be freed.
///
/// # Errors
/// What is wrong with the graph, as `sutazai_kernel_get`; `SUTAZAI_BASE_NOT_RUNNING` once the kernel
/// has stopped.
///
/// # Safety
/// `kernel` is NULL or live; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_scope(
    kernel: *mut sutazai_kernel,
    out: *mut *mut sutazai_scope,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        let scope = kernel.kernel.provided().scope()?;
        out.write(give(sutazai_scope { home: Home::here(), scope }));
        Ok(())
    })
}

/// The value of this name, as `sutazai_kernel_get`: the scope's own for a scoped one, otherwise the
/// same as the kernel's.
///
/// # Errors
/// As `sutazai_kernel_get`.
///
/// # Safety
/// `scope` is NULL or live; `name` is good for reading; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_scope_get(
    scope: *mut sutazai_scope,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut sutazai_value,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let scope = unsafe { borrow(scope) }?;
        // SAFETY: the caller's promise.
        let (name, out) = unsafe { (text(name, name_len, "name")?, output(out, "out")?) };
        let value = scope.scope.get(name)?;
        out.write(sutazai_value::give(value)?);
        Ok(())
    })
}

/// Frees a scope and lets go of its values, in the reverse order of their building. While a scope
/// is open, the singletons stay that its values may use, also when the kernel stops. NULL is allowed.
///
/// # Safety
/// `scope` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_scope_free(scope: *mut sutazai_scope) {
    // SAFETY: the caller's promise.
    unsafe { release(scope) }
}

/// What `build` built: good until `value` is freed. NULL for NULL, and in a forked child.
///
/// # Safety
/// `value` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_value_get(value: *const sutazai_value) -> *mut c_void {
    infallible(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        unsafe { peek(value) }.map_or(std::ptr::null_mut(), |hold| hold.value.pointer)
    })
}

/// Frees a hold on a value; the last one lets go of the value. NULL is allowed.
///
/// # Safety
/// `value` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_value_free(value: *mut sutazai_value) {
    // SAFETY: the caller's promise.
    unsafe { release(value) }
}

impl sutazai_value {
    fn give(value: Arc<Any>) -> Result<*mut Self> {
        let value = value.downcast::<Built>().map_err(|_| not_ours())?;
        Ok(give(Self { home: Home::here(), value }))
    }
}

struct Factory {
    build: unsafe extern "C" fn(
        *mut c_void,
        *const *mut c_void,
        usize,
        *mut *mut c_void,
    ) -> *mut sutazai_error,
    destroy: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    user: User,
}

impl Factory {
    fn build(self: &Arc<Self>, needs: Vec<Arc<Any>>) -> Result<Arc<Any>> {
        let mut pointers = Vec::with_capacity(needs.len());
        for need in &needs {
            pointers.push(need.downcast_ref::<Built>().ok_or_else(not_ours)?.pointer);
        }
        let mut pointer = std::ptr::null_mut();
        // SAFETY: whoever provided the table promised that it may be called so.
        let answer = unsafe {
            (self.build)(self.user.get(), pointers.as_ptr(), pointers.len(), &raw mut pointer)
        };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(answer) }?;
        if pointer.is_null() {
            return Err(Error::new(Code::INJECT_FAILED, "a factory built NULL"));
        }
        Ok(Arc::new(Built { pointer, factory: Arc::clone(self), needs }))
    }
}

/// A value, with what it was built from: a pointer in it may lead there.
struct Built {
    pointer: *mut c_void,
    factory: Arc<Factory>,
    needs: Vec<Arc<Any>>,
}

// SAFETY: the header says that values are built, used and let go of on any thread, and what the
// pointer leads to must allow it.
unsafe impl Send for Built {}
// SAFETY: as above; the pointer is only handed out.
unsafe impl Sync for Built {}

impl Drop for Built {
    fn drop(&mut self) {
        if let Some(destroy) = self.factory.destroy {
            // SAFETY: whoever provided the table promised that it may be called so; `build` built
            // the value, and it is dropped once.
            unsafe { destroy(self.factory.user.get(), self.pointer) }
        }
        // What nobody else holds goes here, one after the other: a long chain of needs would
        // overflow the stack if each dropped the next.
        let mut needs = std::mem::take(&mut self.needs);
        while let Some(need) = needs.pop() {
            if let Some(mut last) = need.downcast::<Self>().ok().and_then(Arc::into_inner) {
                needs.append(&mut last.needs);
            }
        }
    }
}

fn lifetime_of(number: u32) -> Result<Lifetime> {
    match number {
        SUTAZAI_LIFETIME_SINGLETON => Ok(Lifetime::Singleton),
        SUTAZAI_LIFETIME_SCOPED => Ok(Lifetime::Scoped),
        SUTAZAI_LIFETIME_TRANSIENT => Ok(Lifetime::Transient),
        other => Err(Error::new(Code::INVALID, "there is no lifetime of this number")
            .operation("inject.provide")
            .with("lifetime", other)
            .advice("use one of SUTAZAI_LIFETIME_…")),
    }
}

#[cold]
fn not_ours() -> Error {
    Error::new(Code::INTERNAL, "the value was not provided by C")
}
