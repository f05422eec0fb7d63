//! README.md and the pages of docs say what is true, and what README.md shows works as it is pasted.

#![expect(clippy::expect_used, reason = "a test that can't read its subject has failed")]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use integration_app_mcp_server::{sandbox::token, secret::Secret};

/// Lines of README.md at most: the rest has pages of its own.
const MAX_LINES: usize = 220;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect("a file of the repository")
}

/// The pages of docs, by their paths.
fn pages() -> Vec<String> {
    let files = fs::read_dir(root().join("docs")).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    names
        .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "md"))
        .map(|name| format!("docs/{name}"))
        .collect()
}

/// The lines below a heading, down to the next one.
fn section(file: &str, heading: &str) -> String {
    let text = read(file);
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect("a heading");
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// A cell without the quotes that stand around all of it.
fn unquoted(cell: &str) -> String {
    let inner = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).filter(|inner| !inner.contains('`'));
    inner.unwrap_or(cell).to_owned()
}

/// The rows of a section's tables, without their heads.
fn rows(section: &str) -> Vec<Vec<String>> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").map(unquoted).collect());
    rows.skip(1).collect()
}

/// The blocks of code in a language.
fn blocks(file: &str, language: &str) -> Vec<String> {
    let (text, fence) = (read(file), format!("\n```{language}\n"));
    let blocks = text.split(&fence).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

/// Page that has the table of settings, and the table's head.
const SETTINGS_PAGE: &str = "docs/configuration.md";
const SETTINGS_HEAD: &str = "| Setting | Default | Meaning |\n|---|---|---|\n";

fn defaults() -> toml::Table {
    read("config/default.toml").parse().expect("TOML")
}

/// The table of all settings: the comment above each one in config/default.toml.
fn settings_table() -> String {
    let (text, mut table) = (read("config/default.toml"), SETTINGS_HEAD.to_owned());
    let (mut section, mut comment, mut count) = ("", Vec::new(), 0);
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        section = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or(section);
        if let Some((key, default)) = line.split_once(" = ") {
            assert!(!comment.is_empty(), "{section}.{key} has no comment of its own in config/default.toml");
            let meaning = comment.join(" ").replace('|', "\\|");
            writeln!(table, "| `{section}.{key}` | `{default}` | {meaning} |").expect("a text takes all");
            count += 1;
        }
        comment.clear();
    }
    let keys: usize = defaults().values().map(|keys| keys.as_table().map_or(0, toml::Table::len)).sum();
    assert_eq!(count, keys, "each setting stands on a line of its own in config/default.toml");
    table
}

#[test]
fn the_page_of_settings_says_what_the_file_of_defaults_says() {
    let page = read(SETTINGS_PAGE);
    let (before, rest) = page.split_once(SETTINGS_HEAD).expect("a table of settings");
    let after: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect();
    let right = [before, &settings_table(), &after].concat();
    if page != right {
        fs::write(root().join(SETTINGS_PAGE), right).expect("the page can be written");
        panic!("{SETTINGS_PAGE} did not say what config/default.toml says. It is written anew: commit it");
    }
}

#[test]
fn every_setting_that_a_page_names_exists() {
    let defaults = defaults();
    // The changelog names settings that are gone.
    let pages = pages().into_iter().filter(|page| page != "docs/CHANGELOG.md");
    for page in pages.chain(["README.md".to_owned()]) {
        for span in read(&page).split('`').skip(1).step_by(2) {
            let Some((section, key)) = span.split_once('.') else { continue };
            let Some(keys) = defaults.get(section).and_then(toml::Value::as_table) else { continue };
            let is_setting = key != "rs" && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(!is_setting || keys.contains_key(key), "{page} names {span}, which is no setting");
        }
    }
}

#[test]
fn every_command_stands_in_the_table_and_nothing_else_does() {
    let help = Command::new(env!("CARGO_BIN_EXE_integration-app-mcp-server")).arg("--help").output().expect("help");
    let help = String::from_utf8(help.stdout).expect("a text");
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands: BTreeSet<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    let section = section("docs/configuration.md", "Command line");
    let rows = rows(&section);
    let mut found: BTreeSet<_> = rows.iter().filter_map(|row| row.first()?.split(' ').next()).collect();
    // clap's own.
    found.insert("help");
    assert_eq!(found, commands, "the page (left) and --help (right)");
    for option in section.split(['[', ' ', ']']).filter(|word| word.starts_with("--") && word.len() > 2) {
        let known = help.contains(option) || ["--user", "--secret", "--token"].contains(&option);
        assert!(known, "{option} is no option");
    }
}

#[test]
fn every_path_exists() {
    for page in pages().into_iter().chain(["README.md".to_owned()]) {
        let (text, folder) = (read(&page), root().join(&page).parent().map(PathBuf::from).expect("a folder"));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.contains("://") && !link.is_empty());
        let spans = text.split('`').skip(1).step_by(2).filter(|span| {
            let first = span.split('/').next().unwrap_or_default();
            page == "README.md"
                && span.contains('/')
                && !span.contains(['<', ' '])
                && !first.is_empty()
                && root().join(first).is_dir()
        });
        for path in links.chain(spans).collect::<BTreeSet<_>>() {
            assert!(folder.join(path).exists(), "{page} names {path}, which does not exist");
        }
    }
}

#[test]
fn the_readme_is_short_and_leads_to_every_page() {
    let text = read("README.md");
    assert!(text.lines().count() <= MAX_LINES, "{} lines", text.lines().count());
    let table = section("README.md", "Documentation");
    for page in pages() {
        assert!(table.contains(&format!("]({page})")), "{page} is not in the table");
    }
}

