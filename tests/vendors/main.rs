//! Every tool against the rules of the vendors of models, which stand in `rules.toml`.
//!
//! Checked are the apps of the sandbox, schemas that vendors and SDKs have refused (`fixtures.json`), and generated ones. The
//! folder that the environment variable `CATALOGS` names, of files like the sandbox's, is checked as well.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic, in its helpers too"
)]

mod rules;
mod schemas;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use integration_app_mcp_server::{
    ids::IntegrationKey,
    membrane::{
        Accounts, Catalog, Tool,
        app_tools::AppTools,
        catalog::AppCatalog,
        model::{Action, Connection},
        tool::App,
    },
    protocol::{publish, revision::Era},
};
use proptest::prelude::*;
use rules::Rules;
use serde_json::{Value, json};

/// The definition of an action's tool, as clients see it.
fn definition(app: &App, action: &Value) -> Value {
    let action: Action = serde_json::from_value(action.clone()).unwrap();
    let tool =
        Tool::of(app, &action).unwrap_or_else(|| panic!("an action is no tool: {}", action.key.unwrap_or_default()));
    serde_json::from_slice(tool.definition(Era::Legacy)).unwrap()
}

fn app(integration: &Value) -> App {
    App::of(&serde_json::from_value(integration.clone()).unwrap()).unwrap()
}

/// The definition of a tool with this schema.
fn with_schema(schema: &Value) -> Value {
    let integration = json!({"key": "app", "name": "App"});
    definition(&app(&integration), &json!({"key": "do", "integrationKey": "app", "inputSchema": schema}))
}

/// Folders of apps, each file one app or a list of them.
fn folders() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("config/sandbox")];
    folders.extend(std::env::var_os("CATALOGS").map(PathBuf::from));
    folders
}

#[test]
fn every_app_has_all_its_actions_as_tools_that_every_vendor_takes() {
    let rules = Rules::read();
    for folder in folders() {
        let (mut names, mut count) = (BTreeSet::new(), 0);
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let apps: Value = serde_json::from_str(&text).unwrap();
            let apps = if apps.is_array() { apps.as_array().unwrap().clone() } else { vec![apps] };
            for read in apps {
                let app = app(&read["integration"]);
                for action in read["actions"].as_array().unwrap() {
                    let mut action = action.clone();
                    action["integrationKey"] = json!(app.key.as_str());
                    let definition = definition(&app, &action);
                    assert_eq!(rules.broken(&definition), Vec::<String>::new(), "{definition}");
                    assert_eq!(definition, self::definition(&app, &action), "the same at any time");
                    assert!(names.insert(definition["name"].as_str().unwrap().to_owned()), "{}", definition["name"]);
                    count += 1;
                }
            }
        }
        assert_eq!(names.len(), count);
        println!("{count} tools are taken");
    }
}

#[test]
fn schemas_that_were_refused_are_taken() {
    let rules = Rules::read();
    let fixtures: Vec<Value> = serde_json::from_str(include_str!("fixtures.json")).unwrap();
    assert!(fixtures.len() > 30);
    for schema in fixtures {
        let definition = with_schema(&schema);
        assert_eq!(rules.broken(&definition), Vec::<String>::new(), "{schema}\n{definition}");
    }
}

#[test]
fn a_definition_that_tells_of_accounts_is_taken_whatever_its_schema() {
    let rules = Rules::read();
    let fixtures: Vec<Value> = serde_json::from_str(include_str!("fixtures.json")).unwrap();
    let connections: Vec<Connection> = serde_json::from_value(json!([
        {"id": "c1", "key": "work", "name": "Ann \"A\" Möller\n\u{202e}x"},
        {"id": "c 2", "name": "n".repeat(1000), "disconnected": true},
    ]))
    .unwrap();
    let app = app(&json!({"key": "app", "name": "App"}));
    let accounts = BTreeMap::from([(app.key.clone(), Accounts::of(&connections))]);
    for schema in fixtures {
        let action = json!({"key": "do", "integrationKey": "app", "inputSchema": schema});
        let tool = Tool::of(&app, &serde_json::from_value(action).unwrap()).unwrap();
        let tools = Arc::new(AppTools::new(&app, vec![tool]));
        let parts = vec![AppCatalog { tools: Arc::clone(&tools), since: Instant::now(), place: None }];
        let catalog = Catalog::new(parts, None, Vec::new()).with_accounts(accounts.clone(), None);
        let definition: Value = serde_json::from_slice(&catalog.definition(&tools.tools()[0], Era::Legacy)).unwrap();
        let properties = definition["inputSchema"]["properties"].as_object().unwrap();
        let (argument, told) = properties.iter().next_back().unwrap();
        assert!(argument.starts_with("account") && told["enum"] == json!(["work", "c 2"]), "{definition}");
        assert_eq!(rules.broken(&definition), Vec::<String>::new(), "{schema}\n{definition}");
    }
}

