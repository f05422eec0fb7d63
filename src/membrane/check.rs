//! A tool's schema and the checks against it, within what compiled schemas may take.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use metrics::counter;
use serde_json::{Value, value::RawValue};

use crate::{
    ids::ToolName,
    protocol::{
        aliases::Aliases,
        json,
        mend::{Mended, mend},
        validation::{Validator, Verdict},
    },
};

/// Memory that all compiled schemas of the process take: one takes up to fifty times its text.
const MAX_KEPT_BYTES: usize = 64 << 20;
/// Bytes of a schema that takes some milliseconds to compile.
const SLOW_SCHEMA_BYTES: usize = 32 << 10;

/// Memory that the compiled schemas take.
static KEPT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A schema that is compiled when it is first needed.
#[derive(Debug)]
pub(super) struct Check {
    schema: Box<RawValue>,
    compiled: OnceLock<Compiled>,
}

#[derive(Debug)]
enum Compiled {
    Kept(CountedValidator),
    /// There is no room to keep it: it is compiled for each check.
    Dropped,
    /// The schema does not compile, so that values pass unchecked.
    Failed,
}

/// A compiled schema that is counted.
#[derive(Debug)]
struct CountedValidator(Validator);

impl CountedValidator {
    fn new(validator: Validator) -> Option<Self> {
        let fits = |kept: usize| kept.checked_add(validator.bytes()).filter(|bytes| *bytes <= MAX_KEPT_BYTES);
        // Taken before the schema is kept, so that threads can't exceed the bound together.
        KEPT_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok().then_some(Self(validator))
    }
}

impl Drop for CountedValidator {
    fn drop(&mut self) {
        KEPT_BYTES.fetch_sub(self.0.bytes(), Ordering::Relaxed);
    }
}

/// Outcome of checking arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// They conform, or can't be checked.
    Sound,
    /// They conform since they were repaired.
    Mended(Mended),
    /// They don't conform, for these faults, each with its path.
    Wrong(String),
}

/// Why arguments pass unchecked. The upstream checks what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unchecked {
    /// The schema does not compile, or would cost too much to.
    Schema,
    /// The check would take too many steps.
    Steps,
    /// The value would take too much memory as a tree.
    Size,
    /// The value can't be read as a tree: it is nested too deep, or has a number of any size.
    Form,
    /// Too many large values are checked at the same time.
    Busy,
}

impl Unchecked {
    /// Returns the label by which the metric counts it.
    fn label(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Steps => "steps",
            Self::Size => "size",
            Self::Form => "form",
            Self::Busy => "busy",
        }
    }

    /// Counts a value, and warns of it. Of a schema that does not compile there was a warning before.
    pub(super) fn note(self, tool: &ToolName) {
        let reason = self.label();
        counter!("mcp_unchecked_values_total", "reason" => reason).increment(1);
        if self != Self::Schema {
            log::warn!(tool = tool.as_str(), reason; "a value passes without a check against its schema");
        }
    }
}

impl Check {
    pub(super) fn new(schema: Box<RawValue>) -> Self {
        Self { schema, compiled: OnceLock::new() }
    }

