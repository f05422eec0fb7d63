//! The table, and the page that holds it.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use super::measure::Figure;

/// Between these lines the page is the benchmark's; the rest of it is written by hand.
const BEGIN: &str = "<!-- measured: `cargo bench --bench load` writes from here -->";
const END: &str = "<!-- to here -->";

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Told for comparison.
    None,
}

/// A row of the table.
pub struct Row {
    pub work: String,
    /// What is measured, and against whom.
    pub measure: String,
    pub goal: Goal,
    pub figure: Figure,
    /// In absolute numbers.
    pub detail: String,
}

impl Row {
    pub fn new(
        work: impl Into<String>,
        measure: impl Into<String>,
        goal: Goal,
        figure: Figure,
        detail: impl Into<String>,
    ) -> Self {
        let row = Self { work: work.into(), measure: measure.into(), goal, figure, detail: detail.into() };
        println!("{}", row.line());
        row
    }

    fn line(&self) -> String {
        let Figure { median, min, max } = self.figure;
        let (goal, verdict) = match self.goal {
            Goal::AtLeast(least) => (format!("≥ {least}"), verdict(median >= least)),
            Goal::AtMost(most) => (format!("≤ {most}"), verdict(median <= most)),
            Goal::None => (String::new(), ""),
        };
        let range = if min < max { format!("{min:.2}–{max:.2}") } else { String::new() };
        format!("| {} | {} | {goal} | {median:.2} | {range} | {verdict} | {} |", self.work, self.measure, self.detail)
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let head = "| Work | Measure | Goal | Median | Min–max | | In numbers |\n|---|---|---|---|---|---|---|\n";
    rows.iter().fold(head.to_owned(), |table, row| table + &row.line() + "\n")
}

/// Where and with what it was measured.
pub fn circumstances(command: &str, rounds: usize, seconds: f64) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |m| m.1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let lock = include_str!("../../../Cargo.lock");
    let version = |package: &str| {
        let at = format!("name = \"{package}\"\nversion = \"");
        lock.split_once(&at).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?")
    };
    let mut text = String::new();
    let _ = writeln!(text, "- Command: `{command}`; {rounds} rounds of {seconds} s each, everybody in turn");
    let _ = writeln!(text, "- Date: {}", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    let _ = writeln!(
        text,
        "- Machine: {cores} cores of {cpu}, Linux {}; generator and upstream run on them, too",
        said("uname", &["-r"])
    );
    let _ = writeln!(
        text,
        "- Versions: this server at {}, {}, actix-web {}, awc {}, rmcp {}",
        said("git", &["rev-parse", "--short", "HEAD"]),
        said("rustc", &["--version"]),
        version("actix-web"),
        version("awc"),
        version("rmcp")
    );
    text
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Puts the text where the page has its place for it.
pub fn write(page: &Path, text: &str) {
    let old = fs::read_to_string(page).expect("the page");
    let (before, rest) = old.split_once(BEGIN).expect("the beginning of the measured part");
    let (_, after) = rest.split_once(END).expect("the end of the measured part");
    fs::write(page, format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", text.trim())).expect("the page is written");
}
