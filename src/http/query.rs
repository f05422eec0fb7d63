//! The query of `/mcp` and `/sse`: `token`, `mode`, `apps`.

use actix_web::HttpRequest;

use crate::{error::Error, membrane::Apps, protocol::tools::ToolMode, tools::Scope};

/// Parameters that a request may have. `sessionId` is that of HTTP+SSE, which the server itself writes into a URL.
const KNOWN: [&str; 4] = ["token", "mode", "apps", "sessionId"];

/// Longest name of an unknown parameter that an error repeats: a longer one may be a token without its name.
const MAX_SHOWN: usize = 32;

/// Query of a request, decoded.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a request.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        // The form accepts whatever comes: bytes that can't be decoded stay as they are.
        Self(serde_urlencoded::from_str(request.query_string()).unwrap_or_default())
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.0.iter().filter(move |(key, _)| key == name);
        of_name.map(|(_, value)| value.as_str())
    }

    /// Returns the token, where the query has one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.values("token").find(|token| !token.is_empty())
    }

    /// Returns the mode; static where none is given.
    ///
    /// # Errors
    /// [`Error::BadRequest`] that names the modes there are.
    pub fn mode(&self) -> Result<ToolMode, Error> {
        match self.values("mode").find(|mode| !mode.is_empty()) {
            None => Ok(ToolMode::Static),
            Some(text) => ToolMode::parse(text)
                .ok_or_else(|| Error::BadRequest(format!("unknown mode {text:?}: the modes are static and dynamic"))),
        }
    }

    /// Returns the apps to be confined to, `max` at most.
    ///
    /// # Errors
    /// [`Error::BadRequest`].
    pub fn apps(&self, max: usize) -> Result<Apps, Error> {
        let apps = Apps::parse(self.values("apps"));
        if apps.keys().is_some_and(|keys| keys.len() > max) {
            return Err(Error::BadRequest(format!("?apps= names more than {max} apps")));
        }
        Ok(apps)
    }

    /// Returns which tools are seen: mode and apps, `max_apps` at most.
    ///
    /// # Errors
    /// As [`Query::mode`] and [`Query::apps`], and [`Error::BadRequest`] for a parameter that there is not: `?app=gmail` would
    /// otherwise list every app.
    pub fn scope(&self, max_apps: usize) -> Result<Scope, Error> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
            let name = if name.len() <= MAX_SHOWN { format!(" {name:?}") } else { String::new() };
            let known = "the parameters are token, mode and apps";
            return Err(Error::BadRequest(format!("unknown query parameter{name}: {known}")));
        }
        Ok(Scope { mode: self.mode()?, apps: self.apps(max_apps)? })
    }

    /// Returns the session, where the query names one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.values("sessionId").next()
    }
}
