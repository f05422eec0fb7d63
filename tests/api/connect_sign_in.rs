//! Links to connect apps for users who have a login at the upstream: they sign in first, so that nobody connects an account for
//! another user.

use reqwest::{Method, StatusCode, header::SET_COOKIE};
use serde_json::json;

use crate::{
    connecting::{again, asking, page_of},
    connecting_support::{Person, first_text},
    fleet::Fleet,
    support::{Client, SECRET, Server, claims, sign},
};

/// The user as whom the sandbox's authorization server lets everybody in.
const USER: &str = "oauth-user";

fn server() -> Server {
    Server::builder().env("MCP__OAUTH__ENABLED", "true").start()
}

/// A user whose token comes from signing in, as far as can be told from it.
fn signed_in<'a>(server: &'a Server, user: &str) -> Person<'a> {
    let mut person = Person::of(server, user, &[]);
    let mut claims = claims(user);
    claims["fields"] = json!({"connections": ["gmail"]});
    person.token = format!("oauth-{}", sign(&claims, SECRET).replace('.', "~"));
    person
}

/// Step of a browser: where it is led, and the cookie that it keeps.
struct Step {
    status: StatusCode,
    to: String,
    cookie: Option<String>,
    text: String,
}

async fn step(request: reqwest::RequestBuilder) -> Step {
    let response = request.send().await.unwrap();
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, to, cookie) = (response.status(), header("location").unwrap_or_default(), header(SET_COOKIE.as_str()));
    Step { status, to, cookie, text: response.text().await.unwrap() }
}

/// A browser that has pressed the button, and signed in: the cookie that it has got, and the address to which it comes back.
async fn come_back(person: &Person<'_>, page: &str) -> (String, String) {
    let Step { status, to, cookie, .. } = step(person.form(page, "go")).await;
    assert_eq!(status, 303, "{page}");
    assert!(to.contains("/oauth/authorize?"), "{to}");
    let cookie = cookie.unwrap();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/connect", "Max-Age=900"] {
        assert!(cookie.contains(part), "{part} is missing in {cookie}");
    }
    let back = step(person.browser.get(&to)).await;
    assert_eq!(back.status, 302, "{}", back.text);
    (cookie.split(';').next().unwrap().to_owned(), back.to)
}

#[tokio::test]
async fn the_user_who_asked_signs_in_and_goes_on() {
    let server = server();
    let user = signed_in(&server, USER);
    let client = user.client().query("mode=search");
    let call = asking(&client, "connect-app", json!({"app": "notion"}));
    let asked = call.answer().await;
    let page = page_of(&asked);
    assert!(user.show(&page).await.1.contains("asks you first to sign in"));

    let (cookie, back) = come_back(&user, &page).await;
    assert!(back.starts_with(&format!("{}/connect/signed-in?", server.url)), "{back}");
    let on = step(user.browser.get(&back).header("cookie", &cookie)).await;
    assert_eq!(on.status, 303, "{}", on.text);
    assert!(on.to.starts_with(&format!("{}/sign-in/", server.sandbox)), "{}", on.to);
    let form = user.browser.post(&on.to).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("account=0&answer=allow").send().await.unwrap().status(), 303);
    let result = again(&call, &asked, "accept").answer().await;
    assert!(first_text(&result).starts_with("Notion is connected."), "{result}");

    // It works once, the way back as well.
    let twice = step(user.browser.get(&back).header("cookie", &cookie)).await;
    assert!(twice.status == 403 && twice.to.is_empty(), "{} {}", twice.status, twice.to);
    assert_eq!(user.show(&page).await.0, StatusCode::GONE);
    let log = server.log();
    let name = page.rsplit('/').next().unwrap();
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap();
    assert!(
        !log.contains(name) && !log.contains(code) && !log.contains("oauth-ey"),
        "a link, a code or a token is in the log"
    );
}

#[tokio::test]
async fn any_server_of_a_fleet_takes_the_next_step() {
    let fleet = Fleet::start_with(2, |server| server.env("MCP__OAUTH__ENABLED", "true")).await;
    let user = signed_in(&fleet.front, USER);
    let client = Client { token: user.token.clone(), ..fleet.client(USER) }.query("mode=search");
    let page = page_of(&asking(&client, "connect-app", json!({"app": "notion"})).answer().await);
    let [first, second] = [0, 1].map(|number: usize| fleet.servers[number].url.as_str());
    let (cookie, back) = come_back(&user, &page.replace(first, second)).await;
    assert!(back.starts_with(first), "users come back to where the link leads: {back}");
    let on = step(user.browser.get(back.replace(first, second)).header("cookie", &cookie)).await;
    assert_eq!(on.status, 303, "{}", on.text);
    assert_eq!(fleet.front.requests("POST /oauth/register").await, 1, "one registration is for all");
}

