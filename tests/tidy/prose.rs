//! How comments read: documentation names its subject or says what the item does, and tells more than a name; the reasons of
//! tricky code stand beside it.

use crate::{
    Broken,
    source::{Source, numbered, sources},
};

/// Words with which no documentation begins, because what they speak of is only found further on.
const WITHOUT_SUBJECT: [&str; 9] = ["Who", "Whose", "Whom", "What", "That", "Those", "It", "Nothing", "Neither"];

const MIN_WORDS: usize = 3;

/// Of so few words a documentation seldom tells role, unit, lifetime or failure.
const FEW_WORDS: usize = 5;

/// Documentation of few words in a hundred, at most.
const MAX_SHORT_PERCENT: usize = 15;

/// Modules in which races, limits of other programs and formats decide, so that the code alone does not say why.
const EXPLAINED: [&str; 3] = ["membrane", "session", "store"];

/// Lines of comments on the reasons of the code in a hundred lines, at least.
const MIN_REASONS_PERCENT: usize = 3;

/// The documentation of items in the product's part of a file, each as one line of text.
fn documentation(source: &Source) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut follows = false;
    for (line, text) in numbered(Source::product(source.text())) {
        let Some(text) = text.trim_start().strip_prefix("///") else {
            follows = false;
            continue;
        };
        match found.last_mut() {
            Some((_, whole)) if follows => {
                whole.push(' ');
                whole.push_str(text.trim());
            }
            _ => found.push((line, text.trim().to_owned())),
        }
        follows = true;
    }
    found
}

/// The documentation of modules begins as that of items does.
#[test]
fn the_documentation_of_a_module_begins_with_its_subject_or_a_verb() {
    let mut broken = Broken::default();
    for source in sources() {
        let text = source.text().lines().find_map(|line| line.strip_prefix("//! ")).unwrap_or_default();
        let first = text.split([' ', ':']).next().unwrap_or_default();
        broken.add_unless(!WITHOUT_SUBJECT.contains(&first), &source, 1, &format!("begins with {first:?}: {text}"));
    }
    broken.report();
}

#[test]
fn documentation_begins_with_its_subject_or_a_verb_and_says_something() {
    let mut broken = Broken::default();
    let (mut all, mut short) = (0, 0);
    for source in sources() {
        for (line, text) in documentation(&source) {
            let words: Vec<_> = text.split_whitespace().collect();
            let first = words.first().copied().unwrap_or_default();
            broken.add_unless(
                !WITHOUT_SUBJECT.contains(&first),
                &source,
                line,
                &format!("begins with {first:?}: {text}"),
            );
            broken.add_unless(words.len() >= MIN_WORDS, &source, line, &format!("says too little: {text}"));
            all += 1;
            short += usize::from(words.len() <= FEW_WORDS);
        }
    }
    broken.report();
    assert!(all > 1000, "only {all} are found");
    assert!(short * 100 <= all * MAX_SHORT_PERCENT, "{short} of {all} have {FEW_WORDS} words or fewer");
}

/// Counts the lines of the product's part of a file that are not blank, and those among them that are comments and no
/// documentation.
fn lines_and_reasons(source: &Source) -> (usize, usize) {
    let (mut lines, mut reasons) = (0, 0);
    for (_, text) in numbered(Source::product(source.text())) {
        let text = text.trim_start();
        let is_documentation = text.starts_with("///") || text.starts_with("//!");
        lines += usize::from(!text.is_empty());
        reasons += usize::from(text.starts_with("//") && !is_documentation);
    }
    (lines, reasons)
}

#[test]
fn modules_whose_code_is_tricky_say_why() {
    let sources = sources();
    for module in EXPLAINED {
        let (mut lines, mut reasons) = (0, 0);
        for source in sources.iter().filter(|source| source.layer() == module) {
            let (more_lines, more_reasons) = lines_and_reasons(source);
            lines += more_lines;
            reasons += more_reasons;
        }
        assert!(lines > 1000, "only {lines} lines of {module} are found");
        let wanted = lines * MIN_REASONS_PERCENT / 100;
        assert!(reasons >= wanted, "{module} has {reasons} lines of comments for {lines} lines, and needs {wanted}");
    }
}
