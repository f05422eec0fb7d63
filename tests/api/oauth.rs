//! OAuth discovery, and the way from no token to one that works.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    raw_upstream::{Act, RawUpstream},
    support::{Reply, Server, eventually, reply_to},
};

fn server() -> Server {
    Server::builder().env("MCP__OAUTH__ENABLED", "true").start()
}

async fn get(server: &Server, url: &str) -> Reply {
    let url = if url.starts_with('/') { format!("{}{url}", server.url) } else { url.to_owned() };
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    reply_to(http.get(url)).await
}

/// The value of a parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> String {
    let rest = challenge.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("{name} in {challenge}")).1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_client_without_a_token_finds_its_way_to_one_that_works() {
    let server = server();
    let refused = server.client_with("").initialize("2025-11-25").await;
    assert_eq!(refused.status, 401);
    let metadata = parameter(refused.header("www-authenticate").unwrap(), "resource_metadata");
    let resource = get(&server, &metadata).await.json();
    assert_eq!(resource["resource"], format!("{}/mcp", server.url));

    let issuer = resource["authorization_servers"][0].as_str().unwrap();
    let issuer = get(&server, &format!("{issuer}/.well-known/oauth-authorization-server")).await.json();
    let endpoint = |name: &str| issuer[name].as_str().unwrap().to_owned();
    let redirect = "http://127.0.0.1:9/callback";
    let registered = server.http.post(endpoint("registration_endpoint")).json(&json!({"redirect_uris": [redirect]}));
    let client_id = reply_to(registered).await.json()["client_id"].as_str().unwrap().to_owned();

    let verifier = "a-verifier-of-at-least-forty-three-characters-it-is";
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let query = serde_urlencoded::to_string([
        ("response_type", "code"),
        ("client_id", &client_id),
        ("redirect_uri", redirect),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("state", "s&t"),
        ("scope", "tenant platform-user"),
    ]);
    let to_membrane = get(&server, &format!("{}?{}", endpoint("authorization_endpoint"), query.unwrap())).await;
    assert_eq!(to_membrane.status, 302);
    let to_membrane = to_membrane.header("location").unwrap();
    assert!(to_membrane.starts_with(&server.sandbox) && to_membrane.ends_with("scope=platform-user"), "{to_membrane}");
    let back = get(&server, to_membrane).await;
    let back = back.header("location").unwrap();
    let answer: Vec<(String, String)> = serde_urlencoded::from_str(back.split_once('?').unwrap().1).unwrap();
    assert_eq!(answer[1], ("state".to_owned(), "s&t".to_owned()));

    let form = [("grant_type", "authorization_code"), ("code", &answer[0].1), ("code_verifier", verifier)];
    let redeem = server.http.post(endpoint("token_endpoint")).body(serde_urlencoded::to_string(form).unwrap());
    let redeem = redeem.header("content-type", "application/x-www-form-urlencoded");
    let token = reply_to(redeem).await.json();
    let client = server.client_with(token["access_token"].as_str().unwrap()).open().await;
    assert!(!client.tools().await.is_empty());
}

#[tokio::test]
async fn each_endpoint_describes_itself() {
    let server = server();
    for (path, endpoint) in [("", "mcp"), ("/mcp", "mcp"), ("/sse", "sse")] {
        let resource = get(&server, &format!("/.well-known/oauth-protected-resource{path}")).await.json();
        assert_eq!(resource["resource"], format!("{}/{endpoint}", server.url), "{path:?}");
        assert_eq!(resource["scopes_supported"], json!(["tenant"]), "{path:?}");
    }
    for (path, endpoint) in [("/mcp", "mcp"), ("/mcp/sessions", "mcp"), ("/sse", "sse")] {
        let reply = get(&server, path).await;
        let challenge = reply.header("www-authenticate").unwrap().to_owned();
        let metadata = parameter(&challenge, "resource_metadata");
        let expected = format!("{}/.well-known/oauth-protected-resource/{endpoint}", server.url);
        assert_eq!((reply.status.as_u16(), metadata), (401, expected), "{path}");
        assert_eq!(parameter(&challenge, "scope"), "tenant", "{path}");
    }
}

