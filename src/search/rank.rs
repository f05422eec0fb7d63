//! Ranking of a user's tools for a query: scores of its steps made into one list.

use super::{
    access::Access,
    index::AppIndex,
    naming::{AppNames, Lexicon, Named, known_app},
    query::{Query, Step, read},
    score::Scorer,
};

/// Share of the best score from which the second best is close.
const CLOSE: f32 = 0.9;

/// Share of the best score from which a tool counts as a match.
const MATCH: f32 = 0.25;

/// Longest query that is read, in bytes. The rest of a longer one is left out.
const MAX_QUERY_BYTES: usize = 2000;

/// Most apps that a query can name and that are searched one by one.
const MAX_NAMED_APPS: usize = 3;

/// Restrictions of a search and the size of its answer.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Key of the only app to search.
    pub app: Option<&'a str>,
    /// Only access that is wanted.
    pub access: Option<Access>,
    /// Most hits of all apps together.
    pub limit: usize,
    /// Most hits of one app, unless `app` is given or the query names the app. 0 for no such limit.
    pub max_per_app: usize,
    /// Apps that are not searched, but may be named.
    pub others: Option<&'a AppNames>,
    /// Tells the tools that may be found, by the position of their app and their own.
    pub visible: Option<&'a dyn Fn(usize, usize) -> bool>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { app: None, access: None, limit: 6, max_per_app: 3, others: None, visible: None }
    }
}

/// A tool that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Position of the app among those searched.
    pub app: usize,
    /// Position of the tool in its app.
    pub tool: usize,
    /// Score, comparable within one answer. Never ascends from hit to hit.
    pub score: f32,
    /// Step of the goal that the tool serves, counted from 0.
    pub step: usize,
}

/// Answer to a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking {
    /// Tools, the best first; equal scores in the order of app key and tool key.
    pub hits: Vec<Hit>,
    /// Best two tools score alike, or each is the best for a step of its own.
    pub close: bool,
    /// Further tools that match about as well as the last ones here.
    pub more: usize,
    /// Searched apps that the query names.
    pub named: Vec<usize>,
    /// Apps of [`Options::others`] that the query names.
    pub others: Vec<usize>,
    /// Well-known apps that the query names and that are in neither list.
    pub unknown: Vec<&'static str>,
    /// Words of the query that match no tool in any way.
    pub unmatched: Vec<String>,
}

/// Scored tools of a step: the best first.
type Ranked = Vec<Hit>;

/// Reads the tables, which takes some 50 ms that would else be part of the first search.
pub fn warm_up() {
    for query in ["warm up", "リスト"] {
        let _answer = search(&[], query, &Options::default());
    }
}

/// Ranks the tools of some apps for a query. An empty query finds nothing.
#[must_use]
pub fn search(apps: &[&AppIndex], query: &str, options: &Options<'_>) -> Ranking {
    let query = read(cut(query), &Lexicon::new(apps, options.others));
    let mut scorer = Scorer::new(apps);
    let eligible = |app: usize, tool: usize| {
        let index = apps.get(app);
        options.app.is_none_or(|key| index.is_some_and(|index| index.key() == key))
            && options.access.is_none_or(|access| index.and_then(|index| index.access(tool)) == Some(access))
            && options.visible.is_none_or(|visible| visible(app, tool))
    };
    let whole = scorer.score(&query.whole);
    let matches = matches(&whole.apps, &eligible);
    let mut lists = Vec::new();
    for step in steps(&query) {
        let scores = scorer.score(&step).apps;
        lists.push(ranked(apps, &scores, lists.len(), &eligible));
    }
    let single = lists.is_empty();
    if single {
        lists.push(ranked(apps, &whole.apps, 0, &eligible));
    }
    let limited =
        |app: usize| options.app.is_none() && options.max_per_app > 0 && !query.whole.named.apps.contains(&app);
    let hits = interleave(&lists, options.limit, options.max_per_app, limited);
    let second = hits.get(1).map_or(0.0, |hit| hit.score);
    let close = second > 0.0 && (!single || hits.first().is_some_and(|first| second >= first.score * CLOSE));
    let Named { apps: named, others, unknown, .. } = query.whole.named;
    Ranking {
        close,
        more: matches.saturating_sub(hits.len()),
        hits,
        named,
        others,
        unknown: unknown.into_iter().filter_map(known_app).collect(),
        unmatched: whole.unmatched,
    }
}

