//! What the error codes of JSON-RPC 2.0, MCP, A2A and gRPC say.
//!
//! MCP's codes are those of its revisions up to 2026-07-28, in which -32000 to -32019 belong to
//! implementations: the official SDKs use -32000 for a closed connection and -32001 for a request
//! that timed out (the one for Python 408). A2A's are those of 0.3 and 1.0.

use super::evidence::{BROAD, EXACT, Evidence, LOOSE, VAGUE};
use super::facts::Protocol;
use super::http;
use crate::Class::{Critical, Persistent, Transient};

/// What the code says in its protocol; without one, only what JSON-RPC itself defines.
pub(super) fn code(protocol: Option<Protocol>, code: i64) -> Option<Evidence> {
    let specific = match protocol {
        Some(Protocol::Grpc) => return grpc(code),
        Some(Protocol::Mcp) => mcp(code),
        Some(Protocol::A2a) => a2a(code),
        Some(Protocol::JsonRpc) | None => None,
    };
    specific.or_else(|| json_rpc(code)).or_else(|| {
        // Some servers put the HTTP status there.
        u16::try_from(code).ok().filter(|code| *code >= 400).and_then(http::status)
    })
}

fn json_rpc(code: i64) -> Option<Evidence> {
    let rule = "rpc.json_rpc";
    let (weight, class, reason) = match code {
        -32700 => (EXACT, Persistent, "JSON-RPC -32700: not valid JSON"),
        -32600 => (LOOSE, Persistent, "JSON-RPC -32600: not a valid request"),
        -32601 => (EXACT, Persistent, "JSON-RPC -32601: there is no such method"),
        -32602 => (EXACT, Persistent, "JSON-RPC -32602: the parameters are not valid"),
        -32603 => (BROAD, Transient, "JSON-RPC -32603: the server failed"),
        -32099..=-32000 => (VAGUE, Transient, "JSON-RPC -320xx: an error of the server's own"),
        _ => return None,
    };
    Some(Evidence::new(weight, class, rule, reason))
}

fn mcp(code: i64) -> Option<Evidence> {
    let rule = "rpc.mcp";
    let (weight, class, reason) = match code {
        // Servers use these two for other things as well, and their message then says so.
        -32000 => (50, Transient, "MCP -32000: the connection was closed"),
        -32001 => (50, Transient, "MCP -32001: the request timed out"),
        -32002 => (EXACT, Persistent, "MCP -32002: there is no such resource"),
        -32020 => (EXACT, Persistent, "MCP -32020: headers and body disagree"),
        -32021 => (EXACT, Persistent, "MCP -32021: the client lacks a capability"),
        -32022 => (EXACT, Persistent, "MCP -32022: the protocol version is not supported"),
        -32042 => (EXACT, Persistent, "MCP -32042: the user has to visit a page first"),
        -1 => (60, Persistent, "MCP -1: the user refused"),
        _ => return None,
    };
    Some(Evidence::new(weight, class, rule, reason))
}

fn a2a(code: i64) -> Option<Evidence> {
    let reason = match code {
        -32001 => "A2A -32001: there is no such task",
        -32002 => "A2A -32002: the task cannot be cancelled any more",
        -32003 => "A2A -32003: the agent sends no push notifications",
        -32004 => "A2A -32004: the agent does not support the operation",
        -32005 => "A2A -32005: the agent does not take the content type",
        -32006 => "A2A -32006: the agent's response breaks the protocol",
        -32007 => "A2A -32007: the agent has no extended card",
        -32008 => "A2A -32008: the agent requires an extension",
        -32009 => "A2A -32009: the protocol version is not supported",
        _ => return None,
    };
    Some(Evidence::new(EXACT, Persistent, "rpc.a2a", reason))
}

/// The statuses of gRPC by number.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The number of a status, given its name in any case, with or without `StatusCode.`.
pub(super) fn grpc_number(name: &str) -> Option<i64> {
    let name = name.rsplit('.').next()?;
    let found = GRPC.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    i64::try_from(found).ok()
}

fn grpc(code: i64) -> Option<Evidence> {
    let (weight, class, reason) = match code {
        1 => (60, Persistent, "gRPC CANCELLED: the caller no longer wants the answer"),
        2 => (VAGUE, Transient, "gRPC UNKNOWN"),
        3 => (60, Persistent, "gRPC INVALID_ARGUMENT"),
        4 => (EXACT, Transient, "gRPC DEADLINE_EXCEEDED"),
        5 => (EXACT, Persistent, "gRPC NOT_FOUND"),
        6 => (EXACT, Persistent, "gRPC ALREADY_EXISTS"),
        7 => (60, Persistent, "gRPC PERMISSION_DENIED"),
        8 => (LOOSE, Transient, "gRPC RESOURCE_EXHAUSTED"),
        9 => (60, Persistent, "gRPC FAILED_PRECONDITION: the system is in another state"),
        10 => (EXACT, Transient, "gRPC ABORTED: another transaction was in the way"),
        11 => (EXACT, Persistent, "gRPC OUT_OF_RANGE"),
        12 => (EXACT, Persistent, "gRPC UNIMPLEMENTED"),
        13 => (BROAD, Transient, "gRPC INTERNAL: the server failed"),
        14 => (60, Transient, "gRPC UNAVAILABLE"),
        15 => (80, Critical, "gRPC DATA_LOSS: data is lost or damaged beyond repair"),
        16 => (70, Persistent, "gRPC UNAUTHENTICATED"),
        _ => return None,
    };
    Some(Evidence::new(weight, class, "rpc.grpc", reason))
}
