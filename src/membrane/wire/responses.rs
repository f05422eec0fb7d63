//! Where responses begin and end in the bytes of one HTTP/1.1 connection (RFC 9112 §§ 4 to 7).

use super::{
    chunks::Chunks,
    head::{Body, Parsed, end_with_connection, ends_head, parse},
    violation::{MAX_HEAD_BYTES, MAX_INTERIM, Violation},
};

/// Position in the responses of a connection, of which each answers one request.
#[derive(Debug)]
pub(super) struct Responses {
    state: State,
    /// Head of a response as far as it has come.
    head: Vec<u8>,
    /// Interim responses to the current request.
    interim: usize,
    /// The upstream has said that it closes the connection.
    is_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No request is unanswered.
    Idle,
    /// A request was begun, and the head of its final response is not complete.
    Head,
    /// The final response has begun.
    Body(Body),
    /// The connection can't be used any more.
    Broken,
}

/// Part of a response that is to be read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// None: no request is unanswered, and whatever comes is unasked.
    Nothing,
    /// Head of the response to the current request.
    Head,
    /// Its body, of which at most so many bytes are left.
    Body(u64),
    /// None ever: the connection can't be used any more.
    Broken,
}

impl Responses {
    /// Returns the position on a new connection.
    pub(super) const fn new() -> Self {
        Self { state: State::Idle, head: Vec::new(), interim: 0, is_last: false }
    }

    /// Notes that bytes of a request are about to be written: of a new one, or more of the one that was begun.
    ///
    /// # Errors
    /// [`Violation::Unfinished`], where a response is still to be read.
    pub(super) fn begin_request(&mut self) -> Result<(), Violation> {
        match self.state {
            State::Idle => {
                self.interim = 0;
                self.state = State::Head;
                Ok(())
            }
            // More of the same request: head and body are written one after the other.
            State::Head => Ok(()),
            State::Body(_) | State::Broken => Err(self.fail(Violation::Unfinished)),
        }
    }

