//! Masking of third-party text and JSON: secrets, stack traces and pages of HTML are no reading for a model.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

use crate::protocol::{
    clean::{beginning, printable},
    json,
    tokens::{Token, Tokens},
};

/// Stands in the place of a secret.
const HIDDEN: &str = "(hidden)";
/// The same as JSON.
const HIDDEN_JSON: &str = "\"(hidden)\"";
/// Stands in the place of a page of HTML.
pub(super) const MARKUP: &str = "(a page of HTML, left out)";

/// Ends of the names of members that hold secrets, in lower case and without `-` and `_`.
const SECRET_ENDS: [&str; 17] = [
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "apikey",
    "secretkey",
    "privatekey",
    "accesskey",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "sessionid",
    "jwt",
    "bearer",
];

/// Bytes of one text within JSON.
const MAX_TEXT_BYTES: usize = 2000;

/// Words that follow "Bearer" in messages about tokens.
const ORDINARY: [&str; 14] = [
    "token",
    "tokens",
    "auth",
    "authentication",
    "authorization",
    "credentials",
    "scheme",
    "realm",
    "error",
    "is",
    "was",
    "header",
    "required",
    "format",
];

/// Secrets in running text, by what they look like: after their scheme, by their own form, in a URL.
static LOOKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)
        (?P<scheme>(?i:\bbearer|\bbasic))(?P<space>\s+|%20|\+)(?P<word>[A-Za-z0-9._~+/=\-]+)
        | (?P<own>\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)*
            | \b(?:sk|pk|rk)[_\-][A-Za-z0-9_\-]{16,} | \bgh[pousr]_[A-Za-z0-9]{16,} | \bxox[abeprs]-[A-Za-z0-9\-]{8,}
            | \bAKIA[0-9A-Z]{12,} | \bya29\.[A-Za-z0-9_\-]{8,} | \bAIza[0-9A-Za-z_\-]{20,})
        | (?P<url>://)[^\s/:@"']*:[^\s/@"']+@
        "#,
    )
    .ok()
});

/// Secrets in running text, by the name before them: `name=value`, and `"name": "value"` however it is escaped.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?xi)
        (?P<name>[a-z0-9_.\-]*(?:token|secret|password|passwd|pwd|passphrase|api[_\-]?key|secret[_\-]?key|private[_\-]?key
            |access[_\-]?key|authorization|cookie|credentials?|session[_\-]?id|jwt))
        (?P<between>=\\*["']?|\\*["']\s*[:=]\s*\\*["']?)
        (?P<value>[^"'\\&,;}\]\s]+)
        "#,
    )
    .ok()
});

/// Returns a text in which secrets are masked.
pub(super) fn mask(text: &str) -> Cow<'_, str> {
    // Patterns that do not compile must lay no secret open.
    let (Some(looks), Some(named)) = (&*LOOKS, &*NAMED) else { return HIDDEN.into() };
    // By look first. By name alone, `"Authorization": "Basic …"` would lose the scheme and show the secret behind it.
    let text = looks.replace_all(text, |found: &Captures<'_>| {
        let part = |name: &str| found.name(name).map_or("", |part| part.as_str());
        if !part("url").is_empty() {
            return format!("://{HIDDEN}@");
        }
        if !part("own").is_empty() {
            return HIDDEN.to_owned();
        }
        let word = part("word");
        let is_basic = part("scheme").eq_ignore_ascii_case("basic");
        let is_ordinary = match is_basic {
            // Most plans and errors are basic, too.
            true => word.len() < 8 || word.chars().all(|c| c.is_ascii_lowercase() || c == '.'),
            false => ORDINARY.contains(&word.trim_end_matches(['.', ',']).to_ascii_lowercase().as_str()),
        };
        let shown = if is_ordinary { word } else { HIDDEN };
        format!("{}{}{shown}", part("scheme"), part("space"))
    });
    match named.replace_all(&text, "${name}${between}(hidden)") {
        Cow::Borrowed(_) => text,
        Cow::Owned(masked) => Cow::Owned(masked),
    }
}

/// Returns whether a text is a page of HTML, or another document of markup.
pub(super) fn is_markup(text: &str) -> bool {
    // Comments and declarations may stand before the tag.
    let begin: String = text.trim_start().chars().take(1000).collect::<String>().to_ascii_lowercase();
    ["<!doctype", "<html", "<?xml", "<head", "<body"].iter().any(|tag| begin.starts_with(tag))
        || ["<html", "<body"].iter().any(|tag| begin.contains(tag))
}

/// Returns the beginning of JSON without white space, secrets and stacks.
pub(super) fn value(json: &str, max_bytes: usize) -> String {
    let mut masked = Masked { out: String::new(), max_bytes };
    masked.value(&mut Tokens::new(json));
    masked.end()
}

/// The same of an object with these members.
pub(super) fn members(members: &[(String, &str)], max_bytes: usize) -> String {
    let mut masked = Masked { out: "{".to_owned(), max_bytes };
    for (name, value) in members {
        let name = json::to_string(name);
        masked.member(&name, &mut Tokens::new(value));
    }
    masked.out.push('}');
    masked.end()
}

