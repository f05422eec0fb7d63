//! Pages between a chat and the upstream's page on which a user connects an account.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::HeaderName},
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use url::Url;

use super::document::{confined, source_of};
use crate::{
    ids::UserKey,
    protocol::clean::is_hidden,
    tools::connecting::{Link, LinkUse},
};

/// Tells search engines and archives what they may do with a page.
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

const STYLE: &str = include_str!("connect.css");

/// Answers with the question: for whom an account of which app would be connected. Its form may lead to these addresses.
pub(super) fn ask(link: &Link, leads_to: &[&str]) -> HttpResponse {
    page(StatusCode::OK, &question(link), leads_to)
}

/// Returns the question.
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
        footer {
            @if link.signs_in_at.is_some() { "Membrane asks you first to sign in as this user. " }
            "You sign in on a page of Membrane, at " (host) ". This link works once, and for 15 minutes."
        }
    }
}

/// Answers with what has become of a link that was used.
pub(super) fn tell_use(status: StatusCode, used: LinkUse) -> HttpResponse {
    let (title, text) = match used {
        LinkUse::Opened => (
            "This link was used",
            "It works once. If you have not finished signing in, ask your assistant for another link.",
        ),
        LinkUse::Declined => {
            ("Nothing is connected", "You have said no. You can close this page; your assistant learns of it.")
        }
    };
    tell(status, title, text)
}

/// Answers links that never were as those that have expired.
pub(super) fn gone() -> HttpResponse {
    let text = "It has expired, or was not copied whole. Ask your assistant for another one.";
    tell(StatusCode::NOT_FOUND, "This link leads nowhere", text)
}

/// Answers where the store or the upstream does not answer.
pub(super) fn unavailable() -> HttpResponse {
    let text = "Links can’t be looked up at the moment. Open this one again in a minute.";
    tell(StatusCode::SERVICE_UNAVAILABLE, "Not right now", text)
}

/// Answers a user who has signed in as another than the one for whom the link was made.
pub(super) fn of_another(link: &Link, user: &UserKey) -> HttpResponse {
    let text = format!(
        "You are signed in as {}, but it was made for {}. Nothing was done.",
        shown(user.user()),
        shown(&link.user)
    );
    tell(StatusCode::FORBIDDEN, "This link is another user’s", &text)
}

/// Answers with a title and a text.
pub(super) fn tell(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    let content = html! {
        h1 { (title) }
        p { (text) }
    };
    page(status, &content, &[])
}

/// Returns a page whose form, if it has one, may lead to these addresses.
fn page(status: StatusCode, content: &Markup, leads_to: &[&str]) -> HttpResponse {
    static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| source_of(STYLE));
    let forms = if leads_to.is_empty() { "'none'".to_owned() } else { format!("'self' {}", targets(leads_to)) };
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
fn targets(addresses: &[&str]) -> String {
    let urls = addresses.iter().filter_map(|address| Url::parse(address).ok());
    let local = urls.filter(|url| url.scheme() == "http").map(|url| url.origin().ascii_serialization());
    std::iter::once("https:".to_owned()).chain(local).collect::<Vec<_>>().join(" ")
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
            signs_in_at: None,
        };
        let page = question(&link).into_string();
        assert!(
            page.contains("&lt;script&gt;") && page.contains("ann\u{fffd}&quot;'&amp;") && page.contains("&lt;w&gt;")
        );
        assert!(!page.contains("<script") && !page.contains("<w>") && !page.contains("<x>"), "{page}");
    }

    #[test]
    fn a_form_leads_to_secure_pages_and_to_the_users_own_machine() {
        assert_eq!(targets(&["https://membrane.example/x?y=1"]), "https:");
        assert_eq!(targets(&["http://127.0.0.1:81/x;script-src *"]), "https: http://127.0.0.1:81");
        let both = ["https://membrane.example/x", "http://localhost:1/oauth", "no url"];
        assert_eq!(targets(&both), "https: http://localhost:1");
    }
}