#[tokio::test]
async fn the_public_address_is_the_settings() {
    let server = Server::builder()
        .env("MCP__OAUTH__ENABLED", "true")
        .env("MCP__OAUTH__PUBLIC_URL", "https://mcp.example.com/apps/")
        .start();
    let resource = get(&server, "/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!(resource["resource"], "https://mcp.example.com/apps/mcp");
    let issuer = get(&server, "/.well-known/oauth-authorization-server").await.json();
    assert_eq!(issuer["issuer"], "https://mcp.example.com/apps");
    assert_eq!(issuer["token_endpoint"], format!("{}/oauth/token", server.sandbox));
}

/// Official TypeScript clients look below a path for nothing but `openid-configuration`, and refuse it without what `OpenID`
/// Connect wants.
#[tokio::test]
async fn discovery_below_a_path_is_whole() {
    let server = Server::builder().env("MCP__OAUTH__ENABLED", "true").env("MCP__SERVER__PUBLIC_PATH", "/gw").start();
    let below = format!("{}/gw", server.url);
    // Before the upstream's own metadata is read, its usual paths are offered.
    server.wait_for_log("clients without a token are led to");
    let resource = get(&server, "/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!(
        (&resource["resource"], &resource["authorization_servers"][0]),
        (&json!(format!("{below}/mcp")), &json!(below))
    );
    let plain = get(&server, "/.well-known/oauth-authorization-server").await.json();
    let mut openid = get(&server, "/.well-known/openid-configuration").await.json();
    assert_eq!(openid["issuer"], json!(below));
    assert_eq!(openid["jwks_uri"], json!(format!("{below}/.well-known/jwks.json")));
    for list in ["subject_types_supported", "id_token_signing_alg_values_supported"] {
        assert!(openid[list].as_array().is_some_and(|list| !list.is_empty()), "{list}: {openid}");
        openid.as_object_mut().unwrap().remove(list);
    }
    openid.as_object_mut().unwrap().remove("jwks_uri");
    assert_eq!(openid, plain, "the rest is the same");
    assert_eq!(get(&server, "/.well-known/jwks.json").await.json(), json!({"keys": []}));
}

#[tokio::test]
async fn only_proxies_that_are_believed_say_by_which_scheme_clients_ask() {
    let ask = async |server: &Server, name: &str, value: &str| {
        let request = server.http.get(format!("{}/mcp", server.url)).header("accept", "text/event-stream");
        let challenge = reply_to(request.header(name, value)).await;
        parameter(challenge.header("www-authenticate").unwrap(), "resource_metadata")
    };
    let server = server();
    let plain = format!("{}/.well-known/oauth-protected-resource/mcp", server.url);
    for value in ["https", "https://evil.example/?", "https\", error=\"x", "HTTPS"] {
        assert_eq!(ask(&server, "x-forwarded-proto", value).await, plain, "{value}");
    }
    assert_eq!(ask(&server, "forwarded", "proto=https;host=evil.example").await, plain);
    assert!(server.log().contains("server.proxies"), "a hint at what is missing");
    let behind = Server::builder().env("MCP__OAUTH__ENABLED", "true").env("MCP__SERVER__PROXIES", "1").start();
    let plain = format!("{}/.well-known/oauth-protected-resource/mcp", behind.url);
    let https = plain.replacen("http:", "https:", 1);
    for (name, value, expected) in [
        ("x-forwarded-proto", "https", &https),
        ("x-forwarded-proto", "HTTPS", &https),
        ("forwarded", "for=192.0.2.1;proto=https", &https),
        ("x-forwarded-proto", "https://evil.example/?", &plain),
        ("x-forwarded-proto", "javascript", &plain),
    ] {
        assert_eq!(ask(&behind, name, value).await, *expected, "{name}: {value}");
    }
}

/// Upstream that answers requests for its metadata so, and counts them.
fn metadata_upstream(status: u16, body: Value) -> RawUpstream {
    RawUpstream::start(move |asked| {
        let is_metadata = asked.path == "/.well-known/oauth-authorization-server";
        let (status, body) = if is_metadata { (status, body.to_string()) } else { (401, "{}".to_owned()) };
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        vec![Act::Send((head + &body).into_bytes())]
    })
}

fn metadata(base: &str) -> Value {
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/login?tenant=a"),
        "token_endpoint": format!("{base}/give-token"),
        "registration_endpoint": format!("{base}/sign-up"),
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
        "client_id_metadata_document_supported": true,
    })
}

async fn is_offered(server: &Server) -> bool {
    get(server, "/.well-known/oauth-protected-resource").await.status == 200
}

#[tokio::test]
async fn by_default_the_upstreams_own_metadata_decides() {
    let defaults: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let server = Server::builder().env("MCP__OAUTH__ENABLED", defaults["oauth"]["enabled"].as_str().unwrap()).start();
    eventually("the sandbox's metadata is read", async || is_offered(&server).await).await;
    let issuer = get(&server, "/.well-known/oauth-authorization-server").await.json();
    assert_eq!(issuer["token_endpoint"], format!("{}/oauth/token", server.sandbox));
    assert_eq!(issuer["client_id_metadata_document_supported"], true);
    assert_eq!(issuer.get("revocation_endpoint"), None, "the sandbox has none");
    server.wait_for_log("clients without a token are led to");
    let challenge = get(&server, "/mcp").await;
    assert!(challenge.header("www-authenticate").unwrap().contains("resource_metadata"));
}

