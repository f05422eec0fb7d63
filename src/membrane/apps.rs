//! The `apps` filter.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use crate::ids::IntegrationKey;

/// The integrations that a session is confined to, or all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Apps(Option<Arc<BTreeSet<IntegrationKey>>>);

impl Apps {
    /// Reads the values of `?apps=`, lists of keys separated by commas. White space around keys and empty items are
    /// ignored; no key at all means every app.
    #[must_use]
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let keys: BTreeSet<_> = values
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(IntegrationKey::new)
            .collect();
        Self((!keys.is_empty()).then(|| keys.into()))
    }

    /// Takes the keys to confine to; without any, every app is meant.
    #[must_use]
    pub fn of(keys: Option<BTreeSet<IntegrationKey>>) -> Self {
        Self(keys.map(Arc::new))
    }

    /// Returns the keys, or nothing where every app is meant.
    #[must_use]
    pub fn keys(&self) -> Option<&BTreeSet<IntegrationKey>> {
        self.0.as_deref()
    }

    /// Returns whether an integration is among them.
    #[must_use]
    pub fn include(&self, key: &IntegrationKey) -> bool {
        self.keys().is_none_or(|keys| keys.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_trimmed_and_empty_items_ignored() {
        let cases: [(&[&str], Option<&[&str]>); 7] = [
            (&[], None),
            (&[""], None),
            (&[","], None),
            (&["gmail"], Some(&["gmail"])),
            (&[" gmail , slack,"], Some(&["gmail", "slack"])),
            (&["gmail,gmail"], Some(&["gmail"])),
            (&["gmail", "slack"], Some(&["gmail", "slack"])),
        ];
        for (values, expected) in cases {
            let apps = Apps::parse(values.iter().copied());
            let keys = apps.keys().map(|keys| keys.iter().map(IntegrationKey::as_str).collect::<Vec<_>>());
            assert_eq!(keys.as_deref(), expected, "{values:?}");
        }
    }
}
