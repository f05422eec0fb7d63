//! Read or write: what the server promises about a tool, from what Membrane says about the action.
//!
//! A tool reads only where that is certain. Names and descriptions never count: a verb may rank a tool, but grants nothing.

use serde_json::Value;

/// Types of actions that read records, whatever their configuration.
const READING_TYPES: [&str; 4] =
    ["list-data-records", "find-data-record-by-id", "match-data-record", "search-data-record"];

/// Types of actions that are one HTTP request, whose method decides.
const REQUEST_TYPES: [&str; 4] =
    ["api-request-to-external-app", "api-request-to-your-app", "http-request", "api-request"];

/// Methods that HTTP defines as safe (RFC 9110 § 9.2.1) and that APIs use to read.
const SAFE_METHODS: [&str; 2] = ["GET", "HEAD"];

/// Effect of a tool on the app that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Leaves everything as it is.
    Read,
    /// May change something.
    Write,
}

impl Access {
    /// Returns whether the effect of actions of a type depends on their configuration.
    #[must_use]
    pub fn is_told_by_request(kind: &str) -> bool {
        REQUEST_TYPES.contains(&kind)
    }

    /// Classifies an action by its type, its configuration and its meta data, as Membrane gives them.
    #[must_use]
    pub fn classify(kind: Option<&str>, config: Option<&Value>, meta: Option<&Value>) -> Self {
        let reads = kind.is_some_and(|kind| {
            READING_TYPES.contains(&kind) || REQUEST_TYPES.contains(&kind) && config.is_some_and(is_safe_request)
        });
        if reads || meta.is_some_and(is_marked) { Self::Read } else { Self::Write }
    }
}

/// Tells a request with a safe method. Methods are case-sensitive (RFC 9110 § 9.1), but clients send `get` as `GET`.
fn is_safe_request(config: &Value) -> bool {
    let method = config.get("request").and_then(|request| request.get("method")).and_then(Value::as_str);
    method.is_some_and(|method| SAFE_METHODS.iter().any(|safe| safe.eq_ignore_ascii_case(method)))
}

/// Tells the owner's own mark. Its key is looked up as `mcp.readOnly` first and as `readOnly` of `mcp` then.
fn is_marked(meta: &Value) -> bool {
    let nested = || meta.get("mcp").and_then(|mcp| mcp.get("readOnly"));
    meta.get("mcp.readOnly").or_else(nested).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn request(method: &Value) -> Access {
        Access::classify(Some("http-request"), Some(&json!({ "request": { "method": method } })), None)
    }

    #[test]
    fn the_four_reading_types_read() {
        for kind in READING_TYPES {
            assert_eq!(Access::classify(Some(kind), None, None), Access::Read);
        }
    }

    #[test]
    fn a_request_reads_by_its_method_alone() {
        assert_eq!(request(&json!("GET")), Access::Read);
        assert_eq!(request(&json!("head")), Access::Read);
        for method in [
            json!("POST"),
            json!("OPTIONS"),
            json!("GET "),
            json!(""),
            json!(null),
            json!(["GET"]),
            json!({ "GET": 1 }),
        ] {
            assert_eq!(request(&method), Access::Write, "{method}");
        }
        assert_eq!(Access::classify(Some("api-request"), Some(&json!({ "method": "GET" })), None), Access::Write);
        assert_eq!(
            Access::classify(Some("run-javascript"), Some(&json!({ "request": { "method": "GET" } })), None),
            Access::Write
        );
    }

    #[test]
    fn the_mark_of_the_owner_reads_only_where_it_is_true() {
        let marked = |meta: Value| Access::classify(Some("function"), None, Some(&meta));
        assert_eq!(marked(json!({ "mcp.readOnly": true })), Access::Read);
        assert_eq!(marked(json!({ "mcp": { "readOnly": true } })), Access::Read);
        for meta in [
            json!({ "mcp.readOnly": "true" }),
            json!({ "readOnly": true }),
            json!({ "mcp": { "readOnly": 1 } }),
            json!(null),
        ] {
            assert_eq!(marked(meta.clone()), Access::Write, "{meta}");
        }
        // The owner's exact key has the last word.
        assert_eq!(marked(json!({ "mcp.readOnly": false, "mcp": { "readOnly": true } })), Access::Write);
    }

    proptest! {
        #[test]
        fn no_other_type_reads(kind in "[a-z-]{0,40}", method in "[A-Za-z]{0,8}") {
            let config = json!({ "request": { "method": method } });
            let access = Access::classify(Some(&kind), Some(&config), None);
            let known = READING_TYPES.contains(&&*kind)
                || REQUEST_TYPES.contains(&&*kind) && ["get", "head"].contains(&&*method.to_lowercase());
            prop_assert_eq!(access == Access::Read, known);
        }

        #[test]
        fn a_verb_in_a_type_grants_nothing(verb in "(get|list|find|search|read)", noun in "[a-z]{1,12}") {
            let kind = format!("{verb}-{noun}");
            prop_assert_eq!(Access::classify(Some(&kind), None, None), Access::Write);
        }
    }
}
