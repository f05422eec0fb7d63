//! Calling a tool: arguments checked, the action run, its output made a result.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Caller, MembraneClient, MembraneError,
    check::{Checked, Unchecked},
    error::RunOutcome,
    pool::LARGE,
    tool::Tool,
};
use crate::protocol::{
    conform::conform,
    json,
    mend::Mended,
    refusal::schema_in_short,
    revision::Era,
    schema,
    tools::{CallToolResult, NO_OUTPUT},
};

/// Outcome of a call.
#[derive(Debug)]
pub struct Called {
    /// Result for the client, a failure of the tool included.
    pub result: CallToolResult,
    /// The upstream no longer accepts the caller's token.
    pub token_refused: bool,
    /// Whether the action was run.
    pub ran: Ran,
    /// Whether the app's account is missing or lost.
    pub account: AccountFault,
}

/// Fault of the account that a call was to be run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountFault {
    /// No fault of the account is known.
    Fine,
    /// The call was refused as it may be where no account is connected.
    PerhapsMissing,
    /// The upstream has not found something, as where no account is connected.
    ProbablyMissing,
    /// Its credentials are lost, so that nothing was run.
    Lost,
}

/// Account on which a call acts.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Id of its connection, where the app has several; else the upstream takes the only one.
    pub connection: Option<String>,
    /// Name of the account, where the result has to say which was used.
    pub account: Option<String>,
    /// Words for the model, where the user has to connect the account again.
    pub lost: Option<String>,
}

/// Whether an action was run, as far as the upstream has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Not run: arguments were wrong, the upstream could not be asked, or did not let it run.
    No,
    /// Run, with whatever result.
    Yes,
    /// Perhaps run: the answer was lost.
    Unknown,
}

/// Memory that a value takes as a tree while it is checked.
const MAX_TREE_BYTES: usize = 4 << 20;

/// Time that a large value waits for its check: one takes some 50 ms, and an unchecked call is better than a late one.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Calls `tool` with arguments that reach the upstream exactly as they are, or repaired where they are wrong.
///
/// Whatever fails from here on is a result the model can read (MCP 2025-11-25, server/tools § Error Handling). A run that
/// has succeeded is a success, whatever its output: a model that took it for a failure would run it again.
pub async fn call(
    client: &MembraneClient,
    caller: &Caller,
    tool: &Arc<Tool>,
    target: &Target,
    arguments: Box<RawValue>,
    era: Era,
) -> Called {
    let Input { json, mended } = match input(client, tool, arguments).await {
        Ok(input) => input,
        Err(faults) => {
            let result = refusal(tool, &faults);
            return Called { result, token_refused: false, ran: Ran::No, account: AccountFault::Fine };
        }
    };
    let run = client.run(caller, tool.integration(), tool.action(), target.connection.as_deref(), json).await;
    let token_refused = run.as_ref().is_err_and(MembraneError::is_unauthenticated);
    let account = run.as_ref().err().map_or(AccountFault::Fine, |error| account(target, error));
    let ran = match &run {
        _ if account == AccountFault::Lost => Ran::No,
        Ok(_) => Ran::Yes,
        // Refused before anything was run: by the token, by rights, or by a limit.
        Err(MembraneError::Refused(refusal)) if matches!(refusal.status, 401 | 403 | 429) => Ran::No,
        Err(error) => match error.run_outcome() {
            RunOutcome::NotRun => Ran::No,
            RunOutcome::Unknown => Ran::Unknown,
            RunOutcome::Told => Ran::Yes,
        },
    };
    let result = match run {
        Ok(output) => success(client, tool, output, era).await,
        Err(error) => failure(tool, target, &error),
    };
    Called { token_refused, ran, account, result: result.and_mended(mended).and_account(target.account.clone()) }
}

/// Keys of errors of a connection that works no more until the user has connected it again.
const LOST: [&str; 2] = ["access_token_expired", "connection_is_defunct"];

/// Returns what a failed run tells of the account that it needed.
fn account(target: &Target, error: &MembraneError) -> AccountFault {
    let MembraneError::Refused(refusal) = error else { return AccountFault::Fine };
    let is_of_connection = refusal.kind.as_deref() == Some("connection");
    if is_of_connection && refusal.key.as_deref().is_some_and(|key| LOST.contains(&key)) {
        return AccountFault::Lost;
    }
    match refusal.status {
        401 | 403 | 408 | 429 => AccountFault::Fine,
        400..=499 if target.lost.is_some() => AccountFault::Lost,
        404 if refusal.key.as_deref() == Some("not_found") => AccountFault::ProbablyMissing,
        400..=499 => AccountFault::PerhapsMissing,
        _ => AccountFault::Fine,
    }
}

/// Input of an action, as it is sent.
struct Input {
    json: Box<RawValue>,
    /// Repairs of the arguments.
    mended: Vec<String>,
}

