//! Reading on in the output of an earlier call, instead of calling again.

use super::ToolService;
use crate::{
    ids::ToolName,
    membrane::Catalog,
    protocol::{revision::Era, tools::CallToolResult},
    store::outputs::OutputId,
    tools::{
        Scope, View,
        governor::{Governor, Rest},
        output::Limit,
        run_tools,
    },
};

impl ToolService {
    /// Reads on in an output that is kept, where the URL lets its user see the tool that gave it.
    pub(super) async fn read_on(
        &self,
        view: &View,
        catalog: &Catalog,
        id: OutputId,
        asked: &run_tools::Arguments,
    ) -> CallToolResult {
        let asked = match asked.asked() {
            Ok(asked) => asked,
            Err(fault) => return CallToolResult::failure(format!("Invalid arguments: {fault}")),
        };
        let (pool, outputs) = (self.0.client.upstream().pool(), &self.0.outputs);
        let kept = match outputs.read(pool, view.caller.user().clone(), id).await {
            Ok(kept) => kept.and_then(|(tool, json)| Some((catalog.find(&ToolName::new(&tool))?, json))),
            Err(_logged) => {
                return CallToolResult::failure("Kept outputs can't be read at the moment: try again later.");
            }
        };
        let Some((tool, json)) = kept else {
            let text = format!("There is no output {id}, or no longer: outputs are kept for {} s.", outputs.seconds());
            return CallToolResult::failure(text);
        };
        let governor = Governor { limit: self.limit(&view.scope), asked, rest: Rest::Kept(id) };
        governor.apply(pool, tool, Era::Legacy, CallToolResult::text(json)).await
    }

    /// Returns the limit of outputs that a URL sets.
    pub(super) fn limit(&self, scope: &Scope) -> Limit {
        Limit::from_tokens(scope.output_tokens.unwrap_or(self.0.output_tokens))
    }
}
