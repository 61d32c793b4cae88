/*
 * SutazAI: the operations kernel for programs that run AI agents.
 *
 * Conventions, which hold for every function unless it says otherwise:
 *
 * Errors. What can fail answers a `sutazai_error *`: NULL for success, else an error that the caller
 * frees. Outputs (the last arguments) are written on success only. The `SUTAZAI_BASE_...` errors
 * that any function may answer: INVALID for an argument that is NULL, not UTF-8, or out of range;
 * FORKED for a handle that was made before a fork, in the child; PANIC for a defect of the library.
 *
 * Ownership. A handle (an opaque pointer that a function put into an output, or that a callback got
 * to keep) is freed by its `_free`, once, when nobody uses it any more. Every `_free` takes NULL.
 * Handles may be freed in any order, on any thread. A `sutazai_buffer` is freed by
 * `sutazai_buffer_free`. What is `const` is lent. In a forked child, `_free` does nothing.
 *
 * Text comes in as `(const char *, size_t)`, UTF-8, and need not be NUL-terminated; it is copied.
 *
 * Threads. Every function may be called on any thread, and the same handle may be used by several
 * threads at once. The library starts no thread before `sutazai_kernel_start`, and installs no
 * signal handler unless a policy of the safe state asks for SIGTERM. Those that block say so.
 *
 * Callbacks come as a table: `size` (sizeof the table), `user` (handed to each callback), `drop`
 * (frees `user`, once), then the callbacks. Zero the table before it is filled in: new callbacks are
 * added at the end. A callback must not throw, longjmp out, or end its thread. It may call any
 * function of this library.
 */


#ifndef SUTAZAI_H
#define SUTAZAI_H

/* Written by tests/header.rs from sutazai-c/src; do not edit. BLESS=1 cargo test --test header */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Error codes. Numbers never change their meaning. Hosts' own have the top bit set. */

/** an invariant of the library does not hold: a defect (critical) */
#define SUTAZAI_BASE_INTERNAL 1

/** code that was called panicked or threw (critical) */
#define SUTAZAI_BASE_PANIC 2

/** the caller no longer wants the answer (persistent) */
#define SUTAZAI_BASE_CANCELLED 3

/** no answer came before the deadline (transient) */
#define SUTAZAI_BASE_DEADLINE_EXCEEDED 4

/** the worker dropped its reply without answering (persistent) */
#define SUTAZAI_BASE_ABANDONED 5

/** the input is not valid (persistent) */
#define SUTAZAI_BASE_INVALID 6

/** there is nothing of that name (persistent) */
#define SUTAZAI_BASE_NOT_FOUND 7

/** there is one of that name already (persistent) */
#define SUTAZAI_BASE_ALREADY_EXISTS 8

/** a bounded queue or pool is full (transient) */
#define SUTAZAI_BASE_OVERLOADED 9

/** blocking here would stop the thread that brings the answer (persistent) */
#define SUTAZAI_BASE_WOULD_DEADLOCK 10

/** the call has its answer already (persistent) */
#define SUTAZAI_BASE_TOO_LATE 11

/** the ticket gave its answer before (persistent) */
#define SUTAZAI_BASE_TAKEN 12

/** it has not been started, or has been stopped (persistent) */
#define SUTAZAI_BASE_NOT_RUNNING 13

/** the operating system refused an operation (transient) */
#define SUTAZAI_BASE_IO 14

/** not available in this build or on this system (persistent) */
#define SUTAZAI_BASE_UNSUPPORTED 15

/** waiting ended before there was an answer; the call goes on (transient) */
#define SUTAZAI_BASE_TIMEOUT 16

/** the handle belongs to the process that this one was forked from (persistent) */
#define SUTAZAI_BASE_FORKED 17

/** not a well-formed subject or pattern (persistent) */
#define SUTAZAI_EVENT_SUBJECT_INVALID 1000

/** the subscription was closed (persistent) */
#define SUTAZAI_EVENT_SUBSCRIPTION_CLOSED 1001

/** the metric exists with another kind or other labels (persistent) */
#define SUTAZAI_OBSERVE_METRIC_CONFLICT 2000

/** not a valid metric or label name (persistent) */
#define SUTAZAI_OBSERVE_METRIC_INVALID 2001

/** the database was written by a newer version (persistent) */
#define SUTAZAI_STORE_NEWER 3000

/** the database is not one, or is damaged (critical) */
#define SUTAZAI_STORE_CORRUPT 3001

/** the data directory cannot be written (persistent) */
#define SUTAZAI_STORE_READ_ONLY 3002

/** the data directory is in use by another kernel (persistent) */
#define SUTAZAI_STORE_LOCKED 3003

/** the database refused an operation (transient) */
#define SUTAZAI_STORE_FAILED 3004

/** what the database's writer runs does not come to its end (critical) */
#define SUTAZAI_STORE_HANGS 3005

/** the manifest is not valid (persistent) */
#define SUTAZAI_CONFIG_MANIFEST_INVALID 4000

/** the manifest cannot be read (persistent) */
#define SUTAZAI_CONFIG_MANIFEST_UNREADABLE 4001

/** no registered agent has the skill (persistent) */
#define SUTAZAI_AGENT_NO_SKILL 5000

/** the agent answered with an error of its own (transient) */
#define SUTAZAI_AGENT_FAILED 5001

/** the agent's process ended during the call (transient) */
#define SUTAZAI_AGENT_EXITED 5002

/** the agent broke its protocol (persistent) */
#define SUTAZAI_AGENT_PROTOCOL 5003

/** the agent could not be started (persistent) */
#define SUTAZAI_AGENT_START 5004

/** the agent answered with something that is not an outcome (persistent) */
#define SUTAZAI_AGENT_BAD_ANSWER 5005

/** calls within calls go round in a circle (persistent) */
#define SUTAZAI_AGENT_LOOP 5006

/** calls within calls go deeper than the limits allow (persistent) */
#define SUTAZAI_AGENT_TOO_DEEP 5007

/** no agent that has the skill meets the call's terms (persistent) */
#define SUTAZAI_AGENT_NONE_FITS 5008

/** no template could make an agent for what is wanted (persistent) */
#define SUTAZAI_AGENT_NOT_MADE 5020

/** the agent cannot do what its card says (persistent) */
#define SUTAZAI_AGENT_LIES 5030

/** nothing provides a type that is needed (persistent) */
#define SUTAZAI_KERNEL_INJECT_MISSING 6000

/** a type needs itself (persistent) */
#define SUTAZAI_KERNEL_INJECT_CYCLE 6001

/** a factory failed (persistent) */
#define SUTAZAI_KERNEL_INJECT_FAILED 6002

/** a component failed to start (persistent) */
#define SUTAZAI_KERNEL_COMPONENT_START 6003

/** a component did not stop in time (transient) */
#define SUTAZAI_KERNEL_COMPONENT_STOP 6004

/** components need one another in a circle (persistent) */
#define SUTAZAI_KERNEL_COMPONENT_CYCLE 6005

/** a component needs one that is not there (persistent) */
#define SUTAZAI_KERNEL_COMPONENT_MISSING 6006

/** the kernel takes no new calls: it is stopping (persistent) */
#define SUTAZAI_KERNEL_DRAINING 6007

/** a value that lives as long as a scope is needed where there is none (persistent) */
#define SUTAZAI_KERNEL_INJECT_SCOPE 6008

/** no operation has that name (persistent) */
#define SUTAZAI_SURFACE_OPERATION_UNKNOWN 7000

/** the request does not fit the operation's schema (persistent) */
#define SUTAZAI_SURFACE_REQUEST_INVALID 7001

/** the caller is not known (persistent) */
#define SUTAZAI_SECURITY_UNAUTHENTICATED 8000

/** the caller may not do this (persistent) */
#define SUTAZAI_SECURITY_DENIED 8001

/** the caller must prove another factor first (persistent) */
#define SUTAZAI_SECURITY_STEP_UP 8002

/** somebody refused to approve it, or nobody did in time (persistent) */
#define SUTAZAI_SECURITY_NOT_APPROVED 8003

/** the password is not good enough (persistent) */
#define SUTAZAI_SECURITY_PASSWORD_WEAK 8101

/** no such login is under way (persistent) */
#define SUTAZAI_SECURITY_LOGIN_UNKNOWN 8102

/** the factor is not set up here (persistent) */
#define SUTAZAI_SECURITY_FACTOR_OFF 8103

/** the principal is disabled (persistent) */
#define SUTAZAI_SECURITY_PRINCIPAL_DISABLED 8104

/** a provider of the host's cannot tell who somebody is (transient) */
#define SUTAZAI_SECURITY_PROVIDER_FAILED 8110

/** the token has not the form of one (persistent) */
#define SUTAZAI_SECURITY_TOKEN_MALFORMED 8200

/** the token's signature does not fit its content (persistent) */
#define SUTAZAI_SECURITY_TOKEN_SIGNATURE 8201

/** the token's key is unknown, or is not for tokens of this kind (persistent) */
#define SUTAZAI_SECURITY_TOKEN_KEY 8202

/** the token has expired (persistent) */
#define SUTAZAI_SECURITY_TOKEN_EXPIRED 8203

/** the token is not valid yet (persistent) */
#define SUTAZAI_SECURITY_TOKEN_EARLY 8204

/** the token is not from here, or not for here (persistent) */
#define SUTAZAI_SECURITY_TOKEN_CLAIMS 8205

/** the token was revoked (persistent) */
#define SUTAZAI_SECURITY_TOKEN_REVOKED 8206

/** the refresh token is unknown, expired or revoked (persistent) */
#define SUTAZAI_SECURITY_REFRESH_INVALID 8207

/** the refresh token was used before: its family is revoked (persistent) */
#define SUTAZAI_SECURITY_REFRESH_REUSED 8208

/** the delegated token does not allow this (persistent) */
#define SUTAZAI_SECURITY_DELEGATION_DENIED 8209

/** the ID token is refused (persistent) */
#define SUTAZAI_SECURITY_ID_TOKEN_REFUSED 8210

/** the clock may not be set back so far (persistent) */
#define SUTAZAI_SECURITY_CLOCK_RESET_REFUSED 8211

/** a policy is not valid, or does not fit its schema (persistent) */
#define SUTAZAI_SECURITY_POLICY_INVALID 8300

/** the schema of policies is not valid (persistent) */
#define SUTAZAI_SECURITY_POLICY_SCHEMA 8301

/** the entities are not valid, or do not fit their schema (persistent) */
#define SUTAZAI_SECURITY_ENTITIES_INVALID 8302

