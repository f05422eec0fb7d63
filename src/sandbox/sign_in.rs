//! The sandbox's sign-in page, in the place of Membrane's and the app's: choose an account, allow or deny.
//!
//! A `GET` changes nothing, so that a program which looks at links beforehand connects nothing. The page has no script.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    web::{Data, Form, Path},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    catalog::App,
    requests::{ConnectionRequest, Outcome},
    shared::Shared,
    state::{ACCOUNTS, account_name},
    webhook::Event,
};

const STYLE: &str = include_str!("sign_in.css");

/// The page's own style and forms alone; no other page holds it.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
});

/// Account of the user that the page offers.
struct Offer {
    number: usize,
    name: String,
    note: &'static str,
}

/// `GET /sign-in/{id}`: asks the user, or tells what has come of it.
pub async fn show(shared: Data<Shared>, id: Path<String>) -> HttpResponse {
    let Some((request, app)) = find(&shared, &id) else {
        return unknown();
    };
    let name = &app.integration.name;
    let page = match &request.outcome {
        None => question(name, &request.claims.id, &offers(&shared, &request, app)),
        Some(Outcome::Success { connection }) => {
            let account = shared.state.of(&request.claims, &shared.catalog, |own| {
                own.connection(connection).map(|connection| connection.name.clone())
            });
            let title = format!("{name} is connected");
            told(&title, &account.map(|account| format!("You are signed in as {account}.")).unwrap_or_default())
        }
        Some(Outcome::Cancelled) => told(&format!("{name} was not connected"), "You said no."),
        Some(Outcome::Failed(why)) => told(&format!("{name} was not connected"), &format!("{why}.")),
    };
    respond(StatusCode::OK, page)
}

/// Form of the page, as the user sends it.
#[derive(Deserialize)]
pub struct SignInForm {
    account: Option<usize>,
    answer: Choice,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Allow,
    Deny,
}

/// `POST /sign-in/{id}`: connects the account, or not. The first answer counts.
pub async fn answer(shared: Data<Shared>, id: Path<String>, form: Form<SignInForm>) -> HttpResponse {
    let Some((request, app)) = find(&shared, &id) else {
        return unknown();
    };
    if request.outcome.is_none() {
        let chosen = form.account.filter(|account| *account < ACCOUNTS.len());
        let outcome = match (&form.answer, request.wanted.account.or(chosen)) {
            (Choice::Allow, Some(account)) => connect(&shared, &request, app, account),
            (Choice::Allow, None) => {
                return respond(StatusCode::BAD_REQUEST, told("No account was chosen", "Go back and choose one."));
            }
            (Choice::Deny, _) => Outcome::Cancelled,
        };
        shared.requests.end(&id, outcome);
    }
    // Shown by a GET, so that loading the page again sends nothing twice.
    HttpResponse::SeeOther().insert_header((LOCATION, format!("/sign-in/{id}"))).finish()
}

fn connect(shared: &Shared, request: &ConnectionRequest, app: &App, account: usize) -> Outcome {
    let claims = &request.claims;
    let (event, connection) = shared.state.of(claims, &shared.catalog, |own| {
        let event = own.account(app, account).map_or(Event::Created, |_known| Event::Reconnected);
        (event, own.connect_account(&claims.id, app, account))
    });
    shared.webhooks.tell(event, claims, &connection, &shared.secret);
    Outcome::Success { connection: connection.id }
}

fn find<'a>(shared: &'a Shared, id: &str) -> Option<(ConnectionRequest, &'a App)> {
    let request = shared.requests.get(id)?;
    let app = shared.catalog.by_key(&request.wanted.app)?;
    Some((request, app))
}

/// Returns the accounts to choose from: the one that is to be connected again, or all that the user has.
fn offers(shared: &Shared, request: &ConnectionRequest, app: &App) -> Vec<Offer> {
    let all = request.wanted.account.map_or(0..ACCOUNTS.len(), |account| account..account + 1);
    shared.state.of(&request.claims, &shared.catalog, |own| {
        let offer = |number| Offer {
            number,
            name: account_name(&request.claims.id, number),
            note: match own.account(app, number) {
                None => "",
                Some(connection) if connection.disconnected => "Has to be connected again",
                Some(_) => "Connected",
            },
        };
        all.map(offer).collect()
    })
}

fn question(app: &str, user: &str, offers: &[Offer]) -> Markup {
    // The first account that would be new, else the first of all.
    let checked = offers.iter().position(|offer| offer.note != "Connected").unwrap_or_default();
    let content = html! {
        h1 { "Connect " (app) }
        p { "An agent asks to use " (app) " for the user " strong { (user) } ". Choose the account that it may use." }
        form method="post" {
            fieldset {
                legend { "Account" }
                @for (i, offer) in offers.iter().enumerate() {
                    label {
                        input type="radio" name="account" value=(offer.number) checked[i == checked];
                        span { (offer.name) @if !offer.note.is_empty() { small { (offer.note) } } }
                    }
                }
            }
            div.answers {
                button.allow name="answer" value="allow" { "Allow" }
                button name="answer" value="deny" { "Deny" }
            }
        }
    };
    page(&format!("Connect {app}"), &content)
}

fn told(title: &str, text: &str) -> Markup {
    let content = html! {
        h1 { (title) }
        @if !text.is_empty() { p { (text) } }
        p { "You can close this page and go on in the chat." }
    };
    page(title, &content)
}

fn unknown() -> HttpResponse {
    let text =
        "Its link is not one of this sandbox, or was made before the sandbox started. Ask the agent for a new one.";
    let content = html! {
        h1 { "There is nothing to sign in to" }
        p { (text) }
    };
    respond(StatusCode::NOT_FOUND, page("Nothing to sign in to", &content))
}

fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (content)
                    footer { "Sandbox: no real app, account or password is behind this page." }
                }
            }
        }
    }
}

fn respond(status: StatusCode, page: Markup) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((X_FRAME_OPTIONS, "DENY"))
        // The address alone lets its reader answer for the user.
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(page.into_string())
}
