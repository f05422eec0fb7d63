//! Outputs that fit: the part that was asked for, within the limit of the URL.

use std::sync::Arc;

use metrics::counter;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    kept_outputs::KeptOutputs,
    output::{Asked, Limit, NotePlace, RunnerInputs, govern, next_words, paging_inputs},
};
use crate::{
    ids::UserKey,
    membrane::{Tool, pool::Pool},
    protocol::{json, revision::Era, tools::CallToolResult},
    store::outputs::OutputId,
};

/// Limit of an output, and the part of it that a runner was asked for.
pub(super) struct Governor {
    pub(super) limit: Limit,
    pub(super) asked: Asked,
    /// Way to the rest.
    pub(super) rest: Rest,
}

/// Way to what an answer leaves out.
pub(super) enum Rest {
    /// Another run, with these inputs of a runner or with the action's own.
    Run(RunnerInputs),
    /// Reading on in the output, which is kept for its owner; another run where it can't be kept.
    Keep(KeptOutputs, UserKey, RunnerInputs),
    /// Reading on in the output that is kept already.
    Kept(OutputId),
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
        let bytes = text.len();
        // On the heap, as few outputs are kept: each call has room for this future.
        let Some((this, text)) = Box::pin(self.keep(pool, tool, text)).await else { return lost() };
        let tool = Arc::clone(tool);
        let cut = move || {
            let structured = structured.map(|structured| this.cut_structured(&tool, era, structured));
            (this.cut(&tool, &text, NotePlace::Within), structured)
        };
        counter!("mcp_outputs_shortened_total").increment(1);
        match pool.run(bytes, cut).await {
            Some((text, structured)) => {
                counter!("mcp_outputs_shortened_bytes_total", "of" => "output").increment(bytes as u64);
                counter!("mcp_outputs_shortened_bytes_total", "of" => "answer").increment(text.len() as u64);
                result.with_output(text, structured)
            }
            None => lost(),
        }
    }

    /// Keeps an output of which a part will be missing, where it can be kept.
    async fn keep(self, pool: &Pool, tool: &Tool, json: String) -> Option<(Self, String)> {
        let Self { limit, asked, rest } = self;
        let (rest, json) = match rest {
            Rest::Keep(outputs, owner, inputs) if json.len() > limit.bytes() => {
                let (json, id) = outputs.keep(pool, owner, tool, json).await?;
                (id.map_or(Rest::Run(inputs), Rest::Kept), json)
            }
            Rest::Keep(_, _, inputs) => (Rest::Run(inputs), json),
            rest => (rest, json),
        };
        Some((Self { limit, asked, rest }, json))
    }

    fn cut(&self, tool: &Tool, json: &str, place: NotePlace) -> String {
        let next = match &self.rest {
            Rest::Kept(id) => Some(format!("run-read-tool with name {id}, and fields or range")),
            Rest::Run(inputs) | Rest::Keep(_, _, inputs) => {
                let schema =
                    tool.input_schema().and_then(|schema| json::read::<Inputs>(schema).ok()).unwrap_or_default();
                next_words(*inputs, &paging_inputs(schema.properties.keys().map(String::as_str)))
            }
        };
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

fn lost() -> CallToolResult {
    CallToolResult::failure(
        "The action was run, but its output could not be shortened. Don't run it again only for this.",
    )
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
