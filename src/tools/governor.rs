//! Outputs that fit: the part that was asked for, within the limit of the URL.

use std::sync::Arc;

use metrics::counter;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::output::{Asked, Limit, NotePlace, RunnerInputs, govern, next_words, paging_inputs};
use crate::{
    membrane::{Tool, pool::Pool},
    protocol::{json, revision::Era, tools::CallToolResult},
};

/// Limit of an output, and the part of it that a runner was asked for.
#[derive(Debug, Clone)]
pub(super) struct Governor {
    pub(super) limit: Limit,
    pub(super) asked: Asked,
    /// Inputs by which the rest can be had.
    pub(super) inputs: RunnerInputs,
}

impl Governor {
    /// Returns a result with an output that fits. Failures are short as they are.
    pub(super) async fn apply(
        self,
        pool: &Pool,
        tool: &Arc<Tool>,
        era: Era,
        mut result: CallToolResult,
    ) -> CallToolResult {
        let Some((text, structured)) = result.take_output() else { return result };
        let is_small = |json: &str| json.len() <= self.limit.bytes();
        let is_whole = self.asked.fields.is_empty() && self.asked.range.is_none();
        if is_whole && is_small(&text) && structured.as_ref().is_none_or(|structured| is_small(structured.get())) {
            return result.with_output(text, structured);
        }
        let (tool, bytes) = (Arc::clone(tool), text.len());
        let cut = move || {
            let structured = structured.map(|structured| self.cut_structured(&tool, era, structured));
            (self.cut(&tool, &text, NotePlace::Within), structured)
        };
        counter!("mcp_outputs_shortened_total").increment(1);
        match pool.run(bytes, cut).await {
            Some((text, structured)) => {
                counter!("mcp_outputs_shortened_bytes_total", "of" => "output").increment(bytes as u64);
                counter!("mcp_outputs_shortened_bytes_total", "of" => "answer").increment(text.len() as u64);
                result.with_output(text, structured)
            }
            None => CallToolResult::failure(
                "The action was run, but its output could not be shortened. Don't run it again only for this.",
            ),
        }
    }

    fn cut(&self, tool: &Tool, json: &str, place: NotePlace) -> String {
        let schema = tool.input_schema().and_then(|schema| json::read::<Inputs>(schema).ok()).unwrap_or_default();
        let own = paging_inputs(schema.properties.keys().map(String::as_str));
        let next = next_words(self.inputs, &own);
        govern(json, &self.asked, self.limit, next.as_deref(), place).json.into_owned()
    }

    /// Cuts structured content, which must go on conforming to the schema that was published.
    fn cut_structured(&self, tool: &Tool, era: Era, structured: Box<RawValue>) -> Box<RawValue> {
        let takes_note = tool.output_schema(era).is_some_and(takes_any_member);
        let place = if takes_note { NotePlace::Within } else { NotePlace::Apart };
        // What is cut from JSON is JSON.
        RawValue::from_string(self.cut(tool, structured.get(), place)).unwrap_or(structured)
    }
}

#[derive(Default, Deserialize)]
struct Inputs {
    #[serde(default)]
    properties: Map<String, Value>,
}

/// Returns whether the root of a published output schema is an object that may have a member of any kind beside its own.
fn takes_any_member(schema: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Root<'a> {
        #[serde(default)]
        r#type: Value,
        #[serde(default, borrow)]
        additional_properties: Option<&'a RawValue>,
    }
    serde_json::from_str::<Root<'_>>(schema.get()).is_ok_and(|root| {
        root.r#type == "object" && root.additional_properties.is_none_or(|more| matches!(more.get(), "true" | "{}"))
    })
}