/** the request for access is not valid, or does not fit the schema (persistent) */
#define SUTAZAI_SECURITY_ACCESS_INVALID 8303

/** a role is not valid: unknown, in a circle, or twice there (persistent) */
#define SUTAZAI_SECURITY_ROLE_INVALID 8304

/** there is no such keyset, or no such key in it (persistent) */
#define SUTAZAI_SECURITY_KEY_UNKNOWN 8400

/** the key serves another purpose (persistent) */
#define SUTAZAI_SECURITY_KEY_PURPOSE 8401

/** the key's state does not allow this: it is not active, or destroyed (persistent) */
#define SUTAZAI_SECURITY_KEY_STATE 8402

/** it was altered, cut short, or made with another key, name, purpose or context (persistent) */
#define SUTAZAI_SECURITY_NOT_AUTHENTIC 8403

/** it is not in a format that is known here (persistent) */
#define SUTAZAI_SECURITY_KEY_FORMAT 8404

/** the master key is missing, malformed, or not the one (persistent) */
#define SUTAZAI_SECURITY_MASTER_KEY 8405

/** others than its owner can read or change the file of a key (persistent) */
#define SUTAZAI_SECURITY_MASTER_KEY_EXPOSED 8406

/** the stored keysets were altered or are incomplete (critical) */
#define SUTAZAI_SECURITY_KEYS_CORRUPT 8407

/** there are as many keysets, or keys in one, as are allowed (persistent) */
#define SUTAZAI_SECURITY_KEYS_FULL 8408

/** the audit log has no room for another record (transient) */
#define SUTAZAI_SECURITY_AUDIT_FULL 8500

/** the audit log could not be written, and takes no more records (critical) */
#define SUTAZAI_SECURITY_AUDIT_FAILED 8501

/** the audit log is not what its checkpoint says (critical) */
#define SUTAZAI_SECURITY_AUDIT_CORRUPT 8502

/** a proof or a signature does not hold (persistent) */
#define SUTAZAI_SECURITY_AUDIT_PROOF 8503

/** too few witnesses signed the checkpoint (transient) */
#define SUTAZAI_SECURITY_AUDIT_WITNESS 8504

/** the record is no longer kept (persistent) */
#define SUTAZAI_SECURITY_AUDIT_PRUNED 8505

/** the circuit breaker is open: the target has been failing (transient) */
#define SUTAZAI_RECOVERY_BREAKER_OPEN 9000

/** the rate limit leaves no room for this call (transient) */
#define SUTAZAI_RECOVERY_RATE_LIMITED 9001

/** as many calls as the bulkhead allows run and wait (transient) */
#define SUTAZAI_RECOVERY_BULKHEAD_FULL 9002

/** the target is set apart because it harms the rest (transient) */
#define SUTAZAI_RECOVERY_QUARANTINED 9003

/** the feature is off at the present level of degradation (transient) */
#define SUTAZAI_RECOVERY_DEGRADED 9004

/** the task was set aside: it brought its agent down twice (persistent) */
#define SUTAZAI_RECOVERY_POISON 9005

/** children had to be restarted more often than their supervisor allows (critical) */
#define SUTAZAI_RECOVERY_INTENSITY 9006

/** a step failed, and what had been done was undone (persistent) */
#define SUTAZAI_RECOVERY_SAGA_UNDONE 9007

/** a compensation failed: what was done is undone in part (critical) */
#define SUTAZAI_RECOVERY_SAGA_STUCK 9008

/** the system is in its safe state and takes no calls (persistent) */
#define SUTAZAI_RECOVERY_SAFE_STATE 9009

/** an action was not taken: cooling down, not approved, or beyond its bound (persistent) */
#define SUTAZAI_RECOVERY_ACTION_REFUSED 9010

/** a checkpoint was restored in part or not at all (critical) */
#define SUTAZAI_RECOVERY_RESTORE_FAILED 9011

/** a supervised child failed to start (persistent) */
#define SUTAZAI_RECOVERY_CHILD_START 9012


/**
 * The version of the binary interface that this header describes. Functions and the ends of
 * callback tables may be added without a new number; anything else gets one, and a new SONAME.
 */
#define SUTAZAI_ABI_VERSION 0

/**
 * Wait without end.
 */
#define SUTAZAI_FOREVER 18446744073709551615ull

/**
 * Class of an error: it may well succeed when tried again.
 */
#define SUTAZAI_TRANSIENT 1

/**
 * Class of an error: it will fail the same way until something is changed.
 */
#define SUTAZAI_PERSISTENT 2

/**
 * Class of an error: something is broken that others depend on.
 */
#define SUTAZAI_CRITICAL 3

/**
 * Where a class is asked for: the one that the code has by default.
 */
#define SUTAZAI_CLASS_OF_CODE 0

/**
 * It lives.
 */
#define SUTAZAI_BEAT_ALIVE 0

/**
 * It cannot be reached; it takes no tasks until it lives again.
 */
#define SUTAZAI_BEAT_UNREACHABLE 1

/**
 * It has ended, and does not come back by itself.
 */
#define SUTAZAI_BEAT_DEAD 2

/**
 * It gives no sign of life; neither does any number that is not listed here.
 */
#define SUTAZAI_BEAT_NONE 3

/**
 * Lifetime of a value: built once, when it is first asked for; the kernel's until it stops.
 */
#define SUTAZAI_LIFETIME_SINGLETON 1

/**
 * Lifetime of a value: built once in each scope that asks for it; the scope's.
 */
#define SUTAZAI_LIFETIME_SCOPED 2

/**
 * Lifetime of a value: built anew each time it is asked for.
 */
#define SUTAZAI_LIFETIME_TRANSIENT 3

/**
 * For `sutazai_guard_force`: the breaker decides for itself again, from closed.
 */
#define SUTAZAI_FORCE_NONE 0

/**
 * For `sutazai_guard_force`: no call passes.
 */
#define SUTAZAI_FORCE_OPEN 1

/**
 * For `sutazai_guard_force`: all calls pass, whatever comes of them.
 */
#define SUTAZAI_FORCE_CLOSED 2

/**
 * Log level: every step.
 */
#define SUTAZAI_TRACE 1

/**
 * Log level: for whoever debugs the program.
 */
#define SUTAZAI_DEBUG 2

/**
 * Log level: what an operator may want to read.
 */
#define SUTAZAI_INFO 3

/**
 * Log level: something is not as it should be, and work goes on.
 */
#define SUTAZAI_WARN 4

/**
 * Log level: something failed.
 */
#define SUTAZAI_ERROR 5

/**
 * Where an action puts what it answers; the callback's until it returns.
 */
typedef struct sutazai_action_answer sutazai_action_answer;

/**
 * Where an `authenticate` says who it is; the callback's until it returns.
 */
typedef struct sutazai_auth_answer sutazai_auth_answer;

/**
 * Where a `challenge` says what is needed; the callback's until it returns.
 */
typedef struct sutazai_auth_offer sutazai_auth_offer;

/**
 * What went wrong. Belongs to whoever got it; freed by `sutazai_error_free`. May be read from any
 * thread, also in a forked child.
 */
typedef struct sutazai_error sutazai_error;

/**
 * An event on its arrival. The one that a callback gets lives until the callback returns; one that
 * was pulled is the caller's, freed by `sutazai_event_free`.
 */
typedef struct sutazai_event sutazai_event;

/**
 * Stands between a call and trouble. May be used by any number of threads at once.
 */
typedef struct sutazai_guard sutazai_guard;

/**
 * One operations kernel. Several may live in a process; each has threads, agents and state of its
 * own.
 */
typedef struct sutazai_kernel sutazai_kernel;

/**
 * The right to answer a call, once. Good until it is freed, also after the call was answered, the
 * kernel stopped, or the kernel was freed. May be used from any thread.
 */
typedef struct sutazai_reply sutazai_reply;

/**
 * Where a step puts what it gives; the callback's until it returns.
 */
typedef struct sutazai_saga_answer sutazai_saga_answer;

/**
 * Where a `sample` says what it measures; the callback's until it returns.
 */
typedef struct sutazai_samples sutazai_samples;

/**
 * Something that opens and closes, such as a request: each value of `SUTAZAI_LIFETIME_SCOPED` is
 * built at most once in it.
 */
typedef struct sutazai_scope sutazai_scope;

/**
 * Where a `save` puts the state; the callback's until it returns.
 */
typedef struct sutazai_state sutazai_state;

/**
 * Events that match a pattern.
 */
typedef struct sutazai_subscription sutazai_subscription;

/**
 * What an agent is asked to do. Lives as long as the reply that came with it.
 */
typedef struct sutazai_task sutazai_task;

/**
 * A call under way. Its answer is given out once. May be used from any thread; while one waits,
 * others may cancel it or ask whether it is done.
 */
typedef struct sutazai_ticket sutazai_ticket;

/**
 * A hold on a value: what it points to stays until all holds on it are freed, also when the kernel
 * or the scope that it came from is gone.
 */
typedef struct sutazai_value sutazai_value;

/**
 * One life of a loop; the callback's until it returns.
 */
typedef struct sutazai_worker_life sutazai_worker_life;

/**
 * Text that the library gave away: UTF-8 (JSON, mostly), `len` bytes. A NUL stands behind the last
 * one and is not counted. Freed by `sutazai_buffer_free`, whatever it came from.
 */
typedef struct sutazai_buffer {
    /**
     * The first byte; NULL in a buffer that was freed or never filled.
     */
    char *data;
    /**
     * The number of bytes, the NUL not counted.
     */
    size_t len;
} sutazai_buffer;

/**
 * What else a call may say. Set `size` to `sizeof(sutazai_call_options)` and everything else to
 * zero; then fill in what is wanted.
 */
typedef struct sutazai_call_options {
    /**
     * `sizeof(sutazai_call_options)`.
     */
    size_t size;
    /**
     * Gives up after this many milliseconds; 0 for the agent's or the kernel's default.
     */
    uint64_t timeout_ms;
    /**
     * The agent that is asked for; NULL for any that has the skill.
     */
    const char *agent;
    /**
     * Bytes of `agent`.
     */
    size_t agent_len;
    /**
     * On behalf of whoever this token belongs to; NULL for the local session.
     */
    const char *token;
    /**
     * Bytes of `token`.
     */
    size_t token_len;
    /**
     * The task that this call is a part of; NULL for the one that is being handled on this thread, if any.
     * The call is in its trace then, and may not go round in a circle, or deeper than the limits allow.
     */
    const struct sutazai_task *within;
    /**
     * Where it has to wait for a place, it goes before those of a lower number: 1 to 255; 0 for as urgent
     * as the work that calls, or else 128.
     */
    uint32_t priority;
    /**
     * What else is wanted of the call, as JSON: `caller`, `affinity`, `idempotency_key`, `max_cost`, `labels`,
     * `exclude`, `features`, as the operation "agent.call" has them; NULL for nothing.
     */
    const char *terms;
    /**
     * Bytes of `terms`.
     */
    size_t terms_len;
} sutazai_call_options;

