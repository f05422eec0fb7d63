//! Reading of the upstream's answers, beside the workers where they are large.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{MembraneError, pool::Pool};
use crate::protocol::{clean::clean, json};

/// Returns whether an answer says nothing at all.
pub(super) fn is_empty(bytes: &[u8]) -> bool {
    // Longer ones are not looked through here: the parser finds out.
    bytes.len() < 64 && clean(bytes).trim().is_empty()
}

/// Reads an answer. What is no Unicode in it is replaced.
///
/// # Errors
/// [`MembraneError::Malformed`].
pub(super) async fn read<T: DeserializeOwned + Send + 'static>(pool: &Pool, bytes: Bytes) -> Result<T, MembraneError> {
    let length = bytes.len();
    if is_empty(&bytes) {
        return Err(MembraneError::Malformed("it is empty".to_owned()));
    }
    let read =
        move || serde_json::from_str(&clean(&bytes)).map_err(|error| MembraneError::Malformed(error.to_string()));
    pool.run(length, read).await.ok_or_else(broken_work)?
}

/// Reads the items of a page. Those that can't be read are skipped.
///
/// # Errors
/// As [`broken_work`].
pub(super) async fn read_items<T: DeserializeOwned + Send + 'static>(
    pool: &Pool,
    path: &'static str,
    items: Vec<Box<RawValue>>,
) -> Result<Vec<T>, MembraneError> {
    let bytes = items.iter().map(|item| item.get().len()).sum();
    let read = move || {
        // Each is dropped as it has been read.
        let read = items.into_iter().filter_map(|item| {
            json::read(&item).inspect_err(|error| log::warn!(path; "skipped an item of a list: {error}")).ok()
        });
        read.collect()
    };
    pool.run(bytes, read).await.ok_or_else(broken_work)
}

/// Returns the error of work on an answer that panicked, which was logged.
pub(super) fn broken_work() -> MembraneError {
    MembraneError::Broken("its answer could not be worked on".to_owned())
}
