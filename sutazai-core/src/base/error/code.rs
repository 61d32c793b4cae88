//! The numbers and classes of errors.

use std::fmt;

/// How bad a failure is, and whether trying again may help.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It may well succeed when tried again: a timeout, a full queue, a busy peer.
    Transient,
    /// It will fail the same way until something is changed: bad input, nothing of that name.
    Persistent,
    /// Something is broken that others depend on: a panic, corruption, a lost invariant.
    Critical,
}

impl Class {
    /// `transient`, `persistent` or `critical`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Persistent => "persistent",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A stable error number. Each room has a thousand; a number, once released, never changes its
/// meaning and is never used again. Numbers with the top bit set belong to hosts
/// ([`Code::host`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u32);

const HOST: u32 = 1 << 31;

impl Code {
    /// A code of the host's own: `number` with the top bit set.
    pub const fn host(number: u32) -> Self {
        Self(number | HOST)
    }

    /// The code with this number, if it is one of the table or a host's.
    pub fn from_number(number: u32) -> Option<Self> {
        let code = Self(number);
        (code.is_host() || TABLE.iter().any(|row| row.code == code)).then_some(code)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it is a host's own.
    pub const fn is_host(self) -> bool {
        self.0 & HOST != 0
    }

    /// `room.what`; `host` for a host's own.
    pub fn name(self) -> &'static str {
        self.row().map_or("host", |row| row.name)
    }

    /// The room the code belongs to: the name up to the dot.
    pub fn family(self) -> &'static str {
        let name = self.name();
        name.split_once('.').map_or(name, |(family, _)| family)
    }

    /// The class an error of this code has unless it says otherwise.
    pub fn class(self) -> Class {
        self.row().map_or(Class::Persistent, |row| row.class)
    }

    /// One line on what it means.
    pub fn doc(self) -> &'static str {
        self.row().map_or("an error of the host's own", |row| row.doc)
    }

    /// Every code of the library, in order of number.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.code)
    }

    fn row(self) -> Option<&'static Row> {
        // The table is in order of number (a test holds it).
        let found = TABLE.binary_search_by_key(&self, |row| row.code).ok()?;
        TABLE.get(found)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({} {})", self.0, self.name())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

struct Row {
    code: Code,
    name: &'static str,
    class: Class,
    doc: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $number:literal, $name:literal, $class:ident, $doc:literal;)*) => {
        impl Code {
            $(#[doc = concat!("`", $name, "` (", stringify!($number), ", ", stringify!($class), "): ", $doc)]
            pub const $constant: Self = Self($number);)*
        }
        static TABLE: &[Row] = &[
            $(Row { code: Code::$constant, name: $name, class: Class::$class, doc: $doc },)*
        ];
    };
}