/**
 * Where a call's answer goes. Must not throw or longjmp.
 */
typedef struct sutazai_done_table {
    /**
     * `sizeof(sutazai_done_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * The call has its answer: `error` is NULL and `answer` is it, or `error` is not NULL and
     * `answer` is empty. Both are the callback's to free. Runs once, on the answering thread; must
     * not block. Required.
     */
    void (*done)(void *user, struct sutazai_error *error, struct sutazai_buffer answer);
} sutazai_done_table;

/**
 * What an agent does. Callbacks must not throw, longjmp, or end their thread.
 */
typedef struct sutazai_agent_table {
    /**
     * `sizeof(sutazai_agent_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after `stop` and when no `handle` runs any more, on any thread.
     * Replies that `user` keeps are best freed here. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Does a task. `reply` is the agent's to free, here or later on any thread; `task` lives as
     * long as `reply`. Runs on the kernel's pool, on the caller's thread for an agent whose card
     * says `"run": "inline"` (which must not block); several tasks may run at once unless the card
     * says `"concurrency": 1`. Required.
     */
    void (*handle)(void *user, const struct sutazai_task *task, struct sutazai_reply *reply);
    /**
     * Gets ready; called once before the first task, on a thread that may block. Answers NULL, or
     * an error, which the library frees: the agent is not started then. May be NULL.
     */
    struct sutazai_error *(*start)(void *user);
    /**
     * Lets go of what it holds; called once after the last task, on a thread that may block, for
     * `left_ms` milliseconds at most. May be NULL.
     */
    void (*stop)(void *user, uint64_t left_ms);
    /**
     * Says whether it lives: one of SUTAZAI_BEAT_ALIVE, _UNREACHABLE, _DEAD and _NONE; asked now and then (the
     * operation "agent.liveness_set" says when), on the kernel's pool, where it may block: not to return is no
     * sign of life either. May be NULL: it cannot end but with its kernel.
     */
    uint32_t (*beat)(void *user);
} sutazai_agent_table;

/**
 * Text that is lent: UTF-8, `len` bytes, not NUL-terminated. What the library lends is valid as long
 * as what it was asked of, and its `data` is never NULL; what the library is lent, it copies.
 */
typedef struct sutazai_str {
    /**
     * The first byte.
     */
    const char *data;
    /**
     * The number of bytes.
     */
    size_t len;
} sutazai_str;

/**
 * What agent is ordered. Everything is valid until the callback returns.
 */
typedef struct sutazai_agent_order {
    /**
     * Its name.
     */
    struct sutazai_str name;
    /**
     * The template that it is made from.
     */
    struct sutazai_str agent_template;
    /**
     * The skills that it is to have, as a JSON array.
     */
    struct sutazai_str skills;
    /**
     * Every parameter of the template that has a value, as a JSON object.
     */
    struct sutazai_str parameters;
} sutazai_agent_order;

/**
 * What makes agents. Callbacks must not throw or longjmp, and may run at the same time.
 */
typedef struct sutazai_agent_factory_table {
    /**
     * `sizeof(sutazai_agent_factory_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Makes an agent as it is ordered, on a thread that may block: fills in `agent`, which comes zeroed but for its
     * `size`, as for sutazai_agent_add. Answers NULL, or an error, which the library frees; what was filled in is
     * not looked at then. Required.
     */
    struct sutazai_error *(*make)(void *user,
                                  const struct sutazai_agent_order *order,
                                  struct sutazai_agent_table *agent);
} sutazai_agent_factory_table;

/**
 * What to do when nobody wants the answer any more. Must not throw or longjmp.
 */
typedef struct sutazai_cancel_table {
    /**
     * `sizeof(sutazai_cancel_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, on any thread, also when the call was never cancelled. May be
     * NULL.
     */
    void (*drop)(void *user);
    /**
     * The call was cancelled, or its deadline passed. Runs at most once, on the thread that
     * cancelled it; must not block. Required.
     */
    void (*cancelled)(void *user);
} sutazai_cancel_table;

/**
 * Who gets the events. Must not throw or longjmp.
 */
typedef struct sutazai_event_table {
    /**
     * `sizeof(sutazai_event_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last event, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * An event. Runs on the kernel's pool, for one event at a time, in order; may block. `event`
     * lives until it returns. Required.
     */
    void (*event)(void *user, const struct sutazai_event *event);
} sutazai_event_table;

/**
 * Something with a beginning and an end. Callbacks must not throw or longjmp.
 */
typedef struct sutazai_component_table {
    /**
     * `sizeof(sutazai_component_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Starts, within `left_ms` milliseconds; may block. Answers NULL, or an error, which the
     * library frees. Runs on the kernel's pool. Required.
     */
    struct sutazai_error *(*start)(void *user, uint64_t left_ms);
    /**
     * Stops, as `start` starts. May be NULL.
     */
    struct sutazai_error *(*stop)(void *user, uint64_t left_ms);
} sutazai_component_table;

/**
 * What builds values of one name. Callbacks must not throw or longjmp.
 */
typedef struct sutazai_factory_table {
    /**
     * `sizeof(sutazai_factory_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last `build` and the last `destroy`, on any thread. May
     * be NULL.
     */
    void (*drop)(void *user);
    /**
     * Builds a value, anything but NULL, into `out`. `needs` are the values that it was provided
     * with, `needs_len` of them, in the order of their names; the array lives until `build`
     * returns, each value at least as long as the one that is built. Answers NULL, or an error,
     * which the library frees: nothing is built then, and whoever asks next tries again. Runs on
     * the thread that asks and may block; at most once at a time for a singleton and for what is
     * scoped in one scope, otherwise on several threads at once. Required.
     */
    struct sutazai_error *(*build)(void *user, void *const *needs, size_t needs_len, void **out);
    /**
     * Lets go of a value that `build` built; called once for each, before what it was built from
     * is let go of, on the thread that gives up the last hold on it, or that stops or frees the
     * kernel. May be NULL.
     */
    void (*destroy)(void *user, void *value);
} sutazai_factory_table;

/**
 * A call of a saga's step. Everything is valid until the callback returns.
 */
typedef struct sutazai_saga_call {
    /**
     * The saga's identifier.
     */
    struct sutazai_str saga;
    /**
     * The name of its definition.
     */
    struct sutazai_str name;
    /**
     * The step's name.
     */
    struct sutazai_str step;
    /**
     * The idempotency key: the same for every call of this step, in this direction, of this saga.
     */
    struct sutazai_str key;
    /**
     * What the saga was begun with, as JSON.
     */
    struct sutazai_str input;
    /**
     * What the steps before this one gave, as a JSON object by name.
     */
    struct sutazai_str gave;
    /**
     * To undo: what the step gave, as JSON; empty when it is not known whether it took effect, because
     * it failed or was interrupted, and to do.
     */
    struct sutazai_str result;
    /**
     * The step's place in its saga, from 0.
     */
    size_t index;
    /**
     * Which try this is, from 1.
     */
    uint64_t attempt;
} sutazai_saga_call;

/**
 * What does the steps of a saga and undoes them. Callbacks must not throw or longjmp; they run on the
 * kernel's pool, may block, and may run at the same time for several sagas.
 */
typedef struct sutazai_saga_table {
    /**
     * `sizeof(sutazai_saga_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Does the step that `call` names. What is put into `answer` with `sutazai_saga_give` is kept for
     * the steps after it and for `undo`; `null` without. Answers NULL, or an error, which the library
     * frees: one of class transient may be tried again, any other sends the saga back. Required.
     */
    struct sutazai_error *(*act)(void *user,
                                 const struct sutazai_saga_call *call,
                                 struct sutazai_saga_answer *answer);
    /**
     * Undoes the step that `call` names. Answers NULL, or an error, which the library frees: one of
     * class transient may be tried again, any other leaves the saga stuck. Required.
     */
    struct sutazai_error *(*undo)(void *user, const struct sutazai_saga_call *call);
} sutazai_saga_table;

/**
 * One try, as the function that is guarded sees it.
 */
typedef struct sutazai_attempt {
    /**
     * `sizeof(sutazai_attempt)` of the library: fields beyond it are not there.
     */
    size_t size;
    /**
     * 1 for the first try.
     */
    uint32_t number;
    /**
     * Milliseconds until the try is given up, `SUTAZAI_FOREVER` for never. It is not interrupted then,
     * but not tried again.
     */
    uint64_t left_ms;
} sutazai_attempt;

/**
 * A call of an action. Everything is valid until the callback returns.
 */
typedef struct sutazai_action_call {
    /**
     * The action's name.
     */
    struct sutazai_str action;
    /**
     * The playbook that asks for it.
     */
    struct sutazai_str playbook;
    /**
     * Its parameters as the playbook has them, filled in, as JSON.
     */
    struct sutazai_str params;
    /**
     * What set the playbook off, as JSON: `{"event": {"subject", "payload"}, "signals": {…}}`, either
     * of them.
     */
    struct sutazai_str trigger;
    /**
     * When, by the kernel's clock: RFC 3339.
     */
    struct sutazai_str at;
    /**
     * The number of its entry in the record.
     */
    uint64_t entry;
} sutazai_action_call;

/**
 * Something that playbooks can do. Callbacks must not throw or longjmp; they run on the kernel's pool,
 * may block, and may run at the same time for several playbooks.
 */
typedef struct sutazai_action_table {
    /**
     * `sizeof(sutazai_action_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Does it. What is put into `answer` with `sutazai_action_give` stands in the record; `null`
     * without. Answers NULL, or an error, which the library frees; the playbook's escalation follows.
     * Required.
     */
    struct sutazai_error *(*run)(void *user,
                                 const struct sutazai_action_call *call,
                                 struct sutazai_action_answer *answer);
    /**
     * Says what `run` would do, and does nothing: called in its stead in a dry run. With NULL the
     * record says that it would be run, and with which parameters.
     */
    struct sutazai_error *(*dry_run)(void *user,
                                     const struct sutazai_action_call *call,
                                     struct sutazai_action_answer *answer);
} sutazai_action_table;

