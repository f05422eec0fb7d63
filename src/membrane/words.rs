//! Words of an error answer: all that the upstream, and the app behind it, have to say to a model, whatever the form.
//!
//! Membrane's errors are `{type, key, message, data, causedByError}`, one within the other. Apps, gateways and actions'
//! code answer otherwise: `{"error": …}`, `{"errors": […]}`, problem+json (RFC 9457), a plain text, a page of HTML. What is
//! read is bounded, masked, and free of characters that are for machines.

use serde_json::value::RawValue;

use super::masking;
use crate::protocol::{
    clean::{beginning, printable},
    tokens::{Token, Tokens},
};

/// Bytes of all words and details.
const MAX_BYTES: usize = 4000;
/// Bytes of the words of all levels. The rest is for details.
const MAX_WORDS_BYTES: usize = 2400;
/// Errors within each other that are read.
const MAX_LEVELS: usize = 16;
/// Elements of a list of errors that are told.
const MAX_ELEMENTS: usize = 10;

/// Members in which an error says what it is about, the best first.
const SAYING: [&str; 11] = [
    "message",
    "detail",
    "error_description",
    "errorMessage",
    "error",
    "errors",
    "title",
    "msg",
    "description",
    "reason",
    "fault",
];
/// Members in which an error names its cause.
const CAUSES: [&str; 3] = ["causedByError", "cause", "innerError"];
/// Members that tell a model nothing.
const NOISE: [&str; 11] =
    ["type", "key", "doc", "logs", "stack", "stackTrace", "status", "statusCode", "timestamp", "path", "instance"];

/// Words of an error answer. See the [module](self).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Words of the outermost error, empty where it has none.
    pub message: String,
    /// Causes and details, a line each.
    pub rest: Vec<String>,
}

/// One of the errors within each other.
struct Level<'a> {
    words: String,
    details: Vec<Detail<'a>>,
}

enum Detail<'a> {
    /// A value by itself.
    Value(&'a str),
    /// Members that are left of an error.
    Members(Vec<(String, &'a str)>),
}

/// Reads an answer, of which bytes that are no Unicode have been replaced.
pub(super) fn read(body: &str) -> Words {
    let body = body.trim();
    // A page of a gateway says no more than its status.
    if body.is_empty() || body.starts_with('<') {
        return Words::default();
    }
    let mut levels = Vec::new();
    match serde_json::from_str::<&RawValue>(body) {
        Ok(json) => read_level(json.get(), &mut levels),
        Err(_) => levels.push(Level { words: plain(body), details: Vec::new() }),
    }
    write(&levels)
}

fn write(levels: &[Level<'_>]) -> Words {
    // Equal shares: a long outer message must not push out its cause, which mostly tells more.
    let share = MAX_WORDS_BYTES / levels.len().max(1);
    let mut told =
        levels.iter().map(|level| shorten(&masking::mask(&level.words), share)).filter(|words| !words.is_empty());
    let message = told.next().unwrap_or_default();
    let mut rest: Vec<String> = told.map(|words| format!("Cause: {words}")).collect();
    let mut left = MAX_BYTES.saturating_sub(message.len() + rest.iter().map(|line| line.len() + 1).sum::<usize>());
    let details: Vec<_> = levels.iter().flat_map(|level| &level.details).collect();
    for (i, detail) in details.iter().enumerate() {
        // A detail leaves what it does not need to those after it.
        let share = (left / (details.len() - i)).saturating_sub("\nDetails: ".len());
        let text = match detail {
            Detail::Value(value) => masking::value(value, share),
            Detail::Members(members) => masking::members(members, share),
        };
        if share > 0 && !text.is_empty() {
            // Masked once more: texts within JSON may hold secrets that no name gives away.
            let line = format!("Details: {}", shorten(&masking::mask(&text), share));
            left = left.saturating_sub(line.len() + 1);
            rest.push(line);
        }
    }
    Words { message, rest }
}

/// Reads an error, and those that caused it.
fn read_level<'a>(json: &'a str, levels: &mut Vec<Level<'a>>) {
    if levels.len() >= MAX_LEVELS {
        return;
    }
    let Some(mut members) = members(json) else {
        let words = words_of(json, 0).unwrap_or_default();
        levels.push(Level { words, details: Vec::new() });
        return;
    };
    let causes = CAUSES.map(|name| take(&mut members, name));
    let data = take(&mut members, "data");
    members.retain(|(name, _)| !NOISE.contains(&name.as_str()));
    let place = levels.len();
    levels.push(Level { words: String::new(), details: data.map(Detail::Value).into_iter().collect() });
    let said = say(&mut members, 0);
    // `{"error": {…}}` is an envelope, with an error in it that may have causes of its own.
    let inner = match (&said, take(&mut members, "error")) {
        (None, Some(inner)) if inner.starts_with('{') => Some(inner),
        (_, other) => {
            members.extend(other.map(|other| ("error".to_owned(), other)));
            None
        }
    };
    if let Some(level) = levels.get_mut(place) {
        level.words = said.unwrap_or_default();
        if !members.is_empty() {
            level.details.push(Detail::Members(members));
        }
    }
    for cause in inner.into_iter().chain(causes.into_iter().flatten()) {
        read_level(cause, levels);
    }
}

/// Returns the members of an object, each value as it is written.
fn members(json: &str) -> Option<Vec<(String, &str)>> {
    let mut tokens = Tokens::new(json);
    if !tokens.take_if(Token::Open('{')) {
        return None;
    }
    let mut members = Vec::new();
    while let Some(Token::Text(name)) = tokens.next() {
        tokens.take_if(Token::Colon);
        let value = tokens.value();
        members.push((serde_json::from_str(name).unwrap_or_default(), value));
        tokens.take_if(Token::Comma);
    }
    Some(members)
}

/// Takes a member that has a value.
fn take<'a>(members: &mut Vec<(String, &'a str)>, name: &str) -> Option<&'a str> {
    let at = members.iter().position(|(member, _)| member == name)?;
    Some(members.remove(at).1).filter(|value| *value != "null")
}

