//! Contenders as processes of their own, so that the processor time and the memory of each can be read.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What a child prints before its address.
pub const READY: &str = "listening on ";

/// A contender. Dropped, it is killed.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// Where it keeps what it writes; removed with it.
    folder: Option<PathBuf>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl Process {
    /// This program in another role.
    pub fn role(role: &str, arguments: &[String]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
            .args(["--role", role])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the role starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix(READY).and_then(|address| address.parse().ok());
        Self { child, address: address.expect("an address"), folder: None }
    }

    /// The server, with default settings but for where it listens, what it asks, and `settings`. Another build of it can be
    /// named by `BENCH_SERVER`.
    pub fn server(upstream: SocketAddr, settings: &[(&str, &str)]) -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("mcp-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let log = folder.join("log");
        let own = env!("CARGO_BIN_EXE_integration-app-mcp-server").to_owned();
        let child = Command::new(std::env::var("BENCH_SERVER").unwrap_or(own))
            .current_dir(&folder)
            .env_clear()
            .env("MCP__MEMBRANE__BASE_URL", format!("http://{upstream}"))
            .envs([("PORT", "0"), ("MCP__ADMIN__PORT", "0")])
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // The log is written for real, as a container's is.
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the server starts");
        let address = wait_for_address(&log);
        Self { child, address, folder: Some(folder) }
    }

    /// The time that all its threads have spent on a processor, to the nanosecond: what `stat` tells is a sample of it.
    pub fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let nanos = |stat: String| stat.split_whitespace().next()?.parse().ok();
        threads.filter_map(|thread| nanos(read(&thread.path().join("schedstat")))).map(Duration::from_nanos).sum()
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> f64 {
        let rollup = read(&PathBuf::from(format!("/proc/{}/smaps_rollup", self.child.id())));
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("the process runs")
    }

    /// What its memory settles at, in KiB: freed memory goes back with some delay.
    pub fn settled_memory(&self) -> f64 {
        let begun = Instant::now();
        let mut last = self.memory();
        loop {
            pause(Duration::from_millis(200));
            let now = self.memory();
            if (now - last).abs() < 64.0 || begun.elapsed() > Duration::from_secs(5) {
                return now;
            }
            last = now;
        }
    }
}

fn wait_for_address(log: &Path) -> SocketAddr {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let text = read(log);
        let line = text.lines().find_map(|line| line.split_once(READY)).map(|(_, rest)| rest);
        let address = line.and_then(|rest| rest.trim_start_matches("http://").split([' ', ',']).next()?.parse().ok());
        if let Some(address) = address {
            return address;
        }
        pause(Duration::from_millis(20));
    }
    panic!("the server does not listen: {}", read(log))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "no worker runs on this thread")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// In a role: tells where it listens, and ends with its parent.
pub fn announce(address: SocketAddr) {
    println!("{READY}{address}");
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
