//! The cost of a check that is told beforehand, against the visits that the check really makes.

#![expect(clippy::indexing_slicing, reason = "a test fails by a panic, in its helpers too")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use integration_app_mcp_server::protocol::{
    json,
    outline::Outline,
    validation::{Validator, Verdict},
};
use jsonschema::{Keyword, ValidationError};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

/// A keyword that every sub-schema has.
const COUNT: &str = "x-count";

/// Counts the visits of sub-schemas, and finds no fault.
struct Count(Arc<AtomicU64>);

impl<'i> Keyword<'i> for Count {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.is_valid(instance);
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// A sub-schema that is counted.
fn counted(mut schema: Value) -> Value {
    schema[COUNT] = json!(true);
    schema
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": ["integer", "array"]})),
        Just(json!({"const": 1})),
        Just(json!({"required": ["a", "b"]})),
        Just(json!({"pattern": "^a{2}"})),
        Just(json!({"$ref": "#/$defs/r"})),
        Just(json!({"$ref": "#/$defs/s"})),
        Just(json!({"$ref": "#"})),
    ];
    leaf.prop_map(counted).prop_recursive(5, 40, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let some = vec(inner.clone(), 1..4);
        prop_oneof![
            (prop_oneof![Just("allOf"), Just("anyOf"), Just("oneOf"), Just("prefixItems")], some.clone())
                .prop_map(|(keyword, schemas)| json!({keyword: schemas})),
            some.clone().prop_map(|schemas| json!({"allOf": schemas, "unevaluatedProperties": false})),
            some.prop_map(|schemas| json!({"anyOf": schemas, "unevaluatedItems": {"type": "integer"}})),
            inner.clone().prop_map(|schema| json!({"not": schema})),
            inner.clone().prop_map(|schema| json!({"contains": schema})),
            inner.clone().prop_map(|schema| json!({"propertyNames": schema})),
            inner.clone().prop_map(|schema| json!({"dependentSchemas": {"a": schema}})),
            inner.clone().prop_map(|schema| json!({"items": schema})),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| json!({"if": a, "then": b, "else": c})),
            pair.clone().prop_map(|(a, b)| json!({"properties": {"a": a, "b": b}})),
            pair.clone().prop_map(|(a, b)| json!({"properties": {"a": a}, "additionalProperties": b})),
            pair.prop_map(|(a, b)| json!({"patternProperties": {"^a": a, "b": b}})),
        ]
        .prop_map(counted)
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!("aa")), Just(json!("b")), Just(json!(1)), Just(json!(null))];
    leaf.prop_recursive(6, 40, 4, |inner| {
        let object = vec((prop_oneof![Just("a"), Just("b"), Just("ab"), Just("c")], inner.clone()), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_check_makes_no_more_visits_than_its_cost_says(root in schema(), r in schema(), s in schema(), value in value()) {
        let mut root = root;
        root["$defs"] = json!({"r": r, "s": s});
        let Ok(outline) = Outline::of(&root) else { return Ok(()) };
        let Some(cost) = outline.cost(&value, 1_000_000) else { return Ok(()) };
        let visits = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&visits);
        let counting = jsonschema::options()
            .with_keyword(COUNT, move |_, _, _| Ok(Box::new(Count(Arc::clone(&counter)))))
            .build(&root)
            .unwrap();
        let is_valid = counting.is_valid(&value);
        // Each sub-schema has one keyword more than that, at least.
        prop_assert!(2 * visits.load(Ordering::Relaxed) <= cost.visits, "{visits:?} of {cost:?}: {root} {value}");
        let checked = Validator::compile(&json::to_raw(&root)).unwrap().check(&value);
        prop_assert_eq!(checked == Verdict::Valid, is_valid);
    }
}
