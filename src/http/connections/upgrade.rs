//! Offers of another protocol, which are ignored (RFC 9110 § 7.8).
//!
//! Java's HTTP client offers `h2c` in each request of a new connection. actix-http takes any offer for the end of the connection,
//! and reads the body of an offered websocket without end. So an offer becomes a word that means nothing, before actix-http
//! sees it.

use memchr::{memchr, memmem};

const UPGRADE: &[u8] = b"upgrade";

/// Takes offers out of the part of a request's head with which these bytes begin. What follows the head stays as it is.
pub(super) fn ignore_offers(bytes: &mut [u8]) {
    // Most requests are told by a glance.
    if memmem::find(bytes, b"pgrade").is_none() && memmem::find(bytes, b"PGRADE").is_none() {
        return;
    }
    for line in bytes.split_mut(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Some(colon) = memchr(b':', line) else { continue };
        let (name, value) = line.split_at_mut(colon);
        if name.eq_ignore_ascii_case(UPGRADE) {
            blur(name);
        } else if name.eq_ignore_ascii_case(b"connection") {
            // The colon would be part of the first option.
            let options = value.get_mut(1..).unwrap_or_default().split_mut(|byte| *byte == b',');
            options.filter(|option| option.trim_ascii().eq_ignore_ascii_case(UPGRADE)).for_each(blur);
        }
    }
}

fn blur(word: &mut [u8]) {
    if let Some(first) = word.iter_mut().find(|byte| !byte.is_ascii_whitespace()) {
        *first = b'x';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_mean_nothing_and_all_else_stays() {
        let cases = [
            (
                "POST /mcp HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\nUpgrade: body",
                "POST /mcp HTTP/1.1\r\nConnection: xpgrade, HTTP2-Settings\r\nxpgrade: h2c\r\n\r\nUpgrade: body",
            ),
            ("connection:keep-alive,UPGRADE\r\n", "connection:keep-alive,xPGRADE\r\n"),
            ("\r\nupgrade: of a body", "\r\nupgrade: of a body"),
            ("GET /upgrade HTTP/1.1\r\nX-Upgrade: upgrade\r\n", "GET /upgrade HTTP/1.1\r\nX-Upgrade: upgrade\r\n"),
            ("Upgrade-Insecure-Requests: 1\r\n\r\n", "Upgrade-Insecure-Requests: 1\r\n\r\n"),
            ("Connection: upgraded\r\n", "Connection: upgraded\r\n"),
            ("", ""),
        ];
        for (sent, seen) in cases {
            let mut bytes = sent.as_bytes().to_vec();
            ignore_offers(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), seen, "{sent}");
        }
    }
}
