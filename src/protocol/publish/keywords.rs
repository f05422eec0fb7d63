//! Keywords that are told as they are, each with the form that it must have, and lists of values.

use serde_json::{Map, Value};

use super::references::Place;
use crate::protocol::pattern;

/// Formats that every vendor takes (`OpenAI`, Structured Outputs § Supported schemas).
const FORMATS: [&str; 9] = ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Values that are told in words.
const MAX_TOLD: usize = 20;
/// Characters of a value that is told in words.
const MAX_TOLD_CHARS: usize = 100;
/// Names of a list, and characters of them, above which `OpenAI` refuses it.
pub(super) const MANY_NAMES: usize = 250;
const MAX_CHARS_OF_MANY: usize = 15_000;

/// Form of a keyword's value.
enum Form {
    Count,
    Number,
    Positive,
    Flag,
    Text,
    Pattern,
    Format,
}

/// Keywords of a type beside those that hold sub-schemas and values.
fn forms(r#type: &str) -> &'static [(&'static str, Form)] {
    match r#type {
        "string" => &[
            ("minLength", Form::Count),
            ("maxLength", Form::Count),
            ("pattern", Form::Pattern),
            ("format", Form::Format),
            ("contentEncoding", Form::Text),
            ("contentMediaType", Form::Text),
        ],
        "number" | "integer" => &[
            ("minimum", Form::Number),
            ("maximum", Form::Number),
            ("exclusiveMinimum", Form::Number),
            ("exclusiveMaximum", Form::Number),
            ("multipleOf", Form::Positive),
        ],
        "array" => &[("minItems", Form::Count), ("maxItems", Form::Count), ("uniqueItems", Form::Flag)],
        "object" => &[("minProperties", Form::Count), ("maxProperties", Form::Count)],
        _ => &[],
    }
}

impl Form {
    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Count => value.as_f64().is_some_and(|count| count >= 0.0 && count.fract() == 0.0),
            Self::Number => value.is_number(),
            Self::Positive => value.as_f64().is_some_and(|number| number > 0.0),
            Self::Flag => value.is_boolean(),
            Self::Text => value.is_string(),
            Self::Pattern => value.as_str().is_some_and(pattern::is_plain),
            Self::Format => value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        }
    }
}

/// Returns whether a keyword of a type is told as it is.
pub(super) fn is_told(r#type: &str, keyword: &str, value: &Value) -> bool {
    forms(r#type).iter().any(|(known, form)| *known == keyword && form.fits(value))
}

/// Words that are added to a description for what the schema does not say.
pub(super) type Words = Vec<String>;

/// Copies the keywords of a type that have their form. Tells whether one has not.
pub(super) fn copy(place: &Place<'_>, r#type: &str, to: &mut Map<String, Value>, words: &mut Words) -> bool {
    let mut is_odd = false;
    for (keyword, form) in forms(r#type) {
        let Some(value) = place.first(keyword) else { continue };
        if form.fits(value) {
            to.insert((*keyword).to_owned(), value.clone());
            continue;
        }
        match (form, value) {
            (Form::Format, Value::String(format)) => words.push(format!("Format: {}.", shorten(format))),
            // Draft 4 has the bound in another keyword.
            (Form::Number, Value::Bool(_)) | (Form::Pattern, Value::String(_)) => {}
            _ => is_odd = true,
        }
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if place.first(flag) == Some(&Value::Bool(true))
            && let Some(limit) = to.shift_remove(bound)
        {
            to.insert(flag.to_owned(), limit);
        }
    }
    is_odd
}

/// The values that a schema lists.
pub(super) struct Values<'a> {
    all: Vec<&'a Value>,
    /// Others are fine as well.
    is_open: bool,
}

impl<'a> Values<'a> {
    pub(super) fn of(place: &Place<'a>) -> Self {
        let listed = place.first("enum").and_then(Value::as_array).filter(|values| !values.is_empty());
        let all = match (listed, place.first("const")) {
            (Some(values), _) => values.iter().collect(),
            (None, Some(value)) => vec![value],
            (None, None) => Vec::new(),
        };
        // Membrane's own word for a list that is no more than a help.
        Self { all, is_open: place.all("allowCustom").any(|value| value == &Value::Bool(true)) }
    }

    /// Returns the types of the values, null apart.
    pub(super) fn types(&self) -> Vec<&'static str> {
        let mut types = Vec::new();
        for value in &self.all {
            let r#type = match value {
                Value::Null => continue,
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            if !types.contains(&r#type) {
                types.push(r#type);
            }
        }
        types
    }

    /// Lists the values of a type: texts in `enum`, as far as there is room for it, and all others in words, since Gemini
    /// takes no others. `room` is the number of values that the whole schema may still list.
    pub(super) fn list(&self, r#type: &str, room: &mut usize, to: &mut Map<String, Value>, words: &mut Words) {
        let fits = |value: &Value| match r#type {
            "string" => value.as_str().is_some_and(|text| !text.is_empty()),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            _ => false,
        };
        let mut seen = std::collections::HashSet::new();
        let fitting = self.all.iter().filter(|value| fits(value));
        let values: Vec<&Value> = fitting.filter(|value| seen.insert(value.to_string())).copied().collect();
        if values.is_empty() {
            return;
        }
        let chars: usize = values.iter().filter_map(|value| value.as_str()).map(|text| text.chars().count()).sum();
        let is_short = values.len() <= MANY_NAMES || chars <= MAX_CHARS_OF_MANY;
        if r#type == "string" && !self.is_open && is_short && values.len() <= *room {
            *room -= values.len();
            to.insert("enum".to_owned(), values.into_iter().cloned().collect());
            return;
        }
        let told: Vec<String> = values.iter().take(MAX_TOLD).map(|value| shorten(&value.to_string())).collect();
        let more = if values.len() > MAX_TOLD { ", …" } else { "" };
        let lead = if self.is_open { "Such as" } else { "One of" };
        words.push(format!("{lead}: {}{more}.", told.join(", ")));
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_TOLD_CHARS).collect()
}

/// Returns a description with words after it, unless it has them.
pub(super) fn describe(description: Option<&str>, words: &Words) -> Option<String> {
    let mut text = description.unwrap_or_default().trim_end().to_owned();
    if words.is_empty() {
        return description.map(str::to_owned);
    }
    for word in words.iter().filter(|word| !description.is_some_and(|text| text.contains(word.as_str()))) {
        if !text.is_empty() {
            let is_sentence = text.ends_with(['.', '!', '?', ':', ';']);
            text.push_str(if is_sentence { " " } else { ". " });
        }
        text.push_str(word);
    }
    Some(text)
}
