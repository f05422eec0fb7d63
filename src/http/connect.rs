//! `/connect/{link}`: the page between a chat and the upstream's page on which a user connects an account.
//!
//! A link comes to a user by way of a model, a chat and perhaps other people. So the page names the user for whom an account
//! would be connected, and does nothing before its button is pressed: programs that look at links in chats change nothing.
//! The page sets no cookie and holds no token. (MCP 2025-11-25, client/elicitation § Safe URL Handling and § Phishing)

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, HOST, HeaderName, LOCATION, ORIGIN, REFERRER_POLICY},
    },
    web::{Data, Path, Payload},
};
use bytes::BytesMut;
use futures_util::StreamExt;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;
use url::Url;

use super::{
    Worker,
    document::{confined, source_of},
};
use crate::{
    error::Error,
    protocol::clean::is_hidden,
    tools::connecting::{Link, LinkUse},
};

/// Where the pages are. Their paths are not logged: a link in a log would lead whoever reads it on.
pub(super) const PREFIX: &str = "/connect/";

/// Names the page from which a browser sends a request, by its relation to this one (Fetch Metadata § Sec-Fetch-Site).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Tells search engines and archives what they may do with a page.
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// Bytes of a form, which has one short member.
const MAX_FORM: usize = 1024;

const STYLE: &str = include_str!("connect.css");

/// Answer to the form.
#[derive(Deserialize)]
struct Form {
    answer: Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Go,
    No,
}

/// `GET /connect/{link}`: shows what the link is for.
pub(super) async fn show(worker: Data<Worker>, name: Path<String>) -> HttpResponse {
    match look_up(&worker, &name).await {
        Ok(Some((_, Some(used)))) => page(StatusCode::GONE, &used_page(used), None),
        Ok(Some((link, None))) => page(StatusCode::OK, &question(&link), Some(&link)),
        Ok(None) => gone(),
        Err(_) => unavailable(),
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
        let text = told("Open the link itself", "Another page has sent you here. Nothing was done.");
        return page(StatusCode::FORBIDDEN, &text, None);
    }
    // Whoever sends a form needs no token, so nothing is read of it before its link is found.
    match look_up(&worker, &name).await {
        Ok(Some((_, None))) => {}
        Ok(Some((_, Some(used)))) => return page(StatusCode::GONE, &used_page(used), None),
        Ok(None) => return gone(),
        Err(_) => return unavailable(),
    }
    let Some(Form { answer }) = read_form(payload).await else {
        return page(StatusCode::BAD_REQUEST, &told("That is no answer", "Open the link again."), None);
    };
    match follow(&worker, &name, answer).await {
        Ok(Some(response)) => response,
        Ok(None) => gone(),
        Err(_) => unavailable(),
    }
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

async fn follow(worker: &Worker, name: &str, answer: Answer) -> Result<Option<HttpResponse>, Error> {
    let Some((link, _)) = look_up(worker, name).await? else { return Ok(None) };
    let r#use = match answer {
        Answer::Go => LinkUse::Opened,
        Answer::No => LinkUse::Declined,
    };
    // Of two answers that come at once the first one counts.
    if let Some(used) = worker.tools.use_link(name, r#use).await? {
        return Ok(Some(page(StatusCode::GONE, &used_page(used), None)));
    }
    Ok(Some(match r#use {
        LinkUse::Declined => page(StatusCode::OK, &used_page(LinkUse::Declined), None),
        LinkUse::Opened => HttpResponse::SeeOther()
            .insert_header((LOCATION, link.url))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish(),
    }))
}

/// Returns a link and the use that was made of it, while it lasts. Where pages are turned off, no link leads here.
async fn look_up(worker: &Worker, name: &str) -> Result<Option<(Link, Option<LinkUse>)>, Error> {
    if !worker.settings.connect.interstitial {
        return Ok(None);
    }
    let Some(link) = worker.tools.link(name).await? else { return Ok(None) };
    let used = worker.tools.link_use(name).await?;
    Ok(Some((link, used)))
}