#[test]
fn a_name_of_any_keys_is_taken() {
    let rules = Rules::read();
    for (key, action) in
        [("客户", "创建"), ("1password", "get item"), ("a.b", "c/d"), ("x", &*"long".repeat(40)), ("👍", "👎")]
    {
        let app = App { key: IntegrationKey::new(key), name: "App".to_owned(), logo: None };
        let definition = definition(&app, &json!({"key": action, "integrationKey": key}));
        assert_eq!(rules.broken(&definition), Vec::<String>::new(), "{definition}");
    }
}

#[test]
fn a_logo_that_weighs_more_than_its_tool_is_left_out() {
    let rules = Rules::read();
    let logo = |bytes: usize| format!("data:image/png;base64,{}", "A".repeat(bytes));
    for (uri, is_there) in
        [(logo(1_900), true), (logo(60_000), false), ("https://x/y".repeat(300), true), ("http://x".to_owned(), false)]
    {
        let app = app(&json!({"key": "app", "logoUri": uri}));
        let definition = definition(&app, &json!({"key": "do", "integrationKey": "app"}));
        assert_eq!(definition.get("icons").is_some(), is_there, "{uri:.40}");
        assert!(!is_there || uri.starts_with("https") || rules.broken(&definition).is_empty());
    }
}

/// What is checked must be able to fail.
#[test]
fn a_definition_that_a_vendor_refuses_is_noticed() {
    let rules = Rules::read();
    let sound = json!({"name": "app_do", "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}}});
    assert_eq!(rules.broken(&sound), Vec::<String>::new());
    let with = |pointer: &str, value: Value| {
        let mut broken = sound.clone();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        broken.pointer_mut(parent).unwrap()[member] = value;
        broken
    };
    let deep = (0..40).fold(json!({"type": "string"}), |schema, _| json!({"type": "array", "items": schema}));
    let many: Vec<String> = (0..1001).map(|i| i.to_string()).collect();
    for broken in [
        with("/name", json!("a.b")),
        with("/name", json!("1a")),
        with("/name", json!("x".repeat(65))),
        with("/inputSchema/type", json!("array")),
        with("/inputSchema/anyOf", json!([{"type": "object"}])),
        with("/inputSchema/required", json!(["ghost"])),
        with("/inputSchema/$id", json!("https://x/y")),
        with("/inputSchema/$schema", json!("https://x/y")),
        with("/inputSchema/properties", json!({"First Name": {"type": "string"}})),
        with("/inputSchema/properties/a", json!({})),
        with("/inputSchema/properties/a", json!({"type": ["string", "null"]})),
        with("/inputSchema/properties/a", json!({"type": "array"})),
        with("/inputSchema/properties/a", json!({"type": "object"})),
        with("/inputSchema/properties/a", json!({"type": "integer", "enum": [1]})),
        with("/inputSchema/properties/a", json!({"type": "string", "enum": many})),
        with("/inputSchema/properties/a", json!({"type": "string", "enum": [""]})),
        with("/inputSchema/properties/a", json!({"type": "string", "const": "a"})),
        with("/inputSchema/properties/a", json!({"type": "string", "pattern": "^(?=a)"})),
        with("/inputSchema/properties/a", json!({"type": "string", "format": "uri"})),
        with("/inputSchema/properties/a", json!({"type": "number", "exclusiveMinimum": true})),
        with("/inputSchema/properties/a", json!({"anyOf": [{"type": "string"}], "description": "D"})),
        with("/inputSchema/properties/a", json!({"oneOf": [{"type": "string"}]})),
        with("/inputSchema/properties/a", json!({"$ref": "#"})),
        with(
            "/inputSchema/properties/a",
            json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
        ),
        with("/inputSchema/properties/a", deep),
        with("/icons", json!([{"src": "x".repeat(3_000)}])),
    ] {
        assert!(!rules.broken(&broken).is_empty(), "{broken:.200}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_schema_an_action_has_every_vendor_takes_its_tool(schema in schemas::any()) {
        let rules = Rules::read();
        let definition = with_schema(&schema);
        prop_assert_eq!(rules.broken(&definition), Vec::<String>::new(), "{}\n{}", schema, definition);
        let published = &definition["inputSchema"];
        prop_assert!(!publish::is_sound(&schema) || publish::publish(&schema).schema == schema, "{}", schema);
        prop_assert_eq!(&with_schema(published)["inputSchema"], published, "{}", schema);
    }
}
