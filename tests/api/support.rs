//! Starts the binary and speaks to it.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use integration_app_mcp_server::signing;
use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};

pub use crate::client::{Client, Events, Reply, assert_error, reply_to};
use crate::{files::Folder, leaks};

/// The key of every test's sandbox.
pub const SECRET: &str = "the key of the tests' sandbox";

/// How long a test waits for what must come. Generous: only a failing test ever waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is about to be started.
pub struct ServerBuilder {
    command: Command,
    folder: Folder,
}

/// A server that runs. Dropped, it is killed.
pub struct Server {
    process: Child,
    log: Log,
    output: Log,
    /// Of the server, such as `http://127.0.0.1:1234`.
    pub url: String,
    /// Of its listener for operators.
    pub admin: String,
    /// Of the sandbox's API.
    pub sandbox: String,
    /// For requests of any kind.
    pub http: reqwest::Client,
    /// What was negotiated, by session.
    pub revisions: Mutex<HashMap<String, String>>,
    /// Where it keeps its sessions, unless a test says otherwise.
    folder: Folder,
}

/// What a process writes, as it comes.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    has_ended: bool,
}

impl Log {
    fn follow(&self, stream: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let (text, grown) = &*log.0;
                text.lock().unwrap().text.push_str(&(line + "\n"));
                grown.notify_all();
            }
            let (text, grown) = &*log.0;
            text.lock().unwrap().has_ended = true;
            grown.notify_all();
        });
    }

    /// Waits for a line that holds `text`, and gives the word that follows it, in either form of log.
    fn after(&self, text: &str) -> Option<String> {
        let find = |log: &Written| {
            let rest = log.text.split_once(text)?.1.trim_start_matches(['=', '"', ':']);
            rest.split_once(|c: char| c.is_whitespace() || c == '"').map(|(word, _)| word.to_owned())
        };
        let (log, grown) = &*self.0;
        let (log, _) = grown.wait_timeout_while(log.lock().unwrap(), PATIENCE, |log| find(log).is_none()).unwrap();
        find(&log)
    }

    fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    /// All that was written by a process that has ended.
    fn whole(&self) -> String {
        let (log, grown) = &*self.0;
        let (log, _) = grown.wait_timeout_while(log.lock().unwrap(), PATIENCE, |log| !log.has_ended).unwrap();
        log.text.clone()
    }
}

impl ServerBuilder {
    /// Sets a setting, such as `MCP__LOG__FORMAT`, or a constant, such as `MCP__TUNING__RETRIES`.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it within a limit of the system, as `ulimit` has it, such as `-n 4096`.
    pub fn limit(mut self, limit: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\"")).arg(self.command.get_program());
        command.args(self.command.get_args()).env_clear();
        command.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    pub fn start(mut self) -> Server {
        let mut process = self.command.spawn().expect("the binary starts");
        let (log, output) = (Log::default(), Log::default());
        log.follow(process.stderr.take().unwrap());
        output.follow(process.stdout.take().unwrap());
        let address = log.after("listening on ");
        let sandbox = address.is_some().then(|| log.after("upstream")).flatten();
        let admin = sandbox.is_some().then(|| log.after("metrics and health on ")).flatten();
        let (Some(url), Some(sandbox), Some(admin)) = (address, sandbox, admin) else {
            let _ = process.kill();
            panic!("the server did not start; its log:\n{}", log.text());
        };
        let (http, revisions) = (reqwest::Client::new(), Mutex::default());
        Server { process, log, output, url, admin, sandbox, http, revisions, folder: self.folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        leaks::assert_none(&self.metrics().unwrap_or_default(), "the metrics");
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Everything is logged, of every module.
        leaks::assert_none(self.log.whole().as_bytes(), "a log");
        for file in self.kept() {
            leaks::assert_none(&file, "what is kept");
        }
    }
}

/// The binary with a clean environment.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_integration-app-mcp-server"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command that has to end by itself.
pub fn finish(command: &mut Command) -> Output {
    let mut process = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("{command:?} does not end: {:?}", process.wait_with_output());
        }
        std::thread::yield_now();
    }
    process.wait_with_output().unwrap()
}