/// Returns the question: for whom an account of which app would be connected.
fn question(link: &Link) -> Markup {
    let (app, user, workspace) = (shown(&link.app), shown(&link.user), shown(&link.workspace));
    let host = Url::parse(&link.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    html! {
        h1 { "Connect " (app) @if link.is_again { " again" } }
        p { "An assistant asks to use your account of " (app) " on behalf of this user:" }
        dl {
            dt { "App" } dd { (app) }
            dt { "User" } dd { (user) }
            @if !workspace.is_empty() { dt { "Workspace" } dd { (workspace) } }
        }
        p {
            strong { "Go on only if this user is you, and you have just asked an assistant for this." }
            " If somebody else sent you this link, they would get to use your account."
        }
        form method="post" {
            button.go name="answer" value="go" { "Sign in to " (app) }
            button name="answer" value="no" { "No, don’t connect" }
        }
        footer { "You sign in on a page of Membrane, at " (host) ". This link works once, and for 15 minutes." }
    }
}

fn used_page(used: LinkUse) -> Markup {
    match used {
        LinkUse::Opened => told(
            "This link was used",
            "It works once. If you have not finished signing in, ask your assistant for another link.",
        ),
        LinkUse::Declined => {
            told("Nothing is connected", "You have said no. You can close this page; your assistant learns of it.")
        }
    }
}

/// Answers links that never were as those that have expired.
fn gone() -> HttpResponse {
    let text = "It has expired, or was not copied whole. Ask your assistant for another one.";
    page(StatusCode::NOT_FOUND, &told("This link leads nowhere", text), None)
}

fn unavailable() -> HttpResponse {
    let text = "Links can’t be looked up at the moment. Open this one again in a minute.";
    page(StatusCode::SERVICE_UNAVAILABLE, &told("Not right now", text), None)
}

fn told(title: &str, text: &str) -> Markup {
    html! {
        h1 { (title) }
        p { (text) }
    }
}

/// Returns a page, which may send its form on to the upstream's page of a link.
fn page(status: StatusCode, content: &Markup, link: Option<&Link>) -> HttpResponse {
    static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| source_of(STYLE));
    let forms = link.map_or_else(|| "'none'".to_owned(), |link| format!("'self' {}", targets(&link.url)));
    let policy = format!(
        "default-src 'none'; style-src {}; base-uri 'none'; form-action {forms}; frame-ancestors 'none'",
        *STYLE_SOURCE
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Connect an app" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    };
    confined(status, &policy)
        // Search engines and archives have no business with links of users.
        .insert_header((ROBOTS, "noindex, nofollow, noarchive"))
        .body(page.into_string())
}

/// Returns where the form may lead. Browsers hold each redirect after it to this, and sign-ins redirect from site to site: all of
/// them by https, but for those on the user's own machine.
fn targets(url: &str) -> String {
    let local = Url::parse(url).ok().filter(|url| url.scheme() == "http").map(|url| url.origin());
    local.map_or_else(|| "https:".to_owned(), |origin| format!("https: {}", origin.ascii_serialization()))
}

/// Returns a name as it is shown: characters that hide text or turn its direction could make one name look like another.
fn shown(name: &str) -> String {
    let is_hidden = |c: char| c.is_control() || is_hidden(c) || matches!(c, '\u{200c}' | '\u{200d}');
    name.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_apps_and_users_are_text_and_nothing_else() {
        let link = Link {
            workspace: "<w>".to_owned(),
            user: "ann\u{202e}\"'&".to_owned(),
            app: "<script>alert(1)</script>".to_owned(),
            is_again: false,
            url: "https://membrane.example/<x>".to_owned(),
            request: None,
            at: 0,
        };
        let page = question(&link).into_string();
        assert!(
            page.contains("&lt;script&gt;") && page.contains("ann\u{fffd}&quot;'&amp;") && page.contains("&lt;w&gt;")
        );
        assert!(!page.contains("<script") && !page.contains("<w>") && !page.contains("<x>"), "{page}");
    }

    #[test]
    fn a_form_leads_to_secure_pages_and_to_the_users_own_machine() {
        assert_eq!(targets("https://membrane.example/x?y=1"), "https:");
        assert_eq!(targets("http://127.0.0.1:81/x;script-src *"), "https: http://127.0.0.1:81");
    }
}
