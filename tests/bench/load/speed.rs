//! Throughput, processor time and delay against the baselines.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{
    field::{CALLERS, Field, SLOW_MS, USERS, others_as, ours_as, ours_by_gzip},
    generator::{Load, Sample, Task, run},
    http::Connection,
    measure::{Figure, Series, interleave},
    process::Process,
    report::{
        Goal::{self, AtLeast, AtMost},
        Row,
    },
    work::{Client, Era},
};

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    pub ttl: Duration,
}

impl Plan {
    pub fn load(self, task: Task) -> Load {
        Load { task, connections: 16, sessions: 16, ttl: self.ttl, rate: None }
    }
}

fn throughput(sample: &Sample) -> f64 {
    sample.throughput
}

fn cpu(sample: &Sample) -> f64 {
    sample.cpu_us
}

fn p50(sample: &Sample) -> f64 {
    sample.p50_us
}

fn per_second(own: &Series, base: &Series) -> String {
    format!("{:.0}/s to {:.0}/s", own.throughput(), base.throughput())
}

fn micros(own: &Series, base: &Series, member: fn(&Sample) -> f64) -> String {
    format!("{:.0} µs to {:.0} µs", own.figure(member).median, base.figure(member).median)
}

/// The faster of two.
fn faster<'a>(one: &'a Series, other: &'a Series) -> &'a Series {
    if one.throughput() > other.throughput() { one } else { other }
}

/// Goals of a kind of work.
struct Goals {
    throughput: Goal,
    cpu: Goal,
    rmcp: Goal,
}

fn rows(work: &str, own: &Series, base: (&str, &Series), rmcp: &Series, goals: &Goals) -> [Row; 3] {
    let (letter, base) = base;
    [
        Row::new(
            work,
            format!("throughput, of {letter}"),
            goals.throughput,
            own.ratio(base, throughput),
            per_second(own, base),
        ),
        Row::new(work, format!("CPU, times {letter}"), goals.cpu, own.ratio(base, cpu), micros(own, base, cpu)),
        Row::new(work, "throughput, times (c)", goals.rmcp, own.ratio(rmcp, throughput), per_second(own, rmcp)),
    ]
}

/// `tools/list` in both eras, and compressed, of as many tools as `is_wanted` says.
pub fn lists(field: &Field, plan: Plan, is_wanted: impl Fn(usize) -> bool) -> Vec<Row> {
    let goals = [
        (20, Goals { throughput: AtLeast(0.65), cpu: AtMost(1.5), rmcp: AtLeast(2.0) }),
        (200, Goals { throughput: AtLeast(0.75), cpu: AtMost(1.4), rmcp: AtLeast(4.5) }),
        (1_000, Goals { throughput: AtLeast(0.95), cpu: AtMost(1.2), rmcp: AtLeast(8.0) }),
    ];
    let mut table = Vec::new();
    for (tools, goals) in goals.into_iter().filter(|(tools, _)| is_wanted(*tools)) {
        let load = plan.load(Task::List);
        let by_gzip = || run(&field.ours, &ours_by_gzip::<USERS>(&field.ours, tools, Era::Sessions), load);
        let ours = |era| run(&field.ours, &ours_as::<USERS>(&field.ours, tools, era), load);
        let other = |process: &Process| run(process, &others_as::<USERS>(process, tools, Era::Sessions), load);
        let series = interleave(
            plan.rounds,
            &[
                &|| ours(Era::Sessions),
                &|| ours(Era::Modern),
                &by_gzip,
                &|| other(&field.bare),
                &|| other(&field.floor),
                &|| other(&field.rmcp),
                &|| other(&field.rmcp_sessions),
            ],
        );
        let [sessions, modern, by_gzip, bare, floor, json, events] = series.as_slice() else { return table };
        let rmcp = faster(json, events);
        table.extend(rows(&format!("list of {tools}, sessions"), sessions, ("(a)", bare), rmcp, &goals));
        table.extend(rows(&format!("list of {tools}, 2026-07-28"), modern, ("(a)", bare), rmcp, &goals));
        table.extend(rows(&format!("list of {tools}, gzip"), by_gzip, ("(a)", bare), rmcp, &goals));
        let of_floor = sessions.ratio(floor, throughput);
        table.push(Row::new(
            format!("list of {tools}, sessions"),
            "throughput, of (d)",
            Goal::None,
            of_floor,
            per_second(sessions, floor),
        ));
    }
    table
}