/**
 * Why the safe state is taken. Everything is valid until the callback returns.
 */
typedef struct sutazai_safe_call {
    /**
     * The stage's name.
     */
    struct sutazai_str stage;
    /**
     * What set it off: `critical`, `panic`, `signal` or `host`.
     */
    struct sutazai_str trigger;
    /**
     * In words.
     */
    struct sutazai_str reason;
    /**
     * Milliseconds that the stage has. It is left behind afterwards.
     */
    uint64_t within_ms;
} sutazai_safe_call;

/**
 * A step of the way to the safe state. The callback must not throw or longjmp.
 */
typedef struct sutazai_stage_table {
    /**
     * `sizeof(sutazai_stage_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Does it; runs once, on a thread of its own, and may block. Answers NULL, or an error, which the
     * library frees; it is reported, and the next stage follows. One that was left behind may run on
     * when the kernel has been freed: `user` stays, the kernel's handle does not. Required.
     */
    struct sutazai_error *(*run)(void *user, const struct sutazai_safe_call *call);
} sutazai_stage_table;

/**
 * State that is saved and put back. Callbacks must not throw or longjmp; they may block, and run on any
 * thread, one at a time.
 */
typedef struct sutazai_checkpointed_table {
    /**
     * `sizeof(sutazai_checkpointed_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Puts the whole state into `state` with `sutazai_state_give`. Answers NULL, or an error, which the
     * library frees; the checkpoint is not taken then. Required.
     */
    struct sutazai_error *(*save)(void *user, struct sutazai_state *state);
    /**
     * Takes on a state that `save` gave, now or in an earlier process, as JSON. Called with the state
     * that it has already, it succeeds. Answers NULL, or an error, which the library frees; what was
     * restored before it is put back then. Required.
     */
    struct sutazai_error *(*restore)(void *user, const char *state, size_t state_len);
} sutazai_checkpointed_table;

/**
 * A message that a child has in hand. Everything is valid until the callback returns.
 */
typedef struct sutazai_worker_message {
    /**
     * The path of the child: `main>workers>reviewer`.
     */
    struct sutazai_str child;
    /**
     * What it says, as JSON.
     */
    struct sutazai_str body;
    /**
     * Its number within the child's mailbox.
     */
    uint64_t id;
    /**
     * How often it was in hand when its child came down.
     */
    uint64_t kills;
} sutazai_worker_message;

/**
 * What children of trees of supervisors do: one of `run` and `handle`. Callbacks must not throw or
 * longjmp, and may run at the same time for several children. What would wait for the end of the child
 * whose callback waits (its restart, the removal of its tree, the stop of its kernel) answers
 * `SUTAZAI_BASE_WOULD_DEADLOCK`.
 */
typedef struct sutazai_worker_table {
    /**
     * `sizeof(sutazai_worker_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * A loop, on a thread of the child's own, until it is done or `sutazai_worker_wait` says that it is
     * told to stop. Answers NULL, or an error, which the library frees: the child has failed.
     */
    struct sutazai_error *(*run)(void *user, const struct sutazai_worker_life *life);
    /**
     * Does a message; one after the other, on a thread of the child's own. Answers NULL, or an error, which the
     * library frees: the child comes down. The message goes back to its place for the next life; when
     * it brings that one down too, it is set aside.
     */
    struct sutazai_error *(*handle)(void *user, const struct sutazai_worker_message *message);
} sutazai_worker_table;

/**
 * What somebody offers to prove who they are. Everything is valid until the callback returns.
 */
typedef struct sutazai_credential {
    /**
     * The scheme that it is for.
     */
    struct sutazai_str scheme;
    /**
     * Who they say they are; empty when they do not. In a login that is under way, who it is for.
     */
    struct sutazai_str principal;
    /**
     * The secret part: bytes, which need not be text.
     */
    const uint8_t *secret;
    /**
     * How many bytes.
     */
    size_t secret_len;
    /**
     * The login that it belongs to, where it answers a challenge; empty otherwise.
     */
    struct sutazai_str login;
    /**
     * When it is asked, by the kernel's clock: milliseconds since 1970.
     */
    int64_t now_ms;
} sutazai_credential;

/**
 * A factor of a login. Callbacks must not throw or longjmp; they may block, run on any thread, and several at the
 * same time. Secrets are lent: copy no more of them than you must.
 */
typedef struct sutazai_auth_provider_table {
    /**
     * `sizeof(sutazai_auth_provider_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Checks a credential: `sutazai_auth_accept` or `sutazai_auth_refuse` with `answer`, and NULL. An error, which
     * the library frees, says that it cannot be told: the login is neither accepted nor refused. So is one without an
     * answer. Required.
     */
    struct sutazai_error *(*authenticate)(void *user,
                                          const struct sutazai_credential *credential,
                                          struct sutazai_auth_answer *answer);
    /**
     * Says what this principal needs to answer with this factor: `sutazai_auth_offer_give` with `offer`, and NULL.
     * Without that they have not enrolled it. `login` comes back in the credential. An error, which the library
     * frees, says that it cannot be told. NULL for a factor that everybody has, and needs nothing for.
     */
    struct sutazai_error *(*challenge)(void *user,
                                       struct sutazai_str principal,
                                       struct sutazai_str login,
                                       int64_t now_ms,
                                       struct sutazai_auth_offer *offer);
} sutazai_auth_provider_table;

/**
 * Takes measurements of something. Callbacks must not throw or longjmp; they may block briefly, and run on any thread,
 * one at a time for one monitor, while that of another one may be under way. One that takes longer than a sample waits is not called again
 * before it has returned, and the others go on; see docs/monitoring.md.
 */
typedef struct sutazai_monitor_table {
    /**
     * `sizeof(sutazai_monitor_table)`.
     */
    size_t size;
    /**
     * Given to every callback.
     */
    void *user;
    /**
     * Frees `user`; called once, after the last callback, on any thread. May be NULL.
     */
    void (*drop)(void *user);
    /**
     * Measures: `sutazai_samples_add` with `samples` for each value, and NULL. `now_ms` is the sample's time by the
     * kernel's clock, in milliseconds since 1970. An error, which the library frees, says that something could not be
     * measured; what was added is kept. Required.
     */
    struct sutazai_error *(*sample)(void *user, int64_t now_ms, struct sutazai_samples *samples);
} sutazai_monitor_table;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The `SUTAZAI_ABI_VERSION` that the library was built with; compare it with the header's.
 */
uint32_t sutazai_abi_version(void);

/**
 * The library's version, such as "0.1.0". Static; never freed.
 */
const char *sutazai_version(void);

/**
 * An error of the caller's own, for `sutazai_reply_fail_with` and for callbacks that answer one.
 * `code` is one of the `SUTAZAI_…` codes, or a number of the host's own with the top bit set;
 * `class` one of the classes. Never NULL: for arguments that are not valid it is an error that
 * says so.
 *
 * Pointers:
 * `message` is good for reading `message_len` bytes.
 */
struct sutazai_error *sutazai_error_new(uint32_t code,
                                        uint32_t class_,
                                        const char *message,
                                        size_t message_len);

/**
 * A second handle on the same error; NULL for NULL.
 *
 * Pointers:
 * `error` is NULL or live.
 */
struct sutazai_error *sutazai_error_clone(const struct sutazai_error *error);

/**
 * The stable number of the error, 0 for NULL. See the `SUTAZAI_…` codes.
 *
 * Pointers:
 * `error` is NULL or live.
 */
uint32_t sutazai_error_code(const struct sutazai_error *error);

/**
 * The class of the error: `SUTAZAI_TRANSIENT`, `SUTAZAI_PERSISTENT` or `SUTAZAI_CRITICAL`; 0 for
 * NULL.
 *
 * Pointers:
 * `error` is NULL or live.
 */
uint32_t sutazai_error_class(const struct sutazai_error *error);

/**
 * The name of the error's code, such as "base.not_found"; "host" for a code of the host's own, ""
 * for NULL. NUL-terminated, valid as long as the error.
 *
 * Pointers:
 * `error` is NULL or live.
 */
const char *sutazai_error_name(const struct sutazai_error *error);

/**
 * The error for a person, in one line: what failed, why, with what, what to do about it, and the
 * causes. Of something that was parsed (a manifest), the offending line and a caret follow; an
 * error that stands for several problems shows each of them, from a line of its own. "" for NULL.
 * NUL-terminated, valid as long as the error; no line break at the end.
 *
 * Pointers:
 * `error` is NULL or live.
 */
const char *sutazai_error_message(const struct sutazai_error *error);

/**
 * How many problems the error stands for: 1, unless something was checked as a whole (a manifest,
 * the components) and has several; 0 for NULL.
 *
 * Pointers:
 * `error` is NULL or live.
 */
size_t sutazai_error_problem_count(const struct sutazai_error *error);

/**
 * One of the problems that the error stands for, in order, as an error of its own: to be freed. The
 * first is the error itself where it stands for one only. NULL for NULL, and beyond the last.
 *
 * Pointers:
 * `error` is NULL or live.
 */
struct sutazai_error *sutazai_error_problem(const struct sutazai_error *error, size_t index);

/**
 * The error as JSON: `{code, name, class, message, operation?, context?, advice?, location?,
 * causes?, problems?}`. `problems` has each of them in this form when they are several; the other
 * fields are then those of the first.
 *
 * Pointers:
 * `error` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_error_to_json(const struct sutazai_error *error,
                                            struct sutazai_buffer *out);

/**
 * Frees an error. NULL is allowed.
 *
 * Pointers:
 * `error` is NULL or live, and nobody uses it any more.
 */
void sutazai_error_free(struct sutazai_error *error);

/**
 * Frees what a buffer holds and empties it, so that freeing it again does nothing. `buffer` itself
 * is the caller's; NULL is allowed.
 *
 * Pointers:
 * `buffer` is NULL, zeroed, or was filled by this library and not copied since it was freed.
 */
void sutazai_buffer_free(struct sutazai_buffer *buffer);

