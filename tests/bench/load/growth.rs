//! How throughput, the slowest answers and memory grow with tools, sessions, users and workers.

use std::{fmt::Write as _, path::Path};

use super::{
    field::{CALLERS, Field, bare, others_as, ours_as},
    generator::{Load, Sample, Task, run},
    measure::{Figure, interleave},
    plot::{Panel, plot},
    process::Process,
    speed::Plan,
    work::{Client, Era, SIZES, apps},
};

/// More than the cores of a small machine: what a request costs must not grow with them.
const WORKERS: [usize; 3] = [1, 2, 4];

/// A point of a curve.
struct Point {
    at: usize,
    throughput: f64,
    cpu_us: f64,
    p99_ms: f64,
    mib: f64,
}

impl Point {
    fn measure(at: usize, process: &Process, clients: &[Client], load: Load, plan: Plan) -> Self {
        let series = interleave(plan.rounds, &[&|| run(process, clients, load)]);
        let figure = |member: fn(&Sample) -> f64| -> Figure { series[0].figure(member) };
        let point = Self {
            at,
            throughput: figure(|sample| sample.throughput).median,
            cpu_us: figure(|sample| sample.cpu_us).median,
            p99_ms: figure(|sample| sample.p99_us).median / 1e3,
            mib: process.settled_memory() / 1024.0,
        };
        let Self { throughput, cpu_us, p99_ms, mib, .. } = point;
        println!("{at}: {throughput:.0}/s, CPU {cpu_us:.1} µs, p99 {p99_ms:.2} ms, {mib:.1} MiB");
        point
    }
}

/// A curve, in a picture of its own below `folder`.
struct Curve {
    file: &'static str,
    title: &'static str,
    axis: &'static str,
    points: Vec<Point>,
}

impl Curve {
    fn write(&self, folder: &Path, text: &mut String) {
        let panel = |title, value: fn(&Point) -> f64| {
            let of = |point: &Point| (u32::try_from(point.at).map_or(f64::MAX, f64::from), value(point));
            Panel { title, points: self.points.iter().map(of).collect() }
        };
        let panels = [
            panel("requests/s", |p| p.throughput),
            panel("p99, ms", |p| p.p99_ms),
            panel("resident memory, MiB", |p| p.mib),
        ];
        plot(&folder.join(self.file), self.axis, &panels);
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        let _ = write!(text, "\n#### {}\n\n![{}]({folder}/{})\n\n", self.title, self.title, self.file);
        let _ = write!(
            text,
            "| {} | requests/s | CPU for one | p99 | resident memory |\n|---|---|---|---|---|\n",
            self.axis
        );
        for Point { at, throughput, cpu_us, p99_ms, mib } in &self.points {
            let _ = writeln!(text, "| {at} | {throughput:.0} | {cpu_us:.1} µs | {p99_ms:.2} ms | {mib:.1} MiB |");
        }
    }
}

/// Measures all of it, draws it, and tells it in Markdown.
pub fn growth(field: &Field, plan: Plan, folder: &Path) -> String {
    std::fs::create_dir_all(folder).expect("a folder");
    let start = |settings: &[(&str, &str)]| Process::server(field.upstream.address, settings);
    let load = plan.load(Task::List);

    let tools = SIZES.map(|tools| {
        let server = start(&[]);
        Point::measure(tools, &server, &ours_as::<16>(&server, tools, Era::Sessions), load, plan)
    });
    let sessions = [10, 1_000, 10_000].map(|sessions| {
        let server = start(&[]);
        let clients = ours_as::<16>(&server, 200, Era::Sessions);
        // Each round opens as many again, so there is one.
        let plan = Plan { rounds: 1, ..plan };
        let load = Load { sessions, connections: sessions.min(16), ..load };
        Point::measure(sessions, &server, &clients, load, plan)
    });
    let users = [1, 10, 100, 1_000].map(|users| {
        let server = start(&[]);
        let client = |number| Client::new(server.address, Era::Sessions, (200, apps(200)), number);
        let clients: Vec<_> = (0..users).map(client).collect();
        let load = Load { connections: users.max(16), sessions: users.max(16), ..load };
        Point::measure(users, &server, &clients, load, plan)
    });
    let workers = WORKERS.map(|workers| {
        let server = start(&[("MCP__SERVER__WORKERS", &workers.to_string())]);
        Point::measure(workers, &server, &ours_as::<16>(&server, 20, Era::Sessions), load, plan)
    });
    let bare_workers = WORKERS.map(|workers| {
        let base = bare(&field.lists, &field.upstream, workers, "bare");
        Point::measure(workers, &base, &others_as::<16>(&base, 20, Era::Sessions), load, plan)
    });

    let calls = Load { sessions: CALLERS, ..plan.load(Task::Call) };
    let calling_workers = WORKERS.map(|workers| {
        let server = start(&[("MCP__SERVER__WORKERS", &workers.to_string())]);
        Point::measure(workers, &server, &ours_as::<CALLERS>(&server, 20, Era::Sessions), calls, plan)
    });
    let bare_calling_workers = WORKERS.map(|workers| {
        let base = bare(&field.lists, &field.upstream, workers, "bare");
        Point::measure(workers, &base, &others_as::<CALLERS>(&base, 20, Era::Sessions), calls, plan)
    });

    let curve = |file, title, axis, points| Curve { file, title, axis, points };
    let mut text = String::new();
    for curve in [
        curve("tools.svg", "By tools of a user", "tools", tools.into()),
        curve("sessions.svg", "By sessions, of 16 users with 200 tools", "sessions", sessions.into()),
        curve("users.svg", "By users with 200 tools each", "users", users.into()),
        curve("workers.svg", "By workers, lists of 20", "workers", workers.into()),
        curve("workers-bare.svg", "By workers, lists of 20, bare actix-web", "workers", bare_workers.into()),
        curve("workers-calls.svg", "By workers, calls", "workers", calling_workers.into()),
        curve(
            "workers-calls-bare.svg",
            "By workers, calls, bare actix-web and awc",
            "workers",
            bare_calling_workers.into(),
        ),
    ] {
        curve.write(folder, &mut text);
    }
    text
}
