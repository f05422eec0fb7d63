//! A Redis of a test's own.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Redis on a port of this machine, which keeps nothing. Dropped, it is killed.
pub struct Redis {
    process: Mutex<Child>,
    port: u16,
    password: Option<String>,
    /// Every command that it was given.
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Redis {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// With a password, of which it is asked for.
    pub fn start_with(password: Option<&str>) -> Self {
        let redis = Self::start_unwatched(password);
        redis.watch();
        redis
    }

    /// Without a memory of what it is given, which costs it time.
    pub fn start_unwatched(password: Option<&str>) -> Self {
        // Another process may be given the port before Redis has it.
        for _ in 0..8 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(redis) = Self::try_start(port, password.map(str::to_owned)) {
                return redis;
            }
        }
        panic!("redis-server does not start, which has to be installed");
    }

    fn try_start(port: u16, password: Option<String>) -> Option<Self> {
        let process = Mutex::new(spawn(port, password.as_deref()));
        let redis = Self { process, port, password, seen: Arc::default() };
        redis.is_up().then_some(redis)
    }

    /// Waits until it answers; it does not if it has ended.
    fn is_up(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.process().try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            if self.command("PING").is_some_and(|answer| answer == "+PONG") {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    /// A connection that has shown the password.
    pub fn connect(&self) -> Option<BufReader<TcpStream>> {
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).ok()?);
        if let Some(password) = &self.password {
            stream.get_mut().write_all(format!("AUTH {password}\r\n").as_bytes()).ok()?;
            stream.read_line(&mut String::new()).ok()?;
        }
        Some(stream)
    }

    /// The first line of what it answers to a command.
    pub fn command(&self, command: &str) -> Option<String> {
        let mut stream = self.connect()?;
        stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_line(&mut answer).ok()?;
        Some(answer.trim_end().to_owned())
    }

    /// What it answers to a command that gives a list of texts.
    pub fn lines(&self, command: &str) -> Vec<String> {
        let mut stream = self.connect().unwrap();
        stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut line = || {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let count = line()[1..].parse().unwrap();
        // Each has a line with its length before it.
        (0..count).map(|_| (line(), line()).1).collect()
    }

    /// Remembers every command from now on.
    fn watch(&self) {
        let mut stream = self.connect().unwrap();
        stream.get_mut().write_all(b"MONITOR\r\n").unwrap();
        let seen = Arc::clone(&self.seen);
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).append(&mut line);
            }
        });
    }

    /// The commands that it was given.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: &str) {
        let pid = self.process().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Has it answer nothing until it is to go on.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Ends it, and what it had is gone.
    pub fn kill(&self) {
        self.process().kill().unwrap();
        self.process().wait().unwrap();
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it again where it was, empty.
    pub fn restart(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "redis-server does not come back");
            *self.process() = spawn(self.port, self.password.as_deref());
            if self.is_up() {
                return self.watch();
            }
        }
    }
}

fn spawn(port: u16, password: Option<&str>) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    if let Some(password) = password {
        command.args(["--requirepass", password]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("redis-server is installed")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process().kill();
        let _ = self.process().wait();
    }
}
