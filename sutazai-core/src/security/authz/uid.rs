//! Names of entities, hashed once when they are made.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use cedar_policy_core::ast;

use crate::{Code, Error, Result};

/// The name of an entity: a type and an id, `User::"alice"`. Cheap to clone, compare and look up: whoever
/// asks often for the same principal keeps its name.
///
/// ```
/// use sutazai_core::security::authz::EntityUid;
/// let alice: EntityUid = r#"User::"alice""#.parse()?;
/// assert_eq!(alice, EntityUid::new("User", "alice")?);
/// assert_eq!((alice.type_name(), alice.id()), ("User".to_owned(), "alice"));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct EntityUid {
    core: Arc<ast::EntityUID>,
    hash: u64,
    type_hash: u64,
}

impl EntityUid {
    /// A name of a type (`User`, `Shop::User`) and an id (any text).
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`] when the type is not the name of one.
    pub fn new(type_name: &str, id: &str) -> Result<Self> {
        let ty = ast::EntityType::from_str(type_name).map_err(|error| {
            Error::new(Code::ACCESS_INVALID, format!("{type_name:?} is not the name of a type"))
                .advice("write it as a Cedar name: User, or Shop::User")
                .because(error.to_string())
        })?;
        Ok(ast::EntityUID::from_components(ty, ast::Eid::new(id), None).into())
    }

    /// The type.
    pub fn type_name(&self) -> String {
        self.core.entity_type().to_string()
    }

    /// The id.
    pub fn id(&self) -> &str {
        self.core.eid().as_ref()
    }

    pub(super) fn core(&self) -> &ast::EntityUID {
        &self.core
    }

    pub(super) fn shared(&self) -> Arc<ast::EntityUID> {
        Arc::clone(&self.core)
    }

    pub(super) fn hash64(&self) -> u64 {
        self.hash
    }

    pub(super) fn type_hash(&self) -> u64 {
        self.type_hash
    }
}

impl From<ast::EntityUID> for EntityUid {
    fn from(core: ast::EntityUID) -> Self {
        Self::from(Arc::new(core))
    }
}

impl From<Arc<ast::EntityUID>> for EntityUid {
    fn from(core: Arc<ast::EntityUID>) -> Self {
        let (hash, type_hash) = (keyed(&*core), keyed(core.entity_type()));
        Self { core, hash, type_hash }
    }
}

impl FromStr for EntityUid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ast::EntityUID::from_str(text).map(Into::into).map_err(|error| {
            Error::new(Code::ACCESS_INVALID, format!("{text:?} is not the name of an entity"))
                .advice("write it as Type::\"id\"")
                .because(error.to_string())
        })
    }
}

impl PartialEq for EntityUid {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.core, &other.core) || self.core == other.core)
    }
}

impl Eq for EntityUid {}

impl PartialOrd for EntityUid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityUid {
    /// By type, then by id.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.core.cmp(&other.core)
    }
}

impl Hash for EntityUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

impl fmt::Debug for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for EntityUid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for EntityUid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|error: Error| serde::de::Error::custom(error.to_string()))
    }
}

/// A hash under a key of this process: ids come from outside, and nobody may choose them to collide.
pub(super) fn keyed(value: &impl Hash) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(value)
}

/// Takes hashes made by [`keyed`] as they are.
#[derive(Clone, Copy, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// A map by entity.
pub(super) type ByUid<T> = HashMap<EntityUid, T, BuildHasherDefault<Hashed>>;
