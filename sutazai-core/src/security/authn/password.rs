//! Passwords: Argon2id (RFC 9106), kept as PHC strings.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use icu_normalizer::ComposingNormalizerBorrowed;
use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::names::{check_principal, is_principal};
use super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::base::wait::{Condvar, Mutex};
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::store::Store;
use crate::{Code, Error, Result};

/// The longest password, in bytes before normalisation.
pub const PASSWORD_MAX: usize = 1024;
const SALT: usize = 16;
/// What one hash may cost at most: 4 GiB, gone over a hundred times.
const MEMORY_MAX: u32 = 4 << 20;
const PASSES_MAX: u32 = 100;
const LANES_MAX: u32 = 256;

/// What passwords have to be, and what hashing one costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordPolicy {
    /// Memory that hashing one takes, in KiB. Default: 65,536 (64 MiB, RFC 9106's second
    /// recommendation).
    pub memory_kib: u32,
    /// Passes over that memory. Default: 3.
    pub passes: u32,
    /// Lanes. Default: 1; a hash is computed on one thread however many there are.
    pub lanes: u32,
    /// How many are hashed at once: the memory is that many times
    /// [`memory_kib`](Self::memory_kib). 0 is as many as there are processors. Default: 0.
    pub at_once: u32,
    /// Characters that a new one has, at least. Default: 8 (NIST SP 800-63B-4 wants 15 where it is
    /// the only factor).
    pub shortest: u32,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { memory_kib: 65_536, passes: 3, lanes: 1, at_once: 0, shortest: 8 }
    }
}

impl PasswordPolicy {
    /// Whether it can be, and is dear enough to guess against.
    pub(in crate::security) fn check(&self) -> Result<()> {
        self.params().map(drop)
    }

    fn params(&self) -> Result<Params> {
        let bounds = [
            ("memory_kib", self.memory_kib, 8, MEMORY_MAX),
            ("passes", self.passes, 1, PASSES_MAX),
            ("lanes", self.lanes, 1, LANES_MAX),
            ("shortest", self.shortest, 1, PASSWORD_MAX as u32),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(Error::new(Code::INVALID, "the password policy is out of bounds")
                    .operation("security.password")
                    .with("field", name)
                    .with("value", value)
                    .with("least", least)
                    .with("most", most));
            }
        }
        let shown = |error: argon2::Error| {
            Error::new(Code::INVALID, format!("the password policy is not valid: {error}"))
                .operation("security.password")
                .with("memory_kib", self.memory_kib)
                .with("passes", self.passes)
                .with("lanes", self.lanes)
        };
        // What OWASP calls the least; below, guessing gets cheap.
        if u64::from(self.memory_kib) * u64::from(self.passes) < 7168 * 5 {
            return Err(Error::new(
                Code::INVALID,
                "the password policy is too cheap to guess against",
            )
            .operation("security.password")
            .with("memory_kib", self.memory_kib)
            .with("passes", self.passes)
            .advice("memory_kib × passes must be 35840 at least"));
        }
        Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(shown)
    }
}

/// The factor `password`.
///
/// A principal that is not there costs as much time as one that is: a hash is computed in any case. A
/// password whose hash was made by a weaker policy is hashed anew when it is next right.
pub struct Passwords {
    records: Records<Record>,
    policy: PasswordPolicy,
    params: Params,
    pepper: Option<Zeroizing<Vec<u8>>>,
    refuse: Option<Arc<Refuse>>,
    /// What is hashed against where there is nobody; made when it is first needed, by whomever that is.
    nobody: OnceLock<String>,
    turns: Turns,
}

/// Says why a password is not good enough; `None` where it is.
type Refuse = dyn Fn(&str, &str) -> Option<String> + Send + Sync;

#[derive(Serialize, Deserialize)]
struct Record {
    /// The PHC string.
    phc: String,
    changed: Timestamp,
}

impl Passwords {
    /// The scheme: `password`.
    pub const SCHEME: &'static str = "password";

    /// Passwords kept in this store.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that cannot be, or is too cheap.
    pub fn new(store: Store, policy: PasswordPolicy) -> Result<Self> {
        let params = policy.params()?;
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        let at_once = match policy.at_once {
            0 => processors,
            n => n as usize,
        };
        Ok(Self {
            records: Records::new(store, "security.password"),
            policy,
            params,
            pepper: None,
            refuse: None,
            nobody: OnceLock::new(),
            turns: Turns::new(at_once),
        })
    }

