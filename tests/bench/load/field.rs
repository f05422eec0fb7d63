//! All contenders, started.

use std::path::PathBuf;

use super::{
    process::Process,
    work::{Client, Era, SIZES, apps},
};

/// Users that ask in turns.
pub const USERS: usize = 16;
/// Users that call, whose sessions take turns: one may make 2,000 calls a second, which a connection alone can exceed.
pub const CALLERS: usize = 64;
/// What the slow upstream takes for each answer.
pub const SLOW_MS: u32 = 50;

/// Who answers.
pub struct Field {
    pub upstream: Process,
    pub slow_upstream: Process,
    pub ours: Process,
    pub slow_ours: Process,
    pub bare: Process,
    pub slow_bare: Process,
    pub floor: Process,
    pub rmcp: Process,
    pub rmcp_sessions: Process,
    pub lists: Lists,
}

/// The lists of tools as the server writes them, in files for those who answer with the same.
pub struct Lists(PathBuf);

impl Drop for Lists {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Lists {
    fn of(ours: &Process) -> Self {
        let folder = std::env::temp_dir().join(format!("mcp-bench-{}-lists", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for tools in SIZES {
            let [client] = ours_as::<1>(ours, tools, Era::Sessions);
            // The first may take so long that it comes as a stream.
            let _loaded = runtime.block_on(client.result(Client::list)).expect("an answer");
            let answer = runtime.block_on(client.result(Client::list)).expect("an answer");
            let list = answer.split_once("\"result\":").and_then(|(_, list)| list.strip_suffix('}')).expect("a result");
            assert_eq!(list.matches("\"inputSchema\"").count(), tools, "tools of the list");
            std::fs::write(folder.join(format!("{tools}.json")), list).expect("the list is written");
        }
        Self(folder)
    }

    pub fn folder(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

/// Clients of the server, one for each of `N` users.
pub fn ours_as<const N: usize>(ours: &Process, tools: usize, era: Era) -> [Client; N] {
    std::array::from_fn(|number| Client::new(ours.address, era, (tools, apps(tools)), number))
}

/// The same, taking compressed answers.
pub fn ours_by_gzip<const N: usize>(ours: &Process, tools: usize, era: Era) -> [Client; N] {
    ours_as(ours, tools, era).map(|client| Client { takes_gzip: true, ..client })
}

/// Clients of a baseline; all send the same headers.
pub fn others_as<const N: usize>(process: &Process, tools: usize, era: Era) -> [Client; N] {
    ours_as(process, tools, era).map(|client| Client { path: format!("/{tools}"), ..client })
}

impl Field {
    pub fn start() -> Self {
        let upstream = Process::role("upstream", &["0".to_owned()]);
        let slow_upstream = Process::role("upstream", &[SLOW_MS.to_string()]);
        let ours = Process::server(upstream.address, &[]);
        let slow_ours = Process::server(slow_upstream.address, &[]);
        let lists = Lists::of(&ours);
        let bare = bare(&lists, &upstream, 2, "bare");
        let slow_bare = self::bare(&lists, &slow_upstream, 2, "bare");
        let floor = self::bare(&lists, &upstream, 2, "floor");
        let official = |sessions: &str| {
            Process::role("official", &[lists.folder(), upstream.address.to_string(), sessions.to_owned()])
        };
        let (rmcp, rmcp_sessions) = (official("none"), official("sessions"));
        Self { upstream, slow_upstream, ours, slow_ours, bare, slow_bare, floor, rmcp, rmcp_sessions, lists }
    }
}

/// Starts bare actix-web.
pub fn bare(lists: &Lists, upstream: &Process, workers: usize, kind: &str) -> Process {
    let arguments = [lists.folder(), upstream.address.to_string(), workers.to_string(), kind.to_owned()];
    Process::role("bare", &arguments)
}
