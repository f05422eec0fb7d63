//! Regular expressions of schemas (ECMA-262): what a match costs, and which are left to the upstream.

/// True where a pattern looks around or back, or has flags of its own. These are matched by trying, in a time that no length of
/// text bounds.
#[must_use]
pub fn looks_around(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find(['\\', '(']) {
        let found = rest.get(at..).unwrap_or_default();
        let mut after = found.chars();
        if after.next() == Some('\\') {
            if matches!(after.next(), Some('1'..='9' | 'k')) {
                return true;
            }
        } else if let Some(group) = found.strip_prefix("(?") {
            let name = group.strip_prefix('<').or_else(|| group.strip_prefix("P<"));
            let is_name = |c: char| c.is_alphabetic() || c == '_' || c == '$';
            if !group.starts_with(':') && !name.is_some_and(|name| name.starts_with(is_name)) {
                return true;
            }
        }
        rest = after.as_str();
    }
    false
}

/// Returns the number of places that a match may be at, about: each character of a text is compared with all of them at
/// most.
#[must_use]
pub fn places(pattern: &str) -> u64 {
    // What stands before the last atom, the last atom, and the groups that are open.
    let (mut before, mut last, mut groups) = (0_u64, 0_u64, Vec::new());
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '(' => {
                groups.push(before.saturating_add(last));
                (before, last) = (0, 0);
            }
            ')' => {
                last = before.saturating_add(last).max(1);
                before = groups.pop().unwrap_or(0);
            }
            '{' => {
                let text = rest.as_str();
                let numbers = text.split_once('}').map_or("", |(numbers, _)| numbers);
                let times = numbers.split(',').filter_map(|number| number.trim().parse().ok()).max();
                if let Some(times) = times {
                    last = last.saturating_mul(std::cmp::max(times, 1));
                    rest = text.get(numbers.len() + 1..).unwrap_or_default().chars();
                } else {
                    (before, last) = (before.saturating_add(last), 1);
                }
            }
            '*' | '+' | '?' | '|' | '^' | '$' => {}
            _ => {
                (before, last) = (before.saturating_add(last), 1);
                if c == '\\' {
                    rest.next();
                }
                if c == '[' {
                    skip_class(&mut rest);
                }
            }
        }
    }
    groups.into_iter().fold(before.saturating_add(last), u64::saturating_add).max(1)
}

fn skip_class(rest: &mut std::str::Chars<'_>) {
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            ']' => return,
            _ => {}
        }
    }
}

/// Groups of a plain pattern within each other.
const MAX_GROUPS: usize = 16;

/// Returns whether a pattern means the same to all that may read it: ECMAScript with and without its `u` flag, Python and
/// Rust. Such a one has literals, `.`, anchors, classes of ranges and of `\d`, `\w` and `\s`, groups, alternatives and
/// repetitions.
#[must_use]
pub fn is_plain(pattern: &str) -> bool {
    let (mut rest, mut groups) = (pattern, 0_usize);
    // What stands before may be repeated.
    let mut is_atom = false;
    while let Some(c) = rest.chars().next() {
        let mut after = rest.get(c.len_utf8()..).unwrap_or_default();
        is_atom = match c {
            '\\' => match escape(after, false) {
                Some(length) => {
                    let is_boundary = after.starts_with(['b', 'B']);
                    after = after.get(length..).unwrap_or_default();
                    !is_boundary
                }
                None => return false,
            },
            '[' => match class(after) {
                Some(length) => {
                    after = after.get(length..).unwrap_or_default();
                    true
                }
                None => return false,
            },
            '(' => {
                after = after.strip_prefix("?:").unwrap_or(after);
                groups += 1;
                if groups > MAX_GROUPS || after.starts_with('?') {
                    return false;
                }
                false
            }
            ')' => {
                let Some(left) = groups.checked_sub(1) else { return false };
                groups = left;
                true
            }
            '^' | '$' | '|' => false,
            '*' | '+' | '?' | '{' => {
                let Some(length) = repetition(rest).filter(|_| is_atom) else { return false };
                after = rest.get(length..).unwrap_or_default();
                after = after.strip_prefix('?').unwrap_or(after);
                false
            }
            ']' | '}' => return false,
            _ => true,
        };
        rest = after;
    }
    groups == 0
}

