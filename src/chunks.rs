//! JSON that is sent in pieces, none of them copied, and the same as gzip (RFC 1952), put together of what was compressed
//! beforehand.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress};

/// Part of a message, in the order of sending.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// JSON of this message alone.
    Plain(Bytes),
    /// JSON that many messages share, and that is compressed once.
    PrecompressedJson(Arc<PrecompressedJson>),
}

impl Chunk {
    /// Returns the JSON of the part.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        match self {
            Self::Plain(json) => json,
            Self::PrecompressedJson(listing) => listing.json(),
        }
    }

    /// Returns the JSON of the part, sharing its bytes.
    #[must_use]
    pub fn into_json(self) -> Bytes {
        match self {
            Self::Plain(json) => json,
            Self::PrecompressedJson(listing) => listing.json().clone(),
        }
    }

    /// Returns the listing, if it is one.
    #[must_use]
    pub fn listing(&self) -> Option<&Arc<PrecompressedJson>> {
        match self {
            Self::Plain(_) => None,
            Self::PrecompressedJson(listing) => Some(listing),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Chunk {
    fn from(json: T) -> Self {
        Self::Plain(json.into())
    }
}

/// Returns the JSON of pieces, for whoever wants nothing compressed.
#[must_use]
pub fn into_bytes(chunks: Vec<Chunk>) -> Vec<Bytes> {
    chunks.into_iter().map(Chunk::into_json).collect()
}

/// JSON that is sent often, and is compressed once, when that is first of use.
#[derive(Debug, Default)]
pub struct PrecompressedJson {
    json: Bytes,
    deflated: OnceLock<Option<Deflated>>,
}

impl PrecompressedJson {
    /// Takes JSON that is not compressed yet.
    #[must_use]
    pub fn new(json: Bytes) -> Self {
        Self { json, deflated: OnceLock::new() }
    }

    /// Returns the JSON that the listing holds.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// Compresses it, if that has not been done. It takes some milliseconds for a hundred tools.
    pub fn deflate(&self) {
        self.deflated.get_or_init(|| Deflated::of(&self.json));
    }

    /// Returns whether the listing was compressed already.
    #[must_use]
    pub fn is_deflated(&self) -> bool {
        self.deflated.get().is_some()
    }
}

/// Compressed bytes that can stand anywhere in a stream: blocks (RFC 1951 § 3.2.3) that begin and end with a byte, refer to
/// nothing before them, and are not the last.
#[derive(Debug)]
struct Deflated {
    blocks: Bytes,
    /// How many bytes they are of, modulo 2^32 as the trailer has it.
    bytes: u32,
    crc: u32,
    /// Effect on each bit of a checksum when so many bytes follow.
    shift: [u32; 32],
}

impl Deflated {
    fn of(text: &[u8]) -> Option<Self> {
        let mut compress = Compress::new(Compression::default(), false);
        let mut blocks = Vec::with_capacity(text.len() / 4 + 64);
        let mut rest = text;
        // Done when there is nothing left to read, and room left to write.
        while !rest.is_empty() || blocks.len() == blocks.capacity() {
            blocks.reserve(text.len() / 4 + 64);
            let before = compress.total_in();
            compress.compress_vec(rest, &mut blocks, FlushCompress::Full).ok()?;
            rest = rest.get(usize::try_from(compress.total_in() - before).ok()?..)?;
        }
        blocks.shrink_to_fit();
        let length = u64::try_from(text.len()).ok()?;
        let shift = std::array::from_fn(|bit| {
            let mut crc = Hasher::new_with_initial_len(1 << bit, 0);
            crc.combine(&Hasher::new_with_initial_len(0, length));
            crc.finalize()
        });
        Some(Self { blocks: blocks.into(), bytes: truncate(text.len()), crc: crc32fast::hash(text), shift })
    }
}

/// Checksum and length, as the trailer of gzip has them (RFC 1952 § 2.3.1).
#[derive(Default)]
struct Sum {
    crc: u32,
    bytes: u32,
}

impl Sum {
    fn add(&mut self, text: &[u8]) {
        let mut crc = Hasher::new_with_initial(self.crc);
        crc.update(text);
        self.crc = crc.finalize();
        self.bytes = self.bytes.wrapping_add(truncate(text.len()));
    }

    fn append(&mut self, deflated: &Deflated) {
        let bits = deflated.shift.iter().enumerate().filter(|(bit, _)| self.crc >> bit & 1 == 1);
        self.crc = bits.fold(deflated.crc, |crc, (_, shifted)| crc ^ shifted);
        self.bytes = self.bytes.wrapping_add(deflated.bytes);
    }
}

/// Lengths are told modulo 2^32 (RFC 1952 § 2.3.1).
fn truncate(length: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "as the format wants it")]
    let truncated = length as u32;
    truncated
}

