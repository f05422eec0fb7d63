//! Gathering of a body whose parts arrive one after the other.

use bytes::BytesMut;

/// Bytes of a body that must have arrived before room is made for the bytes that it announces. Whoever only announces takes no
/// memory.
pub const BELIEVED: usize = 1 << 20;

/// Appends a part to a body of which `announced` bytes are to come in all.
///
/// The room of a large one is made at once: growing it by doubling would copy tens of megabytes on the worker, and hold as many
/// twice.
pub fn append(body: &mut BytesMut, part: &[u8], announced: usize) {
    if body.len() >= BELIEVED {
        body.reserve(announced.saturating_sub(body.len()).max(part.len()));
    }
    body.extend_from_slice(part);
}
