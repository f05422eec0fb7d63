//! The repository's files, and just enough of Rust's grammar to ask what a file names.

#![expect(clippy::expect_used, reason = "a test that can't read its subject has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(file: &str) -> String {
    // What is no text holds no words.
    fs::read(root().join(file)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The files of the repository: those that git tracks, and new ones that it does not ignore.
pub fn files() -> Vec<String> {
    let git = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(git.status.success(), "git: {}", String::from_utf8_lossy(&git.stderr));
    let names = String::from_utf8(git.stdout).expect("names in UTF-8");
    let names = names.split('\0').filter(|name| root().join(name).is_file());
    let names: BTreeSet<_> = names.map(str::to_owned).collect();
    assert!(names.contains("src/lib.rs"), "git lists other files than ours: {names:?}");
    names.into_iter().collect()
}

/// A file of the product's own code.
pub struct Source {
    /// Below `src`.
    pub path: String,
    text: String,
}

pub fn sources() -> Vec<Source> {
    let mut folders = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            // The tests of a module that are too long to stand in its own file.
            } else if is_rust(&path.to_string_lossy()) && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).expect("a text");
                let path = path.strip_prefix(root().join("src")).expect("below src").display().to_string();
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

impl Source {
    /// The module below the crate's root.
    pub fn layer(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text with comments and the insides of literals blanked, line for line as it was.
    pub fn code(&self) -> String {
        lex(&self.text).into_iter().map(|(kind, c)| if kind == Kind::Code || c == '\n' { c } else { ' ' }).collect()
    }

    pub fn without_comments(&self) -> String {
        lex(&self.text).into_iter().map(|(kind, c)| if kind == Kind::Comment && c != '\n' { ' ' } else { c }).collect()
    }

    /// The part of a form of this file that stands before its tests.
    pub fn product(form: &str) -> &str {
        let visible = ["", "pub(super) ", "pub(crate) "];
        let tests = visible.map(|visible| format!("#[cfg(test)]\n{visible}mod tests"));
        tests.iter().fold(form, |form, tests| form.split(tests).next().unwrap_or_default())
    }

    /// Each text literal with its line.
    pub fn literals(&self) -> Vec<(usize, String)> {
        let mut literals: Vec<(usize, String)> = Vec::new();
        let (mut line, mut inside) = (1, false);
        for (kind, c) in lex(&self.text) {
            match (kind, inside) {
                (Kind::Literal, false) => literals.push((line, c.to_string())),
                (Kind::Literal, true) => literals.last_mut().expect("one has begun").1.push(c),
                _ => {}
            }
            inside = kind == Kind::Literal;
            line += usize::from(c == '\n');
        }
        literals
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    /// The inside of a text literal; its quotes are code.
    Literal,
}

/// Tells code, comments and literals apart, character by character.
fn lex(text: &str) -> Vec<(Kind, char)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out: Vec<(Kind, char)> = Vec::with_capacity(chars.len());
    let mut i = 0;
    while i < chars.len() {
        let hashes = (i + 1..chars.len()).take_while(|j| at(*j) == '#').count();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (kind, opening, end) = match at(i) {
            '/' if at(i + 1) == '/' => (Kind::Comment, 0, (i..chars.len()).find(|j| at(*j) == '\n')),
            '/' if at(i + 1) == '*' => {
                (Kind::Comment, 0, (i + 2..chars.len()).find(|j| at(*j) == '*' && at(j + 1) == '/'))
            }
            'r' if at(i + 1 + hashes) == '"' && (i == 0 || !is_word(at(i - 1)) || at(i - 1) == 'b') => {
                let closes = |j: usize| at(j) == '"' && (1..=hashes).all(|n| at(j + n) == '#');
                (Kind::Literal, hashes + 2, (i + hashes + 2..chars.len()).find(|j| closes(*j)))
            }
            '"' => {
                let mut j = i + 1;
                while j < chars.len() && at(j) != '"' {
                    j += 1 + usize::from(at(j) == '\\');
                }
                (Kind::Literal, 1, Some(j))
            }
            // A character, not a lifetime.
            '\'' if at(i + 1) == '\\' => (Kind::Literal, 1, (i + 3..chars.len()).find(|j| at(*j) == '\'')),
            '\'' if at(i + 2) == '\'' => (Kind::Literal, 1, Some(i + 2)),
            _ => (Kind::Code, 1, Some(i + 1)),
        };
        let end = end.unwrap_or(chars.len()).min(chars.len());
        out.extend((i..i + opening).map(|j| (Kind::Code, at(j))));
        out.extend((i + opening..end).map(|j| (kind, at(j))));
        // The closing quote is code, and must not open the next literal.
        let closing = usize::from(kind == Kind::Literal && end < chars.len());
        out.extend((end..end + closing).map(|j| (Kind::Code, at(j))));
        i = end + closing;
    }
    out
}

pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// The paths in a code, such as `std::env::var`, with the groups of `use` written out.
pub fn paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    // What stands before each brace that is open: the path of a group, or nothing.
    let mut open = Vec::new();
    let mut before = String::new();
    let mut line = 1;
    for c in code.chars().chain([' ']) {
        if c.is_alphanumeric() || c == '_' || c == ':' {
            before.push(c);
            continue;
        }
        let group: &str = open.last().map_or("", String::as_str);
        let path = format!("{group}{before}");
        if !before.is_empty() && !before.ends_with("::") {
            paths.push((line, path.clone()));
        }
        match c {
            '{' => open.push(if before.ends_with("::") { path } else { String::new() }),
            '}' => drop(open.pop()),
            '\n' => line += 1,
            _ => {}
        }
        before.clear();
    }
    paths
}

/// Whether a file is one of Rust's.
pub fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

/// The modules of this crate that a code names.
pub fn imports(code: &str) -> Vec<(usize, String)> {
    let modules = paths(code).into_iter().filter_map(|(line, path)| {
        let rest = path.strip_prefix("crate::").or_else(|| path.strip_prefix("integration_app_mcp_server::"))?;
        Some((line, rest.split("::").next()?.to_owned()))
    });
    modules.collect()
}

#[test]
fn the_grammar_sees_names_where_they_are_and_only_there() {
    let text = r##"
use std::{fs, time::{Duration, Instant}}; // crate::comment
fn f<'a>(c: &'a str) -> char { crate::ids::draw("crate::text \" \\"); r#"raw " crate::raw"#; '"' }
/* crate::block */ use crate::{error::Error, token};
"##;
    let source = Source { path: "x/y.rs".to_owned(), text: text.to_owned() };
    let names = |found: Vec<(usize, String)>| found.into_iter().map(|(line, name)| format!("{line} {name}"));
    let modules: Vec<_> = names(imports(&source.code())).collect();
    assert_eq!(modules, ["3 ids", "4 error", "4 token"]);
    let std: Vec<_> = names(paths(&source.code())).filter(|path| path.contains("std::")).collect();
    assert_eq!(std, ["2 std::fs", "2 std::time::Duration", "2 std::time::Instant"]);
    let literals: Vec<_> = names(source.literals()).collect();
    assert_eq!(literals, [r#"3 crate::text \" \\"#, r#"3 raw " crate::raw"#, "3 \""]);
    assert_eq!(source.layer(), "x");
}
