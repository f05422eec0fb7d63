//! Names of tools, made of the keys of app and action alone, so that every replica gives the same at any time.
//!
//! Vendors take 64 letters, digits, `_` and `-`, first a letter. A name that `<app>_<action>` is gives the tool just that
//! name. Any other tool has what can be read of its keys, and then a hash of both: whatever else there is or was, no other
//! action has that hash. docs/tool-names.md tells it to users.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::ids::{IntegrationKey, ToolName};

/// Longest name of a tool, in characters (`OpenAI`, Anthropic, Gemini and Bedrock alike).
const MAX_NAME_CHARS: usize = 64;
/// Digits of a hash: of ten thousand names that differ in it alone, two are the same once in 20,000 times.
const HASH_DIGITS: usize = 10;
/// Beginning of a name whose keys have no letter to begin it with.
const LETTERS: &str = "app";

/// Returns the name of an action's tool, as far as its keys tell.
pub(super) fn name(app: &IntegrationKey, action: &str) -> ToolName {
    let exact = exact(app, action);
    if is_exact(&exact) { ToolName::new(&exact) } else { hashed(app, action) }
}

/// Returns whether `<app>_<action>` is a name itself.
pub(super) fn is_exact(keys: &str) -> bool {
    // A name that ends like a hash could be taken for the hashed name of another tool.
    is_name(keys) && hash_in(keys).is_none()
}

/// Returns the name that an action's tool has for a user with these apps. Where two apps' keys leave it open which of them
/// a name is meant for, such as `a_b_c` with the apps `a` and `a_b`, none of their tools has it: the actions of an app come
/// and go, and a name that was one's must not become the other's.
pub(super) fn name_beside(app: &IntegrationKey, action: &str, apps: &BTreeSet<&IntegrationKey>) -> ToolName {
    let name = name(app, action);
    if readings(name.as_str(), apps).count() > 1 { hashed(app, action) } else { name }
}

/// Returns `<app>_<action>`, which is the name where vendors take it.
pub(super) fn exact(app: &IntegrationKey, action: &str) -> String {
    format!("{app}_{action}")
}

/// Returns the apps, of these, that a name may be meant for.
pub(super) fn readings<'a>(
    name: &str,
    apps: &BTreeSet<&'a IntegrationKey>,
) -> impl Iterator<Item = &'a IntegrationKey> {
    let is_meant = |app: &&IntegrationKey| {
        name.strip_prefix(app.as_str()).and_then(|rest| rest.strip_prefix('_')).is_some_and(|action| !action.is_empty())
    };
    apps.iter().copied().filter(is_meant)
}

/// Returns the name with a hash that an action's tool has, or could have: it finds the tool at any rate.
pub(super) fn hashed(app: &IntegrationKey, action: &str) -> ToolName {
    let parts = [readable(app.as_str()), readable(action)];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let mut name = parts.join("_");
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name = if name.is_empty() { LETTERS.to_owned() } else { format!("{LETTERS}-{name}") };
    }
    // By bytes, as only ASCII is left.
    name.truncate(MAX_NAME_CHARS - HASH_DIGITS - 1);
    let name = name.trim_end_matches(['_', '-']);
    ToolName::new(&format!("{name}_{}", hash(app, action)))
}

/// Returns the hash with which a name ends, if it ends in one.
pub(super) fn hash_in(name: &str) -> Option<&str> {
    let (_, hash) = name.rsplit_once('_')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (hash.len() == HASH_DIGITS && hash.bytes().all(is_digit)).then_some(hash)
}

/// Returns the part of a name before its hash, which begins with what can be read of the app's key.
pub(super) fn before_hash(name: &str) -> Option<&str> {
    hash_in(name).and_then(|hash| name.strip_suffix(hash)).and_then(|name| name.strip_suffix('_'))
}

/// Returns the hash of an action's keys.
pub(super) fn hash(app: &IntegrationKey, action: &str) -> String {
    let mut hash = Sha256::new();
    // With its length, so that no two pairs of keys read the same.
    hash.update(app.as_str().len().to_le_bytes());
    hash.update(app.as_str());
    hash.update(action);
    let bytes = hash.finalize();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(HASH_DIGITS).map(digit).collect()
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default()
}

