//! What the server keeps, in processes started for the purpose.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    field::{Field, USERS, bare, others_as, ours_as},
    generator::{Load, Task, run},
    http::Connection,
    measure::{Figure, interleave},
    process::{Process, pause},
    report::{
        Goal::{AtLeast, AtMost},
        Row,
    },
    speed::Plan,
    work::{Client, Era, apps, expect},
};

/// Connections at once while sessions are opened.
const AT_ONCE: usize = 16;

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Opens sessions, and ends them again if they are to end.
fn open(clients: &[Client], count: usize, are_ended: bool) -> Vec<(Client, Option<String>)> {
    let connections = (0..AT_ONCE).map(async |number| {
        let client = &clients[number % clients.len()];
        let mut connection = Connection::open(client.address).await.expect("a connection");
        let mut sessions = Vec::new();
        for _ in (number..count).step_by(AT_ONCE) {
            let session = client.open(&mut connection).await.expect("a session");
            match are_ended {
                true => client.close(&mut connection, session.as_deref()).await.expect("an end"),
                false => sessions.push((client.clone(), session)),
            }
        }
        sessions
    });
    wait(join_all(connections)).into_iter().flatten().collect()
}

/// Asks for the list so many times, in one session.
fn list(client: &Client, count: usize) {
    wait(async {
        let mut connection = Connection::open(client.address).await.expect("a connection");
        let session = client.open(&mut connection).await.expect("a session");
        for _ in 0..count {
            expect(&connection.exchange(&client.list(session.as_deref())).await.expect("a list"));
        }
        client.close(&mut connection, session.as_deref()).await.expect("an end");
    });
}

/// What the server measures takes memory until it is counted, which it does every 5 s.
const COUNTED: Duration = Duration::from_secs(6);

/// KiB more, for each of so many.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn each(process: &Process, before: f64, count: usize) -> f64 {
    (process.settled_memory() - before) / count as f64
}

/// A server whose users have their tools loaded, and their limits and buffers made.
fn warm(field: &Field, tools: usize, settings: &[(&str, &str)]) -> (Process, [Client; USERS]) {
    let server = Process::server(field.upstream.address, settings);
    let clients = ours_as::<USERS>(&server, tools, Era::Sessions);
    for client in &clients {
        list(client, 2);
    }
    open(&clients, 1_000, true);
    (server, clients)
}

/// All rows about memory.
pub fn memory(field: &Field, plan: Plan, is_quick: bool) -> Vec<Row> {
    let scale = if is_quick { 4 } else { 1 };
    let mut table = Vec::new();
    let fresh = Process::server(field.upstream.address, &[]);
    let mib = fresh.settled_memory() / 1024.0;
    table.push(Row::new("start", "MiB", AtMost(20.0), Figure::once(mib), ""));
    drop(fresh);
    table.extend(streams(field, 2_000 / scale));
    table.push(idle(field, 4_000 / scale));
    table.push(passivated(field, 2_000 / scale));
    table.extend(kept(field, 2_000 / scale));
    table.push(many_users(field, 1_000 / scale));
    table.push(many_sessions(field, plan));
    table
}

fn streams(field: &Field, count: usize) -> Vec<Row> {
    let base = bare(&field.lists, &field.upstream, 2, "bare");
    let own = others_as::<USERS>(&base, 20, Era::Sessions);
    open(&own, 1_000, true);
    let bare_kib = held(&base, &own, count);
    let sizes = [20, 1_000].map(|tools| {
        let (server, clients) = warm(field, tools, &[]);
        let kib = held(&server, &clients, count);
        let detail = format!("{kib:.1} KiB to {bare_kib:.1} KiB, {count} of them");
        let work = format!("idle session with an open stream, {tools} tools");
        Row::new(
            work,
            "memory, times an SSE connection of bare actix-web",
            AtMost(1.5),
            Figure::once(kib / bare_kib),
            detail,
        )
    });
    sizes.into_iter().collect()
}

/// KiB for each of `count` sessions whose stream is open.
fn held(process: &Process, clients: &[Client], count: usize) -> f64 {
    // Those before take up what was used for other things and is free.
    let _before = open_streams(clients, count / 2);
    let before = process.settled_memory();
    let _streams = open_streams(clients, count);
    each(process, before, count)
}

