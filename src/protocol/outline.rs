//! Outline of a schema: which of its sub-schemas apply where, to tell what a check costs before it is made.
//!
//! `jsonschema` has no limit on steps: a few hundred bytes of `anyOf` and `$ref` make a check that outlives everybody. Its
//! work can be counted beforehand, though. Each sub-schema that applies to a part of a value is visited once for every way
//! that leads there, so a walk that counts these ways, and gives up at a limit, bounds the check.

mod read;

use std::collections::BTreeMap;

use serde_json::Value;

use read::Builder;

/// Sub-schemas that lead to each other by `$ref`, `allOf` and the like at one place of a value.
const MAX_CHAIN: usize = 64;
/// Most sub-schemas that one place of a value may expand to.
const MAX_EXPANDED: u64 = 10_000;
/// The same, for all sub-schemas of a schema: `jsonschema` expands some of them when it compiles.
const MAX_EXPANDED_IN_ALL: u64 = 1_000_000;
/// Visits within each other, each of which takes a kilobyte or two of the stack.
const MAX_NESTING: usize = 256;
/// Characters compared with places of a pattern, in the time of one visit.
const COMPARISONS_PER_STEP: u64 = 16;

type Id = usize;

/// Shape of a schema, without its values. See the [module](self).
#[derive(Debug)]
pub struct Outline {
    nodes: Vec<Node>,
    has_branches: bool,
    patterns: usize,
}

/// Node of the outline: one sub-schema.
#[derive(Debug, Default)]
struct Node {
    /// Keywords, and the values in them that are looked at one by one.
    own: u64,
    /// Places of its `pattern`.
    places: u64,
    /// Places of its `patternProperties`.
    key_places: u64,
    /// Schemas for the same value.
    in_place: Vec<Id>,
    /// Times that they are visited.
    repeats: u32,
    /// Ordered, for few names are found sooner than they are hashed.
    properties: BTreeMap<String, Id>,
    /// Schemas for every member.
    members: Vec<Id>,
    /// Schemas for every member's name.
    names: Vec<Id>,
    /// Schemas for the first elements.
    prefix: Vec<Id>,
    /// Schemas for every element.
    items: Vec<Id>,
}

/// Bound on the cost of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Visits of keywords, each of which may find a fault.
    pub visits: u64,
    /// Comparisons of characters with places of patterns.
    pub comparisons: u64,
}

impl Cost {
    /// Returns visits and comparisons in one number of steps.
    #[must_use]
    pub fn steps(self) -> u64 {
        self.visits.saturating_add(self.comparisons / COMPARISONS_PER_STEP)
    }
}

impl Outline {
    /// Reads a schema.
    ///
    /// # Errors
    /// Why checks against it can't be bounded: it is too large, expands to too much, or has references that are not followed
    /// here.
    pub fn of(schema: &Value) -> Result<Self, String> {
        let outline = Builder::new(schema).build()?;
        outline.expand()?;
        Ok(outline)
    }

    /// True where a fault is told with those of all alternatives, whatever their number.
    #[must_use]
    pub fn has_branches(&self) -> bool {
        self.has_branches
    }

    /// Number of patterns.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// Number of sub-schemas.
    #[must_use]
    pub fn schemas(&self) -> usize {
        self.nodes.len()
    }

    /// Tells what it costs to check a value; nothing where that is more than `max` steps, or too deep for the stack.
    #[must_use]
    pub fn cost(&self, value: &Value, max: u64) -> Option<Cost> {
        let mut walk = Walk { nodes: &self.nodes, cost: Cost::default(), max };
        walk.visit(0, Subject::Value(value), 0).then_some(walk.cost)
    }

    /// Sees to it that no sub-schema expands to too much at one place.
    fn expand(&self) -> Result<(), String> {
        let mut expanded = Expanded { nodes: &self.nodes, known: vec![None; self.nodes.len()] };
        let mut in_all = 0_u64;
        for id in 0..self.nodes.len() {
            in_all = in_all.saturating_add(expanded.of(id, 0)?.size);
        }
        if in_all > MAX_EXPANDED_IN_ALL {
            return Err(format!("it expands to more than {MAX_EXPANDED_IN_ALL} sub-schemas"));
        }
        Ok(())
    }
}

