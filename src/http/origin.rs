//! Which web pages may ask, and under which names this server is asked: protection against DNS rebinding, and CORS
//! (MCP 2025-11-25, basic/transports § Security Warning).

use std::{cell::RefCell, net::IpAddr, sync::Arc};

use actix_cors::Cors;
use actix_web::{
    Error as ActixError, HttpRequest,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, Uri,
        header::{ETAG, HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web::Data,
};
use url::{Host, Url};

use super::{Worker, access_log::REQUEST_ID, connect, headers, reply};
use crate::{
    config::{self, Settings},
    error::Error,
};

/// Refuses what comes from a foreign page or by a foreign name, before anything else is looked at.
///
/// # Errors
/// Those of the service around which it stands.
pub async fn refuse_foreign<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, ActixError> {
    let worker = request.app_data::<Data<Worker>>();
    let names = worker.map(|worker| {
        let known_host = Some(&worker.known_host);
        Names { known_host, ..Names::for_clients(&worker.settings.server) }
    });
    match names.and_then(|names| names.refusal(request.uri(), request.headers())) {
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Some(error) => {
            let response = reply::error(None, &error, headers::era(request.request()));
            Ok(request.into_response(response).map_into_right_body())
        }
    }
}

/// Last name under which a request was let in. Most come under the same one, which is compared sooner than read.
#[derive(Debug, Default)]
pub struct KnownHost(RefCell<Option<Box<[u8]>>>);

impl KnownHost {
    fn is(&self, host: &HeaderValue) -> bool {
        self.0.borrow().as_deref() == Some(host.as_bytes())
    }

    fn note(&self, host: &HeaderValue) {
        // Copied, for the header would keep what was read with it.
        self.0.replace(Some(host.as_bytes().into()));
    }
}

/// Path of the server card, which pages of all sites may read (SEP-2127 § CORS Requirements).
pub(super) const CARD: &str = "/mcp/server-card";

/// Section of the settings of the listener for clients.
const SERVER: &str = "server";

/// Characters of a name that a refusal repeats.
const MAX_SHOWN: usize = 256;

fn shown(name: &str) -> String {
    name.chars().take(MAX_SHOWN).collect()
}

/// Web pages and names that a listener answers to.
pub(super) struct Names<'a> {
    /// Section of the settings that has the names, for who is refused.
    pub section: &'static str,
    /// Address that the listener is bound to.
    pub bound_to: &'a str,
    /// Names besides those of this machine.
    pub hosts: &'a [String],
    /// Pages besides those of this machine.
    pub origins: &'a [String],
    /// Whether any IP address will do as a name. DNS rebinding needs a name, so no foreign page gets in by that.
    pub takes_addresses: bool,
    /// Name that need not be read again.
    known_host: Option<&'a KnownHost>,
}

impl<'a> Names<'a> {
    /// Names of the listener for clients.
    fn for_clients(settings: &'a config::Server) -> Self {
        let (hosts, origins) = (&settings.allowed_hosts, &settings.allowed_origins);
        Self { section: SERVER, bound_to: &settings.host, hosts, origins, takes_addresses: false, known_host: None }
    }

    /// Names of the listener for operators, which no page has any business with.
    pub(super) fn for_operators(settings: &'a config::Admin) -> Self {
        Self {
            section: "admin",
            bound_to: &settings.host,
            hosts: &settings.allowed_hosts,
            origins: &[],
            takes_addresses: true,
            known_host: None,
        }
    }

    /// Returns why a request is refused, if it is.
    pub(super) fn refusal(&self, target: &Uri, headers: &HeaderMap) -> Option<Error> {
        let origin = headers.get(ORIGIN).map(|value| String::from_utf8_lossy(value.as_bytes()));
        // This server's own form, whose page sends no referrer, names no origin; its handler looks where it came from.
        let is_form = self.section == SERVER && target.path().starts_with(connect::PREFIX);
        if let Some(origin) = origin
            && target.path() != CARD
            && !is_form
            && !self.allow_origin(&origin)
            && !self.is_own_page(&origin, headers)
        {
            let setting = match self.section {
                SERVER => ", unless server.allowed_origins names it",
                _ => "",
            };
            return Some(Error::OriginRefused(format!("pages of {:?} may not ask here{setting}", shown(&origin))));
        }
        // Who looks after the process asks for this by whatever address it has, and learns nothing but how it does.
        if matches!(target.path(), "/healthz" | "/readyz") {
            return None;
        }
        // An absolute target counts more than the header (RFC 9112 § 3.2.2).
        if let Some(authority) = target.authority()
            && !self.allow_host(authority.as_str())
        {
            return Some(self.refused_host(authority.as_str()));
        }
        let host = headers.get(HOST)?;
        if self.known_host.is_some_and(|known| known.is(host)) {
            return None;
        }
        let name = String::from_utf8_lossy(host.as_bytes());
        if !self.allow_host(&name) {
            return Some(self.refused_host(&name));
        }
        if let Some(known) = self.known_host {
            known.note(host);
        }
        None
    }

