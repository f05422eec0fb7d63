//! The tools of one app: immutable, written once, and shared by all users for whom they are the same.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::{
    names, searchable,
    tool::{App, Tool},
};
use crate::{
    chunks::PrecompressedJson,
    ids::{IntegrationKey, ToolName},
    protocol::revision::Era,
    search::AppIndex,
};

/// SHA-256 over an app's tools: equal content, equal hash.
pub type Content = [u8; 32];

/// About what a tool takes beside its texts: its entries in maps, its allocations, and its part of the search index, which is
/// counted before there is one, so that a search can't outgrow the bound.
const BYTES_PER_TOOL: usize = 640 + INDEX_BYTES_PER_TOOL;

/// Bytes of a search index for each tool, measured over 3,800 tools of 134 apps.
const INDEX_BYTES_PER_TOOL: usize = 768;

/// Least ratio by which compression shrinks a listing.
const COMPRESSION: usize = 4;

/// The tools of an app, in the order of their actions' keys.
#[derive(Debug)]
pub struct AppTools {
    integration: IntegrationKey,
    /// Name of the app, for people.
    name: String,
    tools: Vec<Arc<Tool>>,
    by_name: HashMap<ToolName, usize>,
    /// By the hash of their keys, which a name may carry.
    by_hash: HashMap<String, usize>,
    /// By `<app>_<action>`, where that is no name.
    by_keys: HashMap<String, usize>,
    /// By name with `-` for each `_`, in that order; some may be alike in that.
    by_spelling: Vec<(String, usize)>,
    listing: Arc<PrecompressedJson>,
    /// The listing for the modern era; mostly the same.
    modern_listing: Arc<PrecompressedJson>,
    content: Content,
    /// The content with the names that the keys alone give.
    plain_content: Content,
    bytes: usize,
    /// Built by the first search, for all users who have these tools.
    index: OnceLock<AppIndex>,
    /// The tools that these are a part of, where some were left out for a URL.
    whole: Option<Arc<Self>>,
}

impl AppTools {
    /// Puts tools in order. Of two with one name the first stays.
    #[must_use]
    pub fn new(app: &App, mut tools: Vec<Tool>) -> Self {
        // Sorted, so that equal sets have equal hashes in whatever order the upstream lists them.
        tools.sort_by(|a, b| a.action().cmp(b.action()));
        let mut names = HashSet::new();
        tools.retain(|tool| {
            let is_new = names.insert(tool.name().clone());
            if !is_new {
                warn_of_namesake(tool);
            }
            is_new
        });
        let content = content(app, &tools);
        let listing = join(tools.iter().map(|tool| tool.definition(Era::Legacy)));
        let tools = share_listing(tools, &listing);
        Self::assemble(app.key.clone(), app.name.clone(), tools, listing, content, content)
    }

    /// Returns the same tools with the names that they have for a user with these apps; nothing where they have them.
    #[must_use]
    pub fn beside(&self, apps: &BTreeSet<&IntegrationKey>) -> Option<Self> {
        let name = |tool: &Tool| names::name_beside(&self.integration, tool.action().as_str(), apps);
        if self.tools.iter().all(|tool| *tool.name() == name(tool)) {
            return None;
        }
        // Only names can differ, so definitions, which are large, are not hashed again.
        let mut content = Sha256::new_with_prefix(self.plain_content);
        let mut is_plain = true;
        let tools = self.tools.iter().map(|tool| {
            let name = name(tool);
            is_plain &= name == names::name(&self.integration, tool.action().as_str());
            content.update(name.as_str());
            if *tool.name() == name { Arc::clone(tool) } else { Arc::new(tool.renamed(name)) }
        });
        let tools: Vec<_> = tools.collect();
        // Plain again once the other app is gone: users with and without it then share these tools.
        let content = if is_plain { self.plain_content } else { content.finalize().into() };
        let listing = join(tools.iter().map(|tool| tool.definition(Era::Legacy)));
        let (integration, name) = (self.integration.clone(), self.name.clone());
        Some(Self::assemble(integration, name, tools, listing, content, self.plain_content))
    }

