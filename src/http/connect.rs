//! `/connect/{link}`: the page between a chat and the upstream's page on which a user connects an account.
//!
//! A link comes to a user by way of a model, a chat and perhaps other people. So the page names the user for whom an account
//! would be connected, and does nothing before its button is pressed: programs that look at links in chats change nothing.
//! The page sets no cookie and holds no token. A user who has a login at the upstream is sent to it first, to show that they are the
//! one who asked; only on that way a cookie ties the browser to what it has begun. (MCP 2025-11-25, client/elicitation § Safe URL Handling and § Phishing)

use std::time::SystemTime;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    cookie::{Cookie, SameSite, time::Duration as CookieAge},
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HOST, HeaderName, LOCATION, ORIGIN, REFERRER_POLICY},
    },
    web::{Data, Path, Payload, Query},
};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::Deserialize;

use super::{address, base, connect_pages as pages, oauth, worker::Worker};
use crate::{
    http::error::HttpError,
    membrane::Proof,
    token::AccessToken,
    tools::connecting::{Link, LinkUse, SignInBegun, SignInEnded},
};

/// Where the pages are. Their paths are not logged: a link in a log would lead whoever reads it on.
pub(super) const PREFIX: &str = "/connect/";

/// Names the page from which a browser sends a request, by its relation to this one (Fetch Metadata § Sec-Fetch-Site).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Bytes of a form, which has one short member.
const MAX_FORM: usize = 1024;

/// Cookie of a browser from which a user signs in, until they come back.
const BROWSER: &str = "connect";

/// Time for which a browser keeps that cookie, as long as a link lasts.
const BROWSER_FOR: CookieAge = CookieAge::minutes(15);

/// Answer to the form.
#[derive(Deserialize)]
struct Form {
    answer: Choice,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Go,
    No,
}

/// Way back from the authorization server (RFC 6749 § 4.1.2, RFC 9207 § 2).
#[derive(Deserialize)]
pub(super) struct WayBack {
    #[serde(default)]
    state: String,
    code: Option<String>,
    iss: Option<String>,
}

/// `GET /connect/{link}`: shows what the link is for.
pub(super) async fn show(worker: Data<Worker>, name: Path<String>) -> HttpResponse {
    match look_up(&worker, &name).await {
        Ok(Some((_, Some(used)))) => pages::tell_use(StatusCode::GONE, used),
        Ok(Some((link, None))) => {
            let server = oauth::offered(&worker);
            let sign_in = server.as_deref().map(|server| &*server.authorization_endpoint);
            pages::ask(&link, &[Some(&*link.url), sign_in].into_iter().flatten().collect::<Vec<_>>())
        }
        Ok(None) => pages::gone(),
        Err(_) => pages::unavailable(),
    }
}

/// `POST /connect/{link}`: the user has pressed a button.
pub(super) async fn answer(
    request: HttpRequest,
    payload: Payload,
    worker: Data<Worker>,
    name: Path<String>,
) -> HttpResponse {
    if is_of_another_page(&request) {
        let text = "Another page has sent you here. Nothing was done.";
        return pages::tell(StatusCode::FORBIDDEN, "Open the link itself", text);
    }
    // Whoever sends a form needs no token, so nothing is read of it before its link is found.
    let link = match look_up(&worker, &name).await {
        Ok(Some((link, None))) => link,
        Ok(Some((_, Some(used)))) => return pages::tell_use(StatusCode::GONE, used),
        Ok(None) => return pages::gone(),
        Err(_) => return pages::unavailable(),
    };
    let Some(Form { answer }) = read_form(payload).await else {
        return pages::tell(StatusCode::BAD_REQUEST, "That is no answer", "Open the link again.");
    };
    let response = match answer {
        Choice::Go => go_on(&worker, &name, &link).await,
        Choice::No => follow(&worker, &name, &link, LinkUse::Declined).await,
    };
    response.unwrap_or_else(|_unavailable| pages::unavailable())
}

/// `GET /connect/signed-in`: a user comes back from signing in, and goes on where the link leads if it is theirs.
pub(super) async fn signed_in(request: HttpRequest, worker: Data<Worker>, way: Query<WayBack>) -> HttpResponse {
    let response = come_back(&request, &worker, way.into_inner()).await;
    response.unwrap_or_else(|_unavailable| pages::unavailable())
}

