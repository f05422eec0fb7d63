//! The head of a request, a header a line, as far as the server reads it.

#![no_main]

use std::time::SystemTime;

use actix_web::{
    HttpRequest,
    http::header::{HeaderName, HeaderValue},
    test::TestRequest,
};
use integration_app_mcp_server::{
    http::{
        headers::{self, Accepts},
        param_headers,
    },
    token::AccessToken,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    let request = request(head);
    if let Ok(Some(token)) = headers::bearer(&request)
        && let Ok(parsed) = AccessToken::parse(token, SystemTime::UNIX_EPOCH)
    {
        assert_eq!(parsed.secret().reveal(), token);
        assert!(!format!("{parsed:?}").contains(token) || token.len() < 9, "a token shows");
    }
    if let Ok(Some(id)) = headers::session_id(&request) {
        let sent = headers::single(&request, &headers::SESSION_ID).ok().flatten();
        assert!(sent.is_some_and(|sent| sent.eq_ignore_ascii_case(id.to_string().as_bytes())));
    }
    if let Ok(Some(chat)) = headers::chat_id(&request) {
        assert!(!chat.as_str().chars().any(char::is_control), "{chat:?}");
    }
    for value in request.headers().iter().map(|(_, value)| value) {
        if let Some(text) = param_headers::decode(value.as_bytes()) {
            assert!(text.len() <= value.len());
        }
    }
    let _ = (Accepts::of(&request), headers::era(&request), headers::last_event_id(&request));
    let _ = (headers::require_json(&request), headers::require_known_revision(&request));
    for name in [headers::METHOD, headers::NAME] {
        for is_encoded in [false, true] {
            let _ = headers::require_agreement(&request, &name, "tools/call", is_encoded);
        }
    }
});

fn request(head: &[u8]) -> HttpRequest {
    let lines = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..)?.trim_ascii();
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    lines.fold(TestRequest::default(), TestRequest::append_header).to_http_request()
}