#[test]
fn what_is_there_to_paste_is_json() {
    let blocks: Vec<_> =
        pages().iter().chain([&"README.md".to_owned()]).flat_map(|page| blocks(page, "json")).collect();
    assert!(blocks.len() >= 5, "the clients' settings are there");
    for block in blocks {
        let parsed = serde_json::from_str::<serde_json::Value>(&block);
        assert!(parsed.is_ok(), "{parsed:?} in:\n{block}");
    }
}

/// A server with the sandbox on free ports, in an empty folder. Dropped, it is killed.
struct Sandbox {
    process: Child,
    folder: PathBuf,
    url: String,
    token: String,
}

impl Sandbox {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("mcp-readme-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("an empty folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_integration-app-mcp-server"));
        command.args(["--sandbox", "--port", "0"]).env_clear().env("MCP__ADMIN__PORT", "0").current_dir(&folder);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut after = |label: &str| {
            let found = lines.find_map(|line| line.trim_start().strip_prefix(label).map(|rest| rest.trim().to_owned()));
            found.expect("a line of the banner")
        };
        let (url, token) = (after("MCP endpoint"), after("export TOKEN="));
        Self { process, folder, url, token }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a program that a line of README.md calls, and returns what it prints.
fn run(program: &str, arguments: &[&str], token: &str) -> String {
    let mut command = Command::new(program);
    let ran = command.args(arguments).env("TOKEN", token).stdin(Stdio::null()).output().expect("the program is there");
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("a text")
}

#[test]
fn the_line_that_calls_a_tool_shows_its_result() {
    let sandbox = Sandbox::start();
    let blocks = blocks("README.md", "bash");
    let block = blocks.iter().find(|block| block.starts_with("curl ")).expect("a line that calls a tool");
    let answer = run("/bin/sh", &["-c", &block.replace("http://127.0.0.1:3000/mcp", &sandbox.url)], &sandbox.token);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert!(answer["result"]["content"][0]["text"].as_str().is_some_and(|text| text.contains("channels")), "{answer}");
}

#[test]
fn tokens_that_are_minted_as_shown_are_good() {
    let secret = "the secret of the workspace";
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let [typescript, python] = ["ts", "python"].map(|language| blocks("README.md", language).concat());
    // Types are all that TypeScript has there.
    let script = [": string", ": object", "export "].iter().fold(typescript, |script, part| script.replace(part, ""));
    let script = script + &format!("\nconsole.log(accessToken('bob', 'sandbox', '{secret}'));");
    let code = python + &format!("\nprint(access_token('bob', 'sandbox', '{secret}'))");
    for (program, arguments) in
        [("node", ["--input-type=module", "--eval", script.as_str()].as_slice()), ("python3", &["-c", code.as_str()])]
    {
        // `tests/run --fast` needs neither.
        if !is_there(program) {
            eprintln!("{program} is not there, so its example is not tried");
            continue;
        }
        let minted = run(program, arguments, "");
        let claims = token::verify(minted.trim(), &Secret::new(secret)).expect("a token that is good");
        assert_eq!((claims.id.as_str(), claims.iss.as_str()), ("bob", "sandbox"), "{program}");
        assert!(claims.exp.is_some(), "{program}: a token that ends");
    }
}

#[test]
fn the_needed_rust_is_the_declared_one() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let version = manifest["package"]["rust-version"].as_str().expect("a version");
    let asked = section("README.md", "Quick start").contains(&format!(" {version} or newer"));
    assert!(asked, "README.md asks for another Rust than {version}");
}

/// Tests that a cell names, each by its module and its name: `module::name`, or the name as words before their module, such as
/// "one thing holds, another does (`module`); a third one (`other`)".
fn named_tests(cell: &str) -> Vec<(String, String)> {
    if cell.contains("::") && !cell.contains("(`") {
        let paths = cell.split(", ").map(|path| path.trim_matches('`'));
        let paths = paths.map(|path| path.rsplit_once("::").expect("a module and a test"));
        return paths.map(|(module, name)| (module.to_owned(), name.to_owned())).collect();
    }
    let of_module = |part: &str| {
        let (names, module) =
            part.strip_suffix("`)").and_then(|part| part.split_once(" (`")).expect("names (`module`)");
        let names = names.split(", ").map(|name| name.replace(' ', "_"));
        names.map(|name| (module.to_owned(), name)).collect::<Vec<_>>()
    };
    cell.split("; ").flat_map(of_module).collect()
}

/// Fails unless the tests of a table's last column are there.
fn assert_shown(file: &str, heading: &str, columns: usize) {
    let rows = rows(&section(file, heading));
    assert!(rows.len() > 15, "the rows of {file} are found: {rows:?}");
    for row in rows {
        assert_eq!(row.len(), columns, "{file}: {row:?}");
        for (module, name) in row.last().into_iter().flat_map(|cell| named_tests(cell)) {
            let path = format!("{}.rs", module.replace("::", "/"));
            let places = ["tests/api", "src"].map(|folder| root().join(folder).join(&path));
            let source = places.iter().find_map(|place| fs::read_to_string(place).ok());
            let is_there = source.is_some_and(|source| source.contains(&format!("fn {name}()")));
            assert!(is_there, "{file}, {:?}: there is no test {name} in {module}", row.first());
        }
    }
}

#[test]
fn every_threat_is_shown_by_tests_that_exist() {
    assert_shown("docs/SECURITY.md", "Threats", 4);
}

#[test]
fn every_requirement_of_the_modern_revision_is_shown_by_tests_that_exist() {
    assert_shown("docs/conformance.md", "Requirements", 4);
}

#[test]
fn every_situation_of_the_upstream_is_shown_by_tests_that_exist() {
    assert_shown("docs/upstream.md", "Situations", 5);
}
