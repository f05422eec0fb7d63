//! Calling a tool: arguments checked, the action run, its output made a result.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Caller, MembraneClient, MembraneError, tool::Tool};
use crate::protocol::{json, revision::Era, schema, tools::CallToolResult};

/// What became of a call.
#[derive(Debug)]
pub struct Called {
    /// What to tell the client.
    pub result: CallToolResult,
    /// The upstream no longer accepts the caller's token.
    pub token_refused: bool,
}

/// Calls `tool` with `arguments`, a JSON object that reaches the upstream exactly as it is.
///
/// Whatever fails from here on is a result the model can read (MCP 2025-11-25, server/tools § Error Handling).
pub async fn call(client: &MembraneClient, caller: &Caller, tool: &Tool, arguments: &RawValue, era: Era) -> Called {
    let input = match input(tool, arguments) {
        Ok(input) => input,
        Err(fault) => {
            let text = format!("Invalid arguments for tool {}: {fault}", tool.name());
            return Called { result: CallToolResult::failure(text), token_refused: false };
        }
    };
    let run = client.run(caller, tool.integration(), tool.action(), &input).await;
    Called {
        token_refused: run.as_ref().is_err_and(MembraneError::is_unauthenticated),
        result: match run {
            Ok(output) => success(tool, output.as_deref(), era),
            Err(error) => failure(tool, &error),
        },
    }
}

/// The input of the action, if the arguments are right.
fn input(tool: &Tool, arguments: &RawValue) -> Result<Box<RawValue>, String> {
    #[derive(Deserialize)]
    struct Wrapped {
        input: Box<RawValue>,
    }
    let value: Value = json::read(arguments).map_err(|error| error.to_string())?;
    tool.check_arguments(&value)?;
    if !tool.is_wrapped() {
        return Ok(arguments.to_owned());
    }
    json::read::<Wrapped>(arguments)
        .map(|arguments| arguments.input)
        .map_err(|_missing| format!("/: \"{}\" is a required property", schema::WRAPPED))
}

fn success(tool: &Tool, output: Option<&RawValue>, era: Era) -> CallToolResult {
    let text = output.map_or_else(|| "No output".to_owned(), json::compact);
    if !tool.has_output_schema(era) {
        return CallToolResult::text(text);
    }
    // A structured result must conform to the schema that was announced (MCP 2025-11-25, server/tools § Output Schema),
    // and clients refuse a result without one.
    let fault = match output.map(json::read::<Value>) {
        Some(Ok(value)) => tool.check_output(&value).err(),
        Some(Err(error)) => Some(error.to_string()),
        None => Some("there is none".to_owned()),
    };
    match (fault, output) {
        (None, Some(output)) => CallToolResult::text(text).and_structured(output.to_owned()),
        (fault, _) => CallToolResult::failure(format!(
            "The action was run, but its output is not what its schema says: {}. The output follows; don't run the action \
             again only for this.",
            fault.unwrap_or_default()
        ))
        .and_text(text),
    }
}

fn failure(tool: &Tool, error: &MembraneError) -> CallToolResult {
    if !matches!(error, MembraneError::Refused(_)) {
        log::warn!(tool = tool.name().as_str(); "a call has failed: {error}");
    }
    let mut text = error.in_full();
    if let Some(app) = tool.reconnect() {
        text = format!("{text}\n{app} is disconnected: the user has to connect it again.");
    }
    CallToolResult::failure(text)
}
