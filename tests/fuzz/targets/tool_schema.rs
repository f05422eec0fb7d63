//! What the upstream says of an action, and on a second line the arguments of a call.

#![no_main]

use integration_app_mcp_server::{
    http,
    ids::IntegrationKey,
    membrane::{Tool, model::Action, tool::App},
    protocol::{conform::conform, param_headers, revision::Era},
};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;

/// What clients read of a tool's definition.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    name: String,
    input_schema: Value,
}

fuzz_target!(|text: &str| {
    let (action, arguments) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(action) = serde_json::from_str::<Action>(action) else { return };
    let app = App { key: IntegrationKey::new("app"), name: "App".to_owned(), logo: None };
    let Some(tool) = Tool::of(&app, &action) else { return };

    for era in [Era::Legacy, Era::Modern] {
        let mut definition: Definition = serde_json::from_slice(tool.definition(era)).expect("a definition is JSON");
        assert_eq!(definition.name, tool.name().as_str());
        assert_eq!(definition.input_schema["type"], "object", "clients refuse a whole list for any other");
        let (headers, has_removed) = param_headers::sanitize_annotations(&mut definition.input_schema);
        assert!(!has_removed && headers == tool.headers(), "what is published is sound");
    }

    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else { return };
    let _ = tool.check_arguments(&arguments);
    let output = arguments.to_string();
    for era in [Era::Legacy, Era::Modern] {
        let structured = tool.output_schema(era).map(|published| conform(Some(&output), published));
        assert!(structured.is_none_or(|structured| structured.get().starts_with(['{', '['])));
    }
    let _ = http::param_headers::check(tool.headers(), &arguments, |_| [text.as_bytes()]);
});
