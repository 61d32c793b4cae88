//! What a value is asked for by: its type, and a name when several of one type are provided.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Asks for a `T`; with a name when a container provides several.
///
/// ```
/// use sutazai_core::kernel::inject::Key;
/// assert_eq!(Key::<Vec<String>>::new().to_string(), "Vec<String>");
/// assert_eq!(Key::<String>::named("replica").to_string(), "String \"replica\"");
/// ```
pub struct Key<T: ?Sized + 'static> {
    id: Id,
    of: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized + 'static> Key<T> {
    /// The one without a name.
    pub fn new() -> Self {
        Self { id: Id::of::<T>(None), of: PhantomData }
    }

    /// The one of this name.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self { id: Id::of::<T>(Some(name.into())), of: PhantomData }
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.id.name.as_deref()
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }
}

impl<T: ?Sized + 'static> Default for Key<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized + 'static> Clone for Key<T> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), of: PhantomData }
    }
}

impl<T: ?Sized + 'static> fmt::Display for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<T: ?Sized + 'static> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// A [`Key`] without its static type.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) kind: TypeId,
    /// `std::any::type_name` of the type, for people only.
    pub(super) path: &'static str,
    pub(super) name: Option<Arc<str>>,
}

impl Id {
    pub(super) fn of<T: ?Sized + 'static>(name: Option<Arc<str>>) -> Self {
        Self { kind: TypeId::of::<T>(), path: std::any::type_name::<T>(), name }
    }
}

impl fmt::Display for Id {
    /// `Pool`, `Pool "replica"`, or just the name for a value that a host provides by name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if self.kind == TypeId::of::<super::Any>() => write!(f, "\"{name}\""),
            Some(name) => write!(f, "{} \"{name}\"", readable(self.path)),
            None => f.write_str(&readable(self.path)),
        }
    }
}

/// A type's name without the modules: `Arc<dyn Clock>` for
/// `alloc::sync::Arc<dyn host::time::Clock>`.
fn readable(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut segment = 0;
    let mut rest = path.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ':' && rest.peek() == Some(&':') {
            rest.next();
            out.truncate(segment);
        } else {
            out.push(c);
            if !(c.is_alphanumeric() || c == '_') {
                segment = out.len();
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_lose_their_modules_only() {
        assert_eq!(readable("alloc::sync::Arc<dyn host::time::Clock>"), "Arc<dyn Clock>");
        assert_eq!(readable("(core::option::Option<u8>, [a::B; 3])"), "(Option<u8>, [B; 3])");
        assert_eq!(readable("&mut a::b_c::D"), "&mut D");
        assert_eq!(readable("u8"), "u8");
    }

    #[test]
    fn hosts_values_show_their_name_only() {
        assert_eq!(Key::<super::super::Any>::named("clock").to_string(), "\"clock\"");
    }
}