/// Takes the members of an error that say what it is about.
fn say(members: &mut Vec<(String, &str)>, depth: usize) -> Option<String> {
    for name in SAYING {
        let Some(value) = take(members, name).filter(|value| !matches!(*value, "\"\"" | "[]" | "{}")) else { continue };
        // The error in an envelope is read as a level of its own.
        let is_envelope = name == "error" && value.starts_with('{') && depth == 0;
        let words = if is_envelope { None } else { words_of(value, depth + 1) };
        let Some(words) = words else {
            // A value without words stays among the details.
            members.push((name.to_owned(), value));
            continue;
        };
        // As RFC 9457 has it, the title names the kind of problem, and the detail what it was this time.
        let title =
            (name == "detail").then(|| take(members, "title").and_then(|title| words_of(title, depth + 1))).flatten();
        return Some(match title {
            Some(title) => format!("{title}: {words}"),
            None => words,
        });
    }
    None
}

/// Returns the words of a value that stands where a message is expected.
fn words_of(json: &str, depth: usize) -> Option<String> {
    if depth > 4 {
        return None;
    }
    let mut tokens = Tokens::new(json);
    let words = match tokens.peek()? {
        Token::Text(text) => plain(&serde_json::from_str::<String>(text).ok()?),
        Token::Open('{') => {
            let mut members = members(json)?;
            match say(&mut members, depth + 1) {
                // Whatever else there is, such as the name of a field, belongs to these words.
                Some(words) if members.is_empty() => words,
                Some(words) => format!("{words} {}", masking::members(&members, MAX_WORDS_BYTES)),
                None => masking::value(json, MAX_WORDS_BYTES),
            }
        }
        Token::Open(_) => {
            tokens.next();
            let mut told = Vec::new();
            while told.len() < MAX_ELEMENTS && !matches!(tokens.peek(), None | Some(Token::Close(_))) {
                told.extend(words_of(tokens.value(), depth + 1));
                tokens.take_if(Token::Comma);
            }
            told.join("; ")
        }
        Token::Word(word) if word != "null" => word.to_owned(),
        _ => return None,
    };
    (!words.is_empty() && words != "{}").then_some(words)
}

/// Returns a text for people and models: no page of HTML, no lines of a stack trace, no characters for machines.
fn plain(text: &str) -> String {
    if masking::is_markup(text) {
        return masking::MARKUP.to_owned();
    }
    let is_of_trace = |line: &&str| line.starts_with([' ', '\t']) && line.trim_start().starts_with("at ");
    let text = printable(text);
    let lines: Vec<_> = text.lines().filter(|line| !is_of_trace(line)).collect();
    lines.join("\n").trim().to_owned()
}

