//! `run-read-tool` and `run-write-tool`: a call of another tool, by its name.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::json;

/// Arguments of the runners.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// Name of the tool, in any spelling that means one.
    pub(super) name: String,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
}

impl Arguments {
    /// Returns the arguments of the tool that is run: an object, or the text of one, as some models write it.
    ///
    /// # Errors
    /// Words on what is given in place of an object.
    pub(super) fn of_tool(&self) -> Result<Box<RawValue>, &'static str> {
        let Some(given) = self.arguments.as_deref() else { return Ok(json::to_raw(&serde_json::Map::new())) };
        let text = given.get();
        if text.starts_with('{') {
            return Ok(given.to_owned());
        }
        let parsed =
            json::read::<String>(given).ok().and_then(|text| RawValue::from_string(text.trim().to_owned()).ok());
        parsed.filter(|parsed| parsed.get().starts_with('{')).ok_or("arguments must be an object")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_may_be_the_text_of_an_object() {
        let read =
            |text: &str| json::read::<Arguments>(&RawValue::from_string(text.to_owned()).unwrap()).unwrap().of_tool();
        assert_eq!(read(r#"{"name":"a"}"#).unwrap().get(), "{}");
        assert_eq!(read(r#"{"name":"a","arguments":{ "b":1.50}}"#).unwrap().get(), r#"{ "b":1.50}"#, "as it is");
        assert_eq!(read(r#"{"name":"a","arguments":" {\"b\":1}"}"#).unwrap().get(), r#"{"b":1}"#);
        assert!(read(r#"{"name":"a","arguments":[1]}"#).is_err());
        assert!(read(r#"{"name":"a","arguments":"[1]"}"#).is_err());
    }
}
