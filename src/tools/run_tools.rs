//! `run-read-tool` and `run-write-tool`: a call of another tool, by its name.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Builtin,
    call::RunOptions,
    output::{Asked, FieldPath, Range, RunnerInputs},
};
use crate::{membrane::call::Target, protocol::json, search::Access};

/// Arguments of the runners.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// Name of the tool, in any spelling that means one.
    pub(super) name: String,
    #[serde(default)]
    arguments: Option<Box<RawValue>>,
    /// Account that the run acts on, where the app has several.
    #[serde(default)]
    pub(super) account: Option<String>,
    /// Parts of the output that are kept.
    #[serde(default)]
    fields: Option<Vec<String>>,
    /// Elements of a list in the output that are kept.
    #[serde(default)]
    range: Option<String>,
    /// Key under which the same call runs once; of the runner of what writes alone.
    #[serde(default)]
    idempotency_key: Option<String>,
}

impl Arguments {
    /// Returns the arguments of the tool that is run: an object, or the text of one, as some models write it.
    ///
    /// # Errors
    /// Words on what is given in place of an object.
    pub(super) fn of_tool(&self) -> Result<Box<RawValue>, String> {
        let Some(given) = self.arguments.as_deref() else { return Ok(json::to_raw(&serde_json::Map::new())) };
        let text = given.get();
        if text.starts_with('{') {
            return Ok(given.to_owned());
        }
        let parsed =
            json::read::<String>(given).ok().and_then(|text| RawValue::from_string(text.trim().to_owned()).ok());
        parsed.filter(|parsed| parsed.get().starts_with('{')).ok_or_else(|| "arguments must be an object".to_owned())
    }

    /// Returns the part of the output that is asked for.
    ///
    /// # Errors
    /// Words on a path or range that can't be read.
    pub(super) fn asked(&self) -> Result<Asked, String> {
        let fields = self.fields.iter().flatten().map(|path| FieldPath::parse(path)).collect::<Result<Vec<_>, _>>();
        let range = self.range.as_deref().map(Range::parse).transpose();
        Ok(Asked {
            fields: fields.map_err(|fault| format!("fields: {fault}"))?,
            range: range.map_err(|fault| format!("range: {fault}"))?,
        })
    }

    /// Returns the options of the run. A tool that writes is not run again for another part of its answer, so nothing tells the
    /// model to ask for a range of it.
    ///
    /// # Errors
    /// Words on an option that can't be read.
    pub(super) fn options(&self, runner: Builtin, access: Access) -> Result<RunOptions, String> {
        let asked = self.asked()?;
        if self.idempotency_key.is_some() && runner == Builtin::RunReadTool {
            return Err("a tool that reads needs no idempotency_key".to_owned());
        }
        Ok(RunOptions {
            is_by_runner: true,
            asked,
            inputs: if access == Access::Read { RunnerInputs::FieldsAndRange } else { RunnerInputs::Fields },
            key: self.idempotency_key.clone(),
            target: Target::default(),
        })
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
