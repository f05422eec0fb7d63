//! The actions of one app, read to the end of their list and made into tools.

use std::sync::Arc;

use super::{
    MembraneClient, MembraneError,
    app_tools::AppTools,
    kept::Place,
    lists::{ActionsOf, Reader},
    model::Action,
    reading::broken_work,
    tool::{App, Tool},
};

/// The tools of an app as one user's token was told of them.
#[derive(Debug, Clone)]
pub struct AppList {
    /// Tools of the app, with the names that the keys alone give.
    pub tools: Arc<AppTools>,
    /// Place at which its actions are kept, where they are.
    pub place: Option<Place>,
    /// Whether an action among them belongs to one user, so that the list may be no other user's.
    pub is_personal: bool,
}

/// Reads the actions of an app and makes them into tools, which are shared in memory with users who have the same.
///
/// # Errors
/// [`MembraneError`].
pub async fn read_app(
    client: &MembraneClient,
    reader: &Reader,
    of: &ActionsOf,
    app: &App,
) -> Result<AppList, MembraneError> {
    let actions = client.actions(reader, of).await?;
    let is_personal = actions.iter().any(Action::is_personal);
    let (bytes, app) = (actions.iter().map(Action::schema_bytes).sum(), app.clone());
    let upstream = client.upstream();
    let keeper = upstream.keeper.clone();
    let build = move || {
        let packed = keeper.and_then(|keeper| keeper.pack(&app, &actions));
        // Each action is dropped as its tool is there.
        let tools = actions.into_iter().filter_map(|action| Tool::of(&app, &action)).collect();
        (AppTools::new(&app, tools), packed)
    };
    let (tools, packed) = upstream.pool.run(bytes, build).await.ok_or_else(broken_work)?;
    let place = packed.as_ref().map(|packed| packed.place);
    if let (Some(keeper), Some(packed)) = (&upstream.keeper, packed) {
        keeper.keep_app(packed);
    }
    Ok(AppList { tools: upstream.tools.share(tools), place, is_personal })
}
