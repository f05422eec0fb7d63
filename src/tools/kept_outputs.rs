//! Outputs of actions that write, kept whole where an answer has only a part: an action that writes is not run again for the
//! rest of its answer.

use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use crate::{
    ids::UserKey,
    membrane::{Tool, pool::Pool},
    store::{
        SessionStore, StoreError,
        outputs::{KeptOutput, MAX_OUTPUT, OutputId},
    },
};

/// Bytes of an output that is kept, uncompressed: more than Membrane sends at once. Whatever the store holds, reading it takes no
/// more memory.
const MAX_BYTES: u64 = 64 << 20;

/// Keeper of outputs, for so long. Cheap to clone.
#[derive(Clone)]
pub(super) struct KeptOutputs {
    store: Arc<dyn SessionStore>,
    ttl: Duration,
}

impl KeptOutputs {
    pub(super) fn new(store: Arc<dyn SessionStore>, ttl: Duration) -> Self {
        Self { store, ttl }
    }

    /// Keeps an output for its owner, unless none are to be kept, it is too long, or the store fails. Returns the output, too.
    pub(super) async fn keep(
        &self,
        pool: &Pool,
        owner: UserKey,
        tool: &Tool,
        json: String,
    ) -> Option<(String, Option<OutputId>)> {
        if self.ttl.is_zero() {
            return Some((json, None));
        }
        let bytes = json.len();
        let compress = move || (compress(&json).filter(|kept| kept.len() <= MAX_OUTPUT), json);
        let (compressed, json) = pool.run(bytes, compress).await?;
        let Some(compressed) = compressed.filter(|_| bytes as u64 <= MAX_BYTES) else {
            return Some((json, None));
        };
        let (id, kept) = (OutputId::draw(), KeptOutput { tool: tool.name().to_string(), json: compressed });
        let kept = self.store.keep_output(owner, id, kept, self.ttl).await;
        let kept = kept.inspect_err(|error| log::warn!("an output can't be kept for reading on: {error}"));
        Some((json, kept.is_ok().then_some(id)))
    }

    /// Returns a kept output of a user as JSON, and the name of the tool that gave it.
    ///
    /// # Errors
    /// [`StoreError`], where the store can't be asked.
    pub(super) async fn read(
        &self,
        pool: &Pool,
        owner: UserKey,
        id: OutputId,
    ) -> Result<Option<(String, String)>, StoreError> {
        let Some(KeptOutput { tool, json }) = self.store.kept_output(owner, id).await? else { return Ok(None) };
        // Short as it is, it may become long.
        let json = pool.run(MAX_OUTPUT, move || decompress(&json)).await.flatten();
        Ok(json.map(|json| (tool, json)))
    }

    /// Returns how long outputs are kept, in seconds.
    pub(super) fn seconds(&self) -> u64 {
        self.ttl.as_secs()
    }
}

fn compress(json: &str) -> Option<Vec<u8>> {
    // What is read once or never is to be small soon, not as small as can be.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json.as_bytes()).ok()?;
    encoder.finish().ok()
}

fn decompress(json: &[u8]) -> Option<String> {
    let mut text = String::new();
    GzDecoder::new(json).take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let json = format!("[{}1]", r#"{"é":"x"},"#.repeat(10_000));
        let compressed = compress(&json).unwrap();
        assert!(compressed.len() * 10 < json.len());
        assert_eq!(decompress(&compressed).unwrap(), json);
        assert_eq!(decompress(b"no gzip"), None);
    }
}
