//! Preparation of a call: it is taken from the user's limits, its tool is found, and its audit line is opened.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::ToolService;
use crate::{
    error::Error,
    ids::ToolName,
    membrane::{Caller, Catalog, Tool, call::Target},
    protocol::{request::CallTool, tools::CallToolResult},
    search::Access,
    store::outputs::OutputId,
    tools::{
        Builtin, MaybeReady, Origin, View,
        accounts::{OfApp, aim},
        audit::Audit,
        builtin::read_arguments,
        call::{Begun, ReadyCall, RunOptions, What},
        connecting::{Asking, Wanted},
        find::{find_forgiving, unknown_tool},
        mode, run_tools,
    },
    user_limits::CallLimit,
};

impl ToolService {
    /// Prepares a call: takes it from the limits of calls that run at once and of the user's calls a second, and finds the tool.
    ///
    /// # Errors
    /// [`Error::TooManyCalls`], the reasons why there is no such tool, and a state that is not of this call.
    pub fn prepare(
        &self,
        view: View,
        limit: &CallLimit,
        origin: Origin,
        call: CallTool,
    ) -> MaybeReady<Result<ReadyCall, Error>> {
        let asking = Asking::new(origin.ask_by, Arc::clone(&origin.site), &call);
        let mut audit = self.audit(origin, &view.caller, &call);
        let running = match limit.begin() {
            Ok(running) => running,
            Err(error) => {
                audit.refuse(&error);
                return MaybeReady::Now(Err(error));
            }
        };
        let begun = Begun { came_as_text: call.came_as_text, view, asking, audit, running };
        let user_limits = Arc::clone(begun.view.caller.user_limits());
        if let Some(taken) = user_limits.call() {
            return self.counted(begun, call, taken);
        }
        let this = self.clone();
        // Other servers have to be asked, for which the call waits and nothing else does.
        MaybeReady::Later(Box::pin(async move {
            let taken = user_limits.call_of_fleet().await;
            this.counted(begun, call, taken).get().await
        }))
    }

    /// Prepares a call that was taken from the user's calls a second, or refused with the seconds to wait.
    fn counted(
        &self,
        mut begun: Begun,
        mut call: CallTool,
        taken: Result<(), u64>,
    ) -> MaybeReady<Result<ReadyCall, Error>> {
        if let Err(wait_s) = taken {
            return MaybeReady::Now(Ok(
                begun.ready(What::Nothing(Some(CallToolResult::too_many(wait_s))), call.arguments)
            ));
        }
        let Some(resume) = call.resume.take() else { return self.ready(begun, call) };
        let this = self.clone();
        MaybeReady::Later(Box::pin(async move {
            let resumed = this.reopen(begun.view.caller.user(), &begun.asking, resume, call.clone()).await;
            let resumed = resumed.inspect_err(|error| begun.audit.refuse(error))?;
            // As far as the tool is there already, for its headers. The call is prepared again once its account is connected.
            let what = match mode::builtin(begun.view.scope.mode, &call.name) {
                Some(builtin) => What::Builtin(builtin),
                None => match this.find(&begun.view, call.name).get().await {
                    Ok(tool) => What::Tool(tool),
                    Err(_not_yet) => What::Nothing(None),
                },
            };
            Ok(ReadyCall { resumed: Some(Box::new(resumed)), ..begun.ready(what, call.arguments) })
        }))
    }

    /// Finds the tool of a call that has begun.
    pub(super) fn ready(&self, mut begun: Begun, call: CallTool) -> MaybeReady<Result<ReadyCall, Error>> {
        let CallTool { name, arguments, .. } = call;
        match mode::builtin(begun.view.scope.mode, &name) {
            Some(runner @ (Builtin::RunReadTool | Builtin::RunWriteTool)) => {
                let (this, mut call) = (self.clone(), begun.ready(What::Builtin(runner), arguments));
                MaybeReady::Later(Box::pin(async move {
                    let found = this.find_for_runner(runner, &call).await;
                    match found.inspect_err(|error| call.audit.refuse(error))? {
                        Ok((tool, arguments, options)) => {
                            call.audit.becomes(tool.name(), &arguments);
                            Ok(ReadyCall { what: What::Tool(tool), arguments, options, ..call })
                        }
                        Err(what) => Ok(ReadyCall { what, ..call }),
                    }
                }))
            }
            Some(builtin) => MaybeReady::Now(Ok(begun.ready(What::Builtin(builtin), arguments))),
            None => match self.find_with_accounts(&begun.view, name) {
                MaybeReady::Now(Ok(found)) => MaybeReady::Now(Ok(self.aimed(begun, found, arguments))),
                found => {
                    let this = self.clone();
                    MaybeReady::Later(Box::pin(async move {
                        match found.get().await {
                            Ok(found) => Ok(this.aimed(begun, found, arguments)),
                            Err(error) => {
                                if let Some(what) = this.disconnected(&begun.view, &error).await {
                                    return Ok(begun.ready(what, arguments));
                                }
                                begun.audit.refuse(&error);
                                Err(error)
                            }
                        }
                    }))
                }
            },
        }
    }

