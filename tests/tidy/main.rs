//! The rules of the house, as `src/lib.rs` states them. Each test is one rule and lists every line that breaks it.

mod graph;
mod layers;
mod modules;
mod prose;
mod source;

use std::fmt::Write as _;

use source::{Kind, Source, files, is_rust, numbered, paths, read, sources};

/// What `protocol` can do without: actors, HTTP, clocks, files, sockets.
const IMPURE: [&str; 9] =
    ["actix", "actix_web", "actix_web_lab", "awc", "tokio", "std::time", "std::fs", "std::net", "std::env"];

const MCP_HEADERS: [&str; 6] =
    ["mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name", "x-chat-id", "last-event-id"];

const UPSTREAM_PATHS: [&str; 8] = [
    "/connections",
    "/connection-requests",
    "/integrations",
    "/actions",
    "/action",
    "/action-instance",
    "/act",
    "/self",
];

const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "Dockerfile", "LICENSE", "README.md", "config", "deploy", "docs", "src"];

const MAX_LINES: usize = 400;

#[test]
fn protocol_is_pure() {
    let mut broken = Broken::default();
    for source in sources().iter().filter(|source| source.layer() == "protocol") {
        for (line, path) in paths(&source.tokens()) {
            let fault = IMPURE.iter().find(|name| path == **name || path.starts_with(&format!("{name}::")));
            broken.add_unless(fault.is_none(), source, line, &format!("protocol knows {path}"));
        }
    }
    broken.report();
}

#[test]
fn only_http_speaks_http_to_clients() {
    let mut broken = Broken::default();
    for source in sources() {
        for (line, path) in paths(&source.tokens()) {
            let first = path.split("::").next().unwrap_or_default();
            let fine = match first {
                // `server` puts the parts together, and `cli` needs the runtime; the sandbox is a server of its own.
                "actix_web" => matches!(source.layer(), "http" | "server" | "cli" | "sandbox"),
                "actix_http" | "actix_server" => matches!(source.layer(), "http" | "server"),
                "actix_web_lab" => source.layer() == "http",
                // The sandbox sends webhooks.
                "awc" => matches!(source.layer(), "membrane" | "sandbox"),
                _ => true,
            };
            broken.add_unless(fine, &source, line, &format!("{} knows {path}", source.layer()));
        }
        for (line, text) in source.literals() {
            let fine = source.layer() == "http" || !MCP_HEADERS.contains(&text.to_lowercase().as_str());
            broken.add_unless(fine, &source, line, &format!("the header {text}"));
        }
    }
    broken.report();
}

#[test]
fn only_the_table_of_codes_holds_json_rpc_codes() {
    let mut broken = Broken::default();
    for source in sources().iter().filter(|source| source.path != "protocol/codes.rs") {
        let tokens = source.product_tokens();
        let is_code = |digits: &str| digits.len() == 5 && digits.starts_with("32");
        for (before, token) in tokens.iter().zip(tokens.iter().skip(1)) {
            let fine = match &token.kind {
                Kind::Number(number) => before.kind != Kind::Mark('-') || !is_code(&number.replace('_', "")),
                Kind::Text(text) => {
                    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
                    !text.split('-').skip(1).any(|rest| is_code(&digits(rest)))
                }
                _ => true,
            };
            broken.add_unless(fine, source, token.line, &format!("{:?}", token.kind));
        }
    }
    broken.report();
}

#[test]
fn only_membrane_knows_the_upstreams_paths() {
    let mut broken = Broken::default();
    for source in sources().iter().filter(|source| !matches!(source.layer(), "membrane" | "sandbox")) {
        for (line, text) in source.literals() {
            let path = text.split(['?', '{']).next().unwrap_or_default().trim_end_matches('/');
            let fine = !UPSTREAM_PATHS.iter().any(|known| path == *known || path.starts_with(&format!("{known}/")));
            broken.add_unless(fine, source, line, &text);
        }
    }
    broken.report();
}

#[test]
fn only_config_reads_the_environment() {
    let mut broken = Broken::default();
    for source in sources().iter().filter(|source| source.layer() != "config") {
        for (line, path) in paths(&source.tokens()) {
            let fine = !path.starts_with("std::env") && !path.starts_with("env::");
            broken.add_unless(fine, source, line, &path);
        }
    }
    broken.report();
}

