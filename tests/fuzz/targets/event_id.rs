//! The name of an event, which a client gives back.

#![no_main]

use integration_app_mcp_server::session::event_log::EventName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(name) = EventName::parse(text) {
        assert_eq!(name.to_string(), text, "a name has one spelling");
    }
});
