//! Which web pages may ask, and under which names this server is asked: protection against DNS rebinding, and CORS
//! (MCP 2025-11-25, basic/transports § Security Warning).

use std::{net::IpAddr, sync::Arc};

use actix_cors::Cors;
use actix_web::{
    Error as ActixError, HttpRequest,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, Uri,
        header::{ETAG, HOST, HeaderMap, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::Next,
    web::Data,
};
use url::{Host, Url};

use super::{access_log::REQUEST_ID, connect, headers, known_host::KnownHost, reply, worker::Worker};
use crate::{
    config::{self, Settings},
    http::error::HttpError,
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
        Names { known_host, ..Names::for_clients(&worker.settings) }
    });
    match names.and_then(|names| names.refusal(request.uri(), request.headers())) {
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
        Some(error) => {
            let response = reply::error(None, &error, headers::era(request.request()));
            Ok(request.into_response(response).map_into_right_body())
        }
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
    /// URL by which clients reach the listener, whose name and pages need not be listed; empty where the settings name none.
    pub public_url: &'a str,
    /// Whether any IP address will do as a name. DNS rebinding needs a name, so no foreign page gets in by that.
    pub takes_addresses: bool,
    /// Name that need not be read again.
    known_host: Option<&'a KnownHost>,
}

impl<'a> Names<'a> {
    /// Names of the listener for clients.
    fn for_clients(settings: &'a Settings) -> Self {
        let server = &settings.server;
        Self {
            section: SERVER,
            bound_to: &server.host,
            hosts: &server.allowed_hosts,
            origins: &server.allowed_origins,
            public_url: &settings.oauth.public_url,
            takes_addresses: false,
            known_host: None,
        }
    }

    /// Names of the listener for operators, which no page has any business with.
    pub(super) fn for_operators(settings: &'a config::Admin) -> Self {
        Self {
            section: "admin",
            bound_to: &settings.host,
            hosts: &settings.allowed_hosts,
            origins: &[],
            public_url: "",
            takes_addresses: true,
            known_host: None,
        }
    }

    /// Returns why a request is refused, if it is.
    pub(super) fn refusal(&self, target: &Uri, headers: &HeaderMap) -> Option<HttpError> {
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
            return Some(HttpError::OriginRefused(format!("pages of {:?} may not ask here{setting}", shown(&origin))));
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

    /// Returns whether a page is one of this server's own, such as `/me`: it comes from the public URL, or from the name under which
    /// the server is asked, and the settings name that. Where they take any name, a rebound one would look the same.
    fn is_own_page(&self, origin: &str, headers: &HeaderMap) -> bool {
        let Some((_, page)) = origin.split_once("://") else { return false };
        let asked = headers.get(HOST).and_then(|host| host.to_str().ok());
        let is_asked = || asked.is_some_and(|asked| asked.eq_ignore_ascii_case(page) && self.is_named(asked));
        // A proxy may ask by another name than clients do, so that the page's name is not always the one asked for.
        let is_public = || {
            let url = Url::parse(self.public_url);
            url.is_ok_and(|url| url.origin().ascii_serialization().eq_ignore_ascii_case(origin))
        };
        self.section == SERVER && (is_asked() || is_public())
    }

    fn refused_host(&self, host: &str) -> HttpError {
        let (host, section) = (shown(host), self.section);
        HttpError::OriginRefused(format!(
            "this server is not known as {host:?}, unless {section}.allowed_hosts names it"
        ))
    }

    fn allow_origin(&self, origin: &str) -> bool {
        let is_listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(origin);
        self.origins.iter().any(is_listed) || host_of(origin).is_some_and(|host| is_this_machine(&host))
    }

    fn allow_host(&self, host: &str) -> bool {
        let Some(name) = host_of(&format!("http://{host}")) else { return false };
        is_this_machine(&name)
            || (self.takes_addresses && !matches!(name, Host::Domain(_)))
            || self.is_named(host)
            || (self.hosts.is_empty() && !is_loopback(self.bound_to))
    }

    /// Returns whether the settings name this host, in their list or as that of the public URL.
    fn is_named(&self, host: &str) -> bool {
        let Some(name) = host_of(&format!("http://{host}")).map(bare) else { return false };
        let is_listed = |allowed: &String| {
            let allowed_name = allowed.trim_matches(['[', ']']).trim_end_matches('.');
            allowed_name.eq_ignore_ascii_case(&name) || allowed.eq_ignore_ascii_case(host)
        };
        let public = || Url::parse(self.public_url).ok()?.host().map(|host| bare(host.to_owned()));
        self.hosts.iter().any(is_listed) || public().is_some_and(|public| public == name)
    }
}

/// Returns a host without the root's dot and without brackets, as people write names in settings.
fn bare(host: Host<String>) -> String {
    match host {
        Host::Domain(domain) => domain.trim_end_matches('.').to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
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
            let names = Names::for_clients(&settings);
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
mod tests;
