//! Where a request comes from, and how: what is known of it behind proxies.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::{HttpRequest, http::header::FORWARDED};

use crate::ids::ClientAddress;

/// Each proxy adds the address that it was asked from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Returns the client's address: that of the connection or, behind so many proxies, what the outermost of them saw.
/// Entries before that in the header are the client's own word.
#[must_use]
pub fn of(request: &HttpRequest, proxies: usize) -> ClientAddress {
    let peer = || request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    forwarded(request, proxies).unwrap_or_else(peer).into()
}

fn forwarded(request: &HttpRequest, proxies: usize) -> Option<IpAddr> {
    let lines = request.headers().get_all(FORWARDED_FOR).filter_map(|line| line.to_str().ok());
    let seen: Vec<_> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let seen = seen.iter().rev().nth(proxies.checked_sub(1)?)?;
    let with_port = || seen.parse::<SocketAddr>().map(|address| address.ip());
    seen.trim_matches(['[', ']']).parse().or_else(|_| with_port()).ok()
}

/// Each proxy that ends TLS tells by which scheme it was asked; the standard form of it is `Forwarded` (RFC 7239 § 5.4).
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Returns the scheme by which the client asks: what the outermost of so many proxies saw. This server itself has no TLS.
#[must_use]
pub fn scheme(request: &HttpRequest, proxies: usize) -> &'static str {
    let parameter = |element: &str| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let proto = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
        proto.map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let seen = outermost(request, FORWARDED_PROTO, proxies)
        .or_else(|| outermost(request, FORWARDED.as_str(), proxies).and_then(|element| parameter(&element)));
    match seen {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    }
}

/// Returns whether something before this server, which is not believed, says that clients ask by https.
#[must_use]
pub fn is_https_unbelieved(request: &HttpRequest, proxies: usize) -> bool {
    proxies == 0 && request.headers().get(FORWARDED_PROTO).is_some_and(|proto| proto == "https")
}

/// Returns the word of the outermost of so many proxies: each may add its own, or leave one that stands for all.
fn outermost(request: &HttpRequest, name: &str, proxies: usize) -> Option<String> {
    let lines = request.headers().get_all(name).filter_map(|line| line.to_str().ok());
    let seen: Vec<_> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    seen.into_iter().rev().take(proxies).next_back().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_what_proxies_say_is_believed() {
        let peer = "192.0.2.1";
        let cases: [(usize, &[&str], &str); 10] = [
            (0, &[], peer),
            (0, &["198.51.100.1"], peer),
            (1, &[], peer),
            (1, &["198.51.100.1"], "198.51.100.1"),
            (1, &["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            (2, &["203.0.113.9, 198.51.100.1", "10.0.0.1"], "198.51.100.1"),
            (3, &["198.51.100.1"], peer),
            (1, &["nonsense"], peer),
            (1, &["198.51.100.1:4711"], "198.51.100.1"),
            (1, &["[2001:db8::1]:4711"], "2001:db8::1"),
        ];
        for (proxies, lines, expected) in cases {
            let mut request = TestRequest::default().peer_addr((peer.parse::<IpAddr>().unwrap(), 1).into());
            for line in lines {
                request = request.append_header((FORWARDED_FOR, *line));
            }
            let expected = ClientAddress::from(expected.parse::<IpAddr>().unwrap());
            assert_eq!(of(&request.to_http_request(), proxies), expected, "{proxies} {lines:?}");
        }
    }
    #[test]
    fn only_what_proxies_say_of_the_scheme_is_believed() {
        let [proto, forwarded] = ["x-forwarded-proto", "forwarded"];
        let cases = [
            (0, proto, "https", "http"),
            (1, proto, "https", "https"),
            (1, proto, "HTTPS", "https"),
            (1, proto, "http", "http"),
            (1, proto, "https://evil.example/?", "http"),
            (1, proto, "https\", error=\"x", "http"),
            (1, proto, "https, http", "http"),
            (2, proto, "https, http", "https"),
            (2, proto, "https", "https"),
            (0, forwarded, "proto=https", "http"),
            (1, forwarded, "for=192.0.2.1;Proto=\"https\";host=x", "https"),
            (1, forwarded, "proto=wss", "http"),
        ];
        for (proxies, name, value, expected) in cases {
            let request = TestRequest::default().append_header((name, value)).to_http_request();
            assert_eq!(scheme(&request, proxies), expected, "{proxies} {name}: {value}");
        }
    }
}
