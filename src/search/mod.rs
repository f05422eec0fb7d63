//! Search for tools by what a user wants to do: lexical, in five languages besides English, without a model.
//!
//! An [`AppIndex`] holds the words of one app's tools. It is built once for a content and shared by all users who have that
//! content; [`search`] fans over the indexes of one user and weighs words by how rare they are among that user's tools.
//! Everything here is pure: no I/O, no clock, no actor.
//!
//! A query goes through these hands:
//!
//! | Step | Module |
//! |---|---|
//! | words of other languages become English | `language` |
//! | misspelt words become those of tools, apps and tables | `spelling` |
//! | names of apps are found | `naming`, `calls` |
//! | the verb tells what is asked for: a list, a new record, a change | `intent` |
//! | words are corrected and weighed by their place | `token` |
//! | each word or phrase becomes a concept with all ways to say it | `concept`, `tables` |
//! | a goal is parted into steps | `query` |
//! | tools are scored by concept, app and verb | `score`, `index`, `build` |
//! | steps of a goal take turns in the answer | `rank` |
//!
//! Invariant: the modules import in one direction only, from `rank` down to `text`.
//! Invariant: a verb ranks tools, but never decides whether a tool reads: [`Access`] comes from Membrane's own facts.

mod access;
mod build;
mod calls;
mod concept;
mod index;
mod intent;
mod language;
mod naming;
mod query;
mod rank;
mod score;
mod similar;
mod spelling;
mod stem;
mod tables;
mod text;
mod token;

pub use access::Access;
pub use build::{AppIndexBuilder, ToolText};
pub use index::AppIndex;
pub use naming::AppNames;
pub use rank::{Hit, Options, Ranking, search, warm_up};
pub use similar::{Keys, SimilarName, similar_names};