/// Sub-schemas that one sub-schema expands to at one place of a value.
#[derive(Debug, Clone, Copy)]
struct Expansion {
    size: u64,
    chain: usize,
}

struct Expanded<'a> {
    nodes: &'a [Node],
    known: Vec<Option<Expansion>>,
}

impl Expanded<'_> {
    fn of(&mut self, id: Id, depth: usize) -> Result<Expansion, String> {
        if let Some(known) = self.known.get(id).copied().flatten() {
            return Ok(known);
        }
        let too_long = || format!("more than {MAX_CHAIN} of its sub-schemas lead to each other");
        let Some(node) = self.nodes.get(id).filter(|_| depth < MAX_CHAIN) else { return Err(too_long()) };
        let mut all = Expansion { size: node.own, chain: 1 };
        for id in &node.in_place {
            let inner = self.of(*id, depth + 1)?;
            all.size = all.size.saturating_add(inner.size.saturating_mul(node.repeats.into()));
            all.chain = all.chain.max(inner.chain + 1);
        }
        if all.chain > MAX_CHAIN {
            return Err(too_long());
        }
        if all.size > MAX_EXPANDED {
            return Err(format!("one of its sub-schemas expands to more than {MAX_EXPANDED}"));
        }
        if let Some(known) = self.known.get_mut(id) {
            *known = Some(all);
        }
        Ok(all)
    }
}

/// Part of a value that a sub-schema is applied to.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Value(&'a Value),
    Name(&'a str),
}

struct Walk<'a> {
    nodes: &'a [Node],
    cost: Cost,
    max: u64,
}

