//! Load of one catalog, which runs beside the mailbox of its actor and tells it what it finds on the way.

use std::{cell::Cell, pin::pin, rc::Rc, sync::Arc};

use actix::{Addr, Message};
use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::{MembraneActor, TokenChecked};
use crate::{
    membrane::{
        Catalog, MembraneClient, MembraneError,
        background::Pace,
        cache::CatalogKey,
        lists::Reader,
        load::{Known, LoadOptions, load_catalog},
        report::Report,
    },
    token::AccessToken,
};

/// Load that is about to begin.
pub(super) struct LoadTask {
    pub client: Rc<MembraneClient>,
    pub key: CatalogKey,
    /// Token to load with.
    pub token: AccessToken,
    /// Whether the upstream has accepted that token.
    pub is_proven: bool,
    pub options: LoadOptions,
    pub known: Known,
    pub pace: Rc<Pace>,
}

/// To the actor: the user's tools as they were kept before this process started, if they were.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CatalogThawed {
    pub key: CatalogKey,
    pub catalog: Option<Arc<Catalog>>,
}

/// To the actor: a load has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct CatalogLoaded {
    pub key: CatalogKey,
    pub outcome: Result<Arc<Catalog>, MembraneError>,
}

impl LoadTask {
    /// Loads the catalog, and tells the actor of the verdict on the token, of what was kept, and of the outcome.
    pub(super) async fn run(self, addr: Addr<MembraneActor>) {
        let Self { client, key, token, is_proven, options, known, pace } = self;
        let ((user, apps), thawed_key) = (key.clone(), key.clone());
        let given_up = Err(MembraneError::Broken("the load was given up".to_owned()));
        // Sent on drop, whatever ends the future: a load that the actor took to be on its way would keep the user's tools from
        // ever being loaded.
        let mut report = Report::new(addr.clone(), CatalogLoaded { key, outcome: given_up });
        let told = Cell::new(false);
        let reader = Reader::new(token.clone(), user.clone(), is_proven, options.max_bytes);
        let (accepted, thawed) = (Notify::new(), known.thawed.clone());
        let on_accepted = || {
            // Called for each page. The first answer is the verdict, long before the last page has come.
            if !told.replace(true) {
                reader.accept();
                accepted.notify_one();
                let token = token.fingerprint();
                addr.do_send(TokenChecked { token, verdict: Ok(user.clone()) });
            }
        };
        let load = async {
            let outcome = load_catalog(&client, &reader, &apps, options, known, &pace, on_accepted).await;
            // Whether or not it was: nobody is to wait for it any more.
            accepted.notify_one();
            outcome
        };
        let thaw = async {
            let Some(thawed) = thawed else { return };
            if !is_proven {
                accepted.notified().await;
            }
            // For a token that the upstream has accepted since the start, as everything is.
            if reader.is_accepted() {
                addr.do_send(CatalogThawed { key: thawed_key, catalog: thawed.await });
            }
        };
        let outcome = match select(pin!(load), pin!(thaw)).await {
            Either::Left((Ok(catalog), _)) => Ok(catalog),
            // What was kept must be there before a failure is told, which may come sooner than the store answers.
            Either::Left((Err(error), thaw)) => {
                thaw.await;
                Err(error)
            }
            Either::Right(((), load)) => load.await,
        };
        report.say(|loaded| loaded.outcome = outcome.map(Arc::new));
    }
}
