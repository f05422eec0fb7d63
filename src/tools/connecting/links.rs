//! Links to pages on which users connect apps: what is known of each is a sealed note in the store, so that any replica serves
//! them. Links themselves are short names that nobody can guess, for models copy long texts with mistakes.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::{
    config,
    error::Error,
    seal::Sealer,
    secret::Secret,
    store::{SessionStore, runs::Digest},
};

/// Link to a page on which a user connects an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Workspace of the user who asked.
    pub workspace: String,
    /// User who asked.
    pub user: String,
    /// Name of the app, for people.
    pub app: String,
    /// Whether an account that was lost is connected again.
    pub is_again: bool,
    /// Page of the upstream.
    pub url: String,
    /// Id of the request for a connection, where the upstream has one.
    pub request: Option<String>,
    /// Time at which the link was made, in seconds since 1970.
    pub at: u64,
    /// Address of this server to which its user comes back from signing in. None for users who need have no login at the
    /// upstream.
    #[serde(default)]
    pub signs_in_at: Option<String>,
}

/// Use that was made of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkUse {
    /// Its user has gone on to the upstream's page.
    Opened,
    /// Its user has said no.
    Declined,
}

impl LinkUse {
    pub(in crate::tools) fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Declined => "declined",
        }
    }

    pub(in crate::tools) fn parse(text: &str) -> Self {
        if text == Self::Declined.as_str() { Self::Declined } else { Self::Opened }
    }
}

/// Key with which links and states are sealed.
pub(in crate::tools) struct Seals {
    secret: Option<Secret>,
    sealer: OnceCell<Rc<Sealer>>,
}

impl Seals {
    /// Returns the key of the settings, or nothing yet.
    pub(in crate::tools) fn new(settings: &config::Auth) -> Self {
        let given = [&settings.seal_key, &settings.workspace_secret].into_iter().find(|secret| !secret.is_empty());
        Self { secret: given.cloned(), sealer: OnceCell::new() }
    }

    /// Returns the sealer. A key that the settings don't give is drawn once for all replicas, and kept in their store.
    pub(in crate::tools) async fn get(&self, store: &dyn SessionStore) -> Result<Rc<Sealer>, Error> {
        let sealer = self.sealer.get_or_try_init(async || {
            if let Some(secret) = &self.secret {
                return Ok(Rc::new(Sealer::new(secret)));
            }
            let drawn = Sealer::draw_secret().ok_or(Error::Internal)?;
            let claim = store.claim_note(Digest::of(&["seal-key"]), drawn.reveal().to_owned(), None);
            let secret = claim.await?.map_or(drawn, |kept| Secret::new(&kept));
            Ok::<_, Error>(Rc::new(Sealer::new(&secret)))
        });
        sealer.await.cloned()
    }
}