    /// Mixes in a secret that is not kept with the hashes: whoever takes these alone cannot guess. It cannot
    /// be changed later without every password being set anew.
    ///
    /// # Errors
    /// [`Code::INVALID`] for less than 16 bytes.
    pub fn pepper(mut self, secret: Vec<u8>) -> Result<Self> {
        if secret.len() < 16 {
            return Err(Error::new(Code::INVALID, "a pepper has 16 bytes at least")
                .operation("security.password"));
        }
        self.pepper = Some(Zeroizing::new(secret));
        self.nobody = OnceLock::new();
        Ok(self)
    }

    /// Asks this of each new password (first argument: whose): a reason it is refused for, such as that it
    /// stands in a list of stolen ones.
    #[must_use]
    pub fn refuse(
        mut self,
        why: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.refuse = Some(Arc::new(why));
        self
    }

    /// The policy.
    pub fn policy(&self) -> &PasswordPolicy {
        &self.policy
    }

    /// Sets somebody's password.
    ///
    /// # Errors
    /// [`Code::PASSWORD_WEAK`] for one that is not good enough, and what the store answers.
    pub fn set(&self, principal: &str, password: &str, now: Timestamp) -> Result<()> {
        const OPERATION: &str = "security.password_set";
        check_principal(principal, OPERATION)?;
        let weak = |why: String| Err(Error::new(Code::PASSWORD_WEAK, why).operation(OPERATION));
        let normal = normal(password).ok_or_else(|| {
            Error::new(Code::PASSWORD_WEAK, "a password has 1024 bytes at most")
                .operation(OPERATION)
        })?;
        let shortest = self.policy.shortest as usize;
        if normal.chars().count() < shortest {
            return weak(format!("a password has {shortest} characters at least"));
        }
        if principal.chars().count() >= 4
            && normal.to_lowercase().contains(&principal.to_lowercase())
        {
            return weak("a password does not contain the name it belongs to".to_owned());
        }
        if let Some(why) = self.refuse.as_ref().and_then(|refuse| refuse(principal, &normal)) {
            return weak(why);
        }
        let phc = self.in_turn(|| self.hash(normal.as_bytes()))??;
        let record = Record { phc, changed: now };
        self.records.change(principal, now, |_| Ok((Fate::Put(record), ())))
    }

    /// Takes somebody's password away; whether there was one.
    ///
    /// # Errors
    /// What the store answers.
    pub fn remove(&self, principal: &str, now: Timestamp) -> Result<bool> {
        check_principal(principal, "security.password_remove")?;
        self.records.change(principal, now, |record| Ok((Fate::Delete, record.is_some())))
    }

    /// When somebody's password was set; `None` where they have none.
    ///
    /// # Errors
    /// What the store answers.
    pub fn changed(&self, principal: &str) -> Result<Option<Timestamp>> {
        Ok(self.records.get(principal)?.map(|record| record.changed))
    }

    /// Who has any, by name, after `after`.
    pub(in crate::security) fn names(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.records.keys(after, limit)
    }

    /// Whether this is their password. Takes as long for who does not exist.
    fn check(&self, principal: &str, password: &[u8], now: Timestamp) -> Result<bool> {
        // First of all, so that it tells nothing who is asked for when it is made.
        let nobody = self.nobody()?;
        let known = is_principal(principal);
        // A name that cannot be looked up is looked up all the same, by another one.
        let record = self.records.get(if known { principal } else { "-" })?;
        let record = record.filter(|_| known);
        let password = std::str::from_utf8(password).ok().and_then(normal);
        let phc = record.as_ref().map_or(nobody, |record| &record.phc);
        let text = password.as_ref().map_or("", |text| text.as_str());
        let right = self.in_turn(|| self.verify(text, phc))??;
        let Some(record) = record.filter(|_| right && password.is_some()) else { return Ok(false) };
        if is_outdated(&record.phc, nobody) {
            // It is known now, and can be hashed as it would be today.
            let phc = self.in_turn(|| self.hash(text.as_bytes()))??;
            self.records.change(principal, now, |now_there| match now_there {
                Some(there) if there.phc == record.phc => {
                    Ok((Fate::Put(Record { phc, changed: record.changed }), ()))
                }
                _ => Ok((Fate::Keep, ())),
            })?;
        }
        Ok(true)
    }