impl Server {
    /// A server with the sandbox.
    pub fn builder() -> ServerBuilder {
        let (mut command, folder) = (binary(), Folder::new());
        command
            .arg("--sandbox")
            .env("PORT", "0")
            .env("MCP__ADMIN__PORT", "0")
            .env("MCP__SANDBOX__SECRET", SECRET)
            // What the sandbox is asked, and how much at once, is what the test does.
            .env("MCP__OAUTH__ENABLED", "false")
            .env("MCP__STORE__PATH", folder.path())
            .env("MCP__LOG__FILTER", "trace");
        ServerBuilder { command, folder }
    }

    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server without the sandbox, for an upstream of the test's own.
    pub fn before(upstream: &str) -> ServerBuilder {
        let (mut command, folder) = (binary(), Folder::new());
        command
            .env("PORT", "0")
            .env("MCP__ADMIN__PORT", "0")
            .env("MCP__MEMBRANE__BASE_URL", upstream)
            // What a test's upstream is asked is what the test does.
            .env("MCP__OAUTH__ENABLED", "false")
            .env("MCP__STORE__PATH", folder.path())
            .env("MCP__LOG__FILTER", "trace");
        ServerBuilder { command, folder }
    }

    /// The metrics, unless it has ended.
    pub fn metrics(&self) -> io::Result<Vec<u8>> {
        let address = self.admin.strip_prefix("http://").unwrap_or_default();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .write_all(format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The most memory it has had so far, in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
    }

    /// The files in which it keeps its sessions.
    pub fn kept(&self) -> Vec<Vec<u8>> {
        self.folder.files()
    }

    /// Where it keeps its sessions, unless a test says otherwise.
    pub fn folder_path(&self) -> &Path {
        self.folder.path()
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// What it has printed, up to a line that holds `last`.
    pub fn printed(&self, last: &str) -> String {
        assert!(self.output.after(last).is_some(), "{last:?} is not printed:\n{}", self.output.text());
        self.output.text()
    }

    /// Waits until it has logged a line that holds `text`.
    pub fn wait_for_log(&self, text: &str) {
        assert!(self.log.after(text).is_some(), "{text:?} is missing in the log:\n{}", self.log());
    }

    /// A client of this user.
    pub fn client(&self, user: &str) -> Client<'_> {
        self.client_with(&token(user))
    }

    /// A client with this token, whatever it is.
    pub fn client_with(&self, token: &str) -> Client<'_> {
        Client { server: self, token: token.to_owned(), query: String::new(), session: None, headers: Vec::new() }
    }

    /// Sends a request to the sandbox itself, as `user`.
    pub async fn sandbox(&self, method: Method, path: &str, user: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.sandbox)).bearer_auth(token(user));
        let response = request.json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// What the sandbox has seen.
    pub async fn stats(&self) -> Value {
        self.sandbox(Method::GET, "/sandbox/stats", "tester", Value::Null).await
    }

    /// How many requests the sandbox has seen, by method and path such as `GET /connections`.
    pub async fn requests(&self, what: &str) -> u64 {
        self.stats().await["requests"][what].as_u64().unwrap_or(0)
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Has it do nothing until it is to go on.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Has it know that its terminal is gone, or that its logs were rotated.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Kills it (SIGKILL), and waits until nobody answers any more.
    pub fn kill(&self) {
        self.signal("-KILL");
        let address = self.url.strip_prefix("http://").unwrap();
        while TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.terminate();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.process.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() > deadline => panic!("it does not stop; its log:\n{}", self.log()),
                None => std::thread::yield_now(),
            }
        }
    }
}

/// The claims of a good token of `user`.
pub fn claims(user: &str) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({"id": user, "name": user, "iss": "sandbox", "exp": now + 3600})
}

/// A good token of `user`.
pub fn token(user: &str) -> String {
    sign(&claims(user), SECRET)
}

/// A token with these claims, signed with this key.
pub fn sign(claims: &Value, secret: &str) -> String {
    signing::install();
    let token = encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap();
    leaks::remember(&token);
    token
}

/// A token without a signature, as RFC 7519 § 6 allows them.
pub fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    let token = format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims));
    leaks::remember(&token);
    token
}

pub fn base64url(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Asks until the answer is yes.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: it never came to that");
        tokio::task::yield_now().await;
    }
}

/// Reads the apps of the sandbox's built-in catalog that every user has, as the files have them.
pub fn catalog() -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/sandbox");
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let mut apps: Vec<Value> = files
        .flat_map(|text| match serde_json::from_str(&text).unwrap() {
            Value::Array(apps) => apps,
            app => vec![app],
        })
        .filter(|app| app["extra"] != true)
        .collect();
    apps.sort_by_key(|app| app["integration"]["key"].as_str().unwrap().to_owned());
    apps
}
