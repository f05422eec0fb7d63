//! The one table of JSON-RPC error codes.

use super::revision::Era;
use crate::error::ErrorKind;

/// Returns the JSON-RPC code of an error kind (JSON-RPC 2.0 § 5.1).
///
/// In the legacy era -32000 is what clients know for a lost session and for errors of the transport. The modern era keeps
/// -32000 to -32019 free and has codes of its own (MCP 2026-07-28, basic/index § Error Codes).
#[must_use]
pub fn code(kind: ErrorKind, era: Era) -> i32 {
    match kind {
        ErrorKind::Parse => -32700,
        ErrorKind::InvalidRequest => -32600,
        ErrorKind::MethodNotFound => -32601,
        ErrorKind::InvalidParams => -32602,
        ErrorKind::Internal => -32603,
        // Of revision 2025-11-25 alone, whose sessions are the only ones to get it.
        ErrorKind::PageRequired => -32042,
        ErrorKind::HeaderMismatch => -32020,
        ErrorKind::RevisionUnsupported => match era {
            Era::Legacy => -32000,
            Era::Modern => -32022,
        },
        ErrorKind::Transport => match era {
            Era::Legacy => -32000,
            Era::Modern => -32600,
        },
    }
}