    fn assemble(
        integration: IntegrationKey,
        name: String,
        tools: Vec<Arc<Tool>>,
        listing: Bytes,
        content: Content,
        plain_content: Content,
    ) -> Self {
        let exact = |tool: &Tool| names::exact(&integration, tool.action().as_str());
        let by_keys = tools.iter().enumerate().map(|(i, tool)| (exact(tool), i));
        let by_keys = by_keys.filter(|(keys, _)| !names::is_exact(keys)).collect();
        let hash = |tool: &Tool| names::hash(&integration, tool.action().as_str());
        let by_hash = tools.iter().enumerate().map(|(i, tool)| (hash(tool), i)).collect();
        let mut by_spelling: Vec<_> = tools.iter().enumerate().map(|(i, tool)| (spelling(tool.name()), i)).collect();
        by_spelling.sort_unstable();
        let is_the_same = |tool: &Arc<Tool>| tool.definition(Era::Modern) == tool.definition(Era::Legacy);
        let listing = Arc::new(PrecompressedJson::new(listing));
        // Most apps have no tool that differs, and their one listing is compressed once.
        let modern_listing = match tools.iter().all(is_the_same) {
            true => Arc::clone(&listing),
            false => Arc::new(PrecompressedJson::new(join(tools.iter().map(|tool| tool.definition(Era::Modern))))),
        };
        let listed = listing.json().len();
        let texts: usize = tools.iter().flat_map(|tool| tool.texts()).map(<[u8]>::len).sum();
        Self {
            integration,
            name,
            // The compressed form is made when it is first asked for, and must fit the bound then.
            bytes: listed + listed / COMPRESSION + texts + tools.len() * BYTES_PER_TOOL,
            by_name: tools.iter().enumerate().map(|(i, tool)| (tool.name().clone(), i)).collect(),
            by_hash,
            by_keys,
            by_spelling,
            tools,
            listing,
            modern_listing,
            content,
            plain_content,
            index: OnceLock::new(),
            whole: None,
        }
    }

    /// Returns the tools that a URL lets be seen; these themselves where that is all.
    #[must_use]
    pub fn only(self: &Arc<Self>, may_be_seen: impl Fn(&Tool) -> bool) -> Arc<Self> {
        let seen: Vec<_> = self.tools.iter().filter(|tool| may_be_seen(tool)).cloned().collect();
        if seen.len() == self.tools.len() {
            return Arc::clone(self);
        }
        let mut content = Sha256::new_with_prefix(self.content);
        for tool in &seen {
            content.update(tool.name().as_str());
            // Names hold no NUL, so no two selections read the same.
            content.update([0]);
        }
        let listing = join(seen.iter().map(|tool| tool.definition(Era::Legacy)));
        let (integration, name) = (self.integration.clone(), self.name.clone());
        let part = Self::assemble(integration, name, seen, listing, content.finalize().into(), self.plain_content);
        Arc::new(Self { whole: Some(Arc::clone(self)), ..part })
    }

    /// Returns the search index, which the first search builds. It holds all tools of the app, those that may not be seen as well.
    #[must_use]
    pub fn index(&self) -> &AppIndex {
        match &self.whole {
            // Filters of many URLs share the index of the whole.
            Some(whole) => whole.index(),
            None => self.index.get_or_init(|| {
                searchable::index(self.integration.as_str(), &self.name, self.tools.iter().map(|tool| &**tool))
            }),
        }
    }

    /// Returns whether a search would have to build the index first.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.whole.as_ref().map_or_else(|| self.index.get().is_some(), |whole| whole.is_indexed())
    }

    /// Returns the tool at a place of the index, unless it may not be seen.
    #[must_use]
    pub fn indexed(&self, place: usize) -> Option<&Arc<Tool>> {
        match &self.whole {
            None => self.tools.get(place),
            Some(whole) => self.find(whole.tools.get(place)?.name()),
        }
    }

    /// Returns the key of the app.
    #[must_use]
    pub fn integration(&self) -> &IntegrationKey {
        &self.integration
    }

    /// Returns the name of the app, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the tools, in the order of their keys.
    #[must_use]
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// Returns the tool of that name.
    #[must_use]
    pub fn find(&self, name: &ToolName) -> Option<&Arc<Tool>> {
        self.tools.get(*self.by_name.get(name)?)
    }

    /// Returns the tool whose keys have the hash with which a name ends.
    pub(super) fn find_hashed(&self, name: &ToolName) -> Option<&Arc<Tool>> {
        let tool = self.tools.get(*self.by_hash.get(names::hash_in(name.as_str())?)?)?;
        // The hash leads to a tool; the readable part before it must be that tool's as well.
        (names::hashed(&self.integration, tool.action().as_str()) == *name).then_some(tool)
    }

    /// Returns the tool of an action whose keys are no name, by its keys.
    pub(super) fn find_by_keys(&self, keys: &str) -> Option<&Arc<Tool>> {
        self.tools.get(*self.by_keys.get(keys)?)
    }

    /// Returns the tools whose names are spelled like that.
    pub(super) fn find_spelled(&self, spelling: &str) -> impl Iterator<Item = &Arc<Tool>> {
        let start = self.by_spelling.partition_point(|(other, _)| other.as_str() < spelling);
        let found = self.by_spelling.iter().skip(start).take_while(move |(other, _)| other == spelling);
        found.filter_map(|(_, i)| self.tools.get(*i))
    }

    /// Returns the definitions of all tools for clients of an era as JSON, joined by commas.
    #[must_use]
    pub fn listing(&self, era: Era) -> &Arc<PrecompressedJson> {
        match era {
            Era::Legacy => &self.listing,
            Era::Modern => &self.modern_listing,
        }
    }

    /// Returns the hash of the tools, by which equal ones are found.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns about how much memory they take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Returns the spelling that names have in common which differ in `_` and `-` alone.
