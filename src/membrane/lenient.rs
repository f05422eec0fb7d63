//! Members of the upstream's answers, read so that an odd value costs nothing but itself.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::protocol::json;

/// Reads a text, or a number as a text. Anything else counts as absent.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    // Taken raw first: an error here would cost the whole item, and not this member alone.
    let value = Box::<RawValue>::deserialize(deserializer)?;
    Ok(match value.get().as_bytes().first() {
        Some(b'"') => json::read(&value).ok(),
        // As it is written: ids may have more digits than a number in memory holds.
        Some(b'-' | b'0'..=b'9') => Some(value.get().to_owned()),
        _ => None,
    })
}

/// Reads a boolean, or what other languages have for one: 0 and 1, and both as texts. Anything else counts as absent.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    let word = value.get().trim_matches('"').to_ascii_lowercase();
    Ok(match word.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        word => bool::from_str(word).ok(),
    })
}

/// Reads whether there is something: neither null, false, 0 nor an empty text.
pub(super) fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    Ok(!matches!(value.get(), "null" | "false" | "0" | "\"\""))
}

/// Reads an object of a known form. Anything else counts as absent.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Box::<RawValue>::deserialize(deserializer)?;
    Ok(json::read(&value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Odd {
        #[serde(deserialize_with = "text")]
        text: Option<String>,
        #[serde(deserialize_with = "flag")]
        flag: Option<bool>,
        #[serde(deserialize_with = "presence")]
        presence: bool,
        #[serde(deserialize_with = "object")]
        object: Option<Box<Odd>>,
    }

    fn read(json: &str) -> Odd {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_odd_value_costs_itself_alone() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for odd in ["{}", "[]", "[1]", "null", "{\"a\":1e400}", deep.as_str()] {
            let absent = Odd { text: None, flag: None, presence: odd != "null", object: None };
            let read = read(&format!(r#"{{"text":{odd},"flag":{odd},"presence":{odd}}}"#));
            assert_eq!(read, absent, "{odd}");
        }
        for (value, text) in [
            ("5", "5"),
            ("-1.50", "-1.50"),
            ("1e400", "1e400"),
            (r#""a\u00e9""#, "aé"),
            ("12345678901234567890123", "12345678901234567890123"),
        ] {
            assert_eq!(read(&format!(r#"{{"text":{value}}}"#)).text.as_deref(), Some(text));
        }
        for (value, flag) in [
            ("true", Some(true)),
            ("0", Some(false)),
            ("1", Some(true)),
            (r#""false""#, Some(false)),
            (r#""True""#, Some(true)),
            ("7", None),
            (r#""yes""#, None),
        ] {
            assert_eq!(read(&format!(r#"{{"flag":{value}}}"#)).flag, flag, "{value}");
        }
        for (value, presence) in
            [("false", false), ("0", false), (r#""""#, false), (r#""2026-01-01""#, true), ("1", true)]
        {
            assert_eq!(read(&format!(r#"{{"presence":{value}}}"#)).presence, presence, "{value}");
        }
        assert_eq!(read(r#"{"object":{"text":1}}"#).object.unwrap().text.as_deref(), Some("1"));
        assert_eq!(read(r#"{"object":"app"}"#).object, None);
    }
}
