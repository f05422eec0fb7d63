//! An upstream on bare sockets, whose every byte a test writes: over HTTP/1.1, plain or in TLS.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Request as the upstream read it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Without its query.
    pub path: String,
    /// User that the token names.
    pub user: String,
    /// Whether the token names a user and was not forged.
    pub is_good: bool,
    /// Value of `x-request-id`.
    pub id: String,
    pub body: Vec<u8>,
}

/// What the upstream does with a connection.
#[derive(Debug, Clone)]
pub enum Act {
    Send(Vec<u8>),
    /// Sends the bytes one by one.
    Dribble(Vec<u8>),
    /// Lets time pass between two things that it sends.
    Pause(Duration),
    /// Keeps bytes for [`RawUpstream::send_late`].
    Late(Vec<u8>),
    Close,
}

/// See the [module](self). Its tool is `app_do`; its output names its user and repeats the arguments.
pub struct RawUpstream {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<usize>,
    late: Mutex<Vec<(Connection, Vec<u8>)>>,
}

type Connection = Arc<Mutex<dyn Write + Send>>;
type Script = dyn Fn(&Asked) -> Vec<Act> + Send + Sync;

impl RawUpstream {
    /// Starts an upstream that does for each request what `script` says.
    pub fn start(script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::listen("http", None, Arc::new(script))
    }

    /// The same with TLS around it.
    pub fn start_tls(tls: ServerConfig, script: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::listen("https", Some(Arc::new(tls)), Arc::new(script))
    }

    fn listen(scheme: &str, tls: Option<Arc<ServerConfig>>, script: Arc<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, script, state) = (tls.clone(), Arc::clone(&script), Arc::clone(&shared));
                std::thread::spawn(move || {
                    // A connection that breaks is nothing to an upstream.
                    let _ = match tls {
                        None => serve_plain(stream, &script, &state),
                        Some(tls) => serve_tls(stream, tls, &script, &state),
                    };
                });
            }
        });
        Self { url, state }
    }

    /// Connections on which something was asked so far.
    pub fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Sends what was kept by [`Act::Late`]; it has arrived when this returns, for both ends are on one machine.
    pub fn send_late(&self) -> usize {
        let late = std::mem::take(&mut *self.state.late.lock().unwrap());
        let sent = late.iter().filter(|(connection, bytes)| {
            let mut connection = connection.lock().unwrap();
            connection.write_all(bytes).and_then(|()| connection.flush()).is_ok()
        });
        sent.count()
    }
}

fn serve_plain(stream: TcpStream, script: &Arc<Script>, state: &Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let write: Connection = Arc::new(Mutex::new(stream.try_clone()?));
    serve(&mut BufReader::new(stream), &write, script, state)
}

/// TLS takes one party for both directions, so that nothing can be written late here.
fn serve_tls(stream: TcpStream, tls: Arc<ServerConfig>, script: &Arc<Script>, state: &Arc<State>) -> io::Result<()> {
    struct Both(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>);
    impl Read for Both {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.lock().unwrap().read(bytes)
        }
    }
    stream.set_nodelay(true)?;
    let both = Arc::new(Mutex::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream)));
    let write: Connection = both.clone();
    serve(&mut BufReader::new(Both(both)), &write, script, state)
}

fn serve(read: &mut impl BufRead, write: &Connection, script: &Arc<Script>, state: &Arc<State>) -> io::Result<()> {
    let mut is_first = true;
    while let Some(asked) = read_request(read)? {
        if std::mem::take(&mut is_first) {
            *state.connections.lock().unwrap() += 1;
        }
        state.asked.lock().unwrap().push(asked.clone());
        for act in script(&asked) {
            let send = |bytes: &[u8]| {
                let mut write = write.lock().unwrap();
                write.write_all(bytes)?;
                write.flush()
            };
            match act {
                Act::Send(bytes) => send(&bytes)?,
                Act::Dribble(bytes) => bytes.chunks(1).try_for_each(send)?,
                #[expect(clippy::disallowed_methods, reason = "no worker runs on this thread")]
                Act::Pause(time) => std::thread::sleep(time),
                Act::Late(bytes) => state.late.lock().unwrap().push((Arc::clone(write), bytes)),
                Act::Close => return Ok(()),
            }
        }
    }
    Ok(())
}

fn read_request(read: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if read.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let (mut token, mut id, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        read.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.trim().trim_start_matches("Bearer ").clone_into(&mut token),
            "x-request-id" => value.trim().clone_into(&mut id),
            "content-length" => length = value.trim().parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body)?;
    let (user, is_good) = user_of(&token);
    Ok(Some(Asked { path, user, is_good, id, body }))
}

/// Returns the user that a token names, and whether it is none that was forged.
pub fn user_of(token: &str) -> (String, bool) {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap_or_default()).unwrap_or_default();
    let user = claims["id"].as_str().unwrap_or_default();
    (user.to_owned(), !user.is_empty() && claims["forged"] != true)
}

/// Status and body of the right answer to a request.
pub fn right_answer(path: &str, user: &str, is_good: bool, body: &[u8]) -> (u16, Value) {
    if !is_good {
        return (401, json!({"type": "bad_request", "key": "not_authenticated", "message": "no such token"}));
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let answer = match path {
        "/self" => json!({"id": format!("customer-{user}"), "internalId": user}),
        "/connections" => json!({"items": [{"id": "c", "integration": {"id": "i", "key": "app", "name": user}}]}),
        "/actions" => json!({"items": [{"key": "do", "name": format!("Do for {user}"), "integrationId": "i"}]}),
        _ => json!({"output": {"user": user, "input": body}}),
    };
    (200, answer)
}

impl Asked {
    /// The right answer, as it goes over the wire.
    pub fn answer(&self) -> Vec<u8> {
        self.answer_with("")
    }

    /// The same with another header line.
    pub fn answer_with(&self, header: &str) -> Vec<u8> {
        let (status, body) = right_answer(&self.path, &self.user, self.is_good, &self.body);
        response(status, header, &body)
    }
}

/// A response with a JSON body.
pub fn response(status: u16, header: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{header}\r\n{body}", body.len()).into_bytes()
}