/// Deflate, no name, no time, of an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A last block, with nothing in it.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Most bytes of a block that is stored as it is (RFC 1951 § 3.2.4).
const MAX_STORED: usize = 0xffff;

/// Returns the pieces as gzip. Those that are not compressed stand in it as they are; nothing where a listing has not
/// been compressed.
#[must_use]
pub fn gzip(chunks: &[Chunk]) -> Option<Vec<Bytes>> {
    let mut sum = Sum::default();
    let mut body = Vec::with_capacity(2 * chunks.len() + 1);
    let mut stored = BytesMut::from(&HEADER[..]);
    for chunk in chunks {
        match chunk {
            Chunk::Plain(json) => {
                for part in json.chunks(MAX_STORED) {
                    store(part, &mut stored);
                }
                sum.add(json);
            }
            Chunk::PrecompressedJson(listing) => {
                let deflated = listing.deflated.get()?.as_ref()?;
                body.extend([stored.split().freeze(), deflated.blocks.clone()]);
                sum.append(deflated);
            }
        }
    }
    stored.put_slice(&LAST_BLOCK);
    stored.put_u32_le(sum.crc);
    stored.put_u32_le(sum.bytes);
    body.push(stored.freeze());
    Some(body)
}

/// Appends a block that holds a part as it is (RFC 1951 § 3.2.4).
fn store(part: &[u8], blocks: &mut BytesMut) {
    // No longer than the block can tell.
    let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
    blocks.put_u8(0);
    blocks.put_u16_le(length);
    blocks.put_u16_le(!length);
    blocks.put_slice(part);
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn listing(text: &str) -> Chunk {
        let listing = PrecompressedJson::new(Bytes::copy_from_slice(text.as_bytes()));
        listing.deflate();
        assert!(listing.is_deflated());
        Chunk::PrecompressedJson(Arc::new(listing))
    }

    #[test]
    fn pieces_are_one_stream_of_gzip_whatever_they_are() {
        let long = "{\"name\":\"a tool\",\"description\":\"what it does\"},".repeat(5_000);
        let noise: String =
            (0..70_000_u32).map(|i| char::from(b' ' + (i.wrapping_mul(2_654_435_761) >> 25) as u8 % 94)).collect();
        let cases: [Vec<Chunk>; 6] = [
            vec![],
            vec!["plain".into()],
            vec!["<".into(), listing(&long), ",".into(), listing("short"), ">".into()],
            vec![listing(""), listing(&noise)],
            vec![listing(&noise), noise.clone().into(), listing(&long), listing(&noise)],
            vec![String::new().into(), "é".repeat(40_000).into()],
        ];
        for chunks in cases {
            let text = into_bytes(chunks.clone()).concat();
            let body = gzip(&chunks).unwrap().concat();
            let mut read = Vec::new();
            let mut decoder = GzDecoder::new(&body[..]);
            decoder.read_to_end(&mut read).expect("length and checksum are right");
            assert!(read == text, "{} bytes of {}", read.len(), text.len());
            assert!(decoder.into_inner().is_empty(), "there is one member");
        }
        let body = gzip(&[listing(&long)]).unwrap().concat();
        assert!(body.len() * 20 < long.len(), "{} bytes", body.len());
    }

    #[test]
    fn nothing_is_compressed_that_was_not_asked_for() {
        let chunk = Chunk::PrecompressedJson(Arc::new(PrecompressedJson::new(Bytes::from_static(b"{}"))));
        assert!(gzip(&[chunk]).is_none());
    }
}