codes! {
    // base: 1–999
    INTERNAL = 1, "base.internal", Critical, "an invariant of the library does not hold: a defect";
    PANIC = 2, "base.panic", Critical, "code that was called panicked or threw";
    CANCELLED = 3, "base.cancelled", Persistent, "the caller no longer wants the answer";
    DEADLINE_EXCEEDED = 4, "base.deadline_exceeded", Transient, "no answer came before the deadline";
    ABANDONED = 5, "base.abandoned", Persistent, "the worker dropped its reply without answering";
    INVALID = 6, "base.invalid", Persistent, "the input is not valid";
    NOT_FOUND = 7, "base.not_found", Persistent, "there is nothing of that name";
    ALREADY_EXISTS = 8, "base.already_exists", Persistent, "there is one of that name already";
    OVERLOADED = 9, "base.overloaded", Transient, "a bounded queue or pool is full";
    WOULD_DEADLOCK = 10, "base.would_deadlock", Persistent, "blocking here would stop the thread that brings the answer";
    TOO_LATE = 11, "base.too_late", Persistent, "the call has its answer already";
    TAKEN = 12, "base.taken", Persistent, "the ticket gave its answer before";
    NOT_RUNNING = 13, "base.not_running", Persistent, "it has not been started, or has been stopped";
    IO = 14, "base.io", Transient, "the operating system refused an operation";
    UNSUPPORTED = 15, "base.unsupported", Persistent, "not available in this build or on this system";
    TIMEOUT = 16, "base.timeout", Transient, "waiting ended before there was an answer; the call goes on";
    FORKED = 17, "base.forked", Persistent, "the handle belongs to the process that this one was forked from";
    // event: 1000–1999
    SUBJECT_INVALID = 1000, "event.subject_invalid", Persistent, "not a well-formed subject or pattern";
    SUBSCRIPTION_CLOSED = 1001, "event.subscription_closed", Persistent, "the subscription was closed";
    // observe: 2000–2999
    METRIC_CONFLICT = 2000, "observe.metric_conflict", Persistent, "the metric exists with another kind or other labels";
    METRIC_INVALID = 2001, "observe.metric_invalid", Persistent, "not a valid metric or label name";
    // store: 3000–3999
    STORE_NEWER = 3000, "store.newer", Persistent, "the database was written by a newer version";
    STORE_CORRUPT = 3001, "store.corrupt", Critical, "the database is not one, or is damaged";
    STORE_READ_ONLY = 3002, "store.read_only", Persistent, "the data directory cannot be written";
    STORE_LOCKED = 3003, "store.locked", Persistent, "the data directory is in use by another kernel";
    STORE_FAILED = 3004, "store.failed", Transient, "the database refused an operation";
    STORE_HANGS = 3005, "store.hangs", Critical, "what the database's writer runs does not come to its end";
    // config: 4000–4999
    MANIFEST_INVALID = 4000, "config.manifest_invalid", Persistent, "the manifest is not valid";
    MANIFEST_UNREADABLE = 4001, "config.manifest_unreadable", Persistent, "the manifest cannot be read";
    // agent: 5000–5999
    AGENT_NO_SKILL = 5000, "agent.no_skill", Persistent, "no registered agent has the skill";
    AGENT_FAILED = 5001, "agent.failed", Transient, "the agent answered with an error of its own";
    AGENT_EXITED = 5002, "agent.exited", Transient, "the agent's process ended during the call";
    AGENT_PROTOCOL = 5003, "agent.protocol", Persistent, "the agent broke its protocol";
    AGENT_START = 5004, "agent.start", Persistent, "the agent could not be started";
    AGENT_BAD_ANSWER = 5005, "agent.bad_answer", Persistent, "the agent answered with something that is not an outcome";
    AGENT_LOOP = 5006, "agent.loop", Persistent, "calls within calls go round in a circle";
    AGENT_TOO_DEEP = 5007, "agent.too_deep", Persistent, "calls within calls go deeper than the limits allow";
    AGENT_NONE_FITS = 5008, "agent.none_fits", Persistent, "no agent that has the skill meets the call's terms";
    AGENT_NOT_MADE = 5020, "agent.not_made", Persistent, "no template could make an agent for what is wanted";
    AGENT_LIES = 5030, "agent.lies", Persistent, "the agent cannot do what its card says";
    // kernel: 6000–6999
    INJECT_MISSING = 6000, "kernel.inject_missing", Persistent, "nothing provides a type that is needed";
    INJECT_CYCLE = 6001, "kernel.inject_cycle", Persistent, "a type needs itself";
    INJECT_FAILED = 6002, "kernel.inject_failed", Persistent, "a factory failed";
    COMPONENT_START = 6003, "kernel.component_start", Persistent, "a component failed to start";
    COMPONENT_STOP = 6004, "kernel.component_stop", Transient, "a component did not stop in time";
    COMPONENT_CYCLE = 6005, "kernel.component_cycle", Persistent, "components need one another in a circle";
    COMPONENT_MISSING = 6006, "kernel.component_missing", Persistent, "a component needs one that is not there";
    DRAINING = 6007, "kernel.draining", Persistent, "the kernel takes no new calls: it is stopping";
    INJECT_SCOPE = 6008, "kernel.inject_scope", Persistent, "a value that lives as long as a scope is needed where there is none";
    // surface: 7000–7999
    OPERATION_UNKNOWN = 7000, "surface.operation_unknown", Persistent, "no operation has that name";
    REQUEST_INVALID = 7001, "surface.request_invalid", Persistent, "the request does not fit the operation's schema";
    // security: 8000–8999
    UNAUTHENTICATED = 8000, "security.unauthenticated", Persistent, "the caller is not known";
    DENIED = 8001, "security.denied", Persistent, "the caller may not do this";
    STEP_UP = 8002, "security.step_up", Persistent, "the caller must prove another factor first";
    NOT_APPROVED = 8003, "security.not_approved", Persistent, "somebody refused to approve it, or nobody did in time";
    // security, authentication: 8100–8199
    PASSWORD_WEAK = 8101, "security.password_weak", Persistent, "the password is not good enough";
    LOGIN_UNKNOWN = 8102, "security.login_unknown", Persistent, "no such login is under way";
    FACTOR_OFF = 8103, "security.factor_off", Persistent, "the factor is not set up here";
    PRINCIPAL_DISABLED = 8104, "security.principal_disabled", Persistent, "the principal is disabled";
    PROVIDER_FAILED = 8110, "security.provider_failed", Transient, "a provider of the host's cannot tell who somebody is";
    // security, tokens: 8200–8299
    TOKEN_MALFORMED = 8200, "security.token_malformed", Persistent, "the token has not the form of one";
    TOKEN_SIGNATURE = 8201, "security.token_signature", Persistent, "the token's signature does not fit its content";
    TOKEN_KEY = 8202, "security.token_key", Persistent, "the token's key is unknown, or is not for tokens of this kind";
    TOKEN_EXPIRED = 8203, "security.token_expired", Persistent, "the token has expired";
    TOKEN_EARLY = 8204, "security.token_early", Persistent, "the token is not valid yet";
    TOKEN_CLAIMS = 8205, "security.token_claims", Persistent, "the token is not from here, or not for here";
    TOKEN_REVOKED = 8206, "security.token_revoked", Persistent, "the token was revoked";
    REFRESH_INVALID = 8207, "security.refresh_invalid", Persistent, "the refresh token is unknown, expired or revoked";
    REFRESH_REUSED = 8208, "security.refresh_reused", Persistent, "the refresh token was used before: its family is revoked";
    DELEGATION_DENIED = 8209, "security.delegation_denied", Persistent, "the delegated token does not allow this";
    ID_TOKEN_REFUSED = 8210, "security.id_token_refused", Persistent, "the ID token is refused";
    CLOCK_RESET_REFUSED = 8211, "security.clock_reset_refused", Persistent, "the clock may not be set back so far";
    // security, authorisation: 8300–8399
    POLICY_INVALID = 8300, "security.policy_invalid", Persistent, "a policy is not valid, or does not fit its schema";
    POLICY_SCHEMA = 8301, "security.policy_schema", Persistent, "the schema of policies is not valid";
    ENTITIES_INVALID = 8302, "security.entities_invalid", Persistent, "the entities are not valid, or do not fit their schema";
    ACCESS_INVALID = 8303, "security.access_invalid", Persistent, "the request for access is not valid, or does not fit the schema";
    ROLE_INVALID = 8304, "security.role_invalid", Persistent, "a role is not valid: unknown, in a circle, or twice there";
    // security, keys: 8400–8499
    KEY_UNKNOWN = 8400, "security.key_unknown", Persistent, "there is no such keyset, or no such key in it";
    KEY_PURPOSE = 8401, "security.key_purpose", Persistent, "the key serves another purpose";
    KEY_STATE = 8402, "security.key_state", Persistent, "the key's state does not allow this: it is not active, or destroyed";
    NOT_AUTHENTIC = 8403, "security.not_authentic", Persistent, "it was altered, cut short, or made with another key, name, purpose or context";
    KEY_FORMAT = 8404, "security.key_format", Persistent, "it is not in a format that is known here";
    MASTER_KEY = 8405, "security.master_key", Persistent, "the master key is missing, malformed, or not the one";
    MASTER_KEY_EXPOSED = 8406, "security.master_key_exposed", Persistent, "others than its owner can read or change the file of a key";
    KEYS_CORRUPT = 8407, "security.keys_corrupt", Critical, "the stored keysets were altered or are incomplete";
    KEYS_FULL = 8408, "security.keys_full", Persistent, "there are as many keysets, or keys in one, as are allowed";
    // security, audit: 8500–8599
    AUDIT_FULL = 8500, "security.audit_full", Transient, "the audit log has no room for another record";
    AUDIT_FAILED = 8501, "security.audit_failed", Critical, "the audit log could not be written, and takes no more records";
    AUDIT_CORRUPT = 8502, "security.audit_corrupt", Critical, "the audit log is not what its checkpoint says";
    AUDIT_PROOF = 8503, "security.audit_proof", Persistent, "a proof or a signature does not hold";
    AUDIT_WITNESS = 8504, "security.audit_witness", Transient, "too few witnesses signed the checkpoint";
    AUDIT_PRUNED = 8505, "security.audit_pruned", Persistent, "the record is no longer kept";
    // recovery: 9000–9999
    BREAKER_OPEN = 9000, "recovery.breaker_open", Transient, "the circuit breaker is open: the target has been failing";
    RATE_LIMITED = 9001, "recovery.rate_limited", Transient, "the rate limit leaves no room for this call";
    BULKHEAD_FULL = 9002, "recovery.bulkhead_full", Transient, "as many calls as the bulkhead allows run and wait";
    QUARANTINED = 9003, "recovery.quarantined", Transient, "the target is set apart because it harms the rest";
    DEGRADED = 9004, "recovery.degraded", Transient, "the feature is off at the present level of degradation";
    POISON = 9005, "recovery.poison", Persistent, "the task was set aside: it brought its agent down twice";
    INTENSITY = 9006, "recovery.intensity", Critical, "children had to be restarted more often than their supervisor allows";
    SAGA_UNDONE = 9007, "recovery.saga_undone", Persistent, "a step failed, and what had been done was undone";
    SAGA_STUCK = 9008, "recovery.saga_stuck", Critical, "a compensation failed: what was done is undone in part";
    SAFE_STATE = 9009, "recovery.safe_state", Persistent, "the system is in its safe state and takes no calls";
    ACTION_REFUSED = 9010, "recovery.action_refused", Persistent, "an action was not taken: cooling down, not approved, or beyond its bound";
    RESTORE_FAILED = 9011, "recovery.restore_failed", Critical, "a checkpoint was restored in part or not at all";
    CHILD_START = 9012, "recovery.child_start", Persistent, "a supervised child failed to start";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_unique() {
        assert!(TABLE.windows(2).all(|w| w[0].code < w[1].code));
        let mut names: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]));
    }

    #[test]
    fn families_follow_the_thousands() {
        let families = [
            "base", "event", "observe", "store", "config", "agent", "kernel", "surface",
            "security", "recovery",
        ];
        for code in Code::all() {
            assert_eq!(code.family(), families[code.number() as usize / 1000], "{code:?}");
        }
    }

    #[test]
    fn hosts_have_the_top_bit() {
        let code = Code::host(5);
        assert!(code.is_host());
        assert_eq!(code.name(), "host");
        assert_eq!(Code::from_number(code.number()), Some(code));
        assert_eq!(Code::from_number(999_999), None);
    }
}
