use super::*;
use crate::config::{Sources, load};

#[test]
fn foreign_pages_and_names_are_refused() {
    let local: &[(&str, &str)] = &[];
    let open: &[(&str, &str)] = &[("HOST", "0.0.0.0")];
    let listed: &[(&str, &str)] = &[
        ("HOST", "0.0.0.0"),
        ("MCP__SERVER__ALLOWED_HOSTS", "mcp.example.com"),
        ("MCP__SERVER__ALLOWED_ORIGINS", "https://app.example.com, https://other.example.com"),
    ];
    let any: &[(&str, &str)] = &[("MCP__SERVER__ALLOWED_ORIGINS", "*")];
    let public: &[(&str, &str)] = &[("MCP__OAUTH__PUBLIC_URL", "https://MCP.example.com:8443/gw/")];
    let both: &[(&str, &str)] = &[
        ("HOST", "0.0.0.0"),
        ("MCP__SERVER__ALLOWED_HOSTS", "inner.example.com"),
        ("MCP__OAUTH__PUBLIC_URL", "https://mcp.example.com"),
    ];
    let cases = [
        (local, "localhost:3000", None, true),
        (local, "127.0.0.1:3000", Some("http://localhost:5173"), true),
        (local, "[::1]:3000", Some("http://[::1]"), true),
        (local, "evil.example.com", None, false),
        (local, "localhost.evil.example.com", None, false),
        (local, "localhost", Some("https://evil.example.com"), false),
        (local, "localhost", Some("null"), false),
        (open, "mcp.example.com", None, true),
        (open, "mcp.example.com", Some("https://mcp.example.com"), false),
        (listed, "mcp.example.com:443", Some("https://app.example.com"), true),
        (listed, "mcp.example.com", Some("https://evil.example.com"), false),
        (listed, "evil.example.com", None, false),
        (listed, "localhost", None, true),
        (any, "localhost", Some("https://evil.example.com"), true),
        (any, "localhost", Some("null"), true),
        (local, "localhost.", Some("http://LOCALHOST"), true),
        (local, "my.localhost:3000", Some("https://my.localhost:3000"), true),
        (local, "[::ffff:127.0.0.1]", Some("http://127.0.0.2"), true),
        (local, "localhost", Some("tauri://localhost"), true),
        (local, "localhost", Some("http://[::1].evil.com"), false),
        (local, "localhost", Some("http://127.0.0.1.evil.com"), false),
        (local, "localhost", Some("http://localhost@evil.com"), false),
        (local, "localhost", Some("http://evil.com\\@localhost"), false),
        (local, "localhost", Some("http://evil.com#@localhost"), false),
        (local, "localhost", Some("http://evillocalhost"), false),
        (local, "localhost", Some("http://localhost/page"), false),
        (local, "localhost", Some("tauri://[::1].evil.com"), false),
        (local, "[::1].evil.com", None, false),
        (local, "127.0.0.1.evil.com", None, false),
        (local, "localhost@evil.com", None, false),
        (local, "192.0.2.1", None, false),
        (listed, "mcp.example.com", Some("https://mcp.example.com"), true),
        (listed, "mcp.example.com:8443", Some("https://mcp.example.com:8443"), true),
        (listed, "mcp.example.com", Some("https://mcp.example.com:8443"), false),
        (listed, "evil.example.com", Some("https://evil.example.com"), false),
        (open, "evil.example.com", Some("http://evil.example.com"), false),
        (listed, "MCP.example.com.", None, true),
        (listed, "mcp.example.com@evil.com", None, false),
        (listed, "192.0.2.1:3000", None, false),
        (public, "mcp.example.com:8443", None, true),
        (public, "mcp.example.com.", None, true),
        (public, "localhost:3000", None, true),
        (public, "example.com", None, false),
        (public, "mcp.example.com.evil.com", None, false),
        (public, "mcp.example.com@evil.com", None, false),
        (public, "mcp.example.com:8443", Some("https://mcp.example.com:8443"), true),
        (public, "127.0.0.1:3000", Some("https://mcp.example.com:8443"), true),
        (public, "127.0.0.1:3000", Some("https://mcp.example.com"), false),
        (public, "mcp.example.com:8443", Some("https://evil.example.com"), false),
        (public, "evil.example.com", Some("https://evil.example.com"), false),
        (both, "mcp.example.com", None, true),
        (both, "inner.example.com", Some("https://mcp.example.com"), true),
        (both, "inner.example.com", Some("http://inner.example.com"), true),
        (both, "evil.example.com", None, false),
        (both, "mcp.example.com", Some("https://evil.example.com"), false),
    ];
    for (env, host, origin, allowed) in cases {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = load(&Sources { env, ..Sources::default() }).unwrap();
        let names = Names::for_clients(&settings);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        if origin.is_none() {
            assert!(names.refusal(&Uri::from_static("/healthz"), &headers).is_none(), "{host}");
        }
        assert_eq!(names.refusal(&Uri::from_static("/mcp"), &headers).is_none(), allowed, "{host} {origin:?}");
    }
}

#[test]
fn a_known_name_lets_no_other_in() {
    let (settings, known) = (load(&Sources::default()).unwrap(), KnownHost::default());
    let names = Names { known_host: Some(&known), ..Names::for_clients(&settings) };
    let asked = |host: &str, path: &str| {
        let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
        names.refusal(&path.parse().unwrap(), &headers).is_none()
    };
    assert!(asked("evil.example.com", "/healthz"));
    let cases =
        [("", false), ("localhost:3000", true), ("evil.example.com", false), ("localhost", true), ("local", false)];
    for (host, allowed) in cases {
        for _ in 0..2 {
            assert_eq!(asked(host, "/mcp"), allowed, "{host}");
        }
    }
}

#[test]
fn operators_are_asked_by_address_and_no_page_is_let_in() {
    let [local, open, listed] = [("127.0.0.1", ""), ("0.0.0.0", ""), ("0.0.0.0", "metrics.example.com")];
    let cases = [
        (local, "127.0.0.1:9464", None, true),
        (local, "localhost:9464", None, true),
        (local, "192.0.2.1:9464", None, true),
        (local, "rebound.evil.com:9464", None, false),
        (local, "127.0.0.1:9464", Some("http://evil.com"), false),
        (open, "mcp:9464", None, true),
        (open, "mcp:9464", Some("http://evil.com"), false),
        (listed, "metrics.example.com:9464", None, true),
        (listed, "[2001:db8::1]:9464", None, true),
        (listed, "rebound.evil.com:9464", None, false),
    ];
    for ((host, hosts), asked, origin, allowed) in cases {
        let env = [("MCP__ADMIN__HOST", host), ("MCP__ADMIN__ALLOWED_HOSTS", hosts)];
        let env = env.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let settings = load(&Sources { env, ..Sources::default() }).unwrap().admin;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, asked.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let names = Names::for_operators(&settings);
        assert_eq!(
            names.refusal(&Uri::from_static("/metrics"), &headers).is_none(),
            allowed,
            "{host} {asked} {origin:?}"
        );
    }
}
