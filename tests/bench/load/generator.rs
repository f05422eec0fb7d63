//! The load: so many connections, each asking as soon as it was answered, or at a rate.

use std::{
    io::Result,
    thread,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hdrhistogram::Histogram;

use super::{
    http::Connection,
    process::{Process, pause},
    work::{Client, Era, expect},
};

/// Threads that ask.
const THREADS: usize = 2;
/// Before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);

/// What a connection does over and over.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    List,
    Call,
    /// A session from its beginning to its end, with one list.
    Session,
}

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub task: Task,
    pub connections: usize,
    /// Sessions of all connections together, which take turns.
    pub sessions: usize,
    pub ttl: Duration,
    /// Operations a second at which to ask; as many as there are answers, if none.
    pub rate: Option<f64>,
}

/// What came of a load.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Operations in a second.
    pub throughput: f64,
    /// Processor time that the server took for one, in µs.
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Puts a load on a server. The sessions are dealt out to the connections, and to the clients, in turn.
pub fn run(process: &Process, clients: &[Client], load: Load) -> Sample {
    let settled = Instant::now() + setting_up(&load);
    let times = [settled, settled + WARM_UP, settled + WARM_UP + load.ttl];
    let [_, begin, end] = times;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let numbers = (thread..load.connections).step_by(THREADS);
            let (numbers, clients) = (numbers.collect::<Vec<_>>(), clients.to_vec());
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let connections = numbers.into_iter().map(|n| drive(n, &clients, load, times));
                runtime.block_on(join_all(connections))
            })
        })
        .collect();
    pause(begin.saturating_duration_since(Instant::now()));
    let before = process.cpu();
    pause(end.saturating_duration_since(Instant::now()));
    let cpu = process.cpu().saturating_sub(before);
    let mut latencies = histogram();
    for thread in threads {
        for outcome in thread.join().expect("the load runs") {
            latencies.add(outcome.expect("an answer")).expect("one range");
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let operations = latencies.len().max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let quantile = |quantile| latencies.value_at_quantile(quantile) as f64;
    Sample {
        throughput: operations / load.ttl.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / operations,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
    }
}

/// Time to open the sessions in.
fn setting_up(load: &Load) -> Duration {
    Duration::from_millis(100) + Duration::from_micros(600) * u32::try_from(load.sessions).unwrap_or(u32::MAX)
}

/// Up to a minute in µs, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("sound bounds")
}

async fn drive(
    number: usize,
    clients: &[Client],
    load: Load,
    [warm_up, begin, end]: [Instant; 3],
) -> Result<Histogram<u64>> {
    let client = &clients[number % clients.len()];
    let mut connection = Connection::open(client.address).await?;
    let mut requests = Vec::new();
    if !matches!(load.task, Task::Session) {
        for session in (number..load.sessions).step_by(load.connections) {
            let client = &clients[session % clients.len()];
            let session = match client.era {
                Era::Sessions => client.open(&mut connection).await?,
                Era::Modern => None,
            };
            requests.push(match load.task {
                Task::Call => client.call(session.as_deref()),
                _ => client.list(session.as_deref()),
            });
        }
    }
    let mut requests = requests.iter().cycle();
    let gap = load.rate.map(|rate| Duration::from_secs_f64(1.0 / rate) * u32::try_from(load.connections).unwrap_or(1));
    let mut due = warm_up + gap.unwrap_or_default().mul_f64(unit(number, load.connections));
    let mut latencies = histogram();
    let mut usual = None;
    loop {
        let mut from = Instant::now();
        if let Some(gap) = gap {
            tokio::time::sleep_until(due.into()).await;
            // Not from when it was sent: who had to wait for the one before has waited, too.
            from = due;
            due += gap;
        }
        if from >= end {
            return Ok(latencies);
        }
        let bytes = if let Some(request) = requests.next() {
            expect(&connection.exchange(request).await?)
        } else {
            let session = client.open(&mut connection).await?;
            let bytes = expect(&connection.exchange(&client.list(session.as_deref())).await?);
            client.close(&mut connection, session.as_deref()).await?;
            bytes
        };
        // Else an error that looks like an answer would count as one.
        assert!(bytes.abs_diff(*usual.get_or_insert(bytes)) < 64 + bytes / 100, "{bytes} bytes, and {usual:?} before");
        let now = Instant::now();
        if now >= begin && now < end {
            latencies.saturating_record(u64::try_from((now - from).as_micros()).unwrap_or(u64::MAX));
        }
    }
}

fn unit(number: usize, of: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "few connections")]
    let part = number as f64 / of as f64;
    part
}