impl Walk<'_> {
    /// Counts the visits of a sub-schema and those within it; false where they are too many.
    fn visit(&mut self, id: Id, subject: Subject<'_>, nesting: usize) -> bool {
        let Some(node) = self.nodes.get(id).filter(|_| nesting < MAX_NESTING) else { return false };
        self.cost.visits = self.cost.visits.saturating_add(node.own);
        if let Subject::Name(text) = subject {
            self.compare(text, node.places);
        }
        if let Subject::Value(Value::String(text)) = subject {
            self.compare(text, node.places);
        }
        if self.cost.steps() > self.max {
            return false;
        }
        let inner = nesting + 1;
        let is_bounded = match subject {
            Subject::Value(Value::Object(members)) => members.iter().all(|(name, member)| {
                self.compare(name, node.key_places);
                let own = node.properties.get(name);
                let mut schemas = own.into_iter().chain(&node.members);
                schemas.all(|id| self.visit(*id, Subject::Value(member), inner))
                    && node.names.iter().all(|id| self.visit(*id, Subject::Name(name), inner))
            }),
            Subject::Value(Value::Array(elements)) => elements.iter().enumerate().all(|(i, element)| {
                let mut schemas = node.prefix.get(i).into_iter().chain(&node.items);
                schemas.all(|id| self.visit(*id, Subject::Value(element), inner))
            }),
            _ => true,
        };
        is_bounded && (0..node.repeats).all(|_| node.in_place.iter().all(|id| self.visit(*id, subject, inner)))
    }

    fn compare(&mut self, text: &str, places: u64) {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.cost.comparisons = self.cost.comparisons.saturating_add(length.saturating_mul(places));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::{
        read::{MAX_DEPTH, MAX_SCHEMAS},
        *,
    };

    fn cost(schema: &Value, value: &Value) -> Cost {
        Outline::of(schema).unwrap().cost(value, u64::MAX).unwrap()
    }

    #[test]
    fn every_visit_is_counted() {
        let string = json!({"type": "string"});
        let cases = [
            (json!(true), json!(1), 1),
            (json!({"type": "object", "required": ["a", "b"]}), json!({}), 2 + 3),
            (json!({"properties": {"a": string, "b": string}}), json!({"a": "", "c": ""}), 1 + 1),
            (json!({"additionalProperties": string}), json!({"a": "", "c": ""}), 1 + 2),
            (json!({"items": string}), json!(["", "", ""]), 1 + 3),
            (json!({"prefixItems": [string], "items": string}), json!(["", ""]), 2 + 3),
            (json!({"anyOf": [string, string]}), json!(1), 1 + 2),
            (json!({"propertyNames": string}), json!({"a": 1}), 1 + 1),
            (json!({"allOf": [string], "unevaluatedProperties": false}), json!({}), 2 + 3),
            (json!({"enum": [1, {"a": [2]}]}), json!(1), 1 + 5),
            (json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": string}}), json!([1, 2]), 2 + 4),
        ];
        for (schema, value, visits) in cases {
            assert_eq!(cost(&schema, &value).visits, visits, "{schema} {value}");
        }
        let both = json!({"pattern": "ab{3}", "patternProperties": {"^a": true}});
        assert_eq!(cost(&both, &json!("12345")).comparisons, 4 * 5);
        assert_eq!(cost(&both, &json!({"123": 1})).comparisons, 3);
    }

    #[test]
    fn references_are_followed_as_far_as_they_stay_in_the_schema() {
        let target = json!({"type": "string", "minLength": 1, "maxLength": 2});
        for schema in [
            json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": target}}),
            json!({"items": {"$ref": "#/components/a"}, "components": {"a": target}}),
            json!({"items": {"$ref": "https://x/y#/$defs/a"}, "$id": "https://x/y", "$defs": {"a": target}}),
            json!({"items": {"$ref": "#n"}, "$defs": {"a": {"$anchor": "n", "allOf": [target]}}}),
        ] {
            assert!(cost(&schema, &json!([""])).visits >= 6, "{schema}");
        }
        assert_eq!(cost(&json!({"items": {"$ref": "#"}}), &json!([[]])).visits, 1 + 1 + 1);
        for schema in [
            json!({"$ref": "https://x/y"}),
            json!({"$ref": "#/$defs/a"}),
            json!({"$ref": "#n"}),
            json!({"properties": {"a": {"$id": "b"}}}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"a": {"id": "b"}}}),
        ] {
            assert!(Outline::of(&schema).is_err(), "{schema}");
        }
        assert!(Outline::of(&json!({"properties": {"id": {"id": "field-1"}}})).is_ok());
    }

    #[test]
    fn schemas_have_a_size_a_depth_and_paths_of_a_length() {
        let nested = |depth: usize| (0..depth).fold(json!({}), |schema, _| json!({"items": schema}));
        assert!(Outline::of(&nested(MAX_DEPTH)).is_ok());
        assert!(Outline::of(&nested(MAX_DEPTH + 1)).unwrap_err().contains("deep"));
        let wide = |count: usize| {
            let members: Map<String, Value> = (0..count).map(|i| (format!("m{i}"), json!({}))).collect();
            json!({"properties": {"k": {"properties": members}}})
        };
        assert!(Outline::of(&wide(MAX_SCHEMAS - 10)).is_ok());
        assert!(Outline::of(&wide(MAX_SCHEMAS)).unwrap_err().contains("more than 10000 sub-schemas"));
        let long = wide(100).to_string().replace("\"k\"", &format!("\"{}\"", "k".repeat(100_000)));
        assert!(Outline::of(&serde_json::from_str(&long).unwrap()).unwrap_err().contains("paths"));
        let chain: Map<String, Value> =
            (0..MAX_CHAIN).map(|i| (format!("a{i}"), json!({"$ref": format!("#/$defs/a{}", i + 1)}))).collect();
        let mut chain = json!({"$defs": chain});
        chain["$defs"][format!("a{MAX_CHAIN}")] = json!({});
        assert!(Outline::of(&chain).unwrap_err().contains("lead to each other"));
    }

    #[test]
    fn a_walk_ends_at_its_limit_and_before_the_stack_does() {
        let list = json!({"items": {"type": "string"}});
        let outline = Outline::of(&list).unwrap();
        assert!(outline.cost(&json!(vec![1; 100]), 101).is_some());
        assert!(outline.cost(&json!(vec![1; 101]), 101).is_none());
        let recursive = Outline::of(&json!({"allOf": [{"allOf": [{"items": {"$ref": "#"}}]}]})).unwrap();
        let nested = |depth: usize| (0..depth).fold(json!(1), |value, _| json!([value]));
        assert!(recursive.cost(&nested(20), u64::MAX).is_some());
        assert!(recursive.cost(&nested(100), u64::MAX).is_none());
    }
}
