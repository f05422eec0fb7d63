//! Size, speed and quality of the search for tools, on catalogs in a folder.
//!
//! ```text
//! cargo bench --bench search -- FOLDER
//! ```
//!
//! The folder holds `catalogs/*.json` (an `integration` and its `actions` each, as in `config/sandbox`), `dev.jsonl` (a line
//! for each query: `id`, `class`, `query`, and in `steps` the tools that serve each step of it, 2 for those that fit exactly and
//! 1 for acceptable ones) and `users.json` (`user`, `size`, its `tools` and the ids of its `queries`).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what goes wrong ends the run, and numbers are small"
)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use integration_app_mcp_server::{
    ids::IntegrationKey,
    membrane::{Tool, app_tools::AppTools, model::Action, tool::App},
    search::{AppIndex, AppNames, Keys, Options, search, similar_names, warm_up},
};
use serde::Deserialize;
use serde_json::Value;

/// Numbers of tools for which the time of a search is measured.
const SIZES: [usize; 5] = [50, 200, 1_000, 2_500, 10_000];

/// Each search is timed so often, and the least counts: other processes share the processor.
const RUNS: usize = 7;

/// Hits that quality is judged by.
const HITS: usize = 10;

#[derive(Deserialize)]
struct Catalog {
    integration: Integration,
    actions: Vec<Value>,
}

#[derive(Deserialize)]
struct Integration {
    key: String,
    name: String,
}

#[derive(Deserialize)]
struct Query {
    id: String,
    class: String,
    query: String,
    steps: Vec<HashMap<String, f64>>,
}

#[derive(Deserialize)]
struct User {
    size: Value,
    tools: HashSet<String>,
    queries: HashSet<String>,
}

impl Catalog {
    /// The tools of an app that are wanted, under the names that the labels use.
    fn tools(&self, key: &str, name: &str, wanted: impl Fn(&str) -> bool) -> AppTools {
        let app = App { key: IntegrationKey::new(key), name: name.to_owned(), logo: None };
        let tools = self.actions.iter().filter_map(|action| {
            wanted(&label(&self.integration.key, action["key"].as_str().unwrap())).then_some(())?;
            let mut action = action.clone();
            action["integrationKey"] = key.into();
            let action: Action = serde_json::from_value(action).unwrap();
            Tool::of(&app, &action)
        });
        AppTools::new(&app, tools.collect())
    }

    fn all(&self) -> AppTools {
        self.tools(&self.integration.key, &self.integration.name, |_| true)
    }
}

fn label(app: &str, action: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
    format!("{app}_{action}").chars().map(fine).collect()
}