#[tokio::test]
async fn what_is_offered_is_what_the_upstream_says() {
    let login = "https://login.example.com";
    let mut scoped = metadata(login);
    // By the last, clients ask for refresh tokens: it is the issuer's to offer, and no resource needs it.
    scoped["scopes_supported"] = json!(["mcp:read", "mcp:write", "offline_access"]);
    let mut named = metadata(login);
    named["authorization_response_iss_parameter_supported"] = json!(true);
    for (metadata, scopes, is_own) in [
        (metadata(login), json!(["tenant"]), true),
        (scoped, json!(["mcp:read", "mcp:write"]), true),
        (named, json!(["tenant"]), false),
    ] {
        let upstream = metadata_upstream(200, metadata.clone());
        let server = Server::before(&upstream.url).env("MCP__OAUTH__ENABLED", "auto").start();
        eventually("the metadata is read", async || is_offered(&server).await).await;
        let resource = get(&server, "/.well-known/oauth-protected-resource/mcp").await.json();
        let expected = if is_own { server.url.as_str() } else { login };
        assert_eq!((&resource["authorization_servers"][0], &resource["scopes_supported"]), (&json!(expected), &scopes));
        let issuer = get(&server, "/.well-known/oauth-authorization-server").await.json();
        for member in [
            "token_endpoint",
            "registration_endpoint",
            "grant_types_supported",
            "code_challenge_methods_supported",
            "token_endpoint_auth_methods_supported",
            "client_id_metadata_document_supported",
        ] {
            assert_eq!(issuer[member], metadata[member], "{member}");
        }
        let of_issuer = if scopes[0] == "tenant" { &scopes } else { &metadata["scopes_supported"] };
        assert_eq!(issuer["scopes_supported"], *of_issuer);
        assert_eq!(issuer["authorization_endpoint"], format!("{}/oauth/authorize", server.url));
        let login = get(&server, "/oauth/authorize?state=s&scope=mcp%3Aread").await;
        let scope = if scopes[0] == "tenant" { "tenant" } else { "mcp%3Aread" };
        let to = format!("https://login.example.com/login?tenant=a&state=s&scope={scope}");
        assert_eq!(login.header("location"), Some(to.as_str()));
        let challenge = get(&server, "/mcp").await;
        let asked: Vec<_> = scopes.as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
        assert_eq!(parameter(challenge.header("www-authenticate").unwrap(), "scope"), asked.join(" "));
        let asked = upstream.asked();
        let for_metadata: Vec<_> = asked.iter().filter(|asked| asked.path.starts_with("/.well-known/")).collect();
        assert!(!for_metadata.is_empty() && for_metadata.iter().all(|asked| asked.user.is_empty()), "{for_metadata:?}");
    }
}

#[tokio::test]
async fn an_upstream_without_metadata_has_no_oauth_unless_the_settings_say_so() {
    let mut without_pkce = metadata("https://login.example.com");
    without_pkce["code_challenge_methods_supported"] = json!(["plain"]);
    for (status, body) in [(404, json!({})), (401, json!({})), (200, json!([])), (200, without_pkce)] {
        let upstream = metadata_upstream(status, body.clone());
        let server = Server::before(&upstream.url).env("MCP__OAUTH__ENABLED", "auto").start();
        eventually("it is asked", async || !upstream.asked().is_empty()).await;
        // The answer is read before that to a later request is.
        get(&server, "/mcp").await;
        assert!(!is_offered(&server).await, "{status} {body}");
        let forced = Server::before(&upstream.url).env("MCP__OAUTH__ENABLED", "true").start();
        let issuer = get(&forced, "/.well-known/oauth-authorization-server").await.json();
        assert_eq!(issuer["token_endpoint"], format!("{}/oauth/token", upstream.url), "{status} {body}");
    }
}

#[tokio::test]
async fn metadata_that_comes_late_is_found() {
    let tries = AtomicUsize::new(0);
    let upstream = RawUpstream::start(move |_| {
        let body = metadata("https://login.example.com").to_string();
        let length = body.len();
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => vec![Act::Close],
            1 => vec![Act::Send(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n".to_vec())],
            _ => vec![Act::Send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes())],
        }
    });
    let server = Server::before(&upstream.url).env("MCP__OAUTH__ENABLED", "auto").start();
    assert!(!is_offered(&server).await);
    eventually("it is asked again", async || is_offered(&server).await).await;
}

#[tokio::test]
async fn where_it_is_turned_off_there_is_no_discovery() {
    let server = Server::start();
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
        "/oauth/authorize?scope=tenant",
    ] {
        assert_eq!(get(&server, path).await.status, 404, "{path}");
    }
    let challenge = get(&server, "/mcp").await;
    assert!(!challenge.header("www-authenticate").unwrap().contains("resource_metadata"));
    assert!(challenge.json()["error"]["message"].is_string(), "{challenge:?}");
}

#[tokio::test]
async fn a_sandbox_that_other_machines_reach_says_so() {
    const WARNING: &str = "the sandbox is for this machine, but 0.0.0.0:";
    let open = Server::builder().env("HOST", "0.0.0.0").start();
    assert!(open.log().contains(WARNING), "before anybody can reach it: {}", open.log());
    assert!(!Server::start().log().contains("the sandbox is for this machine"));
}
