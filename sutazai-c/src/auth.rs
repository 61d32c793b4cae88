//! Factors of a login that are written in C.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

use parking_lot::Mutex;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuthProvider, AuthStep, Credential, Session};
use sutazai_core::{Code, Error, Result};

use crate::boundary::{borrow, fallible, null};
use crate::error::sutazai_error;
use crate::kernel::sutazai_kernel;
use crate::table::{DropFn, Table, User, required, take_over};
use crate::text::{sutazai_str, text};
use crate::time::milliseconds;

/// What somebody offers to prove who they are. Everything is valid until the callback returns.
#[repr(C)]
pub struct sutazai_credential {
    /// The scheme that it is for.
    pub scheme: sutazai_str,
    /// Who they say they are; empty when they do not. In a login that is under way, who it is for.
    pub principal: sutazai_str,
    /// The secret part: bytes, which need not be text.
    pub secret: *const u8,
    /// How many bytes.
    pub secret_len: usize,
    /// The login that it belongs to, where it answers a challenge; empty otherwise.
    pub login: sutazai_str,
    /// When it is asked, by the kernel's clock: milliseconds since 1970.
    pub now_ms: i64,
}

/// Where an `authenticate` says who it is; the callback's until it returns.
pub struct sutazai_auth_answer {
    given: Mutex<Option<Given>>,
}

enum Given {
    Accepted { principal: String, attributes: BTreeMap<String, String> },
    Refused(String),
}

/// Where a `challenge` says what is needed; the callback's until it returns.
pub struct sutazai_auth_offer {
    given: Mutex<Option<BTreeMap<String, String>>>,
}

/// A factor of a login. Callbacks must not throw or longjmp; they may block, run on any thread, and several at the
/// same time. Secrets are lent: copy no more of them than you must.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sutazai_auth_provider_table {
    /// `sizeof(sutazai_auth_provider_table)`.
    pub size: usize,
    /// Given to every callback.
    pub user: *mut c_void,
    /// Frees `user`; called once, after the last callback, on any thread. May be NULL.
    pub drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
    /// Checks a credential: `sutazai_auth_accept` or `sutazai_auth_refuse` with `answer`, and NULL. An error, which
    /// the library frees, says that it cannot be told: the login is neither accepted nor refused. So is one without an
    /// answer. Required.
    pub authenticate: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            credential: *const sutazai_credential,
            answer: *mut sutazai_auth_answer,
        ) -> *mut sutazai_error,
    >,
    /// Says what this principal needs to answer with this factor: `sutazai_auth_offer_give` with `offer`, and NULL.
    /// Without that they have not enrolled it. `login` comes back in the credential. An error, which the library
    /// frees, says that it cannot be told. NULL for a factor that everybody has, and needs nothing for.
    pub challenge: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            principal: sutazai_str,
            login: sutazai_str,
            now_ms: i64,
            offer: *mut sutazai_auth_offer,
        ) -> *mut sutazai_error,
    >,
}

// SAFETY: `repr(C)`, begins as a table does, only pointer-sized fields, all of which may be zero.
unsafe impl Table for sutazai_auth_provider_table {
    const NAME: &'static str = "sutazai_auth_provider_table";
    fn user(&self) -> *mut c_void {
        self.user
    }
    fn dropper(&self) -> Option<DropFn> {
        self.drop
    }
}

/// Adds a factor to logins, before the kernel's start or while it runs, for the attempts that come from then on.
/// `scheme` is its name: 1 to 64 letters, digits, dashes, dots and underscores. A login may begin with it, unless
/// `logins` of `security` (`sutazai_kernel_new`) has it among the `second` factors. What its callbacks answer as an
/// error, the operations `security.login` and `security.login_answer` answer as `SUTAZAI_SECURITY_PROVIDER_FAILED`.
/// The table's `user` belongs to the library as `sutazai_agent_add` says; it is let go of when the kernel has stopped.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_ALREADY_EXISTS` where there is a provider of the scheme;
/// `SUTAZAI_BASE_NOT_RUNNING` while the kernel starts, and after its stop.
///
/// # Safety
/// `kernel` is NULL or live; `scheme` is good for reading; `table` is NULL or as its `size` says, and its callbacks
/// do as they promise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_auth_provider_add(
    kernel: *mut sutazai_kernel,
    scheme: *const c_char,
    scheme_len: usize,
    table: *const sutazai_auth_provider_table,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (table, user) = unsafe { take_over(table) }?;
        // SAFETY: the caller's promise.
        let kernel = unsafe { borrow(kernel) }?;
        // SAFETY: the caller's promise.
        let scheme = unsafe { text(scheme, scheme_len, "scheme") }?.to_owned();
        let authenticate = required(table.authenticate, "authenticate")?;
        let provider = CProvider { scheme, authenticate, challenge: table.challenge, user };
        kernel.kernel.add_shared_auth_provider(Arc::new(provider))
    })
}

