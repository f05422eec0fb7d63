//! The body of an answer, read within its bounds.

use std::pin::pin;

use awc::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

use crate::{gathering, membrane::error::MembraneError};

/// Reads a body of `announced` bytes, of which there may be no more than `limit`.
///
/// A body of one chunk is that chunk, uncopied.
///
/// # Errors
/// [`MembraneError::TooLarge`] for more than `limit` bytes, [`MembraneError::Broken`] where the connection breaks.
pub(super) async fn read(
    body: impl Stream<Item = Result<Bytes, PayloadError>>,
    announced: Option<usize>,
    limit: usize,
) -> Result<Bytes, MembraneError> {
    let mut body = pin!(body);
    let mut next = async || body.next().await.transpose().map_err(|error| MembraneError::Broken(error.to_string()));
    let too_large = || MembraneError::TooLarge { limit };
    let announced = announced.unwrap_or_default();
    let first = next().await?.unwrap_or_default();
    if announced.max(first.len()) > limit {
        return Err(too_large());
    }
    let Some(second) = next().await? else { return Ok(first) };
    let mut read = BytesMut::from(first);
    let mut chunk = Some(second);
    while let Some(more) = chunk {
        if read.len() + more.len() > limit {
            return Err(too_large());
        }
        gathering::append(&mut read, &more, announced);
        chunk = next().await?;
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::gathering::BELIEVED;

    /// Chunks of so many bytes each.
    fn body(chunks: &[usize]) -> impl Stream<Item = Result<Bytes, PayloadError>> {
        stream::iter(chunks.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect::<Vec<_>>())
    }

    #[actix::test]
    async fn a_body_is_all_of_its_chunks_within_the_limit() {
        for chunks in [&[][..], &[5], &[3, 2], &[1, 0, 1, 2, 1]] {
            let size: usize = chunks.iter().sum();
            for announced in [None, Some(size), Some(0)] {
                assert_eq!(read(body(chunks), announced, 5).await.unwrap().len(), size, "{chunks:?}");
            }
        }
        for chunks in [&[6][..], &[3, 3], &[5, 0, 1]] {
            let refused = read(body(chunks), None, 5).await;
            assert!(matches!(refused, Err(MembraneError::TooLarge { limit: 5 })), "{chunks:?}");
        }
        let refused = read(body(&[1]), Some(6), 5).await;
        assert!(matches!(refused, Err(MembraneError::TooLarge { limit: 5 })), "told by what it announces");
    }

    #[actix::test]
    async fn room_for_what_is_announced_is_made_once_some_of_it_is_there() {
        let announced = 8 * BELIEVED;
        let early = read(body(&[BELIEVED / 2, 1]), Some(announced), announced).await.unwrap();
        assert!(BytesMut::from(early).capacity() < announced);
        let late = read(body(&[BELIEVED, 1]), Some(announced), announced).await.unwrap();
        assert!(BytesMut::from(late).capacity() >= announced);
        let whole = Bytes::from_static(b"{}");
        let one = read(stream::iter([Ok(whole.clone())]), Some(2), 5).await.unwrap();
        assert_eq!(one.as_ptr(), whole.as_ptr(), "copied");
    }
}
