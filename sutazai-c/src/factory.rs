//! Factories of agents, written in C: what templates make agents with.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use sutazai_core::port::{Agent, AgentCard, AgentFactory, AgentOrder};
use sutazai_core::{Error, Result};

use crate::agent::{CAgent, sutazai_agent_table};
use crate::boundary::{borrow, fallible};
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{sutazai_str, text};

/// What agent is ordered. Everything is valid until the callback returns.
#[repr(C)]
pub struct sutazai_agent_order {
    /// Its name.
    pub name: sutazai_str,
    /// The template that it is made from.
    pub agent_template: sutazai_str,
    /// The skills that it is to have, as a JSON array.
    pub skills: sutazai_str,
    /// Every parameter of the template that has a value, as a JSON object.
    pub parameters: sutazai_str,
}

/// What makes agents. Callbacks must not throw or longjmp, and may run at the same time.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_agent_factory_table {
    /// `sizeof(sutazai_agent_factory_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Makes an agent as it is ordered, on a thread that may block: fills in `agent`, which comes zeroed but for its
    /// `size`, as for sutazai_agent_add. Answers NULL, or an error, which the library frees; what was filled in is
    /// not looked at then. Required.
    pub make: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            order: *const sutazai_agent_order,
            agent: *mut sutazai_agent_table,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_agent_factory_table {
    const NAME: &'static str = "sutazai_agent_factory_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Registers what makes agents, by the name that templates have in `"make": {"factory": name}`. The operations
/// "agent.template_add", "agent.create", "agent.pool_add" and "agent.supervise" do the rest. The table's `user` belongs to the library
/// as `sutazai_agent_add` says; it is let go of when the kernel has stopped and no agent of it is left.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_ALREADY_EXISTS`.
///
/// # Safety
/// `kernel` is NULL or live; `name` is good for reading; `table` is NULL or as its `size` says, and its callbacks
/// do as they promise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_agent_factory_add(
    kernel: *mut sutazai_kernel,
    name: *const c_char,
    name_len: usize,
    table: *const sutazai_agent_factory_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, name_len, "name") }?;
        let factory = CFactory { home: Home::here(), make: required(table.make, "make")?, user };
        kernel.kernel.add_agent_factory(name, factory)
    })
}

struct CFactory {
    home: Home,
    make: unsafe extern "C" fn(
        *mut c_void,
        *const sutazai_agent_order,
        *mut sutazai_agent_table,
    ) -> *mut sutazai_error,
    user: User,
}

impl AgentFactory for CFactory {
    fn make(&self, order: &AgentOrder) -> Result<Arc<dyn Agent>> {
        let json = |value: serde_json::Value| value.to_string();
        let skills = json(order.skills.clone().into());
        let parameters = json(order.parameters.clone().into());
        let shown = sutazai_agent_order {
            name: sutazai_str::lend(&order.name),
            agent_template: sutazai_str::lend(&order.template),
            skills: sutazai_str::lend(&skills),
            parameters: sutazai_str::lend(&parameters),
        };
        let mut table = sutazai_agent_table::empty();
        // SAFETY: whoever registered the table promised that it may be called so.
        let error = unsafe { (self.make)(self.user.get(), &raw const shown, &raw mut table) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }?;
        // Its size is ours, whatever has become of it.
        table.size = size_of::<sutazai_agent_table>();
        // SAFETY: it is a table of this size.
        let (table, user) = unsafe { take_over(&raw const table) }?;
        let card = AgentCard::new(&order.name, &order.skills);
        let agent = CAgent::new(self.home, card, &table, user);
        Ok(Arc::new(agent.map_err(|error: Error| error.with("template", &order.template))?))
    }
}
