//! The calls that the present piece of work is nested in, carried through nested calls as its [deadline] is.
//!
//! Whoever calls from within a call makes that one longer: by it one sees that calls go round in a circle, or
//! ever deeper.
//!
//! ```
//! use sutazai_core::base::id::{CallId, SpanId, TraceId};
//! use sutazai_core::base::lineage::{self, Lineage, Place};
//!
//! assert!(lineage::current().is_none());
//! let place = Place { call: CallId(1), trace: TraceId(7), span: SpanId(1) };
//! let outer = Lineage::new(None, place, "planner".into(), "plan".into(), "Rome".into());
//! lineage::within(Some(outer), || {
//!     let outer = lineage::current().unwrap();
//!     assert_eq!(outer.depth(), 1);
//!     assert!(outer.has("planner", "plan", &"Rome".into()), "to ask this again leads nowhere");
//!     assert!(!outer.has("planner", "plan", &"Paris".into()));
//! });
//! ```
//!
//! It belongs to the thread: work that is handed to another one takes it along by hand.
//!
//! [deadline]: crate::base::deadline

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use super::id::{CallId, SpanId, TraceId};
use super::payload::Payload;

thread_local! {
    static CURRENT: RefCell<Option<Lineage>> = const { RefCell::new(None) };
    static CALLER: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// A call, and those that it is nested in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lineage(Arc<Node>);

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number within its kernel.
    pub call: CallId,
    /// The whole story that it belongs to.
    pub trace: TraceId,
    /// Its part of it.
    pub span: SpanId,
}

struct Node {
    place: Place,
    who: Arc<str>,
    what: Arc<str>,
    input: Payload,
    depth: u32,
    caller: Option<Arc<str>>,
    bond: Option<Arc<dyn Any + Send + Sync>>,
    outer: Option<Lineage>,
}

// What it is bound to is passed on here, and not looked into.
impl std::panic::RefUnwindSafe for Node {}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("place", &self.place)
            .field("who", &self.who)
            .field("what", &self.what)
            .field("caller", &self.caller)
            .field("outer", &self.outer)
            .finish_non_exhaustive()
    }
}

impl Lineage {
    /// A call of `who` for `what`, within `outer`, and on behalf of whoever that one is for.
    pub fn new(
        outer: Option<Lineage>,
        place: Place,
        who: Arc<str>,
        what: Arc<str>,
        input: Payload,
    ) -> Self {
        let depth = outer.as_ref().map_or(0, Lineage::depth) + 1;
        let caller = outer.as_ref().and_then(|outer| outer.0.caller.clone());
        let bond = outer.as_ref().and_then(|outer| outer.0.bond.clone());
        Self(Arc::new(Node { place, who, what, input, depth, caller, bond, outer }))
    }

    /// On behalf of somebody.
    #[must_use]
    pub fn on_behalf_of(mut self, caller: Arc<str>) -> Self {
        if let Some(node) = Arc::get_mut(&mut self.0) {
            node.caller = Some(caller);
        }
        self
    }

    /// Bound to something that goes for all calls within it; whoever binds knows what it is.
    #[must_use]
    pub fn bound_to(mut self, bond: Arc<dyn Any + Send + Sync>) -> Self {
        if let Some(node) = Arc::get_mut(&mut self.0) {
            node.bond = Some(bond);
        }
        self
    }

    /// What it is bound to, itself or by what it is within.
    pub fn bond(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.bond.as_ref()
    }

    /// Who has the innermost call.
    pub fn who(&self) -> &Arc<str> {
        &self.0.who
    }

    /// Whose work it is, where somebody said so: what callers share fairly is shared among these.
    pub fn caller(&self) -> Option<&Arc<str>> {
        self.0.caller.as_ref()
    }

    /// Where the innermost call stands.
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// How many calls it is; 1 for one that is within no other.
    pub fn depth(&self) -> u32 {
        self.0.depth
    }

    /// The call that this one is within.
    pub fn outer(&self) -> Option<&Lineage> {
        self.0.outer.as_ref()
    }

    /// Whether one of the calls is of `who` for `what` with this input.
    pub fn has(&self, who: &str, what: &str, input: &Payload) -> bool {
        self.calls()
            .any(|Lineage(node)| *node.who == *who && *node.what == *what && node.input == *input)
    }

    /// The way from the outermost call to the innermost: `planner.plan → writer.write`.
    pub fn path(&self) -> String {
        let mut steps: Vec<_> =
            self.calls().map(|Lineage(node)| format!("{}.{}", node.who, node.what)).collect();
        steps.reverse();
        steps.join(" → ")
    }

    /// The innermost call first.
    fn calls(&self) -> impl Iterator<Item = &Lineage> {
        std::iter::successors(Some(self), |lineage| lineage.outer())
    }
}

/// What the present work is nested in; `None` for work that nobody called.
#[inline]
pub fn current() -> Option<Lineage> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `f` as a part of this.
#[inline]
pub fn within<R>(lineage: Option<Lineage>, f: impl FnOnce() -> R) -> R {
    let _restored = Restored(CURRENT.replace(lineage));
    f()
}

/// Whose work runs on this thread: whoever [`on_behalf_of`] names, or else the caller of what it is nested in.
pub fn caller() -> Option<Arc<str>> {
    let named = CALLER.with_borrow(Clone::clone);
    named.or_else(|| CURRENT.with_borrow(|it| it.as_ref().and_then(|it| it.caller().cloned())))
}

/// Runs `f` as somebody's work; without a name as whosever it is already.
pub fn on_behalf_of<R>(name: Option<&Arc<str>>, f: impl FnOnce() -> R) -> R {
    let Some(name) = name else { return f() };
    let _restored = RestoredCaller(CALLER.replace(Some(Arc::clone(name))));
    f()
}

/// Whoever [`on_behalf_of`] names.
pub(crate) fn named_caller() -> Option<Arc<str>> {
    CALLER.with_borrow(Clone::clone)
}

/// Runs `f` as somebody's work or nobody's, whosever it is already.
pub(crate) fn instead_of_caller<R>(name: Option<Arc<str>>, f: impl FnOnce() -> R) -> R {
    let _restored = RestoredCaller(CALLER.replace(name));
    f()
}

struct RestoredCaller(Option<Arc<str>>);

impl Drop for RestoredCaller {
    fn drop(&mut self) {
        let gone = CALLER.replace(self.0.take());
        drop(gone);
    }
}

/// Sets what was before back, also when the work panics.
struct Restored(Option<Lineage>);

impl Drop for Restored {
    #[inline]
    fn drop(&mut self) {
        let gone = CURRENT.replace(self.0.take());
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(outer: Option<Lineage>, who: &str, input: u32) -> Lineage {
        let place = Place { call: CallId(1), trace: TraceId(1), span: SpanId(1) };
        Lineage::new(outer, place, who.into(), "s".into(), input.into())
    }

    #[test]
    fn it_is_restored_after_a_panic() {
        let lineage = Some(call(None, "a", 1));
        let panicked = std::panic::catch_unwind(|| within(lineage, || panic!("on purpose")));
        assert!(panicked.is_err());
        assert!(current().is_none());
    }

    #[test]
    fn it_knows_its_way() {
        let inner = call(Some(call(Some(call(None, "a", 1)), "b", 2)), "c", 3);
        assert_eq!(inner.depth(), 3);
        assert_eq!(inner.path(), "a.s → b.s → c.s");
        assert!(inner.has("a", "s", &1_u32.into()) && inner.has("c", "s", &3_u32.into()));
        assert!(!inner.has("a", "s", &2_u32.into()) && !inner.has("a", "t", &1_u32.into()));
    }
}