    fn nobody(&self) -> Result<&str> {
        if let Some(made) = self.nobody.get() {
            return Ok(made);
        }
        let made = self.in_turn(|| self.hash(b"nobody has this password"))??;
        Ok(self.nobody.get_or_init(|| made))
    }

    fn argon2(&self) -> Result<Argon2<'_>> {
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        Ok(match &self.pepper {
            None => Argon2::new(algorithm, version, self.params.clone()),
            Some(pepper) => {
                Argon2::new_with_secret(pepper, algorithm, version, self.params.clone())
                    .map_err(broken)?
            }
        })
    }

    fn hash(&self, password: &[u8]) -> Result<String> {
        let mut salt = [0; SALT];
        SystemRandom::new().fill(&mut salt).map_err(|_| {
            Error::new(Code::IO, "the operating system gave no random bytes")
                .operation("security.password")
        })?;
        let hash = self.argon2()?.hash_password_with_salt(password, &salt).map_err(broken)?;
        Ok(hash.to_string())
    }

    /// By the parameters that stand in the PHC string.
    fn verify(&self, password: &str, phc: &str) -> Result<bool> {
        let hash = PasswordHash::new(phc).map_err(|error| {
            Error::new(Code::STORE_CORRUPT, "a password's hash is not one")
                .operation("security.password")
                .because(error)
        })?;
        match self.argon2()?.verify_password(password.as_bytes(), &hash) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(broken(error)),
        }
    }

    /// Runs it when it has its turn: the memory that all take together is bounded.
    fn in_turn<T>(&self, f: impl FnOnce() -> T) -> Result<T> {
        let _turn = self.turns.take()?;
        Ok(f())
    }
}

impl AuthProvider for Passwords {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let principal = credential.principal.as_deref().unwrap_or("");
        Ok(if self.check(principal, &credential.secret, now)? {
            AuthStep::Accepted(Session::new(principal, Self::SCHEME))
        } else {
            AuthStep::Refused("the password is wrong, or there is nobody of that name".to_owned())
        })
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// As NIST SP 800-63B-4 §3.1.1.2 wants it: NFKC, so that one password has one form on every keyboard.
fn normal(password: &str) -> Option<Zeroizing<String>> {
    (password.len() <= PASSWORD_MAX).then(|| {
        let normalizer = ComposingNormalizerBorrowed::new_nfkc();
        Zeroizing::new(normalizer.normalize(password).into_owned())
    })
}

/// Whether a hash was made by another policy than `today`'s.
fn is_outdated(phc: &str, today: &str) -> bool {
    let parsed = PasswordHash::new(phc).ok().zip(PasswordHash::new(today).ok());
    let Some((hash, today)) = parsed else { return true };
    hash.algorithm != today.algorithm
        || hash.version != today.version
        || hash.params.to_string() != today.params.to_string()
}

#[cold]
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::INTERNAL, "a password could not be hashed")
        .operation("security.password")
        .because(error)
}

/// How long a login waits for its turn, and how many may wait.
const PATIENCE: Duration = Duration::from_secs(10);
const WAITING: usize = 256;

/// Bounds how many are hashed at once.
struct Turns {
    state: Mutex<(usize, usize)>,
    freed: Condvar,
    most: usize,
}

struct Turn<'a>(&'a Turns);

impl Turns {
    fn new(most: usize) -> Self {
        Self { state: Mutex::new((0, 0)), freed: Condvar::new(), most: most.max(1) }
    }

    fn take(&self) -> Result<Turn<'_>> {
        let mut state = self.state.lock();
        let full = || {
            Error::new(Code::OVERLOADED, "more passwords are being checked than there is room for")
                .operation("security.password")
                .advice("try again; or raise at_once where there is memory for it")
        };
        if state.0 >= self.most {
            if state.1 >= WAITING {
                return Err(full());
            }
            state.1 += 1;
            let mut late = false;
            while state.0 >= self.most && !late {
                (state, late) = self.freed.wait_for(state, PATIENCE);
            }
            state.1 -= 1;
            if state.0 >= self.most {
                return Err(full());
            }
        }
        state.0 += 1;
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().0 -= 1;
        self.0.freed.notify_one();
    }
}