/// Sessions whose stream is open as long as the runtime and the connections are kept.
fn open_streams(clients: &[Client], count: usize) -> (tokio::runtime::Runtime, Vec<Connection>) {
    let sessions = open(clients, count, false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let streams = runtime.block_on(async {
        let mut streams = Vec::new();
        for (client, session) in &sessions {
            streams.push(client.stream(session.as_deref()).await.expect("a stream"));
        }
        streams
    });
    (runtime, streams)
}

fn idle(field: &Field, count: usize) -> Row {
    let (server, clients) = warm(field, 20, &[]);
    open(&clients, count / 2, false);
    let before = server.settled_memory();
    open(&clients, count, false);
    let kib = each(&server, before, count);
    Row::new("idle session without a stream", "KiB", AtMost(4.0), Figure::once(kib), format!("{count} of them"))
}

/// What a passivated session leaves is what as many more add to the memory that those before have given back.
fn passivated(field: &Field, count: usize) -> Row {
    let (server, clients) = warm(field, 20, &[("MCP__TUNING__SESSION_IDLE_S", "1")]);
    let pass = || {
        open(&clients, count, false);
        // Twice the time that the sweep may take.
        pause(Duration::from_secs(4));
    };
    pass();
    pass();
    let before = server.settled_memory();
    pass();
    pass();
    pass();
    let kib = each(&server, before, 3 * count);
    Row::new("passivated session", "KiB", AtMost(0.05), Figure::once(kib), format!("{} of them", 3 * count))
}

fn kept(field: &Field, count: usize) -> [Row; 2] {
    let (server, clients) = warm(field, 200, &[]);
    list(&clients[0], count);
    pause(COUNTED);
    let before = server.settled_memory();
    list(&clients[0], 5 * count);
    pause(COUNTED);
    let of_lists = each(&server, before, 5 * count);

    let (server, clients) = warm(field, 20, &[]);
    // Until the file's cache has the size that it keeps.
    open(&clients, 4 * count, true);
    pause(COUNTED);
    let before = server.settled_memory();
    open(&clients, count, true);
    pause(COUNTED);
    let of_ended = each(&server, before, count);
    [
        Row::new(
            "kept per tools/list answered",
            "KiB",
            AtMost(0.01),
            Figure::once(of_lists),
            format!("{} lists", 5 * count),
        ),
        Row::new(
            "kept per session ended by DELETE",
            "KiB",
            AtMost(0.05),
            Figure::once(of_ended),
            format!("the next {count} sessions"),
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn many_users(field: &Field, users: usize) -> Row {
    const TOOLS: usize = 1_000;
    let server = Process::server(field.upstream.address, &[]);
    let client = |number| Client::new(server.address, Era::Modern, (TOOLS, apps(TOOLS)), number);
    let ask = |number| wait(client(number).result(Client::list)).expect("a list");
    let start = server.settled_memory();
    ask(0);
    let one = server.settled_memory() - start;
    for user in 1..users {
        ask(user);
    }
    let all = server.settled_memory() - start;
    let allowed = 1.2 * one + 8.0 * users as f64;
    let detail = format!("{:.1} MiB; one user {:.1} MiB", all / 1024.0, one / 1024.0);
    let work = format!("{users} users with the same {TOOLS} tools");
    Row::new(work, "memory, of 1.2 catalogs and 8 KiB a user", AtMost(1.0), Figure::once(all / allowed), detail)
}

/// Lists of many sessions against those of few.
fn many_sessions(field: &Field, plan: Plan) -> Row {
    let load = plan.load(Task::List);
    let clients = ours_as::<USERS>(&field.ours, 200, Era::Sessions);
    let many = Load { sessions: 5_000, ..load };
    let series = interleave(plan.rounds, &[&|| run(&field.ours, &clients, many), &|| run(&field.ours, &clients, load)]);
    let (many, few) = (&series[0], &series[1]);
    Row::new(
        "list of 200 with 5,000 sessions",
        "throughput, of with 16",
        AtLeast(0.95),
        many.ratio(few, |sample| sample.throughput),
        format!("{:.0}/s to {:.0}/s", many.throughput(), few.throughput()),
    )
}
