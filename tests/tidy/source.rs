//! The repository's files, and what the code in them names.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can't read its subject has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::Lit;

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
                sources.push(Source::new(&path, &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The module below the crate's root.
    pub fn layer(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn parsed(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// The words, texts and marks of the code, its tests among them. Comments are none.
    pub fn tokens(&self) -> Vec<Token> {
        self.read(false)
    }

    /// The same without tests.
    pub fn product_tokens(&self) -> Vec<Token> {
        self.read(true)
    }

    fn read(&self, is_product: bool) -> Vec<Token> {
        let stream: TokenStream = self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path));
        let mut tokens = Vec::new();
        flatten(stream, is_product, &mut tokens);
        tokens
    }

    /// The lines of the product's part of a text, which stands before its tests. Only comments are looked for by this: to the
    /// parser they are nothing.
    pub fn product(text: &str) -> &str {
        let visible = ["", "pub(super) ", "pub(crate) "];
        let tests = visible.map(|visible| format!("#[cfg(test)]\n{visible}mod tests"));
        tests.iter().fold(text, |text, tests| text.split(tests).next().unwrap_or_default())
    }

    /// Each text literal with its line.
    pub fn literals(&self) -> Vec<(usize, String)> {
        let texts = self.tokens().into_iter().filter_map(|Token { line, kind }| match kind {
            Kind::Text(text) => Some((line, text)),
            _ => None,
        });
        texts.collect()
    }
}

/// Smallest part of the code that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Word(String),
    /// Text that a literal stands for.
    Text(String),
    Number(String),
    /// `::`.
    Separator,
    /// Any other mark, braces among them.
    Mark(char),
}

impl Kind {
    pub fn is_word(&self, words: &[&str]) -> bool {
        matches!(self, Self::Word(word) if words.contains(&word.as_str()))
    }
}

/// Lists the tokens of a stream and of the groups in it, without documentation, which is an attribute to the parser.
pub fn flatten(stream: TokenStream, is_product: bool, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    // Set behind `#[cfg(test)]`, until the item ends.
    let mut is_test = false;
    let mut colon = None;
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        if is_test {
            let ends = |tree: &TokenTree| match tree {
                TokenTree::Group(group) => group.delimiter() == proc_macro2::Delimiter::Brace,
                tree => tree.to_string() == ";",
            };
            is_test = !ends(&tree);
            continue;
        }
        let kind = match tree {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                trees.next_if(|tree| tree.to_string() == "!");
                let attribute = trees.peek().map(|tree| tree.to_string().replace(' ', "")).unwrap_or_default();
                let is_of_tests = is_product && attribute == "[cfg(test)]";
                if is_of_tests || attribute.starts_with("[doc=") {
                    trees.next();
                    is_test = is_of_tests;
                }
                Kind::Mark('#')
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' && colon.take().is_some() => {
                tokens.pop();
                Kind::Separator
            }
            TokenTree::Punct(mark) => {
                colon = (mark.as_char() == ':' && mark.spacing() == proc_macro2::Spacing::Joint).then_some(());
                Kind::Mark(mark.as_char())
            }
            TokenTree::Ident(word) => Kind::Word(word.to_string().trim_start_matches("r#").to_owned()),
            TokenTree::Literal(literal) => {
                let written = literal.to_string();
                match Lit::new(literal) {
                    Lit::Str(text) => Kind::Text(text.value()),
                    Lit::ByteStr(bytes) => Kind::Text(String::from_utf8_lossy(&bytes.value()).into_owned()),
                    Lit::Char(c) => Kind::Text(c.value().to_string()),
                    Lit::Byte(byte) => Kind::Text(char::from(byte.value()).to_string()),
                    _ => Kind::Number(written),
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ('(', ')'),
                    proc_macro2::Delimiter::Brace => ('{', '}'),
                    proc_macro2::Delimiter::Bracket => ('[', ']'),
                    proc_macro2::Delimiter::None => (' ', ' '),
                };
                tokens.push(Token { line, kind: Kind::Mark(open) });
                flatten(group.stream(), is_product, tokens);
                tokens.push(Token { line: group.span_close().start().line, kind: Kind::Mark(close) });
                continue;
            }
        };
        tokens.push(Token { line, kind });
    }
}

pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// The paths in a code, such as `std::env::var`, with the groups of `use` written out.
pub fn paths(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    // What stands before each brace that is open: the path of a group, or nothing.
    let mut open: Vec<String> = Vec::new();
    let (mut line, mut before) = (0, String::new());
    let end = Token { line: 0, kind: Kind::Mark(' ') };
    for token in tokens.iter().chain([&end]) {
        let goes_on = match &token.kind {
            Kind::Separator => true,
            Kind::Word(_) => before.is_empty() || before.ends_with("::"),
            _ => false,
        };
        if !goes_on {
            let path = format!("{}{before}", open.last().map_or("", String::as_str));
            let is_group = before.ends_with("::");
            if !before.is_empty() && !is_group {
                paths.push((line, path.clone()));
            }
            match token.kind {
                Kind::Mark('{') => open.push(if is_group { path } else { String::new() }),
                Kind::Mark('}') => drop(open.pop()),
                _ => {}
            }
            before.clear();
        }
        match &token.kind {
            Kind::Separator => before.push_str("::"),
            Kind::Word(word) => {
                line = token.line;
                before.push_str(word);
            }
            _ => {}
        }
    }
    paths
}

/// Whether a file is one of Rust's.
pub fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

/// The modules of this crate that a code names.
pub fn imports(tokens: &[Token]) -> Vec<(usize, String)> {
    let modules = paths(tokens).into_iter().filter_map(|(line, path)| {
        let rest = path.strip_prefix("crate::").or_else(|| path.strip_prefix("integration_app_mcp_server::"))?;
        Some((line, rest.split("::").next()?.to_owned()))
    });
    modules.collect()
}

#[test]
fn the_grammar_sees_names_where_they_are_and_only_there() {
    let text = r##"
//! [crate::documented]
use std::{fs, time::{Duration, Instant}}; // crate::comment
/// [crate::described]
fn f<'a>(c: &'a str) -> char { crate::ids::draw("crate::text \" \\"); r#"raw " crate::raw"#; '"' }
/* crate::block */ use crate::{error::Error, token};
#[cfg(test)]
mod tests { fn g() { crate::tested::h() } }
"##;
    let source = Source::new("x/y.rs", text);
    let names = |found: Vec<(usize, String)>| found.into_iter().map(|(line, name)| format!("{line} {name}"));
    let modules: Vec<_> = names(imports(&source.tokens())).collect();
    assert_eq!(modules, ["5 ids", "6 error", "6 token", "8 tested"]);
    assert_eq!(imports(&source.product_tokens()).len(), 3, "no test is of the product");
    let std: Vec<_> = names(paths(&source.tokens())).filter(|path| path.contains("std::")).collect();
    assert_eq!(std, ["3 std::fs", "3 std::time::Duration", "3 std::time::Instant"]);
    let literals: Vec<_> = names(source.literals()).collect();
    assert_eq!(literals, [r#"5 crate::text " \"#, r#"5 raw " crate::raw"#, "5 \""]);
    assert_eq!(source.layer(), "x");
}