/// Returns what can be read of a key: `-` for each run of characters that no name may have, none at the ends.
pub(super) fn readable(key: &str) -> String {
    let words = key.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Returns whether every vendor takes a text as a name.
fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_CHARS
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(text: &str) -> IntegrationKey {
        IntegrationKey::new(text)
    }

    fn named(app: &str, action: &str) -> String {
        name(&key(app), action).as_str().to_owned()
    }

    #[test]
    fn keys_that_vendors_take_are_the_name() {
        for (app, action) in [
            ("gmail", "send-email"),
            ("acme_crm", "create_lead-note"),
            ("a", "B"),
            ("google-calendar", "x".repeat(48).as_str()),
        ] {
            assert_eq!(named(app, action), format!("{app}_{action}"));
        }
    }

    #[test]
    fn any_other_name_carries_a_hash_of_the_keys() {
        for (app, action, start) in [
            ("crm", "创建", "crm_"),
            ("crm", "get user", "crm_get-user_"),
            ("crm", "get/user", "crm_get-user_"),
            ("crm", "contacts.list", "crm_contacts-list_"),
            ("客户", "get", "get_"),
            ("客户", "创建", "app_"),
            ("1password", "get", "app-1password_get_"),
            ("_x", "get", "app-_x_get_"),
            ("crm", &"long".repeat(40), "crm_longlong"),
            // Alike to a hash.
            ("crm", "report_0123456789", "crm_report_0123456789_"),
        ] {
            let name = named(app, action);
            assert!(name.starts_with(start) && hash_in(&name).is_some() && is_name(&name), "{name}");
            assert_eq!(name, named(app, action), "the same at any time");
        }
        assert_eq!(named("crm", "get user"), "crm_get-user_643d514442");
    }

    #[test]
    fn ten_thousand_keys_in_many_scripts_have_names_of_their_own_that_vendors_take() {
        let scripts = [
            "abc xyz",
            "создать",
            "创建删除",
            "δημιουργία",
            "إنشاء",
            "作成",
            "สร้าง",
            "צור",
            "बनाएं",
            "👍🏽🎉",
            "a.b/c:d",
            "_-_-",
        ];
        let mut names = BTreeMap::new();
        for i in 0..10_000_usize {
            let script: Vec<char> = scripts[i % scripts.len()].chars().collect();
            let word: String = (0..=(i % 7)).map(|j| script[(i / 7 + j * j) % script.len()]).collect();
            let app = if i % 3 == 0 { format!("crm{}", i % 5) } else { format!("{word}{}", i % 11) };
            let action = match i % 4 {
                0 => format!("{word}{}", char::from_u32(0x4e00 + u32::try_from(i).unwrap()).unwrap()),
                1 => format!("{word} {i}"),
                2 => format!("{}-{i}", word.repeat(30)),
                _ => format!("get_{i}"),
            };
            let name = named(&app, &action);
            assert!(is_name(&name), "{name}");
            assert!(names.insert(name.clone(), (app, action)).is_none(), "{name} is given twice");
        }
    }

    #[test]
    fn a_name_that_two_apps_could_have_is_neithers() {
        let (a, ab) = (key("a"), key("a_b"));
        let apps: BTreeSet<_> = [&a, &ab].into();
        let both = [name_beside(&a, "b_c", &apps), name_beside(&ab, "c", &apps)];
        for name in &both {
            assert!(name.as_str().starts_with("a_b_c_") && hash_in(name.as_str()).is_some(), "{name}");
        }
        assert_ne!(both[0], both[1]);
        assert_eq!(name_beside(&a, "c", &apps).as_str(), "a_c");
        assert_eq!(name_beside(&a, "b_c", &[&a].into()).as_str(), "a_b_c");
        assert_eq!(name_beside(&ab, "c", &[&ab].into()).as_str(), "a_b_c");
    }
}