/**
 * Makes a kernel; starts no thread. `config` is JSON, each field optional (an empty text is fine):
 *
 * - `manifest`: the path of a `sutazai.toml`, or `manifest_text`: its text; what it says goes before
 *   `limits` and `log` here
 * - `data_dir`: where state is kept, owned by one kernel at a time; without it, in memory
 * - `seed`: number from which identifiers and everything drawn by chance follow
 * - `clock`: `"real"` (default), or `"virtual"`: time moves by `sutazai_kernel_advance` only
 * - `log`: `filter` (`"info"`; a level, and rules by target: `"info,app=debug"`), `terminal`
 *   (readable text on standard error; false), `file` (JSON lines)
 * - `limits`: `calls`, `depth` (of calls within calls; 32), `timeout_ms` (of a call that names none; 0 for as
 *   long as it likes), `pool` (threads), `queue`, `spans`, `records`
 * - `security`: how logins, tokens, policies, keys and the audit log are set up, as `[security]` of a manifest says
 *   it, durations in milliseconds: `{"authorise": true, "policies": [{"file": "team.cedar"}], "tokens":
 *   {"access_ms": 300000}}`. `name`, `master` (`{"file": path}`, `{"env": name}`, `{"passphrase_env": name}`,
 *   `{"keyring": description}`), `authorise`, `trust_inside`, `record_allowed`, `record_actions`, `passwords`,
 *   `totp`, `logins`, `tokens`, `risk`, `audit`, `policies`, `schema`, `entities`, `roles`. What each holds the operation
 *   `config.schema` describes. Not together with a manifest that has the section
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a configuration that is not one, and what the store says of the data
 * directory: `SUTAZAI_STORE_LOCKED` when another kernel owns it, for example.
 *
 * Pointers:
 * `config` is good for reading `config_len` bytes; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_kernel_new(const char *config,
                                         size_t config_len,
                                         struct sutazai_kernel **out);

/**
 * Starts the kernel's threads, components and agents, and blocks until all are ready. Does nothing
 * when it runs already.
 *
 * Errors:
 * What failed to start; everything else is stopped again, and so is the kernel: make another to try again.
 * `SUTAZAI_BASE_NOT_RUNNING` after `sutazai_kernel_stop`: a kernel starts once. What is wrong with
 * the values that were provided, as `sutazai_kernel_get` says: nothing has started then, and once
 * it is mended the kernel may be.
 *
 * Pointers:
 * `kernel` is NULL or live.
 */
struct sutazai_error *sutazai_kernel_start(struct sutazai_kernel *kernel);

/**
 * Stops the kernel: no new calls; those under way may finish within `grace_ms` milliseconds, the
 * rest are answered `SUTAZAI_BASE_CANCELLED`; agents, components and threads end. Blocks for at
 * most about twice `grace_ms`. At the end the values are let go of that were provided, in the
 * reverse order of their building. Does nothing when it is stopped already; while another thread is
 * in it, it returns at once and leaves the calls under way no longer than its own `grace_ms`. Handles
 * stay good: what needs a running kernel answers `SUTAZAI_BASE_NOT_RUNNING`.
 *
 * Errors:
 * `SUTAZAI_BASE_WOULD_DEADLOCK`, and nothing is stopped, in a worker's callback: have another thread stop it,
 * and return. `SUTAZAI_KERNEL_COMPONENT_STOP` when a component did not stop in time; all the others have.
 * `SUTAZAI_STORE_HANGS` when a write of the store has not returned after `grace_ms`, or 5 s when that
 * is less: the data directory stays locked until it does.
 *
 * Pointers:
 * `kernel` is NULL or live.
 */
struct sutazai_error *sutazai_kernel_stop(struct sutazai_kernel *kernel,
                                          uint64_t grace_ms);

/**
 * Moves the clock of a kernel with `"clock": "virtual"` on by `ms` milliseconds, running on this
 * thread what falls due on the way. `ran` (may be NULL) gets how many pieces of work ran.
 *
 * Errors:
 * `SUTAZAI_BASE_UNSUPPORTED` when the kernel's clock is the real one.
 *
 * Pointers:
 * `kernel` is NULL or live; `ran` is NULL or good for writing.
 */
struct sutazai_error *sutazai_kernel_advance(struct sutazai_kernel *kernel,
                                             uint64_t ms,
                                             size_t *ran);

/**
 * Frees a kernel, and stops it first, with two seconds of grace, when it runs. Tickets, replies,
 * subscriptions, scopes and values of it stay good and are freed on their own; all but values
 * answer errors. May be called on any thread, a callback's included. NULL is allowed.
 *
 * Pointers:
 * `kernel` is NULL or live, and nobody uses it any more.
 */
void sutazai_kernel_free(struct sutazai_kernel *kernel);

/**
 * Calls an agent that has `skill` with `input` (JSON; empty is `null`), through the whole guarded
 * call. `timeout_ms` 0 is the agent's or the kernel's default. `out` gets a ticket, to be freed;
 * whatever goes wrong with the call itself is the ticket's answer. The answer is the agent's
 * output.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for arguments that are not valid; there is no ticket then.
 *
 * Pointers:
 * `kernel` is NULL or live; texts are good for reading; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_call(struct sutazai_kernel *kernel,
                                   const char *skill,
                                   size_t skill_len,
                                   const char *input,
                                   size_t input_len,
                                   uint64_t timeout_ms,
                                   struct sutazai_ticket **out);

/**
 * As `sutazai_call`, with more to say.
 *
 * Errors:
 * As `sutazai_call`.
 *
 * Pointers:
 * As `sutazai_call`; `options` is NULL or as its type says.
 */
struct sutazai_error *sutazai_call_with(struct sutazai_kernel *kernel,
                                        const char *skill,
                                        size_t skill_len,
                                        const char *input,
                                        size_t input_len,
                                        const struct sutazai_call_options *options,
                                        struct sutazai_ticket **out);

/**
 * Calls as `sutazai_call` does and waits for the answer, which `out` gets. The quickest way to
 * call.
 *
 * Errors:
 * The call's own; `SUTAZAI_BASE_WOULD_DEADLOCK` under virtual time and on threads that must not
 * block.
 *
 * Pointers:
 * As `sutazai_call`.
 */
struct sutazai_error *sutazai_call_wait(struct sutazai_kernel *kernel,
                                        const char *skill,
                                        size_t skill_len,
                                        const char *input,
                                        size_t input_len,
                                        uint64_t timeout_ms,
                                        struct sutazai_buffer *out);

/**
 * Calls any operation of the kernel by name: `operation` is `room.verb`, `request` its JSON (empty
 * for a request without fields), the ticket's answer is JSON. The operation `kernel.operations`
 * lists them, `kernel.schema` describes one.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for arguments that are not valid. An operation that does not exist, or a
 * request that does not fit, is the ticket's answer.
 *
 * Pointers:
 * `kernel` is NULL or live; texts are good for reading; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_invoke(struct sutazai_kernel *kernel,
                                     const char *operation,
                                     size_t operation_len,
                                     const char *request,
                                     size_t request_len,
                                     struct sutazai_ticket **out);

/**
 * Calls an operation as `sutazai_invoke` does and waits for its answer, which `out` gets.
 *
 * Errors:
 * The operation's own; `SUTAZAI_BASE_WOULD_DEADLOCK` under virtual time, unless the operation
 * answers at once, on threads that must not block, and in a worker's callback for what would have to end
 * its own child first.
 *
 * Pointers:
 * As `sutazai_invoke`.
 */
struct sutazai_error *sutazai_invoke_wait(struct sutazai_kernel *kernel,
                                          const char *operation,
                                          size_t operation_len,
                                          const char *request,
                                          size_t request_len,
                                          struct sutazai_buffer *out);

/**
 * Blocks until the call has its answer, for at most `timeout_ms` milliseconds (`SUTAZAI_FOREVER`
 * for without end). `out` gets the answer, JSON.
 *
 * Errors:
 * The call's own. `SUTAZAI_BASE_TIMEOUT` when there is no answer by then: the call goes on, and the
 * ticket stays good. `SUTAZAI_BASE_TAKEN` when the answer was given out before.
 * `SUTAZAI_BASE_WOULD_DEADLOCK` under virtual time and on threads that must not block.
 *
 * Pointers:
 * `ticket` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_ticket_wait(struct sutazai_ticket *ticket,
                                          uint64_t timeout_ms,
                                          struct sutazai_buffer *out);

/**
 * Takes the answer if it is there; never blocks.
 *
 * Errors:
 * The call's own; `SUTAZAI_BASE_TIMEOUT` while there is no answer; `SUTAZAI_BASE_TAKEN` when it was
 * given out before.
 *
 * Pointers:
 * `ticket` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_ticket_try(struct sutazai_ticket *ticket, struct sutazai_buffer *out);

/**
 * Whether the call has its answer. True for NULL.
 *
 * Pointers:
 * `ticket` is NULL or live.
 */
bool sutazai_ticket_is_done(const struct sutazai_ticket *ticket);

/**
 * Blocks until the call's agent reports a partial result, for at most `timeout_ms` milliseconds
 * (0 to take only one that waits). `out` gets it, JSON.
 *
 * Errors:
 * `SUTAZAI_BASE_TIMEOUT` when none came by then; `SUTAZAI_BASE_NOT_FOUND` when there are no more:
 * the call has its answer and all were read.
 *
 * Pointers:
 * `ticket` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_ticket_next_part(struct sutazai_ticket *ticket,
                                               uint64_t timeout_ms,
                                               struct sutazai_buffer *out);

/**
 * Has a callback called with the answer, on the answering thread, or right here when it is there
 * already. The ticket gives no answer itself any more; it can still cancel, and is still to be
 * freed, which no longer cancels. The table's `user` belongs to the library as `sutazai_agent_add`
 * says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a table that is not valid; `SUTAZAI_BASE_TAKEN` when the answer was
 * given out before, or another thread waits for it.
 *
 * Pointers:
 * `ticket` is NULL or live; `table` is NULL or as its `size` says.
 */
struct sutazai_error *sutazai_ticket_on_done(struct sutazai_ticket *ticket,
                                             const struct sutazai_done_table *table);

/**
 * Cancels the call, unless it has its answer: it is answered `SUTAZAI_BASE_CANCELLED`, and the
 * agent is told.
 *
 * Errors:
 * Only those of a bad handle.
 *
 * Pointers:
 * `ticket` is NULL or live.
 */
struct sutazai_error *sutazai_ticket_cancel(struct sutazai_ticket *ticket);

/**
 * Frees a ticket and lets its call go on without anybody to hear the answer. NULL is allowed.
 *
 * Pointers:
 * `ticket` is NULL or live, and nobody uses it any more.
 */
void sutazai_ticket_detach(struct sutazai_ticket *ticket);

/**
 * Frees a ticket, and cancels its call when it has no answer yet; see `sutazai_ticket_detach`. NULL
 * is allowed.
 *
 * Pointers:
 * `ticket` is NULL or live, and nobody uses it any more.
 */
