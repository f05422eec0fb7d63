//! The rules, and what breaks them.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    vendor: String,
    source: String,
    read: toml::value::Datetime,
    #[serde(flatten)]
    check: Check,
}

#[derive(Deserialize)]
#[serde(tag = "check", rename_all = "kebab-case")]
enum Check {
    Name { pattern: String },
    Property { pattern: String },
    Root { r#type: String, without: Vec<String> },
    Has { r#type: String, keyword: String },
    Nowhere { keywords: Vec<String> },
    Alone { keyword: String },
    Last { keyword: String, r#type: String },
    Pattern { without: Vec<String> },
    Format { any_of: Vec<String> },
    Enums { values: usize, many: usize, chars_of_many: usize },
    Depth { max: usize },
    MetaSchema { draft: String },
    Icons { max_bytes: usize },
    OneType,
    EnumOfTexts,
    Required,
}

/// A sub-schema, and how deep it lies.
type Place<'a> = (&'a Map<String, Value>, usize);

impl Rules {
    pub fn read() -> &'static Self {
        static RULES: LazyLock<Rules> = LazyLock::new(|| {
            let rules: Rules = toml::from_str(include_str!("rules.toml")).unwrap();
            for rule in &rules.rules {
                assert!(
                    !rule.source.is_empty() && rule.read.date.is_some(),
                    "{} has a rule without a source",
                    rule.vendor
                );
            }
            rules
        });
        &RULES
    }

    /// The rules that a definition breaks, each with its vendor.
    pub fn broken(&self, definition: &Value) -> Vec<String> {
        let mut places = Vec::new();
        let mut odd = Vec::new();
        collect(&definition["inputSchema"], 0, &mut places, &mut odd);
        let faults = self.rules.iter().filter_map(|rule| {
            let fault = rule.check.fault(definition, &places)?;
            Some(format!("{}: {fault} ({})", rule.vendor, rule.source))
        });
        odd.into_iter().chain(faults).collect()
    }
}

/// Collects all sub-schemas, and what stands in the place of one.
fn collect<'a>(schema: &'a Value, depth: usize, places: &mut Vec<Place<'a>>, odd: &mut Vec<String>) {
    let Value::Object(members) = schema else {
        odd.push(format!("{schema} is no schema"));
        return;
    };
    places.push((members, depth));
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(schemas)) => {
                schemas.values().for_each(|schema| collect(schema, depth + 1, places, odd));
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => {
                for schema in schemas {
                    collect(schema, depth + 1, places, odd);
                }
            }
            ("additionalProperties", Value::Bool(_)) => {}
            ("items" | "additionalProperties", schema) => collect(schema, depth + 1, places, odd),
            ("properties" | "anyOf", odd_one) => odd.push(format!("{keyword} is {odd_one}")),
            _ => {}
        }
    }
}

fn text<'a>(members: &'a Map<String, Value>, keyword: &str) -> Option<&'a str> {
    members.get(keyword)?.as_str()
}

fn matches(pattern: &str, text: &str) -> bool {
    let schema = serde_json::json!({"pattern": pattern});
    jsonschema::is_valid(&schema, &text.into())
}