fn main() -> ExitCode {
    // `cargo test --all-targets` comes by, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let Some(folder) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        eprintln!("name the folder of catalogs: cargo bench --bench search -- FOLDER");
        return ExitCode::FAILURE;
    };
    let folder = PathBuf::from(folder);
    let mut files: Vec<_> = fs::read_dir(folder.join("catalogs")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let catalogs: Vec<Catalog> =
        files.iter().map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect();
    let queries = fs::read_to_string(folder.join("dev.jsonl")).unwrap();
    let queries: Vec<Query> = queries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let start = Instant::now();
    warm_up();
    println!("tables read in {:.0} ms\n", milliseconds(start));
    measure_size(&catalogs);
    measure_speed(&catalogs, &queries);
    measure_quality(&folder, &catalogs, &queries);
    ExitCode::SUCCESS
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn measure_size(catalogs: &[Catalog]) {
    let built = (0..RUNS).map(|_| {
        let apps: Vec<AppTools> = catalogs.iter().map(Catalog::all).collect();
        let start = Instant::now();
        let sizes: Vec<_> = apps.iter().map(|app| (app.index().len(), app.index().bytes())).collect();
        (milliseconds(start), sizes)
    });
    let (took, sizes) = built.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let (tools, bytes) = sizes.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!(
        "{tools} tools of {} apps: {:.0} bytes of index a tool, shared by all who have them",
        sizes.len(),
        bytes as f64 / tools as f64
    );
    println!("2,500 tools are indexed in {:.0} ms\n", took * 2_500.0 / tools as f64);
}

fn measure_speed(catalogs: &[Catalog], queries: &[Query]) {
    // Copies stand for further apps, with names of their own.
    let copies = ["", "-two", "-three"].iter().flat_map(|copy| {
        catalogs.iter().map(move |catalog| {
            let Integration { key, name } = &catalog.integration;
            catalog.tools(&format!("{key}{copy}"), &format!("{name}{}", copy.replace('-', " ")), |_| true)
        })
    });
    let all: Vec<AppTools> = copies.collect();
    let others: Vec<_> = (0..500).map(|i| (format!("other-app-{i}"), format!("Other App {i}"))).collect();
    let others = AppNames::new(others.iter().map(|(key, name)| (key.as_str(), name.as_str())));
    println!("| tools | apps | search, median | p99 | three similar names |\n|---|---|---|---|---|");
    for size in SIZES {
        let mut apps: Vec<&AppIndex> = Vec::new();
        let mut tools = 0;
        for app in all.iter().map(AppTools::index) {
            if tools < size {
                tools += app.len();
                apps.push(app);
            }
        }
        let least = |run: &dyn Fn()| {
            let times = (0..RUNS).map(|_| {
                let start = Instant::now();
                run();
                milliseconds(start)
            });
            times.fold(f64::MAX, f64::min)
        };
        let options = Options { others: Some(&others), ..Options::default() };
        let mut times: Vec<f64> =
            queries.iter().map(|query| least(&|| drop(black_box(search(&apps, &query.query, &options))))).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        let keys: Vec<Keys<'_>> = apps
            .iter()
            .map(|app| Keys { app: app.key(), tools: (0..app.len()).filter_map(|tool| app.tool_key(tool)).collect() })
            .collect();
        let similar = least(&|| drop(black_box(similar_names(&keys, "gmail_send-emial", 3))));
        println!("| {tools} | {} | {:.2} ms | {:.2} ms | {similar:.2} ms |", apps.len(), at(0.5), at(0.99));
    }
    println!();
}

/// Recall at 1, 5 and 10, and nDCG at 10.
type Marks = [f64; 4];

fn measure_quality(folder: &Path, catalogs: &[Catalog], queries: &[Query]) {
    let users: Vec<User> = serde_json::from_slice(&fs::read(folder.join("users.json")).unwrap()).unwrap();
    let mut marks: BTreeMap<(u64, &str), Vec<Marks>> = BTreeMap::new();
    for user in &users {
        let Some(size) = user.size.as_u64() else { continue };
        let (mut apps, mut others) = (Vec::new(), Vec::new());
        for catalog in catalogs {
            let Integration { key, name } = &catalog.integration;
            let tools = catalog.tools(key, name, |tool| user.tools.contains(tool));
            if tools.index().is_empty() {
                others.push((key.as_str(), name.as_str()));
            } else {
                apps.push(tools);
            }
        }
        let others = AppNames::new(others);
        let indexes: Vec<&AppIndex> = apps.iter().map(AppTools::index).collect();
        for query in queries.iter().filter(|query| user.queries.contains(&query.id)) {
            let steps: Vec<HashMap<&str, f64>> = query
                .steps
                .iter()
                .map(|step| {
                    let known = step.iter().filter(|(tool, _)| user.tools.contains(*tool));
                    known.map(|(tool, grade)| (tool.as_str(), *grade)).collect()
                })
                .collect();
            if steps.iter().all(HashMap::is_empty) {
                continue;
            }
            let options = Options { limit: HITS, others: Some(&others), ..Options::default() };
            let answer = search(&indexes, &query.query, &options);
            let found: Vec<String> = answer
                .hits
                .iter()
                .map(|hit| label(indexes[hit.app].key(), indexes[hit.app].tool_key(hit.tool).unwrap()))
                .collect();
            for class in ["all", &query.class] {
                marks.entry((size, class)).or_default().push(judge(&steps, &found));
            }
        }
    }
    println!("| tools | class | queries | R@1 | R@5 | R@10 | nDCG@10 |\n|---|---|---|---|---|---|---|");
    for ((size, class), marks) in marks {
        let mean = |i: usize| marks.iter().map(|mark| mark[i]).sum::<f64>() / marks.len() as f64;
        let [one, five, ten, gain] = [mean(0), mean(1), mean(2), mean(3)];
        println!("| {size} | {class} | {} | {one:.2} | {five:.2} | {ten:.2} | {gain:.2} |", marks.len());
    }
}

fn judge(steps: &[HashMap<&str, f64>], found: &[String]) -> Marks {
    let recall = |k: usize| {
        let top: HashSet<&str> = found.iter().take(k).map(String::as_str).collect();
        let served = steps.iter().filter(|step| step.keys().any(|tool| top.contains(tool))).count();
        served as f64 / steps.len() as f64
    };
    let mut grades: HashMap<&str, f64> = HashMap::new();
    for (tool, grade) in steps.iter().flatten() {
        let known = grades.entry(tool).or_default();
        *known = known.max(*grade);
    }
    let gain = |(place, grade): (usize, f64)| (grade.exp2() - 1.0) / (place as f64 + 2.0).log2();
    let got = found.iter().enumerate();
    let got: f64 = got.map(|(place, tool)| gain((place, grades.get(tool.as_str()).copied().unwrap_or(0.0)))).sum();
    let mut best: Vec<f64> = grades.into_values().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let best: f64 = best.into_iter().take(HITS).enumerate().map(gain).sum();
    [recall(1), recall(5), recall(10), got / best]
}
