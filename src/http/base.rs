//! Where clients reach this server: the URL that its documents and pages name.

use std::sync::Once;

use actix_web::{HttpRequest, http::header::HOST};
use url::Url;

use super::{address, worker::Worker};

/// Returns where clients reach this server, without a slash at its end: as the settings say, else as this request did.
pub(super) fn of(request: &HttpRequest, worker: &Worker) -> String {
    let settings = &worker.settings;
    match settings.oauth.public_url.trim_end_matches('/') {
        "" => {
            let proxies = settings.server.proxies.get();
            if address::is_https_unbelieved(request, proxies) {
                static WARNED: Once = Once::new();
                WARNED.call_once(|| {
                    log::warn!(
                        "a proxy says that clients ask by https, but server.proxies is 0, so that it is not believed: set \
                         server.proxies or oauth.public_url, else clients are sent to http://"
                    );
                });
            }
            // The host was checked as one that may be asked for; what proxies say of it was not.
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
            format!("{}://{host}{}", address::scheme(request, proxies), settings.server.public_path)
        }
        public_url => public_url.to_owned(),
    }
}

/// Returns the path of such a URL, which is empty where the server is not below one.
pub(super) fn path(base: &str) -> String {
    Url::parse(base).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}
