//! Inputs by which an action itself gives less, or the next part: `limit`, `cursor`, `page` and their like.

/// Names of such inputs in lower case, without dashes, dots and underscores. Names that often mean something else are missing
/// here: `start` is the time of a meeting, `before` a date, `size` that of a shirt.
const INPUTS: [&str; 38] = [
    "limit",
    "maxresults",
    "maxitems",
    "maxrecords",
    "pagelimit",
    "pagesize",
    "itemsperpage",
    "perpage",
    "recordsperpage",
    "resultsperpage",
    "resultsize",
    "querylimit",
    "resultlimit",
    "take",
    "$top",
    "cursor",
    "aftercursor",
    "beforecursor",
    "endcursor",
    "nextcursor",
    "pagecursor",
    "startcursor",
    "continuation",
    "continuationtoken",
    "nextpagetoken",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "startingafter",
    "offset",
    "resultoffset",
    "$skip",
    "skip",
    "startat",
    "startindex",
    "page",
    "pageindex",
    "pagenumber",
];

/// Inputs that are named at most.
const MAX_INPUTS: usize = 3;
/// Bytes of a name that is taken for one of these inputs, dashes and underscores included.
const MAX_NAME_BYTES: usize = 32;

/// Returns which of an action's inputs page its answer, in their order, three at most.
#[must_use]
pub fn paging_inputs<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    names.into_iter().filter(|name| pages(name)).take(MAX_INPUTS).collect()
}

fn pages(name: &str) -> bool {
    let is_sign = |c: &char| !matches!(c, '-' | '_' | '.');
    let plain: String = name.chars().filter(is_sign).map(|c| c.to_ascii_lowercase()).collect();
    name.len() <= MAX_NAME_BYTES && INPUTS.contains(&plain.as_str())
}

/// Inputs of the tool that runs actions, for what it leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerInputs {
    /// A tool without such inputs: an action's own.
    None,
    /// A tool that takes `fields` alone: an action that writes is not run again for another part of its answer.
    Fields,
    /// A tool that takes `fields` and `range`.
    FieldsAndRange,
}

/// Returns the words that say how to get what is left out; nothing, where there is no way.
#[must_use]
pub fn next_words(runner: RunnerInputs, own: &[&str]) -> Option<String> {
    let mut ways: Vec<String> = match runner {
        RunnerInputs::None => Vec::new(),
        RunnerInputs::Fields => vec!["fields".to_owned()],
        RunnerInputs::FieldsAndRange => vec!["fields".to_owned(), "range".to_owned()],
    };
    if !own.is_empty() {
        let plural = if own.len() > 1 { "s" } else { "" };
        ways.push(format!("this tool's own input{plural} {}", joined(own, "and")));
    }
    (!ways.is_empty()).then(|| joined(&ways, "or"))
}

/// Joins words as a sentence does: `a, b or c`, with a comma before the last one too where it has several words.
fn joined(words: &[impl AsRef<str>], conjunction: &str) -> String {
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => {
            let comma = if last.contains(' ') { "," } else { "" };
            format!("{}{comma} {conjunction} {last}", rest.join(", "))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actions_own_paging_inputs_are_known_however_they_are_spelt() {
        let names = ["query", "limit", "start", "pageToken", "PAGE_SIZE", "per-page"];
        assert_eq!(paging_inputs(names), ["limit", "pageToken", "PAGE_SIZE"]);
        assert_eq!(paging_inputs(["cursor", "$skip"]), ["cursor", "$skip"]);
        assert_eq!(
            paging_inputs(["before", "size", "limits", "pages", "l_i_m_i_t____________________________"]),
            [""; 0]
        );
    }

    #[test]
    fn the_next_step_is_told_in_words() {
        use RunnerInputs::{Fields, FieldsAndRange, None};
        let own = ["limit", "cursor"];
        let all = "fields, range, or this tool's own inputs limit and cursor";
        assert_eq!(next_words(FieldsAndRange, &own).as_deref(), Some(all));
        assert_eq!(next_words(FieldsAndRange, &[]).as_deref(), Some("fields or range"));
        assert_eq!(next_words(Fields, &[]).as_deref(), Some("fields"));
        assert_eq!(next_words(None, &["page"]).as_deref(), Some("this tool's own input page"));
        let three = ["a", "b", "c"];
        assert_eq!(next_words(None, &three).as_deref(), Some("this tool's own inputs a, b and c"));
        assert_eq!(next_words(None, &[]), Option::None);
    }
}