/// Returns the beginning of a text, cut between characters.
fn shorten(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    format!("{}…", beginning(text, max_bytes.saturating_sub('…'.len_utf8())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> String {
        let Words { message, rest } = read(body);
        [vec![message], rest].concat().join("\n")
    }

    #[test]
    fn every_form_of_an_error_is_read() {
        let cases = [
            (
                r#"{"type":"bad_request","message":"wrong","data":{ "field": "email" }}"#,
                "wrong\nDetails: {\"field\":\"email\"}",
            ),
            (
                r#"{"message":"a","causedByError":{"message":"b","causedByError":{"message":"c","data":[1]}},"data":{"x":1}}"#,
                "a\nCause: b\nCause: c\nDetails: {\"x\":1}\nDetails: [1]",
            ),
            (r#"{"message":"a","causedByError":"b"}"#, "a\nCause: b"),
            (r#"{"message":"a","cause":["b","c"]}"#, "a\nCause: b; c"),
            (r#"{"message":["a","b"]}"#, "a; b"),
            (r#"{"message":{"text":"a"}}"#, r#"{"text":"a"}"#),
            (r#"{"message":{"message":"a","field":"f"}}"#, r#"a {"field":"f"}"#),
            (r#"{"error":"a"}"#, "a"),
            (r#"{"error":"invalid_grant","error_description":"a"}"#, "a\nDetails: {\"error\":\"invalid_grant\"}"),
            (
                r#"{"error":{"code":7,"message":"a","errors":[{"reason":"b"}]}}"#,
                "a\nDetails: {\"code\":7,\"errors\":[{\"reason\":\"b\"}]}",
            ),
            (r#"{"error":{"message":"a","causedByError":{"message":"b"}}}"#, "a\nCause: b"),
            (r#"{"errors":[{"message":"a","path":["x"]},{"detail":"b"},"c"]}"#, "a {\"path\":[\"x\"]}; b; c"),
            (r#"{"errors":{"name":["can't be blank"]}}"#, r#"{"name":["can't be blank"]}"#),
            (
                r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"No credit","balance":3}"#,
                "Forbidden: No credit\nDetails: {\"balance\":3}",
            ),
            (r#"{"title":"Forbidden"}"#, "Forbidden"),
            (r#"["a",{"message":"b"}]"#, "a; b"),
            (r#""quota exceeded""#, "quota exceeded"),
            ("quota exceeded\n", "quota exceeded"),
            (r#"{"message":"cut"#, r#"{"message":"cut"#),
            (r#"{"code":"E_1","hint":"h"}"#, "\nDetails: {\"code\":\"E_1\",\"hint\":\"h\"}"),
            (r#"{"message":"","causedByError":{"message":"b"}}"#, "b"),
            (
                r#"{"message":"a","stack":"Error\n at x","logs":["l"],"data":{"stack":"s","b":1}}"#,
                "a\nDetails: {\"b\":1}",
            ),
            ("{\"message\":\"boom\\n    at f (x.js:1:2)\\n    at g\\nend\"}", "boom\nend"),
            ("{\"message\":\"a\\u001b[31m\\u0000b\\u202ec\"}", "a[31mbc"),
            ("", ""),
            ("null", ""),
            ("{}", ""),
            ("<html><body>Bad gateway</body></html>", ""),
            ("  <!DOCTYPE html><p>x", ""),
            (r#"{"message":"<html>x</html>"}"#, "(a page of HTML, left out)"),
            (
                r#"{"message":"a","data":{"body":"<!doctype html><html>"}}"#,
                "a\nDetails: {\"body\":\"(a page of HTML, left out)\"}",
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(told(body), expected, "{body}");
        }
    }

    #[test]
    fn every_level_has_its_share_of_the_room() {
        let long = "é".repeat(5_000_000);
        let text = told(&format!(
            r#"{{"message":"outer","data":"{long}","causedByError":{{"message":"{long}","causedByError":"innermost","data":{{"b":2}}}}}}"#
        ));
        assert!(text.len() <= MAX_BYTES, "{} bytes", text.len());
        assert!(text.starts_with("outer\nCause: éé") && text.contains("\nCause: innermost\n"), "{text:.100}");
        assert!(text.contains(r#"{"b":2}"#), "{text}");
        let deep = (0..1000)
            .fold(r#""innermost""#.to_owned(), |inner, i| format!(r#"{{"message":"m{i}","causedByError":{inner}}}"#));
        assert_eq!(told(&deep).lines().count(), MAX_LEVELS);
        let tenth = (0..10).fold(r#""innermost""#.to_owned(), |inner, _| {
            format!(r#"{{"message":"{}","causedByError":{inner}}}"#, "m".repeat(9_000))
        });
        assert!(told(&tenth).ends_with("\nCause: innermost"));
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6ImFubiJ9.c2lnbmF0dXJl";
        for body in [
            r#"{"message":"a","data":{"access_token":"s3cr3t-value"}}"#.to_owned(),
            r#"{"message":"a","data":{"headers":{"Authorization":"Basic s3cr3t-value","X-Api-Key":"s3cr3t-value"}}}"#
                .to_owned(),
            r#"{"message":"Bearer s3cr3t-value is refused"}"#.to_owned(),
            r#"{"message":"a","data":[{"clientSecret":{"v":"s3cr3t-value"}}]}"#.to_owned(),
            r#"{"message":"a","data":{"body":"{\"refresh_token\":\"s3cr3t-value\"}"}}"#.to_owned(),
            r#"{"message":"GET https://x/?api_key=s3cr3t-value&a=1 failed"}"#.to_owned(),
            r#"{"message":"https://ann:s3cr3t-value@host/ failed"}"#.to_owned(),
            r#"{"error":{"message":"a","password":"s3cr3t-value"}}"#.to_owned(),
            r#"{"errors":[{"message":"a","token":"s3cr3t-value"}]}"#.to_owned(),
            r#"{"message":{"password":"s3cr3t-value"}}"#.to_owned(),
            "password=s3cr3t-value".to_owned(),
            format!(r#"{{"message":"the token {jwt} has expired"}}"#),
        ] {
            let text = told(&body);
            assert!(!text.contains("s3cr3t") && !text.contains("eyJ") && text.contains("(hidden)"), "{body}: {text}");
        }
        for harmless in ["Bearer token is missing", "Invalid token: expired", "a token is required", "Basic plan only"]
        {
            assert_eq!(told(harmless), harmless);
        }
    }
}