/// Sends a user who has pressed the button on: to sign in first, where they have a login.
async fn go_on(worker: &Worker, name: &str, link: &Link) -> Result<HttpResponse, HttpError> {
    if let Some(server) = oauth::offered(worker)
        && let Some(SignInBegun { page, browser }) =
            worker.tools.begin_sign_in(name, link, &server, &oauth::scope(&server)).await?
    {
        // The link is not used up by it, so a user who can't sign in opens it again.
        return Ok(lead_to(&page).cookie(cookie(link, browser)).finish());
    }
    follow(worker, name, link, LinkUse::Opened).await
}

async fn come_back(request: &HttpRequest, worker: &Worker, way: WayBack) -> Result<HttpResponse, HttpError> {
    let Some(server) = oauth::offered(worker) else { return Ok(pages::gone()) };
    // The code of another server must not be redeemed here (RFC 9207 § 2.4).
    let is_of_server =
        !server.authorization_response_iss_parameter_supported || way.iss.as_ref() == Some(&server.issuer);
    let browser = request.cookie(BROWSER);
    let ended = match (way.code, browser) {
        (Some(code), Some(browser)) if is_of_server => {
            worker.tools.end_sign_in(&server, browser.value(), &way.state, &code).await?
        }
        _ => None,
    };
    let Some(SignInEnded { name, link, token }) = ended else {
        let text = "You have not signed in, or began to in another browser. Nothing was done. Open the link again.";
        return Ok(pages::tell(StatusCode::FORBIDDEN, "Not signed in", text));
    };
    let now = SystemTime::now();
    let token = AccessToken::parse(token.reveal(), now)?;
    let address = address::of(request, worker.settings.server.proxies.get());
    let caller = worker.auth.authenticate(token, Proof::Customer, address).await?;
    let user = caller.user();
    if (user.workspace(), user.user()) != (&*link.workspace, &*link.user) {
        log::info!(target: "session", user:%; "a link to connect an app was opened by another user than the one who asked");
        return Ok(pages::of_another(&link, user));
    }
    follow(worker, &name, &link, LinkUse::Opened).await
}

/// Returns the cookie by which a browser that comes back is known. It is sent to these pages alone, and no script reads it.
fn cookie(link: &Link, browser: String) -> Cookie<'static> {
    let site = link.signs_in_at.as_deref().unwrap_or_default();
    Cookie::build(BROWSER, browser)
        .path(format!("{}/connect", base::path(site)))
        .max_age(BROWSER_FOR)
        .http_only(true)
        .secure(site.starts_with("https:"))
        // Sent on the way back, which begins at another site, but with nothing that a page of another site loads.
        .same_site(SameSite::Lax)
        .finish()
}

/// Returns whether a form comes from a page of another site, which could send a user on without the question: who then has not
/// seen for whom an account is connected.
fn is_of_another_page(request: &HttpRequest) -> bool {
    let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    // The page's own form has the origin `null`, since it sends no referrer.
    let is_foreign = |origin: &str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        origin != "null" && host != header(&HOST)
    };
    header(&FETCH_SITE).is_some_and(|site| site != "same-origin") || header(&ORIGIN).is_some_and(is_foreign)
}

async fn read_form(mut payload: Payload) -> Option<Form> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.ok()?;
        if body.len() + part.len() > MAX_FORM {
            return None;
        }
        body.extend_from_slice(&part);
    }
    serde_urlencoded::from_bytes(&body).ok()
}

/// Uses a link up.
async fn follow(worker: &Worker, name: &str, link: &Link, r#use: LinkUse) -> Result<HttpResponse, HttpError> {
    // Of two answers that come at once the first one counts.
    if let Some(used) = worker.tools.use_link(name, r#use).await? {
        return Ok(pages::tell_use(StatusCode::GONE, used));
    }
    Ok(match r#use {
        LinkUse::Declined => pages::tell_use(StatusCode::OK, LinkUse::Declined),
        LinkUse::Opened => lead_to(&link.url).finish(),
    })
}

/// Begins an answer that leads a browser on, without telling where it came from.
fn lead_to(address: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response
        .insert_header((LOCATION, address))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// Returns a link and the use that was made of it, while it lasts. Where pages are turned off, no link leads here.
async fn look_up(worker: &Worker, name: &str) -> Result<Option<(Link, Option<LinkUse>)>, HttpError> {
    if !worker.settings.connect.interstitial {
        return Ok(None);
    }
    let Some(link) = worker.tools.link(name).await? else { return Ok(None) };
    let used = worker.tools.link_use(name).await?;
    Ok(Some((link, used)))
}