void sutazai_ticket_free(struct sutazai_ticket *ticket);

/**
 * Registers an agent; in a kernel that runs it is started here. `card` is JSON: `name`, `skills`
 * (an array), and optionally `version`, `description`, `run` (`"pool"` or `"inline"`),
 * `concurrency`, `timeout_ms`, `labels`, `cost`, `about` (more of its skills: schemas, and probes that the operation
 * "agent.probe" makes). The table is copied. Its `user` belongs to the library
 * from now on: `drop` is called once, also when this function fails (unless the table is NULL or
 * its `size` is not possible).
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a card or table that is not valid, `SUTAZAI_BASE_ALREADY_EXISTS` for a
 * name that is taken, and what `start` answers.
 *
 * Pointers:
 * `kernel` is NULL or live; `card` is good for reading; `table` is NULL or as its `size` says, and
 * its callbacks do as they promise.
 */
struct sutazai_error *sutazai_agent_add(struct sutazai_kernel *kernel,
                                        const char *card,
                                        size_t card_len,
                                        const struct sutazai_agent_table *table);

/**
 * As sutazai_agent_add, or puts another version of an agent in charge of its name, as `version` on its card
 * says: it is started first, and takes over when it is ready. The version before finishes what it has and
 * stands by, started; the operation "agent.switch" puts it in charge again, and so does a checkpoint. Two
 * versions stand by, at most; the one that has for longest is stopped then.
 *
 * Errors:
 * As sutazai_agent_add, of which `SUTAZAI_BASE_ALREADY_EXISTS` is for a version that the agent has already.
 *
 * Pointers:
 * As sutazai_agent_add.
 */
struct sutazai_error *sutazai_agent_replace(struct sutazai_kernel *kernel,
                                            const char *card,
                                            size_t card_len,
                                            const struct sutazai_agent_table *table);

/**
 * Registers what makes agents, by the name that templates have in `"make": {"factory": name}`. The operations
 * "agent.template_add", "agent.create", "agent.pool_add" and "agent.supervise" do the rest. The table's `user` belongs to the library
 * as `sutazai_agent_add` says; it is let go of when the kernel has stopped and no agent of it is left.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_ALREADY_EXISTS`.
 *
 * Pointers:
 * `kernel` is NULL or live; `name` is good for reading; `table` is NULL or as its `size` says, and its callbacks
 * do as they promise.
 */
struct sutazai_error *sutazai_agent_factory_add(struct sutazai_kernel *kernel,
                                                const char *name,
                                                size_t name_len,
                                                const struct sutazai_agent_factory_table *table);

/**
 * The skill that is asked for. Empty for NULL.
 *
 * Pointers:
 * `task` is NULL or live.
 */
struct sutazai_str sutazai_task_skill(const struct sutazai_task *task);

/**
 * What to work on, as JSON. Empty for NULL.
 *
 * Pointers:
 * `task` is NULL or live.
 */
struct sutazai_str sutazai_task_input(const struct sutazai_task *task);

/**
 * The call's number within its kernel; 0 for NULL.
 *
 * Pointers:
 * `task` is NULL or live.
 */
uint64_t sutazai_task_id(const struct sutazai_task *task);

/**
 * How many milliseconds (rounded down) are left until the caller stops waiting: 0 when that has
 * passed or the kernel is gone, `SUTAZAI_FOREVER` when there is no deadline.
 *
 * Pointers:
 * `task` is NULL or live.
 */
uint64_t sutazai_task_left_ms(const struct sutazai_task *task);

/**
 * Answers the call with `output` (JSON; empty is `null`). The reply is still to be freed.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for an output that is not UTF-8 or not JSON: the call is not answered then.
 * `SUTAZAI_BASE_TOO_LATE` when the call has its answer: it was answered before, was cancelled, is
 * past its deadline, or its kernel stopped.
 *
 * Pointers:
 * `reply` is NULL or live; `output` is good for reading.
 */
struct sutazai_error *sutazai_reply_send(struct sutazai_reply *reply,
                                         const char *output,
                                         size_t output_len);

/**
 * Says what the call took, for the ledger and for tasks with a ceiling of cost: tokens that a model read and wrote,
 * and a cost in the host's unit of account. Counted when the call succeeds, so said before it is answered; said
 * again, the last counts.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a cost that is not a number from 0.
 *
 * Pointers:
 * `reply` is NULL or live.
 */
struct sutazai_error *sutazai_reply_used(struct sutazai_reply *reply,
                                         uint64_t input_tokens,
                                         uint64_t output_tokens,
                                         double cost);

/**
 * Answers the call with an error: a code (`SUTAZAI_AGENT_FAILED` is an agent's ordinary one), a
 * class (`SUTAZAI_CLASS_OF_CODE` for the code's own) and a message for people.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a code, class or message that is not valid: the call is not answered
 * then. `SUTAZAI_BASE_TOO_LATE` as `sutazai_reply_send`.
 *
 * Pointers:
 * `reply` is NULL or live; `message` is good for reading.
 */
struct sutazai_error *sutazai_reply_fail(struct sutazai_reply *reply,
                                         uint32_t code,
                                         uint32_t class_,
                                         const char *message,
                                         size_t message_len);

/**
 * Answers the call with an error that the agent has, from a call of its own for example. `error`
 * stays the caller's.
 *
 * Errors:
 * `SUTAZAI_BASE_TOO_LATE` as `sutazai_reply_send`.
 *
 * Pointers:
 * `reply` and `error` are NULL or live.
 */
struct sutazai_error *sutazai_reply_fail_with(struct sutazai_reply *reply,
                                              const struct sutazai_error *error);

/**
 * Streams a partial result (JSON), which the caller reads with `sutazai_ticket_next_part`. At most
 * 256 wait; beyond that the oldest is dropped and counted.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a part that is not JSON, `SUTAZAI_BASE_TOO_LATE` when the call has its
 * answer.
 *
 * Pointers:
 * `reply` is NULL or live; `part` is good for reading.
 */
struct sutazai_error *sutazai_reply_progress(struct sutazai_reply *reply,
                                             const char *part,
                                             size_t part_len);

/**
 * Whether nobody wants the answer any more: the call was cancelled, is past its deadline, or was
 * answered. True for NULL.
 *
 * Pointers:
 * `reply` is NULL or live.
 */
bool sutazai_reply_cancelled(const struct sutazai_reply *reply);

/**
 * Runs a callback when the call is cancelled or its deadline passes; right here when that has
 * happened. The table's `user` belongs to the library as `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a table that is not valid, `SUTAZAI_BASE_TOO_LATE` when the agent has
 * answered.
 *
 * Pointers:
 * `reply` is NULL or live; `table` is NULL or as its `size` says.
 */
struct sutazai_error *sutazai_reply_on_cancel(struct sutazai_reply *reply,
                                              const struct sutazai_cancel_table *table);

/**
 * Frees a reply and its task. When the call has no answer yet it is answered
 * `SUTAZAI_BASE_ABANDONED`. NULL is allowed.
 *
 * Pointers:
 * `reply` is NULL or live, and nobody uses it or its task any more; freeing it twice is undefined.
 */
void sutazai_reply_free(struct sutazai_reply *reply);

/**
 * Gives an event to every subscription that wants its subject; never waits. `subject` is
 * dot-separated tokens, `payload` is JSON (empty is `null`). `queued` (may be NULL) gets the number
 * of subscriptions in whose queue it now is.
 *
 * Errors:
 * `SUTAZAI_EVENT_SUBJECT_INVALID`; `SUTAZAI_BASE_INVALID` for a payload that is not JSON.
 *
 * Pointers:
 * `kernel` is NULL or live; texts are good for reading; `queued` is NULL or good for writing.
 */
struct sutazai_error *sutazai_publish(struct sutazai_kernel *kernel,
                                      const char *subject,
                                      size_t subject_len,
                                      const char *payload,
                                      size_t payload_len,
                                      size_t *queued);

/**
 * Subscribes to the subjects that match `pattern` (`*` is one token, `>` the rest). `options` is
 * JSON, each field optional (an empty text is fine):
 *
 * - `queue_group`: of the members of a group, one gets each event
 * - `capacity`: how many events may wait; 1,024
 * - `overflow`: what happens beyond that: `"drop_oldest"` (default), `"drop_newest"`, `"close"`
 *
 * With a `table` its callback gets the events, from when the kernel runs; its `user` belongs to the
 * library as `sutazai_agent_add` says. With NULL they are pulled by `sutazai_subscription_next`.
 *
 * Errors:
 * `SUTAZAI_EVENT_SUBJECT_INVALID`; `SUTAZAI_BASE_INVALID` for options or a table that are not
 * valid.
 *
 * Pointers:
 * `kernel` is NULL or live; texts are good for reading; `table` is NULL or as its `size` says;
 * `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_subscribe(struct sutazai_kernel *kernel,
                                        const char *pattern,
                                        size_t pattern_len,
                                        const char *options,
                                        size_t options_len,
                                        const struct sutazai_event_table *table,
                                        struct sutazai_subscription **out);

/**
 * The next event of a subscription that is pulled from: blocks for at most `timeout_ms`
 * milliseconds (0 not at all, `SUTAZAI_FOREVER` without end). `out` gets it, to be freed. For one
 * thread at a time.
 *
 * Errors:
 * `SUTAZAI_BASE_TIMEOUT` when none came; `SUTAZAI_EVENT_SUBSCRIPTION_CLOSED` when no more will
 * come; `SUTAZAI_BASE_INVALID` for a subscription that has a callback.
 *
 * Pointers:
 * `subscription` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_subscription_next(struct sutazai_subscription *subscription,
                                                uint64_t timeout_ms,
                                                struct sutazai_event **out);

/**
 * How many matching events were lost to overflow so far. 0 for NULL, and while another thread
 * waits in `sutazai_subscription_next`.
 *
 * Pointers:
 * `subscription` is NULL or live.
 */
uint64_t sutazai_subscription_missed(const struct sutazai_subscription *subscription);

/**
 * Ends a subscription. A callback that runs at this moment runs to its end, after which `drop` is
 * called; no other begins. May be called in the callback. NULL is allowed.
 *
 * Pointers:
 * `subscription` is NULL or live, and nobody uses it any more.
 */
void sutazai_subscription_free(struct sutazai_subscription *subscription);

/**
 * The subject of an event. Empty for NULL.
 *
 * Pointers:
 * `event` is NULL or live.
 */
