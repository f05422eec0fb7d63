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

#[cfg(test)]
mod tests {
    use super::*;

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
