//! Failures of the upstream.

use std::time::Duration;

use serde::Deserialize;

use super::{
    lenient,
    words::{self, Words},
};
use crate::{error::Error, protocol::clean::clean, token::TokenProblem};

/// Why the upstream gave no answer that can be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MembraneError {
    /// The upstream answered with an error of its own.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The whole answer did not come in time.
    #[error("the upstream did not answer within {after_ms} ms")]
    Timeout {
        /// Time that it had, in milliseconds.
        after_ms: u128,
    },
    /// No connection to the upstream could be opened.
    #[error("the upstream can't be reached: {0}")]
    Unreachable(String),
    /// The connection broke before the answer was whole.
    #[error("the upstream's answer broke off: {0}")]
    Broken(String),
    /// The answer is larger than any is taken.
    #[error("the upstream's answer is larger than {limit} bytes")]
    TooLarge {
        /// Size of the largest answer that is taken, in bytes.
        limit: usize,
    },
    /// The answer is not what was asked for.
    #[error("the upstream's answer can't be read: {0}")]
    Malformed(String),
    /// A list has no end, or none that can be waited for.
    #[error("the upstream's list has no end: {0}")]
    EndlessList(&'static str),
    /// Other requests took all turns. This one was not sent.
    #[error("too many requests to the upstream are running, and none ended within {after_ms} ms: try again")]
    Busy {
        /// Time waited, in milliseconds.
        after_ms: u128,
    },
    /// The token has expired while the request waited. It was not sent.
    #[error("the token has expired")]
    TokenExpired,
    /// The upstream has asked to be left alone about the user or the workspace, by `Retry-After`. This request was not sent.
    #[error("the upstream asks to be left alone: try again in {} s", .wait.as_secs() + 1)]
    Limited {
        /// Time for which neither is asked about.
        wait: Duration,
    },
    /// The breaker is open: the upstream has failed so often that it is not asked at all.
    #[error("the upstream keeps failing and is not asked: try again in {} s", .wait.as_secs() + 1)]
    BreakerOpen {
        /// Time for which the upstream is not asked.
        wait: Duration,
    },
}

/// An error that the upstream itself reports: `{type, key, message, data, causedByError}`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// HTTP status of the answer.
    pub status: u16,
    /// The error's `type`, such as `bad_request`, where it has one.
    pub kind: Option<String>,
    /// The error's `key`, such as `not_authenticated`, where it has one.
    pub key: Option<String>,
    /// The error's message, or the status in words.
    pub message: String,
    /// The upstream has told something, in a message or in details.
    pub has_words: bool,
    /// Causes of the error and its details, each a line in the upstream's words.
    pub rest: Vec<String>,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads the body of an error answer; one without words leaves the status alone to tell.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize, Default)]
        struct Body {
            #[serde(default, deserialize_with = "lenient::text")]
            r#type: Option<String>,
            #[serde(default, deserialize_with = "lenient::text")]
            key: Option<String>,
        }
        // Read twice: `words` takes any form, and type and key only those of Membrane.
        let body = clean(body);
        let Body { r#type, key } = serde_json::from_str(&body).unwrap_or_default();
        let Words { message, rest } = words::read(&body);
        let has_words = !message.is_empty() || !rest.is_empty();
        Self {
            status,
            kind: r#type,
            key,
            message: if message.is_empty() {
                format!("the upstream answered with HTTP status {status}")
            } else {
                message
            },
            has_words,
            rest,
            retry_after: None,
        }
    }

    /// Returns all of it, for a model that is to act on it.
    #[must_use]
    pub fn in_full(&self) -> String {
        std::iter::once(&self.message).chain(&self.rest).map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Returns whether the fate of the request is unknown: the answer is that of a gateway that got none, or of a server that
    /// failed without a word.
    fn is_of_unknown_outcome(&self) -> bool {
        matches!(self.status, 408 | 502..=504) || (self.status >= 500 && !self.has_words)
    }
}

/// Fate of an action whose run failed, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// The request was never sent.
    NotRun,
    /// The request was sent, and nothing is known of what came of it.
    Unknown,
    /// The upstream itself has told the fate of the request.
    Told,
}

