//! The query of a request.

#![no_main]

use actix_web::{http::Uri, test::TestRequest};
use integration_app_mcp_server::{http::query::Query, ids::IntegrationKey};
use libfuzzer_sys::fuzz_target;

const MAX_APPS: usize = 4;

fuzz_target!(|query: &str| {
    let Ok(uri) = format!("/mcp?{query}").parse::<Uri>() else { return };
    let request = TestRequest::default().uri(&uri.to_string()).to_http_request();
    let query = Query::of(&request);
    assert!(query.token() != Ok(Some("")), "an empty token is none");
    let _ = (query.session(), query.scope(MAX_APPS));
    let Ok(apps) = query.apps(MAX_APPS) else { return };
    assert!(apps.keys().is_none_or(|keys| keys.len() <= MAX_APPS), "{apps:?}");
    for key in apps.keys().into_iter().flatten() {
        assert!(!key.as_str().is_empty() && apps.include(&IntegrationKey::new(key.as_str())), "{apps:?}");
    }
});