/// Beginning of a query, of at most as many bytes as are read.
fn cut(query: &str) -> &str {
    let end = (0..=MAX_QUERY_BYTES.min(query.len())).rev().find(|end| query.is_char_boundary(*end));
    query.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Steps of a query that are searched one by one. A query of one clause that names several apps asks for something of each.
fn steps(query: &Query) -> Vec<Step> {
    if !query.steps.is_empty() {
        return query.steps.clone();
    }
    let named = &query.whole.named;
    if named.single.len() < 2 {
        return Vec::new();
    }
    let flows = named.single.len() == 2 && query.flows;
    let steps = named.single.iter().take(MAX_NAMED_APPS).enumerate().map(|(i, app)| {
        let mut step = query.whole.clone();
        step.named = Named { apps: vec![*app], ..Named::default() };
        // From the first app into the second: there is to be read, here to be written.
        step.intent = if flows { Some(if i == 0 { Step::READS } else { Step::WRITES }) } else { step.intent };
        step
    });
    steps.collect()
}

/// Number of eligible tools whose score is near enough to the best.
fn matches(scores: &[Vec<f32>], eligible: &impl Fn(usize, usize) -> bool) -> usize {
    let best = scores.iter().flatten().copied().fold(0.0, f32::max);
    let near = |score: f32| score > 0.0 && score >= best * MATCH;
    let apps = scores.iter().enumerate();
    apps.map(|(app, tools)| {
        tools.iter().enumerate().filter(|(tool, score)| near(**score) && eligible(app, *tool)).count()
    })
    .sum()
}

/// Eligible tools with a score, the best first.
fn ranked(apps: &[&AppIndex], scores: &[Vec<f32>], step: usize, eligible: &impl Fn(usize, usize) -> bool) -> Ranked {
    let mut found: Ranked = Vec::new();
    for (app, tools) in scores.iter().enumerate() {
        let scored = tools.iter().enumerate().filter(|(tool, score)| **score > 0.0 && eligible(app, *tool));
        found.extend(scored.map(|(tool, score)| Hit { app, tool, score: *score, step }));
    }
    let key = |hit: &Hit| apps.get(hit.app).map(|app| (app.key(), app.tool_key(hit.tool)));
    found.sort_unstable_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| key(a).cmp(&key(b)))
            .then_with(|| (a.app, a.tool).cmp(&(b.app, b.tool)))
    });
    found
}

