//! The words for what is known of a failure: keys of an error's context, the same in every host.
//!
//! Whoever makes an error of something from outside (a status, a signal, an exception) puts down
//! what it saw under these keys; the room `recovery` reads them when it classifies the failure. All
//! values are text, as everything in a context is.

/// The status of an HTTP response: `503`.
pub const HTTP_STATUS: &str = "http_status";
/// The value of the header `Retry-After`, as it came: seconds or a date. Other headers that say
/// when to try again may stand in the context under their own names in lower case, as
/// `retry-after-ms` or `x-ratelimit-reset`.
pub const RETRY_AFTER: &str = "retry_after";
/// The status that a process exited with: `75`.
pub const EXIT_STATUS: &str = "exit_status";
/// The signal that ended a process, by number, name or both: `11 (SIGSEGV)`.
pub const SIGNAL: &str = "signal";
/// The last lines that a process wrote to its standard error.
pub const STDERR: &str = "stderr";
/// The error of a system call, by name or by Linux's number: `ENOSPC`, `28`.
pub const ERRNO: &str = "errno";
/// The qualified name of an exception's type: `httpx.ConnectTimeout`; without a module for what is
/// built in.
pub const EXCEPTION: &str = "exception";
/// The qualified names of the types that the exception's type derives from, nearest first,
/// separated by commas.
pub const BASES: &str = "bases";
/// The protocol that [`RPC_CODE`] belongs to: `json_rpc`, `mcp`, `a2a` or `grpc`.
pub const RPC: &str = "rpc";
/// The error code of a remote procedure call: `-32601`, or a gRPC status by number or name.
pub const RPC_CODE: &str = "rpc_code";
/// The kind of error as a provider's API names it: `rate_limit_error`.
pub const PROVIDER_TYPE: &str = "provider_type";
/// The error code as a provider's API names it: `insufficient_quota`, `ECONNREFUSED`.
pub const PROVIDER_CODE: &str = "provider_code";
/// What an agent gave as the code of its error, when it is not one of the library's.
pub const AGENT_CODE: &str = "agent_code";
/// The SQLSTATE of a database's error: `40001`.
pub const SQLSTATE: &str = "sqlstate";