/// The counters by the macros know a metric by its name alone, so a slip would make another one.
#[test]
fn every_metric_is_described_and_counted() {
    let is_name = |text: &String| {
        // Clients put `mcp__` before the names of tools.
        text.strip_prefix("mcp_").is_some_and(|name| !name.is_empty() && !name.starts_with('_'))
            && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let described = |source: &&Source| source.path == "metrics.rs";
    let names = |source: &Source| -> Vec<(usize, String)> {
        source.literals().into_iter().filter(|(_, text)| is_name(text)).collect()
    };
    let sources = sources();
    let metrics = names(sources.iter().find(described).expect("a file of metrics"));
    let mut broken = Broken::default();
    for source in sources.iter().filter(|source| !described(source)) {
        for (line, name) in names(source) {
            let fine = metrics.iter().any(|(_, known)| *known == name);
            broken.add_unless(fine, source, line, &format!("{name} does not stand in METRICS"));
        }
    }
    let counted: Vec<_> = sources.iter().flat_map(names).map(|(_, name)| name).collect();
    for (line, name) in &metrics {
        let times = counted.iter().filter(|other| *other == name).count();
        broken.add_file_unless(times > 1, "src/metrics.rs", *line, &format!("{name} is not counted anywhere"));
    }
    broken.report();
}

#[test]
fn a_file_fits_in_one_head() {
    let mut broken = Broken::default();
    for file in files().iter().filter(|file| is_rust(file)) {
        let lines = read(file).lines().count();
        broken.add_file_unless(lines <= MAX_LINES, file, lines, &format!("at most {MAX_LINES} lines"));
    }
    broken.report();
}

#[test]
fn nothing_panics_on_purpose() {
    let mut broken = Broken::default();
    let methods = ["unwrap", "unwrap_err", "expect", "expect_err"];
    let macros = ["panic", "unreachable", "unimplemented", "todo"];
    for source in sources() {
        for tokens in source.product_tokens().windows(3) {
            let [first, second, third] = tokens else { continue };
            let is_call =
                first.kind == Kind::Mark('.') && third.kind == Kind::Mark('(') && second.kind.is_word(&methods);
            let is_macro = second.kind.is_word(&macros) && third.kind == Kind::Mark('!');
            broken.add_unless(!is_call && !is_macro, &source, second.line, &format!("{:?}", second.kind));
        }
    }
    broken.report();
}

#[test]
fn nothing_is_left_for_later_or_commented_out() {
    let mut broken = Broken::default();
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    for file in files() {
        for (line, text) in numbered(&read(&file)) {
            let fine = !text.split(|c: char| !c.is_alphanumeric()).any(|word| marks.iter().any(|mark| word == mark));
            let comment = text.trim_start().strip_prefix("// ").filter(|_| is_rust(&file));
            broken.add_file_unless(fine && !comment.is_some_and(is_code_line), &file, line, text.trim());
        }
    }
    broken.report();
}

/// Whether a comment reads like a line of Rust.
fn is_code_line(comment: &str) -> bool {
    let text = comment.trim();
    let starts = ["let ", "use ", "pub ", "fn ", "impl ", "#["].iter().any(|start| text.starts_with(start));
    let ends = [");", "};", ") {", "}"].iter().any(|end| text.ends_with(end));
    (starts && text.ends_with([';', '{', ']'])) || ends
}

#[test]
fn the_top_level_holds_what_it_should() {
    let mut broken = Broken::default();
    for file in files() {
        let top = file.split('/').next().unwrap_or_default();
        let fine = top.starts_with('.') || top == "tests" || TOP_LEVEL.contains(&top);
        broken.add_file_unless(fine, &file, 1, "does not belong at the top level");
    }
    broken.report();
}

#[test]
fn no_file_names_the_host_of_a_package_registry() {
    // Packages come by name, from whichever registry or mirror a machine is set up with.
    let host = |parts: &[&str]| parts.join(".");
    let hosts = [
        host(&["crates", "io"]),
        host(&["registry", "npmjs", "org"]),
        host(&["registry", "yarnpkg", "com"]),
        host(&["pypi", "org"]),
        host(&["pythonhosted", "org"]),
        host(&["deb", "debian", "org"]),
        host(&["security", "debian", "org"]),
    ];
    let mut broken = Broken::default();
    for file in files() {
        for (line, text) in numbered(&read(&file)) {
            // By this name Cargo.lock knows the default registry, wherever that is served from.
            let text = text.replace(&format!("{}-index", host(&["crates", "io"])), "");
            broken.add_file_unless(!hosts.iter().any(|host| text.contains(host)), &file, line, text.trim());
        }
    }
    broken.report();
}

/// The lines that break a rule.
#[derive(Default)]
struct Broken(String);

impl Broken {
    fn add_unless(&mut self, fine: bool, source: &Source, line: usize, what: &str) {
        self.add_file_unless(fine, &format!("src/{}", source.path), line, what);
    }

    fn add_file_unless(&mut self, fine: bool, file: &str, line: usize, what: &str) {
        if !fine {
            let _ = writeln!(self.0, "  {file}:{line}: {what}");
        }
    }

    fn report(self) {
        assert!(self.0.is_empty(), "these lines break the rule:\n{}", self.0);
    }
}
