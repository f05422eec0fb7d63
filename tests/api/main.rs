//! The server as its users meet it: the real binary, on a free port, over real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by a panic, in its helpers too"
)]
#![expect(clippy::needless_pass_by_value, reason = "values are made on the spot, by json!")]

mod access_matrix;
mod accounts;
mod apps;
mod arguments;
mod audit;
mod authentication;
mod background_loads;
mod banner;
mod batches;
mod calls;
mod catalog;
mod chaos;
mod chats;
mod client;
mod clusters;
mod command_line;
mod compression;
mod connect_limits;
mod connect_page;
mod connect_sign_in;
mod connect_waits;
mod connecting;
mod connecting_support;
mod crowds;
mod day;
mod doctor;
mod durability;
mod dynamic;
mod endless;
mod event_streams;
mod files;
mod fleet;
mod fleet_limits;
mod floods;
mod health;
mod held_upstream;
mod hostile_schemas;
mod http_table;
mod hygiene;
mod interim;
mod leaks;
mod legacy_sse;
mod limits;
mod listening;
mod loading;
mod metrics;
mod modern_chats;
mod modern_eras;
mod modern_headers;
mod modern_requests;
mod modern_rules;
mod modern_support;
mod oauth;
mod odd_upstream;
mod odd_values;
mod official_client;
mod once;
mod original;
mod outages;
mod outputs;
mod oversized;
mod private_redis;
mod published;
mod raw_upstream;
mod reconnecting;
mod redis;
#[expect(dead_code, reason = "the tests of stores use the rest")]
mod redis_cluster;
mod redis_trouble;
mod replica_streams;
mod replicas;
mod requirements;
mod results;
mod resumption;
mod sandbox_connecting;
mod search;
mod server_card;
mod sessions;
mod shared_lists;
mod shares;
mod shutdown;
mod slow_calls;
mod slow_clients;
mod sockets;
mod sse_support;
mod standard_error;
mod status_codes;
mod store_health;
mod support;
mod threats;
mod tls_support;
mod token_ends;
mod traces;
mod upstream;
mod warm_starts;
mod web_pages;
mod webhooks;
mod widths;
mod wire;
mod words;
mod workspace_apps;