#[tokio::test]
async fn another_user_who_opens_the_link_connects_nothing() {
    let server = server();
    let ann = signed_in(&server, "ann");
    let client = ann.client().query("mode=search");
    let page = page_of(&asking(&client, "connect-app", json!({"app": "notion"})).answer().await);
    let (cookie, back) = come_back(&ann, &page).await;
    let refused = step(ann.browser.get(&back).header("cookie", &cookie)).await;
    assert!(refused.status == 403 && refused.to.is_empty(), "{} {}", refused.status, refused.to);
    for part in ["another user’s", "signed in as oauth-user", "made for ann"] {
        assert!(refused.text.contains(part), "{part} is missing in {}", refused.text);
    }
    // The one for whom it was made can still use it.
    assert_eq!(ann.show(&page).await.0, 200);
}

#[tokio::test]
async fn nobody_ends_a_sign_in_that_another_browser_began() {
    let server = server();
    let user = signed_in(&server, USER);
    let client = user.client().query("mode=search");
    let page = page_of(&asking(&client, "connect-app", json!({"app": "notion"})).answer().await);
    let (cookie, back) = come_back(&user, &page).await;
    let (other_cookie, other_back) = come_back(&user, &page).await;
    assert_ne!(cookie, other_cookie);
    let part = |url: &str, name: &str| -> String {
        url.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap().to_owned()
    };
    let (code, state) = (part(&back, "code"), part(&back, "state"));
    let way = |query: String| format!("{}/connect/signed-in?{query}", server.url);
    for (address, cookie, why) in [
        (back.clone(), None, "no cookie, as in the browser of somebody who was given the address"),
        (back.clone(), Some(other_cookie.clone()), "the cookie of another sign-in"),
        (back.clone(), Some("connect=".to_owned()), "an empty cookie"),
        (way(format!("code={code}&state={}", part(&other_back, "state"))), Some(cookie.clone()), "another's state"),
        (way(format!("code={code}")), Some(cookie.clone()), "no state"),
        (way(format!("state={state}")), Some(cookie.clone()), "no code, as when the user says no"),
        (way(format!("error=access_denied&state={state}")), Some(cookie.clone()), "the user says no"),
        (way(format!("code=forged&state={state}")), Some(cookie.clone()), "a forged code"),
        // The secret of a sign-in is bound to its code: a code of one in the state of another is worth nothing.
        (way(format!("code={}&state={state}", part(&other_back, "code"))), Some(cookie.clone()), "another's code"),
    ] {
        let request = user.browser.get(&address);
        let request = cookie.iter().fold(request, |request, cookie| request.header("cookie", cookie));
        let refused = step(request).await;
        assert!(refused.status == 403 && refused.to.is_empty(), "{why}: {} {}", refused.status, refused.to);
    }
    assert_eq!(user.show(&page).await.0, 200, "the link was not used");
    // What was not spent still leads on.
    let on = step(user.browser.get(&back).header("cookie", &cookie)).await;
    assert_eq!(on.status, 303, "{}", on.text);
}

#[tokio::test]
async fn users_without_a_login_are_asked_for_none() {
    let server = server();
    let personal = {
        let mut person = Person::of(&server, "kim", &["gmail"]);
        person.token = format!("pat-{}", person.token);
        person
    };
    for person in [Person::of(&server, "ann", &["gmail"]), personal] {
        let client = person.client().query("mode=search");
        let page = page_of(&asking(&client, "connect-app", json!({"app": "notion"})).answer().await);
        assert!(!person.show(&page).await.1.contains("sign in as this user"));
        assert!(person.go_on(&page).await.contains("/sign-in/"));
    }
    // Nor is anybody where nobody can sign in.
    let off = Server::start();
    let user = signed_in(&off, USER);
    let client = user.client().query("mode=search");
    let page = page_of(&asking(&client, "connect-app", json!({"app": "notion"})).answer().await);
    assert!(user.go_on(&page).await.contains("/sign-in/"));
    assert_eq!(step(user.browser.get(format!("{}/connect/signed-in?code=x&state=y", off.url))).await.status, 404);
}

#[tokio::test]
async fn an_authorization_server_that_does_not_answer_leaves_the_link_unused() {
    let server = server();
    let user = signed_in(&server, USER);
    let client = user.client().query("mode=search");
    let page = page_of(&asking(&client, "connect-app", json!({"app": "notion"})).answer().await);
    let fail = |path: &str| {
        server.sandbox(Method::PUT, "/sandbox/faults", "tester", json!([{"path": path, "status": 500, "times": 1}]))
    };
    fail("/oauth/register").await;
    let (status, text) = user.answer(&page, "go").await;
    assert!(status == 503 && text.contains("Not right now"), "{status} {text}");
    let (cookie, back) = come_back(&user, &page).await;
    fail("/oauth/token").await;
    let failed = step(user.browser.get(&back).header("cookie", &cookie)).await;
    assert!(failed.status == 503 && failed.to.is_empty(), "{} {}", failed.status, failed.to);
    let on = step(user.browser.get(&back).header("cookie", &cookie)).await;
    assert_eq!(on.status, 303, "{}", on.text);
    assert_eq!(server.requests("POST /oauth/register").await, 2, "it registers once, and again where that failed");
}
