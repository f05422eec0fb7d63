//! A Redis Cluster of a test's own, or a Redis with Sentinels.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

/// How long it may take to start, or to fail over.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a server until the pipe to it is closed, which also happens when the test's process ends in any way.
const UNTIL_CLOSED: &str =
    "redis-server \"$@\" >/dev/null & echo $!; cat >/dev/null; kill -KILL $! 2>/dev/null; wait; rm -rf \"$0\"";

/// A server. Dropped, it is killed.
pub struct Node {
    pub port: u16,
    pid: String,
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Node {
    /// Starts a server in a folder of its own, which its options may need to know.
    fn start(port: u16, options: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = std::env::temp_dir().join(format!("mcp-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_CLOSED]).arg(&folder).args(options(&folder)).arg("--dir").arg(&folder);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pipe = shell.stdin.take();
        Self { port, pid: pid.trim().to_owned(), shell, pipe }
    }

    /// Sends a signal; tells whether the server is there to get it.
    fn signal(&self, signal: &str) -> bool {
        Command::new("kill").args([signal, &self.pid]).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Asks the server by a command, given by `redis-cli` with these options.
    fn ask(&self, cli: &[String], arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(cli).args(arguments).stderr(Stdio::null());
        let output = command.output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until the server answers; it does not if it has ended, since another process was given its port.
    fn is_up(&self, cli: &[String]) -> bool {
        while self.signal("-0") && self.ask(cli, &["PING"]) != "PONG" {}
        self.signal("-0")
    }

    fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        status.rsplit(") ").next().is_none_or(|state| state.starts_with('T'))
    }

    fn is_master(&self, cli: &[String]) -> bool {
        self.ask(cli, &["INFO", "replication"]).contains("role:master")
    }

    fn is_in_step(&self, cli: &[String]) -> bool {
        self.ask(cli, &["INFO", "replication"]).contains("master_link_status:up")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.shell.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for what servers do among themselves.
fn wait(what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "it does not come to it: {what}");
    }
}

/// How much a server has of what its master, or it itself, was told to write.
fn offset(node: &Node, cli: &[String]) -> u64 {
    let replication = node.ask(cli, &["INFO", "replication"]);
    let line = replication.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    line.unwrap().trim().parse().unwrap()
}

/// Options of a server at a port of this machine that keeps nothing on disk.
fn options(port: u16, others: &[&str]) -> Vec<String> {
    let port = port.to_string();
    // A replica is in step soon after its start.
    let own = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"];
    own.iter().chain(others).map(ToString::to_string).collect()
}

/// Three masters, each with so many replicas.
pub struct Cluster {
    nodes: Vec<Node>,
    /// Options by which `redis-cli` reaches them.
    cli: Vec<String>,
}

impl Cluster {
    pub fn start(replicas: usize) -> Self {
        Self::start_with(replicas, &[], &[])
    }

    /// With options of the servers, and of `redis-cli`.
    pub fn start_with(replicas: usize, of_servers: &[&str], cli: &[&str]) -> Self {
        let mut cluster = Self { nodes: Vec::new(), cli: cli.iter().map(ToString::to_string).collect() };
        while cluster.nodes.len() < 3 * (1 + replicas) {
            let [port, bus] = [(); 2].map(|()| free_port());
            let (bus, tls) = (bus.to_string(), port.to_string());
            let has_tls = of_servers.contains(&"--tls-cluster");
            let own = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
            // A replica may take over however long it was cut off.
            let own = [&own[..], &["--cluster-replica-validity-factor", "0"], of_servers].concat();
            let own = if has_tls { [&own[..], &["--tls-port", &tls]].concat() } else { own };
            let node = Node::start(port, |_| options(if has_tls { 0 } else { port }, &own));
            if node.is_up(&cluster.cli) {
                cluster.nodes.push(node);
            }
        }
        let addresses: Vec<_> = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut create = Command::new("redis-cli");
        create.args(cli).args(["--cluster", "create"]).args(addresses);
        let created = create.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        for node in &cluster.nodes {
            let cli = &cluster.cli;
            wait("a cluster", || node.ask(cli, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
            wait("a replica", || node.is_master(cli) || node.is_in_step(cli));
        }
        cluster
    }

    /// Answers of the servers to a command, one after the other.
    pub fn ask_all(&self, arguments: &[&str]) -> Vec<String> {
        self.nodes.iter().map(|node| node.ask(&self.cli, arguments)).collect()
    }

    /// Its URL by two of its servers. One is left where the other is lost.
    pub fn url(&self, scheme: &str, login: &str) -> String {
        format!("{scheme}://{login}127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// Forgets all that is kept.
    pub fn clear(&self) {
        self.ask_all(&["FLUSHALL"]);
    }

    /// A server that still answers.
    fn any(&self) -> &Node {
        let mut nodes = self.nodes.iter();
        let answers = |node: &&Node| node.signal("-0") && !node.is_stopped();
        nodes.find(answers).unwrap()
    }

    /// The master of the slot of a key, and a replica that could take over.
    fn shard(&self, key: &str) -> [&Node; 2] {
        let node = self.any();
        let slot = node.ask(&self.cli, &["CLUSTER", "KEYSLOT", key]);
        let slot: u16 = slot.trim_start_matches("(integer) ").parse().unwrap();
        let listed = node.ask(&self.cli, &["CLUSTER", "NODES"]);
        let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split(' ').collect()).collect();
        let has_slot = |fields: &&Vec<&str>| {
            let mut ranges = fields.iter().skip(8).filter_map(|range| range.split_once('-'));
            ranges.any(|(from, to)| (from.parse().unwrap()..=to.parse().unwrap()).contains(&slot))
        };
        let master = lines.iter().find(has_slot).unwrap();
        let replica = lines.iter().find(|fields| fields[3] == master[0]).unwrap();
        [master, replica].map(|fields| {
            let port = fields[1].split([':', '@']).nth(1).unwrap();
            self.nodes.iter().find(|node| node.port.to_string() == port).unwrap()
        })
    }

    /// Keys that are the first of some at each of the three masters.
    pub fn apart<'a>(&self, keys: &[&'a str]) -> [&'a str; 3] {
        let mut found = BTreeMap::new();
        for key in keys {
            found.entry(self.shard(key)[0].port).or_insert(*key);
        }
        <[_; 3]>::try_from(found.into_values().collect::<Vec<_>>()).expect("the keys are at all masters")
    }

    /// Has a replica take over from the master of a key's slot, which gives way and loses nothing.
    pub fn fail_over(&self, key: &str) {
        let [_, replica] = self.shard(key);
        assert_eq!(replica.ask(&self.cli, &["CLUSTER", "FAILOVER"]), "OK");
        wait("a failover", || replica.is_master(&self.cli));
    }

    /// Has the master of a key's slot end or hang, by a signal, and waits until its replica has taken over.
    ///
    /// It passes on all that it has acknowledged before that. A master does so a moment later, so that the last might be lost.
    pub fn lose(&self, key: &str, signal: &str) {
        let [master, replica] = self.shard(key);
        assert_eq!(master.ask(&self.cli, &["CLIENT", "PAUSE", "60000", "WRITE"]), "OK");
        wait("a replica in step", || offset(replica, &self.cli) >= offset(master, &self.cli));
        assert!(master.signal(signal));
        let is_well = || replica.ask(&self.cli, &["CLUSTER", "INFO"]).contains("cluster_state:ok");
        wait("a failover", || replica.is_master(&self.cli) && is_well());
    }
}

/// A master with a replica, and a Sentinel that watches them.
pub struct Sentinel {
    sentinel: Node,
    replica: Node,
    master: Node,
}

impl Sentinel {
    pub fn start() -> Self {
        let up = |start: &dyn Fn(u16) -> Node| {
            let mut nodes = std::iter::repeat_with(|| start(free_port()));
            nodes.find(|node| node.is_up(&[])).unwrap()
        };
        let master = up(&|port| Node::start(port, |_| options(port, &[])));
        let at = master.port.to_string();
        let replica = up(&|port| Node::start(port, |_| options(port, &["--replicaof", &format!("127.0.0.1 {at}")])));
        wait("a replica", || replica.is_in_step(&[]));
        let watched = format!(
            "sentinel monitor mymaster 127.0.0.1 {at} 1\nsentinel down-after-milliseconds mymaster 1000\nbind 127.0.0.1\n"
        );
        let sentinel = up(&|port| {
            Node::start(port, |folder| {
                let file = folder.join("sentinel.conf");
                std::fs::write(&file, &watched).unwrap();
                [file.to_str().unwrap(), "--sentinel", "--port", &port.to_string()].map(str::to_owned).to_vec()
            })
        });
        wait("a replica that is known", || {
            sentinel.ask(&[], &["SENTINEL", "REPLICAS", "mymaster"]).contains(&replica.port.to_string())
        });
        Self { sentinel, replica, master }
    }

    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/mymaster/2", self.sentinel.port)
    }

    /// Has the replica take over, and the master become its replica.
    pub fn fail_over(&self) {
        wait("a replica in step", || offset(&self.replica, &[]) >= offset(&self.master, &[]));
        // It is refused until the Sentinel has asked the replica how it is.
        wait("a replica to promote", || self.sentinel.ask(&[], &["SENTINEL", "FAILOVER", "mymaster"]) == "OK");
        wait("a failover", || self.replica.is_master(&[]));
        wait("a replica", || self.master.is_in_step(&[]));
    }
}