impl MembraneError {
    /// Returns whether the token is not, or no longer, good.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        matches!(self, Self::TokenExpired) || matches!(self, Self::Refused(refusal) if refusal.status == 401)
    }

    /// Returns whether the upstream says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 404)
    }

    /// Returns whether the upstream says that there are too many requests.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 429)
    }

    /// Returns whether the upstream itself is in trouble, whatever was asked of it.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        match self {
            // Not 500, by which the code of one action may fail while all else works.
            Self::Refused(refusal) => matches!(refusal.status, 502..=504),
            Self::Timeout { .. } | Self::Unreachable(_) | Self::Broken(_) | Self::BreakerOpen { .. } => true,
            Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::EndlessList(_)
            | Self::TokenExpired
            | Self::Busy { .. }
            | Self::Limited { .. } => false,
        }
    }

    /// Returns whether the same request may well be answered in a moment.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(refusal.status, 429 | 502..=504),
            Self::Unreachable(_) | Self::Broken(_) => true,
            // Not a timeout: the caller has waited long enough, and a second read may take as long.
            _ => false,
        }
    }

    /// Returns how long the upstream asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Limited { wait } | Self::BreakerOpen { wait } => Some(*wait),
            _ => None,
        }
    }

    /// Returns the fate of the action, where this is the error of a run.
    #[must_use]
    pub fn run_outcome(&self) -> RunOutcome {
        match self {
            // These were never sent. Any other request may have reached the action, even if its answer can't be read.
            Self::Unreachable(_)
            | Self::Busy { .. }
            | Self::TokenExpired
            | Self::Limited { .. }
            | Self::BreakerOpen { .. } => RunOutcome::NotRun,
            Self::Refused(refusal) if !refusal.is_of_unknown_outcome() => RunOutcome::Told,
            _ => RunOutcome::Unknown,
        }
    }

    /// Returns the label by which metrics count it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused(refusal) if refusal.status == 429 => "limited",
            Self::Refused(refusal) if refusal.status >= 500 => "failed",
            Self::Refused(_) | Self::TokenExpired => "refused",
            Self::Timeout { .. } => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Broken(_) => "broken",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed(_) | Self::EndlessList(_) => "malformed",
            Self::Busy { .. } => "busy",
            Self::Limited { .. } => "limited",
            Self::BreakerOpen { .. } => "breaker_open",
        }
    }

    /// Returns all of it that is for clients. How the network between here and the upstream fails is for the log alone.
    #[must_use]
    pub fn in_full(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.in_full(),
            Self::Unreachable(_) => "the upstream can't be reached".to_owned(),
            Self::Broken(_) => "the upstream's answer broke off".to_owned(),
            Self::Malformed(_) => "the upstream's answer can't be read".to_owned(),
            other => other.to_string(),
        }
    }
}

impl From<MembraneError> for Error {
    /// For requests that can't be answered without the upstream: a token that it refuses is the caller's matter, all
    /// else is a service that is missing.
    fn from(error: MembraneError) -> Self {
        match error {
            MembraneError::Refused(refusal) if refusal.status == 401 => {
                Self::Unauthenticated(TokenProblem::Refused(refusal.message))
            }
            MembraneError::TokenExpired => Self::Unauthenticated(TokenProblem::Expired),
            MembraneError::Refused(refusal) if refusal.status == 403 => Self::AccessDenied(refusal.message),
            MembraneError::Refused(refusal) => Self::UpstreamUnavailable(refusal.message),
            other => {
                log::warn!("a request can't be answered without the upstream: {other}");
                Self::UpstreamUnavailable(other.in_full())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstreams_own_words_are_kept() {
        let cases = [
            (
                r#"{"type":"bad_request","message":"email: wrong","data":{ "field": "email" }}"#,
                "email: wrong\nDetails: {\"field\":\"email\"}",
            ),
            (
                r#"{"type":"action_run","message":"Action run failed","causedByError":{"message":"status 422","data":{"a":1}}}"#,
                "Action run failed\nCause: status 422\nDetails: {\"a\":1}",
            ),
            (r#"{"type":"custom_code","message":"mine"}"#, "mine"),
            ("<html>Bad gateway</html>", "the upstream answered with HTTP status 502"),
            ("", "the upstream answered with HTTP status 502"),
            (r#"{"type":7,"code":"E_1"}"#, "the upstream answered with HTTP status 502\nDetails: {\"code\":\"E_1\"}"),
        ];
        for (body, expected) in cases {
            assert_eq!(Refusal::read(502, body.as_bytes()).in_full(), expected, "{body}");
        }
    }

    #[test]
    fn only_what_was_never_sent_was_not_run() {
        use RunOutcome::{NotRun, Told, Unknown};
        let refused = |status: u16, body: &str| MembraneError::Refused(Refusal::read(status, body.as_bytes()).into());
        let own = r#"{"type":"internal","message":"m"}"#;
        for (error, expected) in [
            (MembraneError::Unreachable(String::new()), NotRun),
            (MembraneError::Busy { after_ms: 1 }, NotRun),
            (MembraneError::Limited { wait: Duration::ZERO }, NotRun),
            (MembraneError::BreakerOpen { wait: Duration::ZERO }, NotRun),
            (MembraneError::Timeout { after_ms: 1 }, Unknown),
            (MembraneError::Broken(String::new()), Unknown),
            (MembraneError::TooLarge { limit: 1 }, Unknown),
            (MembraneError::Malformed(String::new()), Unknown),
            (refused(504, own), Unknown),
            (refused(502, "<html>"), Unknown),
            (refused(500, ""), Unknown),
            (refused(500, own), Told),
            (refused(400, ""), Told),
            (refused(429, ""), Told),
        ] {
            assert_eq!(error.run_outcome(), expected, "{error:?}");
        }
    }
}