/// It is them: `principal`, of whom `attributes` says what else is known, for policies: a JSON object of texts, or
/// nothing. Somebody else than the credential says is refused.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_TOO_LATE` when it was answered before.
///
/// # Safety
/// `answer` is NULL, or what the callback that runs was given; the texts are good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_auth_accept(
    answer: *mut sutazai_auth_answer,
    principal: *const c_char,
    principal_len: usize,
    attributes: *const c_char,
    attributes_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let answer = unsafe { answer.as_ref() }.ok_or_else(|| null("answer"))?;
        // SAFETY: the caller's promise.
        let principal = unsafe { text(principal, principal_len, "principal") }?.to_owned();
        // SAFETY: the caller's promise.
        let attributes = unsafe { texts_of(attributes, attributes_len, "attributes") }?;
        answer.give(Given::Accepted { principal, attributes })
    })
}

/// It is not them, and why: for the audit trail; whoever tries is told less.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_TOO_LATE` when it was answered before.
///
/// # Safety
/// `answer` is NULL, or what the callback that runs was given; `why` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_auth_refuse(
    answer: *mut sutazai_auth_answer,
    why: *const c_char,
    why_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let answer = unsafe { answer.as_ref() }.ok_or_else(|| null("answer"))?;
        // SAFETY: the caller's promise.
        let why = unsafe { text(why, why_len, "why") }?;
        answer.give(Given::Refused(why.to_owned()))
    })
}

/// What is needed to answer with the factor: a JSON object of texts, or nothing where nothing is. The last one
/// counts.
///
/// # Errors
/// `SUTAZAI_BASE_INVALID`.
///
/// # Safety
/// `offer` is NULL, or what the callback that runs was given; `parameters` is good for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_auth_offer_give(
    offer: *mut sutazai_auth_offer,
    parameters: *const c_char,
    parameters_len: usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise; it is only ever borrowed shared.
        let offer = unsafe { offer.as_ref() }.ok_or_else(|| null("offer"))?;
        // SAFETY: the caller's promise.
        let parameters = unsafe { texts_of(parameters, parameters_len, "parameters") }?;
        *offer.given.lock() = Some(parameters);
        Ok(())
    })
}

impl sutazai_auth_answer {
    fn give(&self, given: Given) -> Result<()> {
        let mut there = self.given.lock();
        if there.is_some() {
            return Err(Error::new(Code::TOO_LATE, "the credential was answered before"));
        }
        *there = Some(given);
        Ok(())
    }
}

/// A JSON object of texts; an empty text is an empty one.
///
/// # Safety
/// As [`text`].
unsafe fn texts_of(
    data: *const c_char,
    len: usize,
    name: &'static str,
) -> Result<BTreeMap<String, String>> {
    // SAFETY: the caller's promise.
    let given = unsafe { text(data, len, name) }?;
    if given.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    from_json("security.provider", name, given)
}

struct CProvider {
    scheme: String,
    authenticate: unsafe extern "C" fn(
        *mut c_void,
        *const sutazai_credential,
        *mut sutazai_auth_answer,
    ) -> *mut sutazai_error,
    challenge: Option<
        unsafe extern "C" fn(
            *mut c_void,
            sutazai_str,
            sutazai_str,
            i64,
            *mut sutazai_auth_offer,
        ) -> *mut sutazai_error,
    >,
    user: User,
}

impl CProvider {
    fn failed(&self, cause: Error) -> Error {
        provider_failed("the provider failed instead of answering", &self.scheme, cause)
    }
}

impl AuthProvider for CProvider {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let shown = sutazai_credential {
            scheme: sutazai_str::lend(&credential.scheme),
            principal: sutazai_str::lend(credential.principal.as_deref().unwrap_or_default()),
            secret: credential.secret.as_ptr(),
            secret_len: credential.secret.len(),
            login: sutazai_str::lend(credential.login.as_deref().unwrap_or_default()),
            now_ms: milliseconds(now),
        };
        let mut answer = sutazai_auth_answer { given: Mutex::new(None) };
        // SAFETY: whoever added it promised that it may be called so.
        let error =
            unsafe { (self.authenticate)(self.user.get(), &raw const shown, &raw mut answer) };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }.map_err(|cause| self.failed(cause))?;
        match answer.given.into_inner() {
            Some(Given::Accepted { principal, attributes }) => Ok(AuthStep::Accepted(
                Session::new(principal, &self.scheme).with_attributes(attributes),
            )),
            Some(Given::Refused(why)) => Ok(AuthStep::Refused(why)),
            None => Err(Error::new(Code::PROVIDER_FAILED, "the provider gave no answer")
                .with("scheme", &self.scheme)
                .advice("call sutazai_auth_accept or sutazai_auth_refuse in `authenticate`")),
        }
    }

    fn challenge(
        &self,
        principal: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let Some(challenge) = self.challenge else { return Ok(Some(BTreeMap::new())) };
        let mut offer = sutazai_auth_offer { given: Mutex::new(None) };
        let (principal, login) = (sutazai_str::lend(principal), sutazai_str::lend(login));
        // SAFETY: whoever added it promised that it may be called so.
        let error = unsafe {
            challenge(self.user.get(), principal, login, milliseconds(now), &raw mut offer)
        };
        // SAFETY: what it answers is NULL or an error that is now ours.
        unsafe { sutazai_error::taken(error) }.map_err(|cause| self.failed(cause))?;
        Ok(offer.given.into_inner())
    }
}

/// What a provider failed with: who they are cannot be told.
pub(crate) fn provider_failed(what: &'static str, scheme: &str, cause: Error) -> Error {
    let class = cause.class();
    Error::new(Code::PROVIDER_FAILED, what).classed(class).with("scheme", scheme).because(cause)
}