struct sutazai_str sutazai_event_subject(const struct sutazai_event *event);

/**
 * The payload of an event, JSON. Empty for NULL.
 *
 * Pointers:
 * `event` is NULL or live.
 */
struct sutazai_str sutazai_event_payload(const struct sutazai_event *event);

/**
 * How many matching events the subscription missed right before this one. 0 for NULL.
 *
 * Pointers:
 * `event` is NULL or live.
 */
uint64_t sutazai_event_missed_before(const struct sutazai_event *event);

/**
 * Frees an event that was pulled. NULL is allowed.
 *
 * Pointers:
 * `event` is NULL or live, was pulled, and nobody uses it any more.
 */
void sutazai_event_free(struct sutazai_event *event);

/**
 * Adds a component, which starts with the kernel, or here when the kernel runs. `description` is
 * JSON: `name`, and optionally `needs` (the names of components that must run before it),
 * `start_within_ms` (30,000) and `stop_within_ms` (10,000). The table's `user` belongs to the
 * library as `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`; in a kernel that runs also
 * `SUTAZAI_KERNEL_COMPONENT_MISSING` and what `start` answers.
 *
 * Pointers:
 * `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
 * says.
 */
struct sutazai_error *sutazai_component_add(struct sutazai_kernel *kernel,
                                            const char *description,
                                            size_t description_len,
                                            const struct sutazai_component_table *table);

/**
 * Provides a value by name: `table` builds it when it is first asked for, out of the `needs_len`
 * values that `needs` names, which may be provided later. `lifetime` is one of
 * `SUTAZAI_LIFETIME_…`. Values are provided until the first one is asked for, the first scope is
 * opened or the kernel starts; then the whole graph is checked, and closed unless something is
 * wrong with it. The table's `user` belongs to the library as `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a name, lifetime or table that is not valid;
 * `SUTAZAI_BASE_ALREADY_EXISTS` for a name that is taken; `SUTAZAI_BASE_NOT_RUNNING` when the graph
 * is closed.
 *
 * Pointers:
 * `kernel` is NULL or live; `name` is good for reading, and so are `needs_len` texts at `needs`;
 * `table` is NULL or as its `size` says.
 */
struct sutazai_error *sutazai_kernel_provide(struct sutazai_kernel *kernel,
                                             const char *name,
                                             size_t name_len,
                                             const struct sutazai_str *needs,
                                             size_t needs_len,
                                             uint32_t lifetime,
                                             const struct sutazai_factory_table *table);

/**
 * The value of this name, which is built now unless it was before; blocks while its factory runs,
 * here or on another thread. `out` gets a hold on it, to be freed.
 *
 * Errors:
 * What is wrong with the graph, found when the first value is asked for, with the whole path:
 * `SUTAZAI_KERNEL_INJECT_MISSING` for what nothing provides, `SUTAZAI_KERNEL_INJECT_CYCLE` for what
 * needs itself, `SUTAZAI_KERNEL_INJECT_SCOPE` for a scoped value that a singleton would keep, or
 * that is asked for outside of a scope. `SUTAZAI_KERNEL_INJECT_FAILED` when a factory failed, with
 * its error as the cause. `SUTAZAI_BASE_NOT_RUNNING` once the kernel has stopped.
 * `SUTAZAI_BASE_WOULD_DEADLOCK` when another thread is building it and this one must not wait.
 *
 * Pointers:
 * `kernel` is NULL or live; `name` is good for reading; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_kernel_get(struct sutazai_kernel *kernel,
                                         const char *name,
                                         size_t name_len,
                                         struct sutazai_value **out);

/**
 * Opens a scope. `out` gets it, to be freed.
 *
 * Errors:
 * What is wrong with the graph, as `sutazai_kernel_get`; `SUTAZAI_BASE_NOT_RUNNING` once the kernel
 * has stopped.
 *
 * Pointers:
 * `kernel` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_kernel_scope(struct sutazai_kernel *kernel,
                                           struct sutazai_scope **out);

/**
 * The value of this name, as `sutazai_kernel_get`: the scope's own for a scoped one, otherwise the
 * same as the kernel's.
 *
 * Errors:
 * As `sutazai_kernel_get`.
 *
 * Pointers:
 * `scope` is NULL or live; `name` is good for reading; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_scope_get(struct sutazai_scope *scope,
                                        const char *name,
                                        size_t name_len,
                                        struct sutazai_value **out);

/**
 * Frees a scope and lets go of its values, in the reverse order of their building. While a scope
 * is open, the singletons stay that its values may use, also when the kernel stops. NULL is allowed.
 *
 * Pointers:
 * `scope` is NULL or live, and nobody uses it any more.
 */
void sutazai_scope_free(struct sutazai_scope *scope);

/**
 * What `build` built: good until `value` is freed. NULL for NULL, and in a forked child.
 *
 * Pointers:
 * `value` is NULL or live.
 */
void *sutazai_value_get(const struct sutazai_value *value);

/**
 * Frees a hold on a value; the last one lets go of the value. NULL is allowed.
 *
 * Pointers:
 * `value` is NULL or live, and nobody uses it any more.
 */
void sutazai_value_free(struct sutazai_value *value);

/**
 * Defines a saga whose steps the table does and undoes. `description` is JSON: `name`, `steps` (objects
 * with `name` and optionally `policy`: `idempotent`, `atomic`, `retry`, `undo_retry`), and optionally
 * `policy` (`on_resume`, `deadline_ms`, `undo_retry`). Sagas of its name that an earlier process left
 * unfinished go on when the kernel starts, or here when it runs. The operations `recovery.saga_run` and
 * `recovery.saga_begin` begin one. The table's `user` belongs to the library as `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`.
 *
 * Pointers:
 * `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
 * says.
 */
struct sutazai_error *sutazai_saga_define(struct sutazai_kernel *kernel,
                                          const char *description,
                                          size_t description_len,
                                          const struct sutazai_saga_table *table);

/**
 * Puts what a step gives, as JSON, where the saga keeps it; the last one counts.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for what is not JSON.
 *
 * Pointers:
 * `answer` is NULL, or what the callback that runs was given; `gave` is good for reading.
 */
struct sutazai_error *sutazai_saga_give(struct sutazai_saga_answer *answer,
                                        const char *gave,
                                        size_t gave_len);

/**
 * Makes a guard. `policy` is JSON, each field optional (an empty text is fine, and does nothing):
 *
 * - `timeout_ms` for the whole call, `attempt_timeout_ms` for each try
 * - `retry`: `{attempts, base_ms, max_ms, jitter, hinted}`; `budget`: `{capacity, per_success,
 *   per_second, cost, timeout_cost}`
 * - `breaker`: `{consecutive, failure_rate, slow_rate, slow_ms, window, minimum, open_ms, open_max_ms,
 *   probes, close_after, counts}`
 * - `bulkhead`: `{concurrency, queue}`; `rate`: `{calls, period_ms, burst}`
 * - `share`: names of a `budget`, `breaker`, `bulkhead`, `rate` that it shares with other guards of the
 *   same kernel
 *
 * What ends in `_ms` is milliseconds, `failure_rate` and `slow_rate` are shares from 0 to 1, a budget counts
 * tokens, and `attempts` are tries in all, the first one included. A part that is not given is off, one that is given as `{}` has its
 * defaults. `kernel.schema` with `{"operation": "recovery.guard_set"}` describes each field with its unit,
 * its bounds and its default. `hedge`, which stands there too, is refused here: C's calls are not hedged.
 *
 * `kernel` may be NULL: then the time is the system's, and nothing is shared. The guard may outlive the
 * kernel.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a policy that is not one, naming the field; `SUTAZAI_BASE_UNSUPPORTED` for
 * `hedge`.
 *
 * Pointers:
 * `kernel` is NULL or live; `name` and `policy` are good for reading; `out` is NULL or good for
 * writing.
 */
struct sutazai_error *sutazai_guard_new(const struct sutazai_kernel *kernel,
                                        const char *name,
                                        size_t name_len,
                                        const char *policy,
                                        size_t policy_len,
                                        struct sutazai_guard **out);

/**
 * Calls `function`, as often as it takes, on this thread, and blocks meanwhile. `function` answers NULL
 * for success or an error, which the library takes over: one that is transient is tried again. It must
 * not throw or longjmp, and may use the guard itself.
 *
 * Errors:
 * The last error of `function`, with the reason why nothing more was tried; what the guard rejected:
 * `SUTAZAI_RECOVERY_BREAKER_OPEN`, `SUTAZAI_RECOVERY_BULKHEAD_FULL`, `SUTAZAI_RECOVERY_RATE_LIMITED`;
 * `SUTAZAI_BASE_DEADLINE_EXCEEDED` when there was no place in time.
 *
 * Pointers:
 * `guard` is NULL or live; `function` is NULL or may be called with `user` on this thread.
 */
struct sutazai_error *sutazai_guard_run(const struct sutazai_guard *guard,
                                        struct sutazai_error *(*function)(void *user,
                                                                          const struct sutazai_attempt *attempt),
                                        void *user);

/**
 * The guard's figures as JSON: `{name, retries, hedges, breaker?, budget?, bulkhead?, rate_limited?}`.
 *
 * Pointers:
 * `guard` is NULL or live; `out` is NULL or good for writing.
 */
struct sutazai_error *sutazai_guard_status(const struct sutazai_guard *guard,
                                           struct sutazai_buffer *out);

/**
 * Puts another policy in force, for the calls that come from now on. Parts that stay keep their state.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a policy that is not one, `SUTAZAI_BASE_UNSUPPORTED` for `hedge`; the old one
 * stays.
 *
 * Pointers:
 * `guard` is NULL or live; `policy` is good for reading.
 */
struct sutazai_error *sutazai_guard_set_policy(const struct sutazai_guard *guard,
                                               const char *policy,
                                               size_t policy_len);

/**
 * Puts the guard's breaker into a state that it does not leave by itself, or gives it back:
 * `SUTAZAI_FORCE_OPEN`, `SUTAZAI_FORCE_CLOSED`, `SUTAZAI_FORCE_NONE`.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for another number; `SUTAZAI_BASE_NOT_FOUND` when it has no breaker.
 *
 * Pointers:
 * `guard` is NULL or live.
 */
struct sutazai_error *sutazai_guard_force(const struct sutazai_guard *guard, uint32_t state);

/**
 * Frees a guard. NULL is allowed.
 *
 * Pointers:
 * `guard` is NULL or live, and nobody uses it any more.
 */
void sutazai_guard_free(struct sutazai_guard *guard);