impl Check {
    fn fault(&self, definition: &Value, places: &[Place<'_>]) -> Option<String> {
        let schema = &definition["inputSchema"];
        let mut schemas = places.iter().map(|(members, _)| *members);
        match self {
            Self::Name { pattern } => {
                let name = definition["name"].as_str().unwrap();
                (!matches(pattern, name)).then(|| format!("the name {name}"))
            }
            Self::Property { pattern } => {
                let mut names = schemas.filter_map(|s| s.get("properties")?.as_object()).flat_map(Map::keys);
                names.find(|name| !matches(pattern, name)).map(|name| format!("the property {name}"))
            }
            Self::Root { r#type, without } => {
                let found = without.iter().find(|keyword| schema.get(keyword.as_str()).is_some());
                let is_other = schema["type"] != *r#type;
                found
                    .map(|keyword| format!("{keyword} at the root"))
                    .or_else(|| is_other.then(|| "the type of the root".to_owned()))
            }
            Self::Has { r#type, keyword } => {
                let lacks = |s: &&Map<String, Value>| text(s, "type") == Some(r#type) && !s.contains_key(keyword);
                schemas.find(lacks).map(|_| format!("{type} without {keyword}"))
            }
            Self::Nowhere { keywords } => {
                let mut found =
                    schemas.flat_map(|s| keywords.iter().filter(|keyword| s.contains_key(keyword.as_str())));
                found.next().map(|keyword| format!("the keyword {keyword}"))
            }
            Self::Alone { keyword } => {
                schemas.find(|s| s.contains_key(keyword) && s.len() > 1).map(|_| format!("{keyword} with others"))
            }
            Self::Last { keyword, r#type } => {
                let last = |s: &&Map<String, Value>| s.get(keyword)?.as_array()?.last().cloned();
                let is_last = |s: &&Map<String, Value>| last(s).is_some_and(|last| last["type"] == *r#type);
                schemas.find(is_last).map(|_| format!("{keyword} ends with {type}"))
            }
            Self::Pattern { without } => {
                let mut patterns = schemas.filter_map(|s| text(s, "pattern"));
                patterns
                    .find(|pattern| without.iter().any(|part| pattern.contains(part.as_str())))
                    .map(|p| format!("the pattern {p}"))
            }
            Self::Format { any_of } => {
                let mut formats = schemas.filter_map(|s| s.get("format"));
                formats
                    .find(|format| !any_of.iter().any(|known| **format == **known))
                    .map(|format| format!("the format {format}"))
            }
            Self::Enums { values, many, chars_of_many } => {
                let lists: Vec<&Vec<Value>> = schemas.filter_map(|s| s.get("enum")?.as_array()).collect();
                let chars = |list: &[Value]| {
                    list.iter().filter_map(Value::as_str).map(|name| name.chars().count()).sum::<usize>()
                };
                let all: usize = lists.iter().map(|list| list.len()).sum();
                let is_long = lists.iter().any(|list| list.len() > *many && chars(list) > *chars_of_many);
                (all > *values || is_long).then(|| format!("{all} values in lists"))
            }
            Self::Depth { max } => {
                places.iter().find(|(_, depth)| depth > max).map(|(_, depth)| format!("a depth of {depth}"))
            }
            Self::MetaSchema { draft } => {
                let is_valid = match draft.as_str() {
                    "2020-12" => jsonschema::draft202012::meta::is_valid(schema),
                    _ => jsonschema::draft7::meta::is_valid(schema),
                };
                (!is_valid).then(|| format!("no schema of draft {draft}"))
            }
            Self::Icons { max_bytes } => {
                let icon = definition["icons"][0]["src"]
                    .as_str()
                    .filter(|src| src.len() > *max_bytes && !src.starts_with("https:"));
                icon.map(|src| format!("an icon of {} bytes", src.len()))
            }
            Self::OneType => {
                let is_fine = |s: &Map<String, Value>| s.contains_key("anyOf") || text(s, "type").is_some();
                schemas
                    .find(|s| !is_fine(s))
                    .map(|s| format!("a schema without one type: {}", Value::Object(s.clone())))
            }
            Self::EnumOfTexts => {
                let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
                let is_fine =
                    |list: &Value| list.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_text));
                schemas
                    .find(|s| s.get("enum").is_some_and(|list| !is_fine(list)))
                    .map(|_| "enum of no texts".to_owned())
            }
            Self::Required => {
                let is_known =
                    |s: &Map<String, Value>, name: &Value| s["properties"].get(name.as_str().unwrap()).is_some();
                let is_fine = |s: &Map<String, Value>| {
                    s.get("required").is_none_or(|names| names.as_array().unwrap().iter().all(|name| is_known(s, name)))
                };
                schemas.find(|s| !is_fine(s)).map(|_| "required names that are no property".to_owned())
            }
        }
    }
}
