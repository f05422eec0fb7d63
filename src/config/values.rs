//! The kinds of values that settings have.

use std::{fmt, num::NonZeroU32, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

/// A whole number, never negative. `config` would cut a number down to a smaller type without a word, so ranges are
/// checked by [`Settings::faults`](super::Settings::faults).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Count(pub(super) u64);

impl Count {
    /// Returns the number, for sizes in memory.
    #[must_use]
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Returns the number, for rates; `faults` has seen to its range.
    #[must_use]
    pub fn at_least_one(self) -> NonZeroU32 {
        NonZeroU32::new(u32::try_from(self.0).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
    }

    /// Returns the number as a port; `faults` has seen to its range.
    #[must_use]
    pub fn port(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

/// Whether clients without a token are told where to get one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Where the upstream says that it issues tokens.
    Auto,
    /// In any case: where the upstream does not say, at its usual paths.
    On,
    /// Never, whatever the upstream says.
    Off,
}

impl<'de> Deserialize<'de> for Discovery {
    /// Reads a truth value or `"auto"`. In the environment both are texts.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Discovery;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\", true or false")
            }
            fn visit_bool<E>(self, is_on: bool) -> Result<Discovery, E> {
                Ok(if is_on { Discovery::On } else { Discovery::Off })
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Discovery, E> {
                match text {
                    "auto" => Ok(Discovery::Auto),
                    "true" => Ok(Discovery::On),
                    "false" => Ok(Discovery::Off),
                    other => Err(E::custom(format_args!("{other:?} is none of \"auto\", true and false"))),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Serialize for Discovery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::On => serializer.serialize_bool(true),
            Self::Off => serializer.serialize_bool(false),
        }
    }
}

/// Returns whether each part of a filter names a level. `env_filter` takes any other word for a module, which it then lets log
/// everything, and all others nothing.
pub(super) fn env_filter(text: &str) -> bool {
    let mut builder = env_filter::Builder::new();
    let directives = text.split('/').next().unwrap_or_default();
    let mut levels = directives.split(',').map(|part| part.rsplit('=').next().unwrap_or_default().trim());
    builder.try_parse(text).is_ok() && levels.all(|level| level.parse::<log::LevelFilter>().is_ok())
}

/// Returns a list, or a text with commas, which is what the environment can hold.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts")
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.map(str::to_owned).collect())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(List)
}

/// A module that reads and writes durations as whole numbers of a unit.
macro_rules! duration_unit {
    ($name:ident, $from:ident, $as:ident) => {
        pub(super) mod $name {
            use super::{Deserialize, Deserializer, Duration, Serializer};
            pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
                u64::deserialize(d).map(Duration::$from)
            }

            pub fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_u64(u64::try_from(value.$as()).unwrap_or(u64::MAX))
            }
        }
    };
}
duration_unit!(seconds, from_secs, as_secs);
duration_unit!(millis, from_millis, as_millis);
