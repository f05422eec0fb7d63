//! The name under which a worker is mostly asked.

use std::cell::RefCell;

use actix_web::http::header::HeaderValue;

/// Last name under which a request was let in. Most come under the same one, which is compared sooner than read.
#[derive(Debug, Default)]
pub struct KnownHost(RefCell<Option<Box<[u8]>>>);

impl KnownHost {
    pub(super) fn is(&self, host: &HeaderValue) -> bool {
        self.0.borrow().as_deref() == Some(host.as_bytes())
    }

    pub(super) fn note(&self, host: &HeaderValue) {
        // Copied, for the header would keep what was read with it.
        self.0.replace(Some(host.as_bytes().into()));
    }
}
