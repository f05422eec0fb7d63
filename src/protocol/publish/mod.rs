//! Input schemas as they are published: in the form that `OpenAI`, Anthropic, Gemini and Bedrock take, and that the validators
//! of the official SDKs compile. One schema that one of them refuses costs the whole list of tools.
//!
//! `tests/vendors` holds their rules, with sources. A schema that keeps them goes out as it came. Any other is read anew:
//! - one type for each sub-schema, or `anyOf` and nothing else; null, which repairs of arguments take, is not told of;
//! - alternatives end with another than an array, for some frameworks tell vendors of the last one's type alone;
//! - no reference, `allOf`, `oneOf`, condition, pattern of names or keyword that means nothing to clients: local references
//!   and `allOf` are put in place, and alternatives of the root become the union of their properties;
//! - names of properties are made of letters, digits, `_`, `.` and `-` (see [`aliases`](super::aliases));
//! - what is no schema is left out.
//!
//! A published schema is never stricter than the action's own, null and values nested in arrays of any type apart: arguments
//! are checked against the action's own. Publishing a published schema changes nothing.

mod keywords;
mod mend;
mod references;
mod sound;
mod unions;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use self::{mend::Mend, sound::Reading};
use crate::protocol::aliases::{Aliases, Names};

/// A schema as it is published.
#[derive(Debug)]
pub struct Published {
    /// Schema for clients, of an object.
    pub schema: Value,
    /// Names of properties that differ from those of the action.
    pub aliases: Aliases,
    /// Faults of the action's schema, for a warning.
    pub faults: BTreeSet<&'static str>,
}

/// Returns whether a schema is published as it is. False where only [`publish`] can tell.
#[must_use]
pub fn is_sound(own: &Value) -> bool {
    Reading::new().is_sound(own)
}

/// Makes the published schema of an action's own, whose root describes an object.
#[must_use]
pub fn publish(own: &Value) -> Published {
    let names = Names::of(own);
    let mut mend = Mend::new(own, &names);
    let schema: Map<String, Value> = mend.root();
    let schema = Value::Object(schema);
    Published { aliases: names.aliases(&schema), faults: mend.into_faults(), schema }
}

#[cfg(test)]
mod tests;
