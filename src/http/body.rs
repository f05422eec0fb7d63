//! A response body in pieces that are shared, not copied.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

/// Longest part handed to the connection at once: larger ones would be copied into one large buffer of its own.
const MAX_PART_BYTES: usize = 256 * 1024;

/// Pieces that are sent one after the other.
#[derive(Debug)]
pub struct ChunkedBody {
    chunks: std::vec::IntoIter<Bytes>,
    current: Bytes,
    size: usize,
}

impl ChunkedBody {
    /// Returns a body of the given pieces.
    #[must_use]
    pub fn new(chunks: Vec<Bytes>) -> Self {
        Self { size: chunks.iter().map(Bytes::len).sum(), chunks: chunks.into_iter(), current: Bytes::new() }
    }
}

impl MessageBody for ChunkedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        while self.current.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.current = chunk,
                None => return Poll::Ready(None),
            }
        }
        let length = self.current.len().min(MAX_PART_BYTES);
        Poll::Ready(Some(Ok(self.current.split_to(length))))
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        match (self.current.is_empty(), self.chunks.as_slice()) {
            (true, [only]) if only.len() <= MAX_PART_BYTES => Ok(only.clone()),
            _ => Err(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[actix_web::test]
    async fn pieces_arrive_whole_and_in_order() {
        let large = Bytes::from(vec![b'x'; MAX_PART_BYTES + 1]);
        let cases: [Vec<Bytes>; 4] = [
            vec![],
            vec!["one".into()],
            vec!["a".into(), Bytes::new(), "b".into()],
            vec!["<".into(), large, ">".into()],
        ];
        for chunks in cases {
            let body = ChunkedBody::new(chunks.clone());
            assert_eq!(body.size(), BodySize::Sized(chunks.concat().len() as u64));
            assert_eq!(to_bytes(body).await.unwrap(), chunks.concat());
        }
    }
}