/// Returns the input of the action, if the arguments are right, or can be.
async fn input(client: &MembraneClient, tool: &Arc<Tool>, arguments: Box<RawValue>) -> Result<Input, String> {
    #[derive(Deserialize)]
    struct Wrapped {
        input: Box<RawValue>,
    }
    // From here on arguments have the action's own names.
    let arguments = tool.aliases().restore(&arguments).unwrap_or(arguments);
    let (json, mended) = match check(client, tool, &arguments).await {
        Checked::Sound => (arguments, Vec::new()),
        Checked::Wrong(faults) => return Err(faults),
        Checked::Mended(Mended { json, notes }) => {
            (RawValue::from_string(json).map_err(|error| error.to_string())?, notes)
        }
    };
    if !tool.is_wrapped() {
        return Ok(Input { json, mended });
    }
    // Arguments that could not be checked come here as well, so that the member may be missing.
    let wrapped = json::read::<Wrapped>(&json);
    let wrapped = wrapped.map_err(|_missing| format!("/: \"{}\" is a required property", schema::WRAPPED))?;
    Ok(Input { json: wrapped.input, mended })
}

/// Checks arguments, and repairs them if need be: large ones beside the workers, and such that are too large not at all.
async fn check(client: &MembraneClient, tool: &Arc<Tool>, arguments: &RawValue) -> Checked {
    if json::is_tree_larger_than(arguments.get().as_bytes(), MAX_TREE_BYTES) {
        Unchecked::Size.note(tool.name());
        return Checked::Sound;
    }
    if arguments.get().len() <= LARGE && !tool.input().is_slow() {
        return tool.input().check_or_mend(tool.name(), arguments, tool.aliases());
    }
    let (of, arguments) = (Arc::clone(tool), arguments.to_owned());
    let work = move || of.input().check_or_mend(of.name(), &arguments, of.aliases());
    client.upstream().pool.run_within(TIMEOUT, work).await.unwrap_or_else(|| {
        Unchecked::Busy.note(tool.name());
        Checked::Sound
    })
}

/// Returns the result for arguments that are wrong, with all that is needed to send the right ones.
fn refusal(tool: &Tool, faults: &str) -> CallToolResult {
    let mut text = format!("Invalid arguments for tool {}: {faults}\nThe action was not run.", tool.name());
    if let Some(schema) = tool.input_schema().and_then(schema_in_short) {
        text.push_str("\nSchema of the arguments: ");
        text.push_str(&schema);
    }
    CallToolResult::failure(text)
}

/// Returns the result for an output. Where a schema was announced, the structured form conforms to it: clients refuse
/// results that have none (MCP 2025-11-25, server/tools § Output Schema).
async fn success(client: &MembraneClient, tool: &Arc<Tool>, output: Option<Box<RawValue>>, era: Era) -> CallToolResult {
    let (of, bytes) = (Arc::clone(tool), output.as_ref().map_or(0, |output| output.get().len()));
    let write = move || {
        let text = output.map(json::compact);
        let structured = of.output_schema(era).map(|published| conform(text.as_deref(), published));
        (text.unwrap_or_else(|| NO_OUTPUT.to_owned()), structured)
    };
    match client.upstream().pool.run(bytes, write).await {
        Some((text, Some(structured))) => CallToolResult::text(text).and_structured(structured),
        Some((text, None)) => CallToolResult::text(text),
        None => CallToolResult::failure(
            "The action was run, but its output could not be read. Don't run it again only for this.",
        ),
    }
}

/// Returns the result for a run that failed. All of it stands in one text: some clients show no other.
fn failure(tool: &Tool, target: &Target, error: &MembraneError) -> CallToolResult {
    if !matches!(error, MembraneError::Refused(_)) {
        log::warn!(tool = tool.name().as_str(); "a call has failed: {error}");
    }
    let text = match error {
        MembraneError::Refused(refusal) if refusal.has_words => {
            // Each line is marked, so that no text from outside can pass for one of the server's own.
            let words = refusal.in_full();
            let quoted: Vec<_> = words.lines().map(|line| format!("> {line}")).collect();
            format!("The run of {} failed. The app's answer, quoted:\n{}", tool.name(), quoted.join("\n"))
        }
        error => error.in_full(),
    };
    let outcome = match error.run_outcome() {
        RunOutcome::NotRun => Some("The action was not run.".to_owned()),
        RunOutcome::Unknown => Some("The action may have been run: look before you call again.".to_owned()),
        RunOutcome::Told => None,
    };
    let wait = match error {
        MembraneError::Refused(refusal) => match refusal.retry_after {
            Some(wait) => Some(format!("Try again in {} s.", whole_seconds(wait))),
            None if refusal.status == 429 => {
                Some("This is a limit on how often it may be called: try again later.".to_owned())
            }
            None => None,
        },
        _ => None,
    };
    let lines: Vec<_> = [Some(text), outcome, wait, target.lost.clone()].into_iter().flatten().collect();
    CallToolResult::failure(lines.join("\n"))
}

/// Returns a wait in seconds, rounded up: a call that comes too early is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
