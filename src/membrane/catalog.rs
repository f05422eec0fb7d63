//! All tools of a user: one shared, immutable value whose list was written once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};

use super::tool::Tool;
use crate::{
    ids::{IntegrationKey, ToolName},
    protocol::revision::Era,
};

/// The tools of a user, in the order of integration key and action key.
#[derive(Debug, Default)]
pub struct Catalog {
    tools: Vec<Arc<Tool>>,
    by_name: HashMap<ToolName, usize>,
    /// By name with `-` for each `_`; nothing where two tools are alike in that.
    by_spelling: HashMap<String, Option<usize>>,
    integrations: BTreeSet<IntegrationKey>,
    listing: Bytes,
    /// The listing for the modern era; mostly the same bytes.
    modern_listing: Bytes,
}

impl Catalog {
    /// Puts tools in order. Of two with one name the first stays.
    #[must_use]
    pub fn new(mut tools: Vec<Tool>) -> Self {
        tools.sort_by(|a, b| (a.integration(), a.action()).cmp(&(b.integration(), b.action())));
        let mut catalog = Self::default();
        for tool in &tools {
            catalog.integrations.insert(tool.integration().clone());
        }
        let mut names = BTreeSet::new();
        tools.retain(|tool| {
            let is_new = names.insert(tool.name().clone());
            if !is_new {
                log::warn!(tool = tool.name().as_str(); "skipped a tool: another has its name");
            }
            is_new
        });
        catalog.listing = write_listing(&tools, Era::Legacy);
        catalog.modern_listing =
            match tools.iter().any(|tool| tool.definition(Era::Modern) != tool.definition(Era::Legacy)) {
                true => write_listing(&tools, Era::Modern),
                false => catalog.listing.clone(),
            };
        catalog.tools = share_listing(tools, &catalog.listing);
        for (i, tool) in catalog.tools.iter().enumerate() {
            catalog.by_name.insert(tool.name().clone(), i);
            catalog.by_spelling.entry(spelling(tool.name())).and_modify(|one| *one = None).or_insert(Some(i));
        }
        catalog
    }

    /// Finds a tool by its name, or by a spelling that mixes `_` and `-` where exactly one tool matches.
    #[must_use]
    pub fn find(&self, name: &ToolName) -> Option<&Arc<Tool>> {
        let i = self.by_name.get(name).or_else(|| self.by_spelling.get(&spelling(name))?.as_ref())?;
        self.tools.get(*i)
    }

    #[cfg(test)]
    fn tools(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.iter()
    }

    /// The integrations that the user's tools belong to.
    #[must_use]
    pub fn integrations(&self) -> &BTreeSet<IntegrationKey> {
        &self.integrations
    }

    /// The definitions of all tools for clients of an era as JSON, joined by commas.
    #[must_use]
    pub fn listing(&self, era: Era) -> &Bytes {
        match era {
            Era::Legacy => &self.listing,
            Era::Modern => &self.modern_listing,
        }
    }
}

fn spelling(name: &ToolName) -> String {
    name.as_str().replace('_', "-")
}

fn write_listing(tools: &[Tool], era: Era) -> Bytes {
    let mut listing = BytesMut::new();
    for (i, tool) in tools.iter().enumerate() {
        if i > 0 {
            listing.put_u8(b',');
        }
        listing.put_slice(tool.definition(era));
    }
    listing.freeze()
}

/// Lets each tool's definition be a slice of the listing, so that there is one copy of it.
fn share_listing(tools: Vec<Tool>, listing: &Bytes) -> Vec<Arc<Tool>> {
    let mut start = 0;
    let shared = tools.into_iter().map(|tool| {
        let end = start + tool.definition(Era::Legacy).len();
        let definition = listing.slice(start..end);
        start = end + 1;
        Arc::new(tool.with_definition(definition))
    });
    shared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membrane::{model::Action, tool::App};

    fn catalog(tools: &[(&str, &str)]) -> Catalog {
        let tools = tools.iter().map(|(integration, key)| {
            let app = App {
                key: IntegrationKey::new(integration),
                name: (*integration).to_owned(),
                logo: None,
                disconnected: false,
            };
            let action: Action =
                serde_json::from_str(&format!(r#"{{"key":"{key}","integrationKey":"{integration}"}}"#)).unwrap();
            Tool::of(&app, &action).unwrap()
        });
        Catalog::new(tools.collect())
    }

    #[test]
    fn tools_stand_in_order_and_share_one_buffer() {
        let catalog = catalog(&[("slack", "b"), ("gmail", "z"), ("slack", "a"), ("slack", "a")]);
        let names: Vec<_> = catalog.tools().map(|tool| tool.name().as_str()).collect();
        assert_eq!(names, ["gmail_z", "slack_a", "slack_b"]);
        let joined: Vec<_> = catalog.tools().map(|tool| &tool.definition(Era::Legacy)[..]).collect();
        assert_eq!(joined.join(&b","[..]), catalog.listing(Era::Legacy)[..]);
    }

    #[test]
    fn a_name_is_found_in_any_spelling_that_means_one_tool() {
        let catalog = catalog(&[("gmail", "send-email"), ("acme_crm", "get_it"), ("acme", "crm_get-it")]);
        let find = |name: &str| catalog.find(&ToolName::new(name)).map(|tool| tool.name().as_str());
        assert_eq!(find("gmail_send-email"), Some("gmail_send-email"));
        assert_eq!(find("gmail-send-email"), Some("gmail_send-email"));
        assert_eq!(find("gmail_send_email"), Some("gmail_send-email"));
        assert_eq!(find("acme_crm_get_it"), Some("acme_crm_get_it"));
        assert_eq!(find("acme-crm-get-it"), None, "two tools are spelled so");
        assert_eq!(find("__proto__"), None);
    }
}
