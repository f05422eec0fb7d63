//! All tools of a user: an immutable value made of the tools of each app, which it shares with other users.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    app_tools::{AppTools, spelling},
    names,
    tool::Tool,
};
use crate::{
    ids::{IntegrationKey, ToolName},
    protocol::{answer::ToolList, pieces::Piece, revision::Era},
};

/// The tools of a user, in the order of integration key and action key.
#[derive(Debug, Default)]
pub struct Catalog {
    parts: Vec<Part>,
    /// Tools that were there before, of apps that have changed since.
    gone: Vec<Arc<AppTools>>,
    /// Apps that could not be asked, whether or not earlier tools of theirs stand in.
    failed: Vec<FailedApp>,
    /// Keys of all connected apps.
    connected: Arc<[IntegrationKey]>,
    /// Whether there are too many tools to list, by what was so before as well.
    is_large: bool,
}

/// Number of tools and tokens of their definitions up to which a catalog is small. Listing few tools is cheaper than a search,
/// which takes a turn of the model.
const SMALL: (usize, usize) = (30, 10_000);

/// The same for a catalog that was large before: a tool that comes and goes must not change the way of listing each time.
const SMALL_AGAIN: (usize, usize) = (20, 6_000);

/// Bytes of a definition for a token, about.
const BYTES_PER_TOKEN: usize = 4;

/// An app whose tools could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedApp {
    /// Key of the app that can't be asked.
    pub key: IntegrationKey,
    /// Name of the app, for people.
    pub name: String,
    /// Time after which the load is tried again.
    pub retry: Duration,
}

impl FailedApp {
    /// Seconds after which to try again, in words that follow "try again".
    #[must_use]
    pub fn when(&self) -> String {
        format!("in {} s", self.retry.as_secs().max(1))
    }
}

/// The tools of an app, as they were at a time.
#[derive(Debug, Clone)]
pub struct Part {
    /// Tools of the app, shared with users who have the same.
    pub tools: Arc<AppTools>,
    /// Time at which the tools were loaded.
    pub since: Instant,
}

/// Why a tool that was there is there no more. With the app's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Its app is not among the user's any more.
    #[error("{0} was disconnected; the user has to connect it again")]
    App(String),
    /// Its app has no such action any more.
    #[error("{0} no longer has this action")]
    Action(String),
}

impl Catalog {
    /// Returns a catalog of these parts, each of another app, in place of the one `before`. `failed` apps could not be
    /// asked.
    #[must_use]
    pub fn new(mut parts: Vec<Part>, before: Option<&Self>, failed: Vec<FailedApp>) -> Self {
        parts.sort_by(|a, b| a.tools.integration().cmp(b.tools.integration()));
        let connected = parts.iter().map(|part| part.tools.integration().clone()).collect();
        let mut catalog = Self { parts, gone: Vec::new(), failed, connected, is_large: false };
        // By all apps, whether or not they could be asked: names must not depend on that.
        let keys: Vec<_> = catalog.apps().into_iter().cloned().collect();
        let apps = keys.iter().collect();
        for part in &mut catalog.parts {
            if let Some(tools) = part.tools.beside(&apps) {
                part.tools = Arc::new(tools);
            }
        }
        for old in before.into_iter().flat_map(Self::held) {
            let is_there = |tool: &Arc<Tool>| catalog.find(tool.name()).is_some();
            let is_noted = catalog.gone.iter().any(|gone| gone.integration() == old.integration());
            let is_the_same = catalog.parts().any(|part| Arc::ptr_eq(part, old));
            if !is_noted && !is_the_same && !old.tools().iter().all(is_there) {
                catalog.gone.push(Arc::clone(old));
            }
        }
        catalog.is_large = catalog.exceeds(before.is_some_and(|before| before.is_large));
        catalog
    }

    /// Returns the catalog of a URL that lets only some tools be seen.
    #[must_use]
    pub fn only(&self, may_be_seen: impl Fn(&Tool) -> bool) -> Self {
        let part = |part: &Part| Part { tools: part.tools.only(&may_be_seen), since: part.since };
        let parts = self.parts.iter().map(part).filter(|part| !part.tools.tools().is_empty());
        let (gone, failed, connected) = (self.gone.clone(), self.failed.clone(), Arc::clone(&self.connected));
        let seen = Self { parts: parts.collect(), gone, failed, connected, is_large: false };
        Self { is_large: seen.exceeds(self.is_large), ..seen }
    }