/// Returns the length of what is escaped, without the backslash, if all take it.
fn escape(after: &str, in_class: bool) -> Option<usize> {
    let hex = |from: usize, digits: usize| {
        let digits = after.get(from..from + digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        digits.map(|digits| from + digits.len())
    };
    match after.chars().next()? {
        'b' | 'B' => (!in_class).then_some(1),
        'x' => hex(1, 2),
        'u' => hex(1, 4).filter(|_| !after.starts_with("ud") && !after.starts_with("uD")),
        '-' => in_class.then_some(1),
        'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 'r' | 't' | 'f' | 'v' | '^' | '$' | '\\' | '.' | '*' | '+' | '?'
        | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '/' => Some(1),
        _ => None,
    }
}

/// Returns the length of a class after its `[`, if all take it.
fn class(after: &str) -> Option<usize> {
    let mut rest = after.strip_prefix('^').unwrap_or(after);
    // Start of a range that `-` may continue; nothing after a class such as `\d`.
    let (mut start, mut is_empty) = (None, true);
    loop {
        let c = rest.chars().next()?;
        if c == ']' {
            return (!is_empty).then(|| after.len() - rest.len() + 1);
        }
        is_empty = false;
        if c == '-' && start.is_some() && !rest.starts_with("-]") {
            let end = rest.chars().nth(1).filter(|c| *c != '\\' && *c != '[')?;
            if start.is_some_and(|start| start > end) {
                return None;
            }
            rest = rest.get(1 + end.len_utf8()..)?;
            start = None;
            continue;
        }
        // Some take a second one of these for an operator on sets, and `-` after a class for a range of it.
        let is_operator = matches!(c, '[' | '&' | '~') || (c == '-' && !is_at_edge(after, rest));
        if is_operator {
            return None;
        }
        if c == '\\' {
            let length = escape(rest.get(1..)?, true)?;
            let escaped = rest.chars().nth(1).filter(|c| !c.is_alphanumeric());
            rest = rest.get(1 + length..)?;
            start = escaped;
        } else {
            rest = rest.get(c.len_utf8()..)?;
            start = Some(c);
        }
    }
}

/// Returns whether a `-` with which the rest of a class begins is its first or last character.
fn is_at_edge(class: &str, rest: &str) -> bool {
    rest.len() == class.len()
        || class.strip_prefix('^').is_some_and(|class| class.len() == rest.len())
        || rest.starts_with("-]")
}

/// Returns the length of `*`, `+`, `?` or `{from,to}` at the beginning.
fn repetition(rest: &str) -> Option<usize> {
    let Some(numbers) = rest.strip_prefix('{') else { return Some(1) };
    let numbers = numbers.split_once('}')?.0;
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let is_fine = match numbers.split_once(',') {
        Some((from, "")) => number(from).is_some(),
        Some((from, to)) => number(from)? <= number(to)?,
        None => number(numbers).is_some(),
    };
    is_fine.then(|| numbers.len() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_pattern_is_one_that_all_read_alike() {
        for pattern in [
            "",
            "^[a-z]+$",
            r"^\d{4}-\d{2}-\d{2}$",
            "^(?:a|b)*c{2,}?$",
            r"[^@\s]+@[^@\s]+\.[a-z]{2,10}",
            r"^#[0-9a-fA-F]{6}$",
            r"[\w.+-]+",
            "^(sub|obj)_[A-Za-z0-9_-]{1,64}$",
            "日本|é",
            r"\u00e9\x41",
        ] {
            assert!(is_plain(pattern), "{pattern}");
        }
        for pattern in [
            "[",
            "(",
            ")",
            "a)",
            "*",
            "a**",
            "+a",
            "[]",
            "[^]",
            "[z-a]",
            "a{2,1}",
            "a{",
            "a{x}",
            "}",
            "]",
            r"\p{L}",
            r"\1",
            r"\k<n>",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<n>a)",
            "(?i)a",
            "(?P<n>a)",
            r"\Z",
            r"\-",
            r"\_",
            "\\",
            r"[\w-.]",
            "[[:alpha:]]",
            "[a&&b]",
            r"\ud83d",
            "a++",
            r"\h",
            "x{70000}",
            "^*",
            "[a-\\d]",
        ] {
            assert!(!is_plain(pattern), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_look_around_are_known() {
        for pattern in
            ["^(?=.*[A-Z]).{8,}$", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", r"(?<n>a)\k<n>", "(?x)a b", "a(?i)b"]
        {
            assert!(looks_around(pattern), "{pattern}");
        }
        for pattern in ["^(a+)+$", "(?:a|b)", "(?<year>[0-9]{4})", r"\(?=", r"\\(?:a)", r"\d\w\.\/", "é(ü)"] {
            assert!(!looks_around(pattern), "{pattern}");
        }
    }

    #[test]
    fn repetitions_multiply_the_places_of_a_pattern() {
        let cases = [
            ("", 1),
            ("abc", 3),
            ("^[a-z]{1,10}$", 10),
            ("([01]{2}x){100}y", 301),
            ("((a{10}){10}){10}", 1000),
            ("(a|bc){1000}", 3000),
            (r"\d{4}-\d{2}", 7),
            (r"[\]{9}]{3}", 3),
            ("a{,3}b{x}", 3 + 4),
            ("a{5,}", 5),
            ("(a{9}", 9),
            ("a{99999999999999999999999}", 26),
        ];
        for (pattern, expected) in cases {
            assert_eq!(places(pattern), expected, "{pattern}");
        }
    }
}