    /// Returns a check against the same schema, still to be compiled.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.schema.clone())
    }

    /// Returns the schema as it was given.
    pub(super) fn text(&self) -> &str {
        self.schema.get()
    }

    /// Returns whether the next check will take its time, whatever the value.
    pub(super) fn is_slow(&self) -> bool {
        let is_ready = matches!(self.compiled.get(), Some(Compiled::Kept(_) | Compiled::Failed));
        !is_ready && self.text().len() > SLOW_SCHEMA_BYTES
    }

    /// Checks arguments that have the action's own names, and repairs them once if they don't conform. `aliases` are the names
    /// that the action's have been published under.
    pub(super) fn check_or_mend(&self, tool: &ToolName, arguments: &RawValue, aliases: &Aliases) -> Checked {
        let Err(faults) = self.check_raw(tool, arguments) else { return Checked::Sound };
        // What was a text of JSON until now has the published names.
        let restored = |mended: Mended| match aliases.restore(serde_json::from_str(&mended.json).ok()?) {
            Some(json) => Some(Mended { json: String::from(Box::<str>::from(json)), ..mended }),
            None => Some(mended),
        };
        // A repair that does not conform is worth nothing. The model is told the faults of what it sent.
        let mended = mend(&self.schema, arguments).and_then(restored).filter(|mended| {
            serde_json::from_str(&mended.json).is_ok_and(|mended| self.check_raw(tool, mended).is_ok())
        });
        mended.map_or(Checked::Wrong(faults), Checked::Mended)
    }

    /// Checks a value that is still to be read.
    ///
    /// # Errors
    /// The faults, each with its path. Arguments that can't be checked pass.
    pub(super) fn check_raw(&self, tool: &ToolName, value: &RawValue) -> Result<(), String> {
        let Ok(value) = json::read(value) else {
            Unchecked::Form.note(tool);
            return Ok(());
        };
        self.check(tool, &value)
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The faults, each with its path. Arguments that can't be checked pass.
    pub(super) fn check(&self, tool: &ToolName, value: &Value) -> Result<(), String> {
        // Compiled by whoever comes first; others wait for it rather than do the same.
        let fresh;
        let compiled = self.compiled.get_or_init(|| match Validator::compile(&self.schema) {
            Err(error) => {
                // The workspace's mistake, not the caller's.
                log::warn!(tool = tool.as_str(); "values pass unchecked, for a schema does not compile: {error}");
                Compiled::Failed
            }
            Ok(validator) => CountedValidator::new(validator).map_or(Compiled::Dropped, Compiled::Kept),
        });
        let validator = match compiled {
            Compiled::Kept(kept) => Some(&kept.0),
            Compiled::Dropped => {
                fresh = Validator::compile(&self.schema).ok();
                fresh.as_ref()
            }
            Compiled::Failed => None,
        };
        let unchecked = match validator.map(|validator| validator.check(value)) {
            Some(Verdict::Valid) => return Ok(()),
            Some(Verdict::Invalid(faults)) => return Err(faults),
            Some(Verdict::TooCostly) => Unchecked::Steps,
            None => Unchecked::Schema,
        };
        unchecked.note(tool);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value) -> Check {
        Check::new(json::to_raw(schema))
    }

    #[test]
    fn what_can_not_be_checked_passes() {
        let tool = ToolName::new("app_do");
        let text = check(&json!({"items": {"type": "string"}}));
        assert!(text.check(&tool, &json!([1])).is_err());
        let deep = "[".repeat(200) + &"]".repeat(200);
        for unreadable in ["1e400", deep.as_str()] {
            assert_eq!(text.check_raw(&tool, serde_json::from_str(unreadable).unwrap()), Ok(()));
        }
        let failing = check(&json!({"type": "no type"}));
        assert_eq!(failing.check(&tool, &json!(1)), Ok(()));
        assert!(matches!(failing.compiled.get(), Some(Compiled::Failed)));
    }

    #[test]
    fn what_is_repaired_has_to_conform() {
        let tool = ToolName::new("app_do");
        let five = check(&json!({"properties": {"n": {"type": "integer", "maximum": 5}, "s": {"type": "string"}}}));
        let outcome =
            |arguments: &str| five.check_or_mend(&tool, serde_json::from_str(arguments).unwrap(), &Aliases::default());
        assert_eq!(outcome("{\"n\":5}"), Checked::Sound);
        assert!(matches!(outcome("{\"n\":\"5\"}"), Checked::Mended(mended) if mended.json == "{\"n\":5}"));
        for wrong in ["{\"n\":\"6\"}", "{\"n\":\"5\",\"s\":1}", "{\"s\":1}"] {
            assert!(matches!(outcome(wrong), Checked::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn a_schema_without_room_to_be_kept_is_checked_all_the_same() {
        let tool = ToolName::new("app_do");
        let first = check(&json!({"type": "string"}));
        assert!(first.check(&tool, &json!(1)).is_err());
        let Some(Compiled::Kept(kept)) = first.compiled.get() else { panic!("it is not kept") };
        let bytes = kept.0.bytes();
        let taken = MAX_KEPT_BYTES - bytes;
        KEPT_BYTES.fetch_add(taken, Ordering::Relaxed);
        let second = check(&json!({"type": "integer"}));
        let refused = second.check(&tool, &json!("a"));
        KEPT_BYTES.fetch_sub(taken, Ordering::Relaxed);
        assert!(refused.is_err());
        assert!(matches!(second.compiled.get(), Some(Compiled::Dropped)));
        assert_eq!(second.check(&tool, &json!(1)), Ok(()));
    }
}