    /// Returns whether there are too many tools to list each of them to a model.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.is_large
    }

    fn exceeds(&self, was_large: bool) -> bool {
        let (max_tools, max_tokens) = if was_large { SMALL_AGAIN } else { SMALL };
        let tools: usize = self.parts().map(|part| part.tools().len()).sum();
        let bytes: usize = self.parts().map(|part| part.listing(Era::Legacy).json().len()).sum();
        tools > max_tools || bytes / BYTES_PER_TOKEN > max_tokens
    }

    /// Finds a tool by its name, by the name with a hash that it could have, by its keys where these are no name, or by its
    /// name with `-` for each `_`, as no tool is named. Only where no other tool may be meant, not even one that is gone.
    #[must_use]
    pub fn find(&self, name: &ToolName) -> Option<&Arc<Tool>> {
        let by_name = self.parts().find_map(|part| part.find(name).or_else(|| part.find_hashed(name)));
        if by_name.is_some() || names::readings(name.as_str(), &self.apps()).count() > 1 {
            return by_name;
        }
        if let Some(tool) = self.parts().find_map(|part| part.find_by_keys(name.as_str())) {
            return Some(tool);
        }
        if name.as_str().contains('_') {
            return None;
        }
        let spelling = spelling(name);
        let tool = self.parts().flat_map(|part| part.find_spelled(&spelling)).next()?;
        let mut spelled = self.held().flat_map(|part| part.find_spelled(&spelling));
        spelled
            .all(|other| (other.integration(), other.action()) == (tool.integration(), tool.action()))
            .then_some(tool)
    }

    /// Returns the keys of the user's apps.
    fn apps(&self) -> BTreeSet<&IntegrationKey> {
        self.connected().chain(self.failed.iter().map(|app| &app.key)).collect()
    }

    /// Why a tool is not there that was there before.
    #[must_use]
    pub fn why_gone(&self, name: &ToolName) -> Option<Gone> {
        let app = self.gone.iter().find(|app| app.find(name).is_some() || app.find_hashed(name).is_some())?;
        let is_connected = self.parts().any(|part| part.integration() == app.integration());
        Some(if is_connected { Gone::Action(app.name().to_owned()) } else { Gone::App(app.name().to_owned()) })
    }

    /// Returns the tools of each app, in the order of keys.
    pub fn parts(&self) -> impl Iterator<Item = &Arc<AppTools>> {
        self.parts.iter().map(|part| &part.tools)
    }

    /// Returns the keys of all connected apps, those without a tool that may be seen included.
    pub fn connected(&self) -> impl Iterator<Item = &IntegrationKey> {
        self.connected.iter()
    }

    /// Everything that it keeps in memory.
    pub fn held(&self) -> impl Iterator<Item = &Arc<AppTools>> {
        self.parts().chain(&self.gone)
    }

    /// Returns the tools of an app, and since when they are known.
    #[must_use]
    pub fn part(&self, integration: &IntegrationKey) -> Option<&Part> {
        self.parts.iter().find(|part| part.tools.integration() == integration)
    }

    /// Returns when the oldest of it was loaded; nothing for a user without apps.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.parts.iter().map(|part| part.since).min()
    }

    /// Returns whether integrations could not be asked.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Returns the apps that could not be asked.
    #[must_use]
    pub fn failed(&self) -> &[FailedApp] {
        &self.failed
    }

    /// Returns the app that could not be asked and to which a tool belongs, as far as its name tells: the one with the
    /// longest key.
    #[must_use]
    pub fn failed_app_of(&self, name: &ToolName) -> Option<&FailedApp> {
        let name = spelling(name);
        let is_its = |app: &&FailedApp| {
            let key = names::readable(app.key.as_str()).replace('_', "-");
            let name = name.strip_prefix("app-").filter(|_| !name.starts_with(&key)).unwrap_or(&name);
            !key.is_empty() && name.strip_prefix(&key).is_some_and(|rest| rest.starts_with('-'))
        };
        self.failed.iter().filter(is_its).max_by_key(|app| app.key.as_str().len())
    }

    /// Returns whether both have the same tools.
    #[must_use]
    pub fn lists_the_same(&self, other: &Self) -> bool {
        self.parts().map(|part| part.content()).eq(other.parts().map(|part| part.content()))
    }

    /// Appends all tools to a list for clients of an era.
    pub fn list_into(&self, list: &mut ToolList, era: Era) {
        if self.is_partial() {
            list.mark_partial();
        }
        for part in self.parts() {
            list.push(Piece::Listing(Arc::clone(part.listing(era))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        membrane::app_tools::tests::app,
        protocol::{answer::Answer, pieces::plain},
    };

    fn catalog(apps: &[(&str, &[&str])], before: Option<&Catalog>) -> Catalog {
        let part = |(integration, actions): &(&str, &[&str])| Part {
            tools: Arc::new(app(integration, actions)),
            since: Instant::now(),
        };
        Catalog::new(apps.iter().map(part).collect(), before, Vec::new())
    }

    /// Returns an app that could not be asked.
    fn failed(key: &str) -> FailedApp {
        FailedApp { key: IntegrationKey::new(key), name: key.to_uppercase(), retry: Duration::from_secs(5) }
    }

    fn list(catalog: &Catalog) -> ToolList {
        let mut list = ToolList::default();
        catalog.list_into(&mut list, Era::Legacy);
        list
    }

    #[test]
    fn a_name_tells_which_app_could_not_be_asked() {
        let catalog = Catalog::new(Vec::new(), None, vec![failed("acme"), failed("acme_crm"), failed("google-cal")]);
        assert!(catalog.is_partial() && list(&catalog).is_partial());
        let app = |name: &str| catalog.failed_app_of(&ToolName::new(name)).map(|app| app.name.as_str());
        let cases = [
            ("acme_get", Some("ACME")),
            ("acme_crm_get", Some("ACME_CRM")),
            ("acme-crm-get", Some("ACME_CRM")),
            ("google_cal_list", Some("GOOGLE-CAL")),
            ("acmes_get", None),
            ("acme", None),
            ("slack_acme_get", None),
        ];
        for (name, expected) in cases {
            assert_eq!(app(name), expected, "{name}");
        }
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.parts().flat_map(|part| part.tools()).map(|tool| tool.name().as_str()).collect()
    }

    #[test]
    fn apps_stand_in_the_order_of_their_keys() {
        let catalog = catalog(&[("slack", &["b", "a"]), ("acme_crm", &["get", "put"])], None);
        assert_eq!(names(&catalog), ["acme_crm_get", "acme_crm_put", "slack_a", "slack_b"]);
        let json = plain(Answer::Tools(list(&catalog)).into_pieces()).concat();
        let list: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(list["tools"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_tool_is_found_by_its_name_and_by_what_can_mean_no_other() {
        let catalog = catalog(&[("gmail", &["send-email"]), ("acme_crm", &["get_it", "get-it", "put.it"])], None);
        let find = |name: &str| catalog.find(&ToolName::new(name)).map(|tool| tool.name().as_str());
        assert_eq!(find("gmail_send-email"), Some("gmail_send-email"));
        assert_eq!(find("gmail-send-email"), Some("gmail_send-email"));
        assert_eq!(find("gmail_send_email"), None, "an action could have that name");
        assert_eq!(find("acme_crm_get_it"), Some("acme_crm_get_it"));
        assert_eq!(find("acme-crm-get-it"), None, "two tools are spelled so");
        assert_eq!(find("__proto__"), None);
        let put = find("acme_crm_put.it").unwrap();
        assert!(put.starts_with("acme_crm_put-it_"), "{put}");
        assert_eq!([find(put), find(&put.replace('_', "-")), find("acme-crm-put.it")], [Some(put), Some(put), None]);
        let hashed = names::hashed(&IntegrationKey::new("gmail"), "send-email");
        assert_eq!(find(hashed.as_str()), Some("gmail_send-email"), "as it would be called beside other apps");
    }

    #[test]
    fn a_name_never_comes_to_mean_another_action() {
        let found = |catalog: &Catalog, name: &str| {
            catalog.find(&ToolName::new(name)).map(|tool| format!("{} {}", tool.integration(), tool.action()))
        };
        let keys = ["创建", "删除", "get user", "get-user", "get/user", "get_user", "a.b", "a-b", "x"];
        let long = ["long".repeat(30), "long".repeat(31)];
        let keys: Vec<&str> = keys.into_iter().chain(long.iter().map(String::as_str)).collect();
        let first = catalog(&[("crm", &keys), ("客户", &keys), ("客服", &keys)], None);
        let all: Vec<(String, String)> = first
            .parts()
            .flat_map(|part| part.tools())
            .map(|tool| (tool.name().as_str().to_owned(), format!("{} {}", tool.integration(), tool.action())))
            .collect();
        assert_eq!(all.len(), 3 * keys.len(), "a tool is missing");
        assert!(all.iter().all(|(name, keys)| found(&first, name).as_ref() == Some(keys)));
        for gone in &keys {
            let left: Vec<&str> = keys.iter().filter(|key| *key != gone).copied().collect();
            for before in [Some(&first), None] {
                let later = catalog(&[("crm", &left), ("客户", &left)], before);
                for (name, keys) in &all {
                    let there = found(&later, name);
                    let is_there =
                        keys.split_once(' ') != Some(("crm", *gone)) && keys.split_once(' ') != Some(("客户", *gone));
                    let expected = Some(keys).filter(|_| is_there && !keys.starts_with("客服"));
                    assert_eq!(there.as_ref(), expected, "{name}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_two_apps_could_have_is_neithers_whatever_their_actions() {
        let alone = catalog(&[("a_b", &["c"])], None);
        assert_eq!(names(&alone), ["a_b_c"]);
        let both = catalog(&[("a", &["b_c", "d"]), ("a_b", &["c"])], Some(&alone));
        let [d, of_a, of_ab] = names(&both)[..] else { panic!("{:?}", names(&both)) };
        let [of_a, d] = if d == "a_d" { [of_a, d] } else { [d, of_a] };
        assert_eq!(d, "a_d");
        assert!(of_a != of_ab && [of_a, of_ab].iter().all(|name| name.starts_with("a_b_c_")), "{of_a} {of_ab}");
        let find = |catalog: &Catalog, name: &str| catalog.find(&ToolName::new(name)).map(|tool| tool.action().clone());
        assert_eq!(find(&both, "a_b_c"), None);
        assert_eq!(find(&both, of_ab).unwrap().as_str(), "c");
        let json = plain(Answer::Tools(list(&both)).into_pieces()).concat();
        let list: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let listed: Vec<_> =
            list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(listed, names(&both));

        let fewer = catalog(&[("a", &["d"]), ("a_b", &["c"])], Some(&both));
        assert_eq!(names(&fewer), ["a_d", of_ab], "another action's end changes no name");
        let failing = Catalog::new(vec![fewer.parts[1].clone()], Some(&both), vec![failed("a")]);
        assert_eq!(names(&failing), [of_ab], "nor does an app that can't be asked");
        let again = catalog(&[("a_b", &["c"])], Some(&both));
        assert_eq!(names(&again), ["a_b_c"]);
        assert_eq!(find(&again, of_ab).unwrap().as_str(), "c");
        assert!(again.lists_the_same(&alone));
    }

    #[test]
    fn it_knows_why_a_tool_is_gone() {
        let first = catalog(&[("gmail", &["send"]), ("slack", &["post", "read"])], None);
        let second = catalog(&[("slack", &["read"])], Some(&first));
        assert!(!second.lists_the_same(&first));
        let third = catalog(&[("slack", &["read"])], Some(&second));
        assert!(third.lists_the_same(&second));
        for later in [second, third] {
            let why_gone = |name: &str| later.why_gone(&ToolName::new(name));
            assert_eq!(why_gone("gmail_send"), Some(Gone::App("GMAIL".to_owned())));
            assert_eq!(why_gone("slack_post"), Some(Gone::Action("SLACK".to_owned())));
            assert_eq!(why_gone("slack_other"), None);
            let back = catalog(&[("gmail", &["send"]), ("slack", &["read"])], Some(&later));
            assert_eq!(back.why_gone(&ToolName::new("gmail_send")), None);
            assert!(back.why_gone(&ToolName::new("slack_post")).is_some());
        }
    }
}
