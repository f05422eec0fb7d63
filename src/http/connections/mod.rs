//! Connections of clients: a deadline for each phase of each, and room for new ones.
//!
//! actix-http bounds the first head of a connection and the time between two requests. A later head, the rest of a body
//! after its answer, and a client that reads nothing could hold a connection for ever. So `stream` sees each read and
//! write, `exchange` sees where requests begin and end, and one task for each worker closes the connections whose time
//! is over. A timer for each connection would have to be set anew for each phase of each request.

mod connection;
mod exchange;
mod ledger;
mod stream;
mod traffic;
mod upgrade;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::poll_fn,
    rc::Rc,
    time::Duration,
};

use actix_http::{HttpService, Protocol, Request, Response, body::MessageBody, error::DispatchError};
use actix_service::{IntoServiceFactory, ServiceFactory, apply_fn_factory, map_config};
use actix_web::{Error, dev::AppConfig, rt::net::TcpStream};
use metrics::counter;

pub use connection::Connection;
use connection::Reason;
use exchange::attend;
use ledger::Ledger;
pub use ledger::Limits;
use stream::Watched;
use traffic::Stage;
pub use traffic::Traffic;

/// Socket write buffer. Every write wakes the client, so a large list should need few; an idle connection keeps at most this
/// much.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// Longest time that a client may go on with a body after an answer that does not want it. A connection that is closed while
/// more arrives is reset, and a client that has not read the answer by then loses it.
const LINGER: Duration = Duration::from_secs(5);

/// Share of a worker's connections that are closed together when places are short: a search for each new one would cost more
/// than the one that is wanted.
const ROOM: usize = 16;

/// The connections of one worker.
struct Connections {
    ledger: Rc<Ledger>,
    open: RefCell<HashMap<u64, Rc<Connection>>>,
    /// Number of connections opened so far.
    opened: Cell<u64>,
}

/// A connection on the list. Dropped, it is off.
struct Listed {
    number: u64,
    connection: Rc<Connection>,
    list: Rc<Connections>,
}

impl Connections {
    /// Starts to look after the connections of the worker that runs on this thread.
    fn start(limits: Limits, traffic: Traffic) -> Rc<Self> {
        let this = Rc::new(Self {
            ledger: Rc::new(Ledger::new(limits, traffic)),
            open: RefCell::default(),
            opened: Cell::default(),
        });
        let looked_after = Rc::clone(&this);
        actix_web::rt::spawn(async move {
            let mut beat = tokio::time::interval(looked_after.ledger.beat());
            loop {
                beat.tick().await;
                looked_after.ledger.note_time();
                looked_after.close_overdue();
            }
        });
        this
    }

    fn close_overdue(&self) {
        for connection in self.open.borrow().values() {
            if let Some(reason) = connection.fault() {
                connection.cut(reason);
            }
        }
    }

    /// Takes in a new connection, if there is a place for it or one can be made.
    fn admit(self: &Rc<Self>) -> Option<Listed> {
        let taken = self.open.borrow().len() - self.ledger.leaving();
        let is_full = taken >= self.ledger.limits().per_worker;
        if self.ledger.stage() == Stage::Closing || (is_full && !self.make_room()) {
            return None;
        }
        let number = self.opened.replace(self.opened.get() + 1);
        let connection = Rc::new(Connection::new(Rc::clone(&self.ledger)));
        self.open.borrow_mut().insert(number, Rc::clone(&connection));
        self.ledger.count_connection(true);
        Some(Listed { number, connection, list: Rc::clone(self) })
    }

    /// Closes the connections that matter least, and have been so for longest.
    fn make_room(&self) -> bool {
        let open = self.open.borrow();
        let candidates = open.iter().filter(|(_, connection)| !connection.is_cut());
        let mut candidates: Vec<_> =
            candidates.filter_map(|(number, connection)| Some((connection.rank()?, *number, connection))).collect();
        let wanted = (self.ledger.limits().per_worker / ROOM).max(1);
        if candidates.len() > wanted {
            candidates.select_nth_unstable_by_key(wanted - 1, |(rank, number, _)| (*rank, *number));
            candidates.truncate(wanted);
        }
        for (.., connection) in &candidates {
            connection.cut(Reason::Room);
        }
        !candidates.is_empty()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Connections { open, ledger, .. } = &*self.list;
        open.borrow_mut().remove(&self.number);
        ledger.count_connection(false);
        if self.connection.is_cut() {
            ledger.count_leaving(false);
        }
    }
}

/// Returns the service of a listener on one worker's thread: `app`, on connections that are looked after.
pub fn serve<A, S, B>(
    app: A,
    limits: Limits,
    traffic: Traffic,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Error = Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    B: MessageBody + Unpin + 'static,
{
    let connections = Connections::start(limits, traffic);
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    let http = HttpService::build()
        .keep_alive(limits.keep_alive)
        .client_request_timeout(limits.request)
        .client_disconnect_timeout(LINGER.min(limits.request))
        // A client that has gone must be noticed while its stream is idle.
        .h1_allow_half_closed(false)
        .h1_write_buffer_size(WRITE_BUFFER_BYTES)
        .on_connect_ext(|stream: &Watched, data| {
            data.insert(Rc::clone(stream.connection()));
        })
        .finish(apply_fn_factory(app, attend));
    apply_fn_factory(http, move |stream: TcpStream, http: &_| {
        let listed = connections.admit();
        if listed.is_none() {
            counter!("mcp_connections_closed_total", "reason" => "full").increment(1);
        }
        let served = listed.map(|listed| {
            // An answer in pieces must not wait for the other side's delayed acknowledgement. A stream that has ended already
            // shows at the first read.
            let _ = stream.set_nodelay(true);
            let peer = stream.peer_addr().ok();
            let stream = Watched::new(stream, Rc::clone(&listed.connection));
            (actix_service::Service::call(http, (stream, Protocol::Http1, peer)), listed)
        });
        async move {
            let Some((served, listed)) = served else { return Ok(()) };
            tokio::select! {
                biased;
                reason = poll_fn(|cx| listed.connection.poll_cut(cx)) => {
                    counter!("mcp_connections_closed_total", "reason" => reason.as_str()).increment(1);
                    Ok(())
                }
                ended = served => ended,
            }
        }
    })
}
