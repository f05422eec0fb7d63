//! Tests of catalogs.

use super::*;
use crate::{chunks::into_bytes, membrane::app_tools::tests::app, protocol::answer::ServerResult};

fn catalog(apps: &[(&str, &[&str])], before: Option<&Catalog>) -> Catalog {
    let part = |(integration, actions): &(&str, &[&str])| AppCatalog {
        tools: Arc::new(app(integration, actions)),
        since: Instant::now(),
        place: None,
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
    let json = into_bytes(ServerResult::Tools(list(&catalog)).into_chunks()).concat();
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
    let json = into_bytes(ServerResult::Tools(list(&both)).into_chunks()).concat();
    let list: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let listed: Vec<_> = list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
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
