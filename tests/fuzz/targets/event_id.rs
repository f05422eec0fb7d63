//! The id of an event, which a client gives back.

#![no_main]

use integration_app_mcp_server::session::event_log::EventId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(id) = EventId::parse(text) {
        assert_eq!(id.to_string(), text, "an id has one spelling");
    }
});