    /// Returns whether a page is one of this server's own, such as `/me`: it comes from the name under which the server is asked,
    /// and the settings name that. Where they take any name, a rebound one would look the same.
    fn is_own_page(&self, origin: &str, headers: &HeaderMap) -> bool {
        let Some((_, page)) = origin.split_once("://") else { return false };
        let asked = headers.get(HOST).and_then(|host| host.to_str().ok());
        self.section == SERVER
            && !self.hosts.is_empty()
            && asked.is_some_and(|asked| asked.eq_ignore_ascii_case(page) && self.allow_host(asked))
    }

    fn refused_host(&self, host: &str) -> Error {
        let (host, section) = (shown(host), self.section);
        Error::OriginRefused(format!("this server is not known as {host:?}, unless {section}.allowed_hosts names it"))
    }

    fn allow_origin(&self, origin: &str) -> bool {
        let is_listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        self.origins.iter().any(is_listed) || host_of(origin).is_some_and(|host| is_this_machine(&host))
    }

    fn allow_host(&self, host: &str) -> bool {
        let Some(name) = host_of(&format!("http://{host}")) else { return false };
        let is_address = !matches!(name, Host::Domain(_));
        // Without the root's dot, and without brackets, as people write names in settings.
        let text = match &name {
            Host::Domain(domain) => domain.trim_end_matches('.').to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let is_listed = |allowed: &String| {
            let allowed_name = allowed.trim_matches(['[', ']']).trim_end_matches('.');
            allowed_name.eq_ignore_ascii_case(&text) || allowed.eq_ignore_ascii_case(host)
        };
        is_this_machine(&name)
            || (is_address && self.takes_addresses)
            || self.hosts.iter().any(is_listed)
            || (self.hosts.is_empty() && !is_loopback(self.bound_to))
    }
}

/// Reads the host of an origin: a scheme, a host and perhaps a port, and nothing else. Whatever else a URL may hold, such as
/// user names, can hide which host is meant.
fn host_of(origin: &str) -> Option<Host<String>> {
    let (_, authority) = origin.split_once("://")?;
    if !authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\?#@%".contains(&byte)) {
        return None;
    }
    let url = Url::parse(origin).ok()?;
    let host = url.host()?.to_owned();
    // A scheme that the web does not know leaves the host as it was written.
    Some(match &host {
        Host::Domain(domain) => Host::parse(domain).ok()?,
        _ => host,
    })
}

/// Lets the pages that may ask read the answers, headers that MCP uses included (Fetch § CORS protocol).
pub fn cors(settings: &Arc<Settings>) -> Cors {
    let settings = Arc::clone(settings);
    Cors::default()
        .allowed_origin_fn(move |origin, request| {
            let names = Names::for_clients(&settings.server);
            let is_allowed = |origin: &str| {
                request.uri.path() == CARD || names.allow_origin(origin) || names.is_own_page(origin, &request.headers)
            };
            origin.to_str().is_ok_and(is_allowed)
        })
        .allowed_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_any_header()
        .expose_headers([headers::SESSION_ID, REQUEST_ID, WWW_AUTHENTICATE, RETRY_AFTER, ETAG])
        .max_age(3600)
}

/// Returns whether a host is this machine, whichever page or name stands for it (RFC 6761 § 6.3).
fn is_this_machine(host: &Host<String>) -> bool {
    match host {
        Host::Domain(domain) => {
            let domain = domain.trim_end_matches('.').to_ascii_lowercase();
            domain == "localhost" || domain.ends_with(".localhost")
        }
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.to_canonical().is_loopback(),
    }
}

/// Returns whether a request was made by a name of this machine, as a browser on it does.
pub(super) fn is_asked_as_this_machine(request: &HttpRequest) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| host_of(&format!("http://{host}"))).is_some_and(|host| is_this_machine(&host))
}

/// Returns whether an address of the settings is reached from this machine alone.
fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
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
        ];
        for (env, host, origin, allowed) in cases {
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let settings = load(&Sources { env, ..Sources::default() }).unwrap().server;
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
        let (settings, known) = (load(&Sources::default()).unwrap().server, KnownHost::default());
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
}