    /// Aims a direct call at an account; one that can't be aimed is told why.
    fn aimed(&self, begun: Begun, (tool, of_app): (Arc<Tool>, Option<OfApp>), arguments: Box<RawValue>) -> ReadyCall {
        let aimed = match &of_app {
            Some(of_app) => aim(&tool, of_app, None, arguments, self.0.on_ambiguous),
            None => Ok((Target::default(), arguments)),
        };
        match aimed {
            Ok((target, arguments)) => {
                let options = RunOptions { target, ..RunOptions::default() };
                ReadyCall { options, ..begun.ready(What::Tool(tool), arguments) }
            }
            Err(refused) => begun.ready(What::Nothing(Some(refused)), RawValue::NULL.to_owned()),
        }
    }

    /// Returns the app of a tool that is gone because its app was disconnected: its user may connect it again.
    async fn disconnected(&self, view: &View, error: &Error) -> Option<What> {
        let Error::ToolGone { name, .. } = error else { return None };
        let catalog = self.catalog(&view.caller, &view.scope).get().await.ok()?;
        gone_with_app(&catalog, name)
    }

    /// Finds the tool that a runner is asked to run, with the arguments for it; or what is done in place of that.
    async fn find_for_runner(
        &self,
        runner: Builtin,
        call: &ReadyCall,
    ) -> Result<Result<(Arc<Tool>, Box<RawValue>, RunOptions), What>, Error> {
        let refuse = |refused: CallToolResult| Ok(Err(What::Nothing(Some(refused))));
        let asked: run_tools::Arguments = match read_arguments(runner, &call.arguments) {
            Ok(asked) => asked,
            Err(refused) => return refuse(refused),
        };
        let catalog = self.catalog(&call.view.caller, &call.view.scope).get().await?;
        if let Some(id) = OutputId::parse(&asked.name) {
            return refuse(self.read_on(&call.view, &catalog, id, &asked).await);
        }
        let Some(tool) = find_forgiving(&catalog, &asked.name) else {
            return match gone_with_app(&catalog, &ToolName::new(&asked.name)) {
                Some(gone) => Ok(Err(gone)),
                None => refuse(unknown_tool(&catalog, &asked.name)),
            };
        };
        if runner == Builtin::RunReadTool && tool.access() == Access::Write {
            let text = format!("{} writes, so run-read-tool does not run it. run-write-tool does.", tool.name());
            return refuse(CallToolResult::failure(text));
        }
        let of_tool = asked.of_tool().and_then(|arguments| Ok((arguments, asked.options(runner, tool.access())?)));
        let (arguments, options) = match of_tool {
            Ok(of_tool) => of_tool,
            Err(fault) => {
                return refuse(CallToolResult::failure(format!("Invalid arguments for {}: {fault}", runner.name())));
            }
        };
        let of_app = OfApp::of(&catalog, tool);
        match aim(tool, &of_app, asked.account.as_deref(), arguments, self.0.on_ambiguous) {
            Ok((target, arguments)) => Ok(Ok((Arc::clone(tool), arguments, RunOptions { target, ..options }))),
            Err(refused) => refuse(refused),
        }
    }

    /// Begins the audit line of a call that may be refused before anything is prepared.
    #[must_use]
    pub fn audit(&self, origin: Origin, caller: &Caller, call: &CallTool) -> Audit {
        Audit::begin(origin, caller.user().clone(), call, self.0.audits_arguments)
    }
}

/// Returns what a call of a tool does that is gone with its app; nothing where it is not gone so.
fn gone_with_app(catalog: &Catalog, name: &ToolName) -> Option<What> {
    let wanted = Wanted::of(catalog.gone_app(name)?);
    Some(What::Disconnected { wanted, tool: name.clone() })
}
