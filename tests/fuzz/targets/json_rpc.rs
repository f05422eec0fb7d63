//! The body of a POST, as far as it is read before anybody is asked.

#![no_main]

use std::str::from_utf8;

use integration_app_mcp_server::{
    chunks::into_bytes,
    protocol::{
        error_object::ErrorObject,
        json,
        jsonrpc::{self, Body, Message, RequestId, Unusable},
        modern_request::{self, ModernRequest},
        request::{CallTool, ClientNotification, ClientRequest},
        revision::Era,
    },
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, value::RawValue};

/// As deep as `serde_json` reads.
const MAX_DEPTH: usize = 127;

fuzz_target!(|body: &[u8]| {
    if json::is_deeper_than(body, MAX_DEPTH) {
        assert!(
            serde_json::from_slice::<Value>(body).is_err(),
            "serde_json reads what nests less than {MAX_DEPTH} deep"
        );
        return;
    }
    match jsonrpc::parse(body) {
        Ok(Body::Single(message)) => read(&message),
        Ok(Body::Batch(messages)) => messages.iter().for_each(|message| match message {
            Ok(message) => read(message),
            Err(unusable) => answer(unusable),
        }),
        Err(unusable) => answer(&unusable),
    }
});

fn read(message: &Message) {
    match message {
        Message::Request(request) => {
            echoes(&request.id, &into_bytes(jsonrpc::result_response(&request.id, vec!["{}".into()])).concat());
            if let Ok(ClientRequest::CallTool(call)) = ClientRequest::read(request) {
                untouched(&call, request.params.as_deref());
            }
            let parsed = ModernRequest::parse(request);
            if let Ok((_, Ok(ModernRequest::CallTool(call)))) = &parsed {
                untouched(call, request.params.as_deref());
            }
            let is_claimed = modern_request::is_claimed(request.params.as_deref());
            assert!(is_claimed || parsed.is_err(), "an envelope names its revision");
        }
        Message::Notification(notification) => {
            let _ =
                (ClientNotification::read(notification), modern_request::is_claimed(notification.params.as_deref()));
        }
        Message::Response => {}
    }
}

/// Arguments go upstream as they came.
fn untouched(call: &CallTool, params: Option<&RawValue>) {
    let arguments = call.arguments.get();
    assert!(arguments == "{}" || params.is_some_and(|params| params.get().contains(arguments)), "{arguments}");
    let compact = json::compact(call.arguments.clone());
    let [was, is] = [arguments, &compact].map(serde_json::from_str::<Value>);
    assert_eq!(was.ok(), is.ok(), "compacting changes what {arguments} says");
}

fn answer(unusable: &Unusable) {
    for era in [Era::Legacy, Era::Modern] {
        let response = jsonrpc::error_response(unusable.id.as_ref(), &ErrorObject::of(&unusable.error, era));
        match &unusable.id {
            Some(id) => echoes(id, &response),
            None => assert!(serde_json::from_slice::<Value>(&response).is_ok_and(|value| value.get("id").is_none())),
        }
    }
}

/// An answer is one line of JSON under the request's id.
fn echoes(id: &RequestId, response: &[u8]) {
    let text = from_utf8(response).expect("UTF-8");
    assert!(!text.contains(['\n', '\r']), "an event is one line: {text:?}");
    let response: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(response["id"], serde_json::to_value(id).expect("an id"), "{text}");
}
