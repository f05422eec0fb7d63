//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;

use crate::ids::ClientAddress;

/// Each proxy adds the address that it was asked from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Returns the client's address: that of the connection or, behind so many proxies, what the outermost of them saw.
/// What stands before that in the header is the client's own word.
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
}
