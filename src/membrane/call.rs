//! Calling a tool: arguments checked, the action run, its output made a result.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Caller, MembraneClient, MembraneError,
    check::Unchecked,
    pool::LARGE,
    tool::{Side, Tool},
};
use crate::protocol::{json, revision::Era, schema, tools::CallToolResult};

/// Outcome of a call.
#[derive(Debug)]
pub struct Called {
    /// Result for the client, a failure of the tool included.
    pub result: CallToolResult,
    /// The upstream no longer accepts the caller's token.
    pub token_refused: bool,
}

/// Memory that a value takes as a tree while it is checked.
const MAX_TREE_BYTES: usize = 4 << 20;

/// Time that a large value waits for its check: one takes some 50 ms, and an unchecked call is better than a late one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Calls `tool` with `arguments`, a JSON object that reaches the upstream exactly as it is.
///
/// Whatever fails from here on is a result the model can read (MCP 2025-11-25, server/tools § Error Handling).
pub async fn call(
    client: &MembraneClient,
    caller: &Caller,
    tool: &Arc<Tool>,
    arguments: Box<RawValue>,
    era: Era,
) -> Called {
    let input = match input(client, tool, arguments).await {
        Ok(input) => input,
        Err(fault) => {
            let text = format!("Invalid arguments for tool {}: {fault}", tool.name());
            return Called { result: CallToolResult::failure(text), token_refused: false };
        }
    };
    let run = client.run(caller, tool.integration(), tool.action(), input).await;
    Called {
        token_refused: run.as_ref().is_err_and(MembraneError::is_unauthenticated),
        result: match run {
            Ok(output) => success(client, tool, output, era).await,
            Err(error) => failure(tool, &error),
        },
    }
}

/// Returns the input of the action, if the arguments are right.
async fn input(client: &MembraneClient, tool: &Arc<Tool>, arguments: Box<RawValue>) -> Result<Box<RawValue>, String> {
    #[derive(Deserialize)]
    struct Wrapped {
        input: Box<RawValue>,
    }
    // From here on arguments have the action's own names.
    let arguments = tool.aliases().restore(&arguments).unwrap_or(arguments);
    check(client, tool, Side::Input, &arguments).await?;
    if !tool.is_wrapped() {
        return Ok(arguments);
    }
    json::read::<Wrapped>(&arguments)
        .map(|arguments| arguments.input)
        .map_err(|_missing| format!("/: \"{}\" is a required property", schema::WRAPPED))
}

/// Checks a value against a schema of the tool: a large one beside the workers, and one that is too large not at all.
///
/// # Errors
/// What is wrong, with the path.
async fn check(client: &MembraneClient, tool: &Arc<Tool>, side: Side, value: &RawValue) -> Result<(), String> {
    let Some(check) = tool.check_of(side) else { return Ok(()) };
    if json::is_tree_larger_than(value.get().as_bytes(), MAX_TREE_BYTES) {
        Unchecked::Size.note(tool.name());
        return Ok(());
    }
    if value.get().len() <= LARGE && !check.is_slow() {
        return check.check_raw(tool.name(), value);
    }
    let (of, value) = (Arc::clone(tool), value.to_owned());
    let work = move || of.check_of(side).map_or(Ok(()), |check| check.check_raw(of.name(), &value));
    client.upstream().pool.run_within(PATIENCE, work).await.unwrap_or_else(|| {
        Unchecked::Busy.note(tool.name());
        Ok(())
    })
}

async fn success(client: &MembraneClient, tool: &Arc<Tool>, output: Option<Box<RawValue>>, era: Era) -> CallToolResult {
    let text = output.as_deref().map_or_else(|| "No output".to_owned(), json::compact);
    if !tool.has_output_schema(era) {
        return CallToolResult::text(text);
    }
    // A structured result must conform to the schema that was announced (MCP 2025-11-25, server/tools § Output Schema),
    // and clients refuse a result without one.
    let fault = match &output {
        Some(output) => check(client, tool, Side::Output, output).await.err(),
        None => Some("there is none".to_owned()),
    };
    match (fault, output) {
        (None, Some(output)) => CallToolResult::text(text).and_structured(output),
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