pub(super) fn spelling(name: &ToolName) -> String {
    name.as_str().replace('_', "-")
}

/// Returns definitions as one text, joined by commas.
pub(super) fn join<'a>(definitions: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut listing = BytesMut::new();
    for (i, definition) in definitions.enumerate() {
        if i > 0 {
            listing.put_u8(b',');
        }
        listing.put_slice(definition);
    }
    listing.freeze()
}

fn warn_of_namesake(tool: &Tool) {
    log::warn!(tool = tool.name().as_str(); "skipped a tool: another has its name");
}

/// Lets each tool's definition be a slice of the listing, so that there is one copy of it.
fn share_listing(tools: Vec<Tool>, listing: &Bytes) -> Vec<Arc<Tool>> {
    let mut start = 0;
    let shared = tools.into_iter().map(|tool| {
        let end = start + tool.definition(Era::Legacy).len();
        let definition = listing.slice(start..end);
        // Commas between definitions are no part of them.
        start = end + 1;
        Arc::new(tool.with_definition(definition))
    });
    shared.collect()
}

fn content(app: &App, tools: &[Tool]) -> Content {
    let mut hash = Sha256::new();
    let mut add = |text: &[u8]| {
        // With its length, so that no two lists of texts read the same.
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    add(app.key.as_str().as_bytes());
    add(app.name.as_bytes());
    for tool in tools {
        add(tool.name().as_str().as_bytes());
        add(tool.action().as_str().as_bytes());
        add(tool.definition(Era::Legacy));
        tool.texts().for_each(&mut add);
    }
    hash.finalize().into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::membrane::model::Action;

    fn named(integration: &str) -> App {
        App { key: IntegrationKey::new(integration), name: integration.to_uppercase(), logo: None }
    }

    /// Returns an app with actions of these keys.
    pub(in crate::membrane) fn app(integration: &str, actions: &[&str]) -> AppTools {
        let app = named(integration);
        let tools = actions.iter().map(|key| {
            let action: Action =
                serde_json::from_str(&format!(r#"{{"key":"{key}","integrationKey":"{integration}"}}"#)).unwrap();
            Tool::of(&app, &action).unwrap()
        });
        AppTools::new(&app, tools.collect())
    }

    #[test]
    fn tools_stand_in_order_and_share_one_buffer() {
        let slack = app("slack", &["b", "a", "b"]);
        let names: Vec<_> = slack.tools().iter().map(|tool| tool.name().as_str()).collect();
        assert_eq!(names, ["slack_a", "slack_b"]);
        let definitions: Vec<_> = slack.tools().iter().map(|tool| tool.definition(Era::Legacy)).collect();
        let joined = definitions.iter().map(|bytes| &bytes[..]).collect::<Vec<_>>().join(&b","[..]);
        assert_eq!(joined, slack.listing(Era::Legacy).json()[..]);
        for definition in definitions {
            assert!(slack.listing(Era::Legacy).json().as_ptr_range().contains(&definition.as_ptr()), "it is a copy");
        }
    }

    #[test]
    fn equal_tools_have_the_same_content_and_others_do_not() {
        let content = |integration: &str, actions: &[&str]| *app(integration, actions).content();
        assert_eq!(content("slack", &["a", "b"]), content("slack", &["b", "a"]));
        assert_ne!(content("slack", &["a", "b"]), content("slack", &["a"]));
        assert_ne!(content("slack", &["a"]), content("gmail", &["a"]));
    }
}
