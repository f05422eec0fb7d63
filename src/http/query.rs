//! The query of `/mcp` and `/sse`: who asks, and which tools are seen in which way.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};

use actix_web::HttpRequest;

use crate::{
    http::error::HttpError,
    ids::ToolName,
    membrane::Apps,
    protocol::tools::{ToolFilter, ToolMode},
    tools::Scope,
};

/// Parameters that a request may have. `sessionId` is that of HTTP+SSE, which the server itself writes into a URL.
const KNOWN: [&str; 9] = ["token", "mode", "apps", "tools", "exclude", "access", "pin", "output", "sessionId"];

/// Names and patterns in one URL at most.
const MAX_PATTERNS: usize = 256;

/// Tokens that a URL may allow an output.
const OUTPUT_TOKENS: RangeInclusive<usize> = 2_000..=100_000;

/// Modes of tools, for an error.
const MODES: &str = "static, dynamic, search and auto";

/// Tools that are listed beside those of the search mode at most: each costs the client tokens in every request.
const MAX_PINS: usize = 8;

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

    /// Returns the value of a parameter that has one value. Equal values are one, and an empty one is none.
    fn single<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, HttpError> {
        let mut values = self.values(name).filter(|value| !value.is_empty());
        let first = values.next();
        match values.all(|other| Some(other) == first) {
            true => Ok(first),
            false => Err(HttpError::BadRequest(format!("?{name}= is there more than once, with different values"))),
        }
    }

    /// Returns the token, where the query has one.
    ///
    /// # Errors
    /// [`HttpError::BadRequest`] for two tokens.
    pub fn token(&self) -> Result<Option<&str>, HttpError> {
        self.single("token")
    }

    /// Returns the mode; static where none is given.
    ///
    /// # Errors
    /// [`HttpError::BadRequest`] for two modes, and for one that there is not, with those there are.
    pub fn mode(&self) -> Result<ToolMode, HttpError> {
        match self.single("mode")? {
            None => Ok(ToolMode::Static),
            Some(text) => ToolMode::parse(text)
                .ok_or_else(|| HttpError::BadRequest(format!("unknown mode {text:?}: the modes are {MODES}"))),
        }
    }

    /// Returns the apps to be confined to, `max` at most.
    ///
    /// # Errors
    /// [`HttpError::BadRequest`].
    pub fn apps(&self, max: usize) -> Result<Apps, HttpError> {
        let apps = Apps::parse(self.values("apps"));
        if apps.keys().is_some_and(|keys| keys.len() > max) {
            return Err(HttpError::BadRequest(format!("?apps= names more than {max} apps")));
        }
        Ok(apps)
    }

    /// Returns which tools are seen: mode and apps, `max_apps` at most.
    ///
    /// # Errors
    /// As [`Query::mode`] and [`Query::apps`], and [`HttpError::BadRequest`] for a parameter that there is not: `?app=gmail` would
    /// otherwise list every app.
    pub fn scope(&self, max_apps: usize) -> Result<Scope, HttpError> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
            let name = if name.len() <= MAX_SHOWN { format!(" {name:?}") } else { String::new() };
            let known = "the parameters are token, mode, apps, tools, exclude, access, pin and output";
            return Err(HttpError::BadRequest(format!("unknown query parameter{name}: {known}")));
        }
        let (filter, output_tokens) = (Arc::new(self.filter()?), self.output_tokens()?);
        Ok(Scope { mode: self.mode()?, apps: self.apps(max_apps)?, filter, output_tokens })
    }

    /// Returns the tokens of an output at most, where the query says so.
    fn output_tokens(&self) -> Result<Option<usize>, HttpError> {
        let Some(text) = self.single("output")? else { return Ok(None) };
        let tokens = text.parse().ok().filter(|tokens| OUTPUT_TOKENS.contains(tokens));
        let (least, most) = (OUTPUT_TOKENS.start(), OUTPUT_TOKENS.end());
        tokens
            .map(Some)
            .ok_or_else(|| HttpError::BadRequest(format!("?output= is a number of tokens from {least} to {most}")))
    }

    /// Returns which tools of the apps may be seen, and which are pinned.
    fn filter(&self) -> Result<ToolFilter, HttpError> {
        let reads_only = match self.single("access")? {
            None | Some("any") => false,
            Some("read") => true,
            Some(other) => {
                return Err(HttpError::BadRequest(format!("unknown access {other:?}: ?access= is read, or any")));
            }
        };
        let (tools, exclude, pins) = (self.list("tools"), self.list("exclude"), self.list("pin"));
        if tools.len() + exclude.len() > MAX_PATTERNS {
            let what = format!("?tools= and ?exclude= name more than {MAX_PATTERNS} tools: use * for several");
            return Err(HttpError::BadRequest(what));
        }
        if pins.len() > MAX_PINS {
            return Err(HttpError::BadRequest(format!("?pin= names more than {MAX_PINS} tools")));
        }
        Ok(ToolFilter { tools, exclude, reads_only, pins: pins.iter().map(|name| ToolName::new(name)).collect() })
    }

    /// Returns the items of a parameter that lists names, each once, in order.
    fn list(&self, name: &str) -> Vec<String> {
        let items = self.values(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty());
        items.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
    }

    /// Returns the session, where the query names one.
    ///
    /// # Errors
    /// [`HttpError::BadRequest`] for two sessions.
    pub fn session(&self) -> Result<Option<&str>, HttpError> {
        self.single("sessionId")
    }
}