    /// Returns whether no request is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Returns whether another request can follow.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_idle() && !self.is_last
    }

    /// Returns which part of a response is to be read next.
    pub(super) fn next(&self) -> Next {
        match self.state {
            State::Idle => Next::Nothing,
            State::Head => Next::Head,
            State::Body(Body::Sized(left)) => Next::Body(left),
            State::Body(_) => Next::Body(u64::MAX),
            State::Broken => Next::Broken,
        }
    }

    /// Ends the use of the connection.
    pub(super) fn fail(&mut self, violation: Violation) -> Violation {
        self.state = State::Broken;
        violation
    }

    /// Takes bytes of a head. Returns the final head once it is complete, with what has come of its body; interim responses
    /// (RFC 9110 § 15.2) are dropped.
    ///
    /// # Errors
    /// [`Violation`].
    pub(super) fn read_head(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        // The empty line that ends a head may come in two pieces.
        let mut from = self.head.len().saturating_sub(2);
        self.head.extend_from_slice(bytes);
        // A head is parsed when its last line has come, and not with each byte before.
        while ends_head(self.head.get(from..).unwrap_or_default()) {
            let (length, body) = match parse(&self.head) {
                Ok(Parsed::Final { length, body, is_last }) => {
                    self.is_last = is_last;
                    (length, body)
                }
                Ok(Parsed::Interim { length }) => {
                    // Without a bound, an upstream could keep a request busy for its whole deadline.
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Err(self.fail(Violation::TooManyInterim));
                    }
                    self.head.drain(..length);
                    from = 0;
                    continue;
                }
                Ok(Parsed::Partial) => break,
                Err(violation) => return Err(self.fail(violation)),
            };
            let mut response = std::mem::take(&mut self.head);
            if body == Body::ToTheEnd {
                end_with_connection(&mut response);
            }
            self.state = State::Body(body);
            let taken = self.read_body(response.get(length..).unwrap_or_default())?;
            // Bytes behind the response stay here: they are no answer to this request.
            response.truncate(length + taken);
            return Ok(Some(response));
        }
        if self.head.len() > MAX_HEAD_BYTES {
            return Err(self.fail(Violation::HeadTooLarge));
        }
        Ok(None)
    }

    /// Takes bytes of a body, and returns how many of them belong to it. Where more have come, the connection is at its end:
    /// the response itself is sound, and the rest reaches nobody.
    ///
    /// # Errors
    /// [`Violation::Chunk`].
    pub(super) fn read_body(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let State::Body(body) = &mut self.state else { return Err(self.fail(Violation::Unasked)) };
        let (taken, is_over) = match body {
            Body::Sized(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Body::Chunked(chunks) => match chunks.advance(bytes) {
                Ok(taken) => (taken, *chunks == Chunks::End),
                Err(violation) => return Err(self.fail(violation)),
            },
            Body::ToTheEnd => (bytes.len(), false),
        };
        if is_over {
            self.state = if taken == bytes.len() { State::Idle } else { State::Broken };
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds bytes in the pieces that `cuts` makes of them, as the guard does, until the response has ended.
    fn feed(responses: &mut Responses, bytes: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Violation> {
        let (mut rest, mut read) = (bytes, Vec::new());
        let mut cuts = cuts.iter().copied().cycle();
        while !rest.is_empty() && !matches!(responses.next(), Next::Nothing | Next::Broken) {
            let wanted = match responses.next() {
                Next::Body(left) => usize::try_from(left).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            let (piece, after) = rest.split_at(cuts.next().unwrap_or(usize::MAX).min(wanted).clamp(1, rest.len()));
            rest = after;
            if responses.next() == Next::Head {
                read.extend(responses.read_head(piece)?.unwrap_or_default());
            } else {
                let taken = responses.read_body(piece)?;
                read.extend(&piece[..taken]);
            }
        }
        Ok(read)
    }

    fn begun() -> Responses {
        let mut responses = Responses::new();
        responses.begin_request().unwrap();
        responses
    }

    #[test]
    fn interim_responses_are_dropped_and_the_final_one_is_passed_on() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        for interim in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\n\n", early, &early.repeat(9)] {
            let whole = format!("{interim}{answer}");
            for size in 1..=whole.len() {
                let mut responses = begun();
                assert_eq!(
                    feed(&mut responses, whole.as_bytes(), &[size]).unwrap(),
                    answer.as_bytes(),
                    "{whole:?} {size}"
                );
                assert!(responses.is_idle());
            }
        }
    }

    #[test]
    fn each_body_ends_where_it_says() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\n\r\n{}", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", true),
        ];
        for (text, ends) in cases {
            let mut responses = begun();
            assert_eq!(feed(&mut responses, text.as_bytes(), &[5]).unwrap(), text.as_bytes(), "{text}");
            assert_eq!(responses.is_idle(), ends, "{text}");
        }
        let mut responses = begun();
        let read = feed(&mut responses, b"HTTP/1.1 200 OK\r\n\r\n{}", &[50]).unwrap();
        assert_eq!(read, b"HTTP/1.0 200 OK\r\n\r\n{}", "awc would take it for empty");
    }

    #[test]
    fn what_comes_behind_a_response_reaches_nobody() {
        let answers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ];
        for answer in answers {
            let mut responses = begun();
            let read = responses.read_head(format!("{answer}HTTP/1.1 200 OK\r\n").as_bytes()).unwrap();
            assert_eq!(read.unwrap(), answer.as_bytes());
            assert_eq!(responses.next(), Next::Broken);
            assert_eq!(responses.begin_request(), Err(Violation::Unfinished));
        }
    }

    #[test]
    fn a_response_that_can_be_read_in_two_ways_is_refused() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", Violation::Ambiguous),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Violation::Switched),
            ("SSH-2.0-OpenSSH\r\n\r\n", Violation::Head),
        ];
        for (text, violation) in cases {
            let mut responses = begun();
            assert_eq!(feed(&mut responses, text.as_bytes(), &[4]), Err(violation), "{text}");
            assert_eq!(responses.next(), Next::Broken);
        }
    }

    #[test]
    fn a_head_or_interim_responses_without_end_are_given_up() {
        let mut responses = begun();
        let endless = b"X-A: b\r\n".repeat(MAX_HEAD_BYTES / 8 + 1);
        assert_eq!(responses.read_head(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        assert_eq!(responses.read_head(&endless), Err(Violation::HeadTooLarge));
        let mut responses = begun();
        let endless = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(MAX_INTERIM + 1);
        assert_eq!(responses.read_head(&endless), Err(Violation::TooManyInterim));
    }

    proptest! {
        #[test]
        fn each_request_gets_its_own_response(
            answers in proptest::collection::vec((0..3_usize, 0..3_u8, 0..200_usize), 1..8),
            cuts in proptest::collection::vec(1..40_usize, 1..20),
        ) {
            let mut responses = Responses::new();
            for (number, (interim, kind, length)) in answers.into_iter().enumerate() {
                responses.begin_request().unwrap();
                let body = format!("{number}").repeat(length);
                let answer = match kind {
                    0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                    1 if body.is_empty() => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                    1 => format!("HTTP/1.1 400 Bad\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                    _ if body.is_empty() => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
                    _ => format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
                };
                let sent = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(interim) + &answer;
                prop_assert_eq!(feed(&mut responses, sent.as_bytes(), &cuts).unwrap(), answer.as_bytes());
                prop_assert!(responses.is_idle());
            }
        }
    }
}
