//! Settings that are one of a few words.

use serde::{Deserialize, Serialize};

/// Form in which log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub enum LogFormat {
    Text,
    Json,
}

/// The version of the Membrane API to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub enum ApiVersion {
    Legacy,
    V2025_10_21,
}

/// Fate of a write that names no account where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub enum OnAmbiguous {
    Ask,
    Default,
}

/// Whether users of a workspace share the lists of its actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "&'static str")]
#[expect(missing_docs, reason = "config/default.toml documents each")]
pub enum Sharing {
    Auto,
    Off,
}

/// Texts for an enum in settings; what is none of them is refused with the list.
macro_rules! named {
    ($type:ident, $($variant:ident = $text:literal),+) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                match text.as_str() {
                    $($text => Ok(Self::$variant),)+
                    other => Err(format!("{other:?} is none of {}", [$($text),+].join(", "))),
                }
            }
        }
        impl From<$type> for &'static str {
            fn from(value: $type) -> Self {
                match value { $($type::$variant => $text),+ }
            }
        }
    };
}
named!(LogFormat, Text = "text", Json = "json");
named!(Sharing, Auto = "auto", Off = "off");
named!(OnAmbiguous, Ask = "ask", Default = "default");
named!(ApiVersion, Legacy = "legacy", V2025_10_21 = "2025-10-21");