/**
 * Calls `function` on this thread. What it calls in turn has no more than `timeout_ms` milliseconds
 * (0 for no time at all, `SUTAZAI_FOREVER` for no bound of its own) and is as urgent as `priority` says:
 * 1 to 255, 0 for as urgent as what is around it.
 *
 * Guards and kernels keep to it: a guard tries nothing again after the deadline, a kernel's call is given
 * up then, and where calls wait for a place, the more urgent go first. Within another one there is no more
 * time than that has. Nothing is interrupted by it. `function` answers NULL or an error, which is the
 * answer here; it must not throw or longjmp.
 *
 * Errors:
 * That of `function`; `SUTAZAI_BASE_INVALID` for another priority.
 *
 * Pointers:
 * `function` is NULL or may be called with `user` on this thread.
 */
struct sutazai_error *sutazai_within(uint64_t timeout_ms,
                                     uint32_t priority,
                                     struct sutazai_error *(*function)(void *user),
                                     void *user);

/**
 * Makes an action known to the kernel's playbooks, before its start or while it runs. `description` is
 * JSON: `name`, by which playbooks name it, and optionally `schema`, the JSON Schema of its parameters
 * (for people; nothing is checked against it). `recovery.playbook_set_policy` says when it is taken,
 * `recovery.playbook_record` what came of it. The table's `user` belongs to the library as
 * `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`.
 *
 * Pointers:
 * `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
 * says.
 */
struct sutazai_error *sutazai_playbook_action_add(struct sutazai_kernel *kernel,
                                                  const char *description,
                                                  size_t description_len,
                                                  const struct sutazai_action_table *table);

/**
 * Puts what an action answers, as JSON, where the record has it; the last one counts.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for what is not JSON.
 *
 * Pointers:
 * `answer` is NULL, or what the callback that runs was given; `given` is good for reading.
 */
struct sutazai_error *sutazai_action_give(struct sutazai_action_answer *answer,
                                          const char *given,
                                          size_t given_len);

/**
 * Adds a stage on the way to the safe state, before the kernel's start or while it runs: after those
 * of the host's that are there, before the kernel's own (`stop_admitting`, `drain`, `flush`, `dump`).
 * `description` is JSON: `name`, and optionally `within_ms` (1,000). `recovery.failsafe_set_policy`
 * says what takes the safe state (a critical error, SIGTERM), `recovery.failsafe_trigger` takes it.
 * The table's `user` belongs to the library as `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`; `SUTAZAI_RECOVERY_SAFE_STATE` once the safe
 * state is taken.
 *
 * Pointers:
 * `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
 * says.
 */
struct sutazai_error *sutazai_failsafe_stage_add(struct sutazai_kernel *kernel,
                                                 const char *description,
                                                 size_t description_len,
                                                 const struct sutazai_stage_table *table);

/**
 * Has state of the host's saved in checkpoints and restored from them, beside the kernel's own.
 * `description` is JSON: `name`, and optionally `needs`, the names of what is restored before it.
 * `recovery.checkpoint_create` takes a checkpoint, `recovery.checkpoint_restore` restores one. The
 * table's `user` belongs to the library as `sutazai_agent_add` says.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, `SUTAZAI_BASE_ALREADY_EXISTS`.
 *
 * Pointers:
 * `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
 * says.
 */
struct sutazai_error *sutazai_checkpointed_add(struct sutazai_kernel *kernel,
                                               const char *description,
                                               size_t description_len,
                                               const struct sutazai_checkpointed_table *table);

/**
 * Puts the state, as JSON, where the checkpoint has it; the last one counts.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for what is not JSON.
 *
 * Pointers:
 * `state` is NULL, or what the callback that runs was given; `given` is good for reading.
 */
struct sutazai_error *sutazai_state_give(struct sutazai_state *state,
                                         const char *given,
                                         size_t given_len);

/**
 * Registers what children of trees can do. `description` is JSON: `name`, by which children name it
 * (`does`), and for `handle` optionally `mailbox` (`capacity`, `overflow`, `kills`, `poison_capacity`).
 * The operation `recovery.tree_add` adds a tree, `recovery.mailbox_push` gives a child a message. The
 * table's `user` belongs to the library as `sutazai_agent_add` says.
 *
 * A callback cannot be interrupted. Of one whose child is killed, by `"shutdown": "brutal_kill"` or
 * because its time is up, nothing counts any more, but it runs on beside the child's next life until it
 * returns: it must be ready to run twice at once.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, also for a table with both callbacks or none; `SUTAZAI_BASE_ALREADY_EXISTS`.
 *
 * Pointers:
 * `kernel` is NULL or live; `description` is good for reading; `table` is NULL or as its `size`
 * says.
 */
struct sutazai_error *sutazai_worker_add(struct sutazai_kernel *kernel,
                                         const char *description,
                                         size_t description_len,
                                         const struct sutazai_worker_table *table);

/**
 * Pauses for `ms` milliseconds, or until the child is told to stop; says whether it was. 0 only asks.
 * True for NULL.
 *
 * Pointers:
 * `life` is NULL, or what the callback that runs was given.
 */
bool sutazai_worker_wait(const struct sutazai_worker_life *life,
                         uint64_t ms);

/**
 * The path of the child, `main>workers>reviewer`, valid until the callback returns; empty for NULL.
 *
 * Pointers:
 * `life` is NULL, or what the callback that runs was given.
 */
struct sutazai_str sutazai_worker_child(const struct sutazai_worker_life *life);

/**
 * Adds a factor to logins, before the kernel's start or while it runs, for the attempts that come from then on.
 * `scheme` is its name: 1 to 64 letters, digits, dashes, dots and underscores. A login may begin with it, unless
 * `logins` of `security` (`sutazai_kernel_new`) has it among the `second` factors. What its callbacks answer as an
 * error, the operations `security.login` and `security.login_answer` answer as `SUTAZAI_SECURITY_PROVIDER_FAILED`.
 * The table's `user` belongs to the library as `sutazai_agent_add` says; it is let go of when the kernel has stopped.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_ALREADY_EXISTS` where there is a provider of the scheme;
 * `SUTAZAI_BASE_NOT_RUNNING` while the kernel starts, and after its stop.
 *
 * Pointers:
 * `kernel` is NULL or live; `scheme` is good for reading; `table` is NULL or as its `size` says, and its callbacks
 * do as they promise.
 */
struct sutazai_error *sutazai_auth_provider_add(struct sutazai_kernel *kernel,
                                                const char *scheme,
                                                size_t scheme_len,
                                                const struct sutazai_auth_provider_table *table);

/**
 * It is them: `principal`, of whom `attributes` says what else is known, for policies: a JSON object of texts, or
 * nothing. Somebody else than the credential says is refused.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_TOO_LATE` when it was answered before.
 *
 * Pointers:
 * `answer` is NULL, or what the callback that runs was given; the texts are good for reading.
 */
struct sutazai_error *sutazai_auth_accept(struct sutazai_auth_answer *answer,
                                          const char *principal,
                                          size_t principal_len,
                                          const char *attributes,
                                          size_t attributes_len);

/**
 * It is not them, and why: for the audit trail; whoever tries is told less.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_TOO_LATE` when it was answered before.
 *
 * Pointers:
 * `answer` is NULL, or what the callback that runs was given; `why` is good for reading.
 */
struct sutazai_error *sutazai_auth_refuse(struct sutazai_auth_answer *answer,
                                          const char *why,
                                          size_t why_len);

/**
 * What is needed to answer with the factor: a JSON object of texts, or nothing where nothing is. The last one
 * counts.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`.
 *
 * Pointers:
 * `offer` is NULL, or what the callback that runs was given; `parameters` is good for reading.
 */
struct sutazai_error *sutazai_auth_offer_give(struct sutazai_auth_offer *offer,
                                              const char *parameters,
                                              size_t parameters_len);

/**
 * Adds a monitor, before the kernel's start or while it runs: what it measures is part of each sample from then on.
 * `name` has 1 to 64 bytes without control characters. When it fails, the operation `monitor.sample` says so among its
 * `failures`, and the log has a line. The table's `user` belongs to the library as `sutazai_agent_add` says; it is let
 * go of when the operation `monitor.remove` takes the monitor away, and when the kernel has stopped.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`; `SUTAZAI_BASE_ALREADY_EXISTS` where there is a monitor of the name;
 * `SUTAZAI_BASE_OVERLOADED` beyond 256; `SUTAZAI_BASE_NOT_RUNNING` while the kernel starts, and after its stop.
 *
 * Pointers:
 * `kernel` is NULL or live; `name` is good for reading; `table` is NULL or as its `size` says, and its callbacks do as
 * they promise.
 */
struct sutazai_error *sutazai_monitor_add(struct sutazai_kernel *kernel,
                                          const char *name,
                                          size_t name_len,
                                          const struct sutazai_monitor_table *table);

/**
 * A measurement: `series` is its name with its unit, as Prometheus names have them (`queue_length`,
 * `cache_bytes`; one in `_total` is a counter), of 1 to 200 bytes without control characters. What is refused is not part of the sample, and
 * what was added before stays.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID`, also for a value that is not finite. Whether there is room for the series is seen when the sample is kept
 * (`failures` of `monitor.sample`).
 *
 * Pointers:
 * `samples` is NULL, or what the callback that runs was given; `series` is good for reading.
 */
struct sutazai_error *sutazai_samples_add(struct sutazai_samples *samples,
                                          const char *series,
                                          size_t series_len,
                                          double value);

/**
 * Writes a record to the kernel's log, unless its filter says otherwise. `target` says which part of
 * the program speaks, `fields` is a JSON object with what there is to know besides (empty for
 * nothing). Never waits for a file.
 *
 * Errors:
 * `SUTAZAI_BASE_INVALID` for a level, text or fields that are not valid.
 *
 * Pointers:
 * `kernel` is NULL or live; texts are good for reading.
 */
struct sutazai_error *sutazai_log(struct sutazai_kernel *kernel,
                                  uint32_t level,
                                  const char *target,
                                  size_t target_len,
                                  const char *message,
                                  size_t message_len,
                                  const char *fields,
                                  size_t fields_len);

/**
 * Whether a record of that level and target would be kept; a few nanoseconds. False for arguments
 * that are not valid.
 *
 * Pointers:
 * `kernel` is NULL or live; `target` is good for reading.
 */
bool sutazai_log_enabled(const struct sutazai_kernel *kernel,
                         uint32_t level,
                         const char *target,
                         size_t target_len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SUTAZAI_H */
