//! The spans of HTTP requests, and of the messages in them: what a session, or the server for a request without one, does
//! for a message. Names and attributes are those of OpenTelemetry's semantic conventions for HTTP and for MCP.

use actix_web::{dev::ServiceRequest, http::header::HeaderMap};

use crate::{
    error::Error,
    ids::SessionId,
    metrics,
    protocol::{
        answer::ServerResult,
        jsonrpc::Request,
        request::{CallTool, TracePlace, trace_of},
    },
    trace::{Context, Span, SpanKind, TRACEPARENT, TRACESTATE},
};

/// Returns the span of a request, in the trace that its headers name.
pub(super) fn of_request(request: &ServiceRequest, method: &str, route: &str) -> Span {
    let mut span = Span::begin(SpanKind::Server, context(request.headers()), format_args!("{method} {route}"));
    span.note("http.request.method", method);
    span.note("http.route", route);
    span
}

/// Returns the context that headers tell of. Several `tracestate` are one (W3C Trace Context § 3.3.1); two
/// `traceparent` are none.
fn context(headers: &HeaderMap) -> Context {
    let mut parents = headers.get_all(TRACEPARENT);
    let (Some(parent), None) = (parents.next(), parents.next()) else { return Context::default() };
    let states: Vec<_> = headers.get_all(TRACESTATE).filter_map(|state| state.to_str().ok()).collect();
    let states = (!states.is_empty()).then(|| states.join(","));
    parent.to_str().map_or_else(|_binary| Context::default(), |parent| Context::read(parent, states.as_deref()))
}

/// Returns the span of a message: in the trace that its `_meta` names, which is nearer to who asks than what stands
/// between and may have set the headers, else in that of the request.
pub(super) fn of_message(message: &Request, session: Option<SessionId>) -> Span {
    of_method(&message.method, trace_of(message.params.as_deref()), session)
}

/// Returns the span of a message of a method, of which it is known which trace its `_meta` names.
pub(super) fn of_method(method: &str, named: Option<TracePlace>, session: Option<SessionId>) -> Span {
    let told = named.map(|(parent, state)| Context::read(&parent, state.as_deref()));
    let parent = told.filter(|told| !told.is_nowhere()).unwrap_or_else(Context::current);
    let method = metrics::known_method(method);
    let mut span = Span::begin(SpanKind::Internal, parent, format_args!("{method}"));
    span.note("mcp.method.name", method);
    note_session(&mut span, session);
    span
}

/// Tells which session it was, which is no secret: its id lets nobody in.
pub(super) fn note_session(span: &mut Span, session: Option<SessionId>) {
    if let Some(session) = session {
        span.note("mcp.session.id", session);
    }
}

/// Notes on a span which tool was called.
pub(super) fn note_tool(span: &mut Span, call: &CallTool) {
    span.note("gen_ai.tool.name", &call.name);
}

/// Ends the span of a message with what came of it.
pub(super) fn end(mut span: Span, outcome: &Result<ServerResult, Error>) {
    match outcome {
        Ok(ServerResult::Call(result)) if result.is_error() => span.fail("tool_error"),
        Ok(_) => {}
        Err(error) => {
            // The name of the variant alone: what it holds may be the client's.
            let told = format!("{error:?}");
            span.fail(told.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default());
        }
    }
}