/// Writer of masked JSON, which stops when it has written enough.
struct Masked {
    out: String,
    max_bytes: usize,
}

impl Masked {
    fn is_full(&self) -> bool {
        self.out.len() > self.max_bytes
    }

    /// Takes one value, whatever it holds: containers are opened and closed as they come, so that depth costs nothing.
    fn value(&mut self, tokens: &mut Tokens<'_>) {
        let mut depth = 0_usize;
        while let Some(token) = tokens.next() {
            // Looked at with each token, so that a value of megabytes costs no more than what is shown of it.
            if self.is_full() {
                return;
            }
            match token {
                Token::Open(bracket) => {
                    self.begin();
                    depth += 1;
                    self.out.push(bracket);
                }
                Token::Close(bracket) => {
                    depth = depth.saturating_sub(1);
                    self.out.push(bracket);
                }
                Token::Colon => self.out.push(':'),
                Token::Word(word) => {
                    self.begin();
                    self.out.push_str(word);
                }
                Token::Text(name) if tokens.peek() == Some(Token::Colon) => {
                    if self.takes_out(name, tokens) {
                        continue;
                    }
                    self.begin();
                    self.out.push_str(&self.text(name));
                }
                Token::Text(text) => {
                    self.begin();
                    self.out.push_str(&self.text(text));
                }
                // Written before the next item, since the one that follows may be left out.
                Token::Comma => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn member(&mut self, name: &str, tokens: &mut Tokens<'_>) {
        if !self.is_full() {
            self.begin();
            self.out.push_str(name);
            self.out.push(':');
            match is_secret(name) && tokens.peek() != Some(Token::Word("null")) {
                true => self.out.push_str(HIDDEN_JSON),
                false => self.value(tokens),
            }
        }
    }

    /// Takes a member that is not for a model, and writes what stands in its place.
    fn takes_out(&mut self, name: &str, tokens: &mut Tokens<'_>) -> bool {
        let plain = normal(name);
        let is_stack = plain == "stack" || plain == "stacktrace";
        if !is_stack && !is_secret(name) {
            return false;
        }
        tokens.next();
        let value = tokens.value();
        if !is_stack {
            self.begin();
            // An absent secret is shown: that it is missing may be the fault.
            let shown = if value == "null" { "null" } else { HIDDEN_JSON };
            self.out.extend([name, ":", shown]);
        }
        true
    }

    /// Writes the comma between two items.
    fn begin(&mut self) {
        if self.out.ends_with(|c: char| !matches!(c, '{' | '[' | ':')) {
            self.out.push(',');
        }
    }

    /// Returns a text within JSON as it is shown.
    fn text(&self, written: &str) -> String {
        let read: String = serde_json::from_str(written).unwrap_or_default();
        if is_markup(&read) {
            return format!("\"{MARKUP}\"");
        }
        let begin = beginning(&read, MAX_TEXT_BYTES.min(self.max_bytes));
        let more = if begin.len() < read.len() { "…" } else { "" };
        json::to_string(&format!("{}{more}", printable(begin)))
    }

    /// Returns what was written, cut where there was more.
    fn end(mut self) -> String {
        if self.out.len() > self.max_bytes {
            let end = beginning(&self.out, self.max_bytes.saturating_sub('…'.len_utf8())).len();
            self.out.truncate(end);
            self.out.push('…');
        }
        self.out
    }
}

fn normal(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Returns whether a member of this name holds a secret.
fn is_secret(name: &str) -> bool {
    let name = normal(name);
    SECRET_ENDS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_compact_and_masked_as_it_is_written() {
        for (given, expected) in [
            ("{ \"a\" : [ 1.50, {\"b\": null} ],\n \"c\":\"x\" }", r#"{"a":[1.50,{"b":null}],"c":"x"}"#),
            (r#"{"stack":"x","a":1,"stackTrace":["y"],"b":[]}"#, r#"{"a":1,"b":[]}"#),
            (r#"{"a":1,"stack":{"deep":[1]}}"#, r#"{"a":1}"#),
            (r#"[{"token":null,"refresh_token":["x"]},2]"#, r#"[{"token":null,"refresh_token":"(hidden)"},2]"#),
            (r#""x""#, r#""x""#),
            ("7", "7"),
            (r#"{"a\u001b":"b\u0007\u202e"}"#, r#"{"a":"b"}"#),
        ] {
            assert_eq!(value(given, 1000), expected, "{given}");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(value(&deep, 100).len(), 100);
        let long = format!(r#"{{"a":"{}","b":1}}"#, "x".repeat(1_000_000));
        assert!(value(&long, 500).len() <= 500);
    }

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        for name in
            ["access_token", "X-API-Key", "clientSecret", "PASSWORD", "Set-Cookie", "refreshToken", "authorization"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["max_tokens", "key", "tokenType", "secretary", "name"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
