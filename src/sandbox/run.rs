//! Running an action of the sandbox.

use std::{collections::BTreeMap, time::Duration};

use actix_web::HttpResponse;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    catalog::{App, Behaviour},
    failure::{Failure, not_found, unreadable},
    shared::Shared,
    state::{Belongings, Fields, SandboxRecord},
    token::Claims,
};

/// Account of an app, by its number.
type Account<'a> = (&'a App, usize);

/// Runs an action of an account with an input.
pub async fn run(
    shared: &Shared,
    claims: &Claims,
    account: Account<'_>,
    behaviour: &Behaviour,
    input: &RawValue,
) -> Result<HttpResponse, Failure> {
    if matches!(behaviour, Behaviour::Echo) {
        // Unread, so that it comes back as it was written: a number read and written again may be another.
        return Ok(HttpResponse::Ok().json(BTreeMap::from([("output", input)])));
    }
    let input: Value = crate::protocol::json::read(input).map_err(|error| unreadable(&error))?;
    let output = match behaviour {
        Behaviour::Output { value } => value.clone(),
        Behaviour::Bytes { count } => Value::String("x".repeat(*count)),
        Behaviour::Nothing => return Ok(HttpResponse::Ok().json(json!({}))),
        Behaviour::Malformed => {
            let body = "{\"output\":{\"this answer\":\"breaks off";
            return Ok(HttpResponse::Ok().content_type("application/json").body(body));
        }
        Behaviour::Fail { status, error } => return Err(Failure::new(*status, error.clone())),
        Behaviour::Sleep { input: member, default } => {
            let ms = input.get(member).and_then(Value::as_u64).unwrap_or(*default);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            json!({"sleptMs": ms})
        }
        stateful => {
            let input = match input {
                Value::Object(input) => input,
                _ => Map::new(),
            };
            shared.state.of(claims, &shared.catalog, |own| work(own, account, stateful, input))?
        }
    };
    Ok(HttpResponse::Ok().json(json!({"output": output})))
}

/// Returns the behaviours that read or change what the user has.
fn work(
    own: &mut Belongings,
    account: Account<'_>,
    behaviour: &Behaviour,
    input: SandboxRecord,
) -> Result<Value, Failure> {
    match behaviour {
        Behaviour::Create { records, with } => Ok(create(own, account, records, with.clone(), input)),
        Behaviour::FindOrCreate { records, by } => match position(own.records(account, records), by, &input) {
            Some(i) => Ok(at(own.records(account, records), i)),
            None => Ok(create(own, account, records, Map::new(), input)),
        },
        Behaviour::List { records, r#as, r#where, limit } => {
            let found = own.records(account, records).iter().filter(|record| matches(record, r#where, &input));
            Ok(listed(r#as, found, limit.as_deref(), &input))
        }
        Behaviour::Search { records, r#as, query, r#in, limit } => {
            let text = input.get(query).and_then(Value::as_str).unwrap_or_default().to_lowercase();
            let holds = |field: &String, record: &SandboxRecord| {
                let value =
                    record.get(field).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                value.is_some_and(|value| value.to_lowercase().contains(&text))
            };
            let found =
                own.records(account, records).iter().filter(|record| r#in.iter().any(|field| holds(field, record)));
            Ok(listed(r#as, found, limit.as_deref(), &input))
        }
        Behaviour::Find { records, by } => {
            let records = own.records(account, records);
            let i = position(records, by, &input).ok_or_else(|| not_found("Record not found"))?;
            Ok(at(records, i))
        }
        Behaviour::Update { records, by, patch } => {
            let records = own.records(account, records);
            let i = position(records, by, &input).ok_or_else(|| not_found("Record not found"))?;
            let changes = match patch {
                Some(member) => input.get(member).and_then(Value::as_object).cloned().unwrap_or_default(),
                None => input.into_iter().filter(|(member, _)| !by.values().any(|key| key == member)).collect(),
            };
            if let Some(record) = records.get_mut(i) {
                record.extend(changes);
            }
            Ok(at(records, i))
        }
        Behaviour::Delete { records, by } => {
            let records = own.records(account, records);
            let i = position(records, by, &input).ok_or_else(|| not_found("Record not found"))?;
            Ok(json!({"id": records.remove(i).get("id"), "deleted": true}))
        }
        _ => Ok(Value::Null),
    }
}

fn create(
    own: &mut Belongings,
    account: Account<'_>,
    collection: &str,
    with: SandboxRecord,
    input: SandboxRecord,
) -> Value {
    let mut record = Map::new();
    record.insert("id".to_owned(), Value::String(own.draw_id(collection)));
    record.extend(with);
    record.extend(input);
    record.insert("createdAt".to_owned(), Value::String(jiff::Timestamp::now().to_string()));
    own.records(account, collection).push(record.clone());
    Value::Object(record)
}

/// Returns whether the record's fields equal the input's members, as far as the input has them.
fn matches(record: &SandboxRecord, fields: &Fields, input: &SandboxRecord) -> bool {
    fields.iter().all(|(field, member)| input.get(member).is_none_or(|wanted| record.get(field) == Some(wanted)))
}

/// Returns the record whose fields equal the input's members, all of which must be there.
fn position(records: &[SandboxRecord], by: &Fields, input: &SandboxRecord) -> Option<usize> {
    let complete = by.values().all(|member| input.contains_key(member));
    records.iter().position(|record| complete && matches(record, by, input))
}

fn at(records: &[SandboxRecord], i: usize) -> Value {
    records.get(i).cloned().map_or(Value::Null, Value::Object)
}

fn listed<'a>(
    r#as: &str,
    found: impl Iterator<Item = &'a SandboxRecord>,
    limit: Option<&str>,
    input: &SandboxRecord,
) -> Value {
    let limit = limit.and_then(|member| input.get(member)?.as_u64());
    let most = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let found: Vec<_> = found.take(most).collect();
    json!({r#as: found})
}
