//! README.md, docs/SECURITY.md and docs/upstream.md say what is true.

#![expect(clippy::expect_used, reason = "a test that can't read its subject has failed")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect("a file of the repository")
}

/// The lines below a heading, down to the next one.
fn section(heading: &str) -> String {
    let text = read("README.md");
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect("a heading of README.md");
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The rows of a section's tables, without their heads.
fn rows(section: &str) -> Vec<Vec<String>> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect());
    rows.skip(1).collect()
}

/// The blocks of code in a language.
fn blocks(language: &str) -> Vec<String> {
    let (text, fence) = (read("README.md"), format!("\n```{language}\n"));
    let blocks = text.split(&fence).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_setting_stands_in_the_table_with_its_default_and_nothing_else_does() {
    let defaults: toml::Table = read("config/default.toml").parse().expect("TOML");
    let mut expected = BTreeSet::new();
    for (section, keys) in &defaults {
        for (key, default) in keys.as_table().expect("a section") {
            expected.insert((format!("{section}.{key}"), default.to_string()));
        }
    }
    let mut found = BTreeSet::new();
    for row in rows(&section("Configuration")) {
        let [setting, default, meaning] = row.as_slice() else {
            panic!("a setting, its default and its meaning: {row:?}");
        };
        assert!(!meaning.is_empty(), "{setting} has no meaning");
        let is_new = found.insert((setting.clone(), default.clone()));
        assert!(is_new, "{setting} stands there twice");
    }
    let missing: Vec<_> = expected.difference(&found).collect();
    let wrong: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing in README.md: {missing:?}\nwrong there: {wrong:?}");
}

#[test]
fn every_command_stands_in_the_table_and_nothing_else_does() {
    let help = Command::new(env!("CARGO_BIN_EXE_integration-app-mcp-server")).arg("--help").output().expect("help");
    let help = String::from_utf8(help.stdout).expect("a text");
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands: BTreeSet<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    let section = section("Command line");
    let rows = rows(&section);
    let mut found: BTreeSet<_> = rows.iter().filter_map(|row| row.first()?.split(' ').next()).collect();
    // clap's own.
    found.insert("help");
    assert_eq!(found, commands, "README.md (left) and --help (right)");
    for option in section.split(['[', ' ', ']']).filter(|word| word.starts_with("--") && word.len() > 2) {
        let known = help.contains(option) || ["--user", "--secret", "--token"].contains(&option);
        assert!(known, "{option} is no option");
    }
}

#[test]
fn every_path_exists() {
    let text = read("README.md");
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.contains("://"));
    let spans = text.split('`').skip(1).step_by(2).filter(|span| {
        let folder = span.split('/').next().unwrap_or_default();
        span.contains('/') && !span.contains(['<', ' ']) && root().join(folder).is_dir() && !folder.is_empty()
    });
    let paths: BTreeSet<_> = links.chain(spans).collect();
    assert!(paths.contains("src/lib.rs"), "the layout is pointed to: {paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "README.md names {path}, which does not exist");
    }
}

#[test]
fn what_is_there_to_paste_is_json() {
    let blocks = blocks("json");
    assert!(blocks.len() >= 3, "the clients' settings are there");
    for block in blocks {
        let parsed = serde_json::from_str::<serde_json::Value>(&block);
        assert!(parsed.is_ok(), "{parsed:?} in:\n{block}");
    }
}

#[test]
fn the_needed_rust_is_the_declared_one() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let version = manifest["package"]["rust-version"].as_str().expect("a version");
    let asked = section("Quick start").contains(&format!(" {version} or newer"));
    assert!(asked, "README.md asks for another Rust than {version}");
}

/// Fails unless the tests of a table's last column are there.
fn assert_shown(file: &str, heading: &str, columns: usize) {
    let text = read(file);
    let (_, table) = text.split_once(&format!("\n## {heading}\n")).expect("a heading");
    let rows = rows(table);
    assert!(rows.len() > 15, "the rows of {file} are found: {rows:?}");
    for row in rows {
        assert_eq!(row.len(), columns, "{file}: {row:?}");
        for test in row.last().into_iter().flat_map(|tests| tests.split(", ")).map(|test| test.trim_matches('`')) {
            let (module, name) = test.rsplit_once("::").expect("a module and a test");
            let path = format!("{}.rs", module.replace("::", "/"));
            let places = ["tests/api", "src"].map(|folder| root().join(folder).join(&path));
            let source = places.iter().find_map(|place| fs::read_to_string(place).ok());
            let is_there = source.is_some_and(|source| source.contains(&format!("fn {name}()")));
            assert!(is_there, "{file}, {:?}: there is no test {test}", row.first());
        }
    }
}

#[test]
fn every_threat_is_shown_by_tests_that_exist() {
    assert_shown("docs/SECURITY.md", "Threats", 4);
}

#[test]
fn every_situation_of_the_upstream_is_shown_by_tests_that_exist() {
    assert_shown("docs/upstream.md", "Situations", 5);
}