/// `tools/call`: as many as can be, at a rate, and with a slow upstream.
pub fn calls(field: &Field, plan: Plan) -> Vec<Row> {
    let goals = Goals { throughput: AtLeast(0.70), cpu: AtMost(1.4), rmcp: AtLeast(1.2) };
    let mut table = Vec::new();
    for tools in [20, 1_000] {
        let load = Load { sessions: CALLERS, ..plan.load(Task::Call) };
        let ours = |era, load| run(&field.ours, &ours_as::<CALLERS>(&field.ours, tools, era), load);
        let other = |process: &Process, load| run(process, &others_as::<CALLERS>(process, tools, Era::Sessions), load);
        let series = interleave(
            plan.rounds,
            &[
                &|| ours(Era::Sessions, load),
                &|| ours(Era::Modern, load),
                &|| other(&field.bare, load),
                &|| other(&field.rmcp, load),
                &|| other(&field.rmcp_sessions, load),
            ],
        );
        let [sessions, modern, bare, json, events] = series.as_slice() else { return table };
        let rmcp = faster(json, events);
        table.extend(rows(&format!("call, {tools} tools, sessions"), sessions, ("(b)", bare), rmcp, &goals));
        table.extend(rows(&format!("call, {tools} tools, 2026-07-28"), modern, ("(b)", bare), rmcp, &goals));

        let load = Load { rate: Some(500.0), ..load };
        let series = interleave(plan.rounds, &[&|| ours(Era::Sessions, load), &|| other(&field.bare, load)]);
        let [own, bare] = series.as_slice() else { return table };
        table.push(Row::new(
            format!("call, {tools} tools, 500/s"),
            "p50, times (b)",
            AtMost(2.0),
            own.ratio(bare, p50),
            micros(own, bare, p50),
        ));
    }
    table.extend(slow_calls(field, plan));
    table
}

fn slow_calls(field: &Field, plan: Plan) -> [Row; 2] {
    let load = Load { connections: 256, sessions: 256, ..plan.load(Task::Call) };
    let ours = ours_as::<CALLERS>(&field.slow_ours, 20, Era::Sessions);
    let bare = others_as::<CALLERS>(&field.slow_bare, 20, Era::Sessions);
    let series =
        interleave(plan.rounds, &[&|| run(&field.slow_ours, &ours, load), &|| run(&field.slow_bare, &bare, load)]);
    let work = format!("call, upstream of {SLOW_MS} ms, 256 connections");
    let (own, bare) = (&series[0], &series[1]);
    [
        Row::new(&work, "throughput, of (b)", AtLeast(0.95), own.ratio(bare, throughput), per_second(own, bare)),
        Row::new(&work, "p50, times (b)", AtMost(1.1), own.ratio(bare, p50), micros(own, bare, p50)),
    ]
}

/// One session after the other.
pub fn sessions(field: &Field, plan: Plan) -> Vec<Row> {
    let load = Load { sessions: 0, ..plan.load(Task::Session) };
    let ours = ours_as::<USERS>(&field.ours, 200, Era::Sessions);
    let other = |process: &Process| run(process, &others_as::<USERS>(process, 200, Era::Sessions), load);
    let series = interleave(
        plan.rounds,
        &[&|| run(&field.ours, &ours, load), &|| other(&field.bare), &|| other(&field.rmcp), &|| {
            other(&field.rmcp_sessions)
        }],
    );
    let [own, bare, json, events] = series.as_slice() else { return Vec::new() };
    let goals = Goals { throughput: AtLeast(0.60), cpu: Goal::None, rmcp: AtLeast(2.0) };
    let mut table: Vec<_> =
        rows("session after session, list of 200", own, ("(a)", bare), events, &goals).into_iter().collect();
    let of_json = own.ratio(json, throughput);
    table.push(Row::new(
        "session after session, list of 200",
        "throughput, times (c) without sessions",
        Goal::None,
        of_json,
        per_second(own, json),
    ));
    table
}

/// The first session of a user, whose tools are not loaded yet.
pub fn cold(field: &Field, plan: Plan) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let open = async |server: &Process, user: usize| {
        let begun = Instant::now();
        let client = Client::new(server.address, Era::Sessions, (200, 20), 100 + user);
        client.result(Client::list).await.expect("a list");
        begun.elapsed().as_secs_f64() * 1e3
    };
    let server = &field.slow_ours;
    let opens = |user| runtime.block_on(async { (open(server, user).await, open(server, user).await) });
    let times: Vec<_> = (0..plan.rounds).map(opens).collect();
    let figure = |of: fn(&(f64, f64)) -> f64| Figure::of(times.iter().map(of).collect());
    let (cold, warm) = (figure(|times| times.0), figure(|times| times.1));
    let in_latencies = figure(|(cold, warm)| (cold - warm) / f64::from(SLOW_MS));
    let detail = format!("{:.0} ms cold, {:.1} ms warm", cold.median, warm.median);
    let work = format!("cold open, 20 apps, upstream of L = {SLOW_MS} ms");
    let mut table = vec![Row::new(work, "(cold − warm) / L", AtMost(2.2), in_latencies, detail)];

    let walks = || -> f64 {
        let ask = async {
            let mut connection = Connection::open(field.slow_upstream.address).await.expect("a connection");
            connection.keeps_body = true;
            connection.exchange(&super::http::request("GET", "/walks", &[], "")).await.expect("an answer");
            String::from_utf8_lossy(&connection.body).parse().expect("a number")
        };
        runtime.block_on(ask)
    };
    let before = walks();
    runtime.block_on(join_all((0..50).map(|_| open(&field.slow_ours, plan.rounds))));
    let walks = Figure::once(walks() - before);
    table.push(Row::new("50 cold opens of one user at once", "walks", AtMost(1.0), walks, ""));
    table
}