/// Takes from the lists of the steps turn by turn, so that each step has its place among the first hits.
fn interleave(lists: &[Ranked], limit: usize, max_per_app: usize, limited: impl Fn(usize) -> bool) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    let mut turns: Vec<_> = lists.iter().map(|list| list.iter()).collect();
    let best = lists.iter().filter_map(|list| list.first()).map(|hit| hit.score).fold(0.0, f32::max);
    while hits.len() < limit {
        let before = hits.len();
        for (turn, list) in turns.iter_mut().zip(lists) {
            // Scores of steps differ in scale, as their words differ in number and rarity.
            let scale = list.first().map_or(1.0, |first| best / first.score);
            let next = turn.find(|hit| {
                let known = hits.iter().any(|known| (known.app, known.tool) == (hit.app, hit.tool));
                let full = limited(hit.app) && hits.iter().filter(|known| known.app == hit.app).count() >= max_per_app;
                !known && !full
            });
            if let Some(hit) = next.filter(|_| hits.len() < limit) {
                let score = hits.last().map_or(f32::MAX, |last| last.score).min(hit.score * scale);
                hits.push(Hit { score, ..*hit });
            }
        }
        if hits.len() == before {
            break;
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{
        super::build::{AppIndexBuilder, ToolText},
        *,
    };

    fn app(key: &str, name: &str, reads: &[&str], writes: &[&str]) -> AppIndex {
        let tool = |name, access| ToolText { key: name, name, description: "", parameters: &[], access };
        let reads = reads.iter().map(|name| tool(*name, Access::Read));
        AppIndexBuilder::build(key, name, reads.chain(writes.iter().map(|name| tool(*name, Access::Write))))
    }

    fn apps() -> [AppIndex; 3] {
        let messages = ["Post Message", "Send Message", "Update Message", "Delete Message"];
        [
            app("gmail", "Gmail", &["List Messages"], &["Send Email", "Create Draft", "Delete Message"]),
            app("slack", "Slack", &["List Channels"], &messages),
            app("xero", "Xero", &["List Invoices"], &["Create Invoice", "Create Contact"]),
        ]
    }

    fn find(query: &str, options: &Options<'_>) -> (Ranking, Vec<String>) {
        let apps = apps();
        let apps: Vec<&AppIndex> = apps.iter().collect();
        let answer = search(&apps, query, options);
        let name = |hit: &Hit| format!("{}/{}", apps[hit.app].key(), apps[hit.app].tool_key(hit.tool).unwrap());
        let names = answer.hits.iter().map(name).collect();
        (answer, names)
    }

    #[test]
    fn the_tool_that_is_meant_comes_first() {
        let first = |query: &str| find(query, &Options::default()).1.first().cloned().unwrap_or_default();
        assert_eq!(first("write a mail to Anna"), "gmail/Send Email");
        assert_eq!(first("which invoices are overdue"), "xero/List Invoices");
        assert_eq!(first("bill the client"), "xero/Create Invoice");
        assert_eq!(first("slak mesage delte"), "slack/Delete Message");
        assert_eq!(first("Rechnung erstellen"), "xero/Create Invoice");
        assert_eq!(first("crear una factura"), "xero/Create Invoice");
        assert_eq!(first("supprimer le message dans Slack"), "slack/Delete Message");
        assert_eq!(first("listar os canais"), "slack/List Channels");
        assert_eq!(first("請求書を作成"), "xero/Create Invoice");
    }

    #[test]
    fn steps_take_turns() {
        let (answer, names) = find("create an invoice in Xero and post a message on Slack", &Options::default());
        assert_eq!(names.get(..2).unwrap(), ["xero/Create Invoice", "slack/Post Message"]);
        assert!(answer.close && answer.hits[0].step == 0 && answer.hits[1].step == 1);
    }

    #[test]
    fn an_app_fills_no_more_than_its_places_unless_it_is_asked_for() {
        let of_slack = |query: &str, options: Options<'_>| {
            find(query, &options).1.iter().filter(|name| name.starts_with("slack")).count()
        };
        assert_eq!(of_slack("message", Options::default()), 3);
        assert!(of_slack("slack message", Options::default()) > 3);
        assert!(of_slack("message", Options { app: Some("slack"), ..Options::default() }) > 3);
        assert!(of_slack("message", Options { max_per_app: 0, ..Options::default() }) > 3);
    }

    #[test]
    fn an_app_that_is_not_there_is_told() {
        let others = AppNames::new([("hubspot", "HubSpot")]);
        let (answer, _) = find("create a contact in HubSpot", &Options { others: Some(&others), ..Options::default() });
        assert_eq!((answer.named, answer.others), (vec![], vec![0]));
        let (answer, _) = find("post a photo to Instagram", &Options::default());
        assert_eq!(answer.unknown, ["Instagram"]);
        assert!(answer.unmatched.contains(&"photo".to_owned()));
    }

    #[test]
    fn a_tool_that_is_not_visible_is_not_found() {
        let visible = |app: usize, tool: usize| (app, tool) != (2, 1);
        let (_, names) = find("create an invoice", &Options { visible: Some(&visible), ..Options::default() });
        assert!(!names.contains(&"xero/Create Invoice".to_owned()) && !names.is_empty());
    }

    #[test]
    fn an_empty_query_and_no_apps_find_nothing() {
        warm_up();
        assert_eq!(find("", &Options::default()).0, Ranking::default());
        assert_eq!(search(&[], "create an invoice", &Options::default()).hits, []);
    }

    proptest! {
        #[test]
        fn any_query_is_answered_in_order_within_its_limits_and_twice_the_same(
            query in prop_oneof![".{0,80}", "((create|list|mail|slack|請求書|und|,|'|@|facture|xero|it) ?){0,30}"],
            limit in 0_usize..12,
            read in any::<bool>(),
            slack in any::<bool>(),
        ) {
            let access = if read { Access::Read } else { Access::Write };
            let options = Options { limit, access: Some(access), app: slack.then_some("slack"), ..Options::default() };
            let (answer, names) = find(&query, &options);
            prop_assert!(answer.hits.len() <= limit);
            prop_assert!(answer.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
            prop_assert!(answer.hits.iter().all(|hit| hit.score > 0.0 && hit.score.is_finite()));
            prop_assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
            let apps = apps();
            prop_assert!(answer.hits.iter().all(|hit| apps[hit.app].access(hit.tool) == Some(access)));
            prop_assert!(!slack || names.iter().all(|name| name.starts_with("slack/")));
            prop_assert_eq!(find(&query, &options), (answer, names));
        }
    }
}
