//! The command line, the settings, and what the program says of itself.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    files::Folder,
    support::{SECRET, Server, binary, finish, token},
};

/// What a command that has to succeed prints.
pub fn printed(command: &mut Command) -> String {
    let output = finish(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that has to fail complains of.
pub fn complaint(command: &mut Command) -> String {
    let output = finish(command);
    assert!(!output.status.success(), "{command:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The settings in effect where a command is run.
fn settings(command: &mut Command) -> toml::Table {
    printed(command.arg("check-config")).parse().unwrap()
}

#[test]
fn check_config_prints_every_setting_and_hides_secrets() {
    let text = printed(binary().arg("check-config").env("MCP__SANDBOX__SECRET", "not for your eyes"));
    assert!(!text.contains("not for your eyes"), "{text}");
    let mut effective: toml::Table = text.parse().unwrap();
    assert_eq!(effective["sandbox"]["secret"].as_str(), Some("(hidden)"));

    effective["sandbox"]["secret"] = "".into();
    let defaults: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    assert_eq!(effective, defaults, "without any other source the documented defaults are in effect");
    assert_eq!(settings(&mut binary()), defaults, "a secret that is not set is shown so");
    assert_eq!(settings(binary().arg("--sandbox"))["sandbox"]["enabled"].as_bool(), Some(true));
}

#[test]
fn what_check_config_prints_is_good_as_a_file() {
    let text = printed(binary().arg("check-config").env("MCP__SERVER__PORT", "4321"));
    let files = Folder::new().with("all.toml", &text);
    let read = settings(binary().args(["--config", "all.toml"]).current_dir(files.path()));
    assert_eq!(read, text.parse().unwrap());
}

#[test]
fn each_source_wins_over_the_one_before() {
    let file = |seconds: u32, port: u32| format!("[sessions]\nretention_s = {seconds}\n[server]\nport = {port}\n");
    let files = Folder::new()
        .with("config/default.toml", &file(2, 4002))
        .with("config/staging.toml", &file(3, 4003))
        .with("extra.toml", &file(4, 4004));
    // Each adds one source to those above it.
    let sources: [(&str, &[&str], &[(&str, &str)], i64, i64); 6] = [
        ("config/default.toml", &[], &[], 2, 4002),
        ("APP_ENV", &[], &[("APP_ENV", "staging")], 3, 4003),
        ("--config", &["--config", "extra.toml"], &[], 4, 4004),
        ("MCP__", &[], &[("MCP__SESSIONS__RETENTION_S", "5"), ("MCP__SERVER__PORT", "4005")], 5, 4005),
        ("PORT", &[], &[("PORT", "4006")], 5, 4006),
        ("HOST", &[], &[("HOST", "0.0.0.0"), ("MCP__SERVER__HOST", "127.0.0.2")], 5, 4006),
    ];
    let defaults = settings(&mut binary());
    assert_eq!(defaults["sessions"]["retention_s"].as_integer(), Some(604_800), "nothing is read from elsewhere");

    let (mut args, mut env) = (Vec::<&str>::new(), Vec::new());
    for (source, more_args, more_env, retention_s, port) in sources {
        args.extend(more_args);
        env.extend(more_env.iter().copied());
        let settings = settings(binary().args(&args).envs(env.clone()).current_dir(files.path()));
        assert_eq!(settings["sessions"]["retention_s"].as_integer(), Some(retention_s), "{source}");
        assert_eq!(settings["server"]["port"].as_integer(), Some(port), "{source}");
        let host = if source == "HOST" { "0.0.0.0" } else { "127.0.0.1" };
        assert_eq!(settings["server"]["host"].as_str(), Some(host), "{source}");
        assert_eq!(settings["sessions"]["max"], defaults["sessions"]["max"], "{source}");
    }
}

#[test]
fn a_fault_in_a_file_names_the_file_the_key_and_what_is_allowed() {
    let cases: [(&str, &[&str]); 14] = [
        ("[server]\nprot = 1", &["server.prot", "host", "port", "workers"]),
        ("[srv]\nport = 1", &["srv.port", "sections", "server", "membrane"]),
        ("port = 1", &["`port`", "sections"]),
        ("[server]\nport = \"many\"", &["server.port", "integer", "many"]),
        ("[server]\nport = 70000", &["server.port", "0 to 65535"]),
        ("[server]\nhost = \"example.com\"", &["server.host", "IP address"]),
        ("[auth]\ntrust_s = 0", &["auth.trust_s", "1 to 300"]),
        ("[store]\ntimeout_ms = -1", &["store.timeout_ms"]),
        // Settings once, constants now.
        ("[membrane]\nretries = 1", &["unknown", "membrane.retries", "base_url"]),
        ("[streams]\nlog_s = 60", &["unknown", "streams.log_s", "max_per_user"]),
        ("[membrane]\nbase_url = \"ftp://x\"", &["membrane.base_url", "https://"]),
        ("[membrane]\napi_version = \"2024\"", &["membrane.api_version", "legacy, 2025-10-21"]),
        ("[log]\nformat = \"xml\"", &["log.format", "text, json"]),
        ("[server\nport = 1", &["line 1"]),
    ];
    for (text, parts) in cases {
        let files = Folder::new().with("config/moon.toml", text).with("mine.toml", text);
        let by_env = complaint(binary().arg("check-config").env("APP_ENV", "moon").current_dir(files.path()));
        // The start itself is stopped too.
        let by_flag = complaint(binary().args(["--config", "mine.toml"]).current_dir(files.path()));
        for (message, file) in [(by_env, "config/moon.toml"), (by_flag, "mine.toml")] {
            for part in parts.iter().chain([&file]) {
                assert!(message.contains(part), "{text:?}: {part:?} is missing in: {message}");
            }
        }
    }
}

#[test]
fn a_fault_in_the_environment_names_the_variable_the_key_and_what_is_allowed() {
    let cases: [(&str, &str, &[&str]); 8] = [
        ("MCP__SERVER__PROT", "1", &["server.prot", "host", "port"]),
        ("MCP__SRV__PORT", "1", &["srv.port", "sections"]),
        ("MCP__SERVER__PORT", "many", &["server.port", "integer"]),
        ("MCP__SERVER__PORT", "70000", &["server.port", "0 to 65535"]),
        ("MCP__SANDBOX__ENABLED", "perhaps", &["sandbox.enabled", "bool"]),
        ("MCP__LOG__FORMAT", "xml", &["log.format", "text, json"]),
        ("PORT", "70000", &["server.port", "0 to 65535"]),
        ("HOST", "example.com", &["server.host", "IP address"]),
    ];
    for (variable, value, parts) in cases {
        let message = complaint(binary().env(variable, value));
        for part in parts.iter().chain([&variable]) {
            assert!(message.contains(part), "{variable}={value}: {part:?} is missing in: {message}");
        }
    }
}

#[test]
fn every_unknown_key_is_named_at_once() {
    let files = Folder::new().with("mine.toml", "[server]\nprot = 1\n[log]\ncolour = true\n");
    let message =
        complaint(binary().args(["--config", "mine.toml"]).env("MCP__LOG__LEVEL", "1").current_dir(files.path()));
    for part in ["server.prot", "log.colour", "MCP__LOG__LEVEL"] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    let files = Folder::new();
    let cases: [(&[&str], &[(&str, &str)], &[&str]); 3] = [
        (&[], &[("APP_ENV", "moon")], &["APP_ENV=moon", "config/moon.toml"]),
        (&["--config", "missing.toml"], &[], &["missing.toml", "can't be read"]),
        (&["--sandbox"], &[("MCP__SANDBOX__CATALOG", "no/apps"), ("PORT", "0")], &["no/apps"]),
    ];
    for (args, env, parts) in cases {
        let message = complaint(binary().args(args).envs(env.iter().copied()).current_dir(files.path()));
        for part in parts {
            assert!(message.contains(part), "{args:?} {env:?}: {part:?} is missing in: {message}");
        }
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for taken in ["PORT", "MCP__ADMIN__PORT", "MCP__SANDBOX__PORT"] {
        let free = ["PORT", "MCP__ADMIN__PORT", "MCP__SANDBOX__PORT"].map(|variable| (variable, "0"));
        // In memory: the sandbox of a quick start that still runs has the store of the default settings.
        let command = &mut binary();
        command.arg("--sandbox").env("MCP__STORE__PATH", "").envs(free).env(taken, &port);
        let message = complaint(command);
        for part in ["can't listen on", "127.0.0.1", &port] {
            assert!(message.contains(part), "{taken}: {part:?} is missing in: {message}");
        }
    }
}

#[test]
fn help_and_version_say_what_the_program_is() {
    let version = printed(binary().arg("--version"));
    assert_eq!(version, concat!("integration-app-mcp-server ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = printed(binary().arg("--help"));
    for part in ["serve", "check-config", "token", "--sandbox", "--config", "--version"] {
        assert!(help.contains(part), "{part:?} is missing in: {help}");
    }
    let message = complaint(binary().arg("fly"));
    assert!(message.contains("fly") && message.contains("--help"), "{message}");
}

#[tokio::test]
async fn a_minted_token_opens_the_sandbox() {
    let server = Server::start();
    let by_flag = printed(binary().args(["token", "--user", "bob", "--secret", SECRET]));
    let by_setting = printed(binary().args(["token", "--user", "bob"]).env("MCP__SANDBOX__SECRET", SECRET));
    for token in [by_flag, by_setting] {
        let token = token.strip_suffix('\n').unwrap();
        let client = server.client_with(token).header("x-chat-id", "bobs").open().await;
        assert!(!client.tools().await.is_empty());
    }
    let chats = server.client("bob").chats().await.json();
    assert!(chats["bobs"].is_string(), "the token is not bob's: {chats}");

    let other = printed(binary().args(["token", "--user", "bob", "--secret", "another key"]));
    assert_eq!(server.client_with(other.trim()).initialize("2025-11-25").await.status, 401);
}

#[test]
fn a_token_without_a_key_or_a_user_is_explained() {
    let without_key = complaint(binary().args(["token", "--user", "bob"]));
    for part in ["--secret", "sandbox.secret", "banner"] {
        assert!(without_key.contains(part), "{part:?} is missing in: {without_key}");
    }
    let without_user = complaint(binary().args(["token", "--secret", "key"]));
    assert!(without_user.contains("--user"), "{without_user}");
}

#[test]
fn an_option_wins_over_all_other_sources() {
    let env = [("HOST", "127.0.0.2"), ("PORT", "4001"), ("MCP__SERVER__PORT", "4002")];
    let settings = settings(binary().args(["--port", "4003", "--host", "0.0.0.0"]).envs(env));
    assert_eq!(settings["server"]["port"].as_integer(), Some(4003));
    assert_eq!(settings["server"]["host"].as_str(), Some("0.0.0.0"));
    let wrong = complaint(binary().args(["--host", "example.com", "check-config"]));
    assert!(wrong.contains("--host") && wrong.contains("IP address"), "{wrong}");
    assert!(complaint(binary().args(["--port", "70000"])).contains("--port"));
}

#[test]
fn a_second_server_is_told_all_that_it_needs_in_one_message() {
    let folder = Folder::new();
    let server = Server::builder().start();
    let port = server.url.rsplit(':').next().unwrap();
    let message =
        complaint(binary().args(["--sandbox", "--port", port]).env("MCP__ADMIN__PORT", "0").current_dir(folder.path()));
    let next = port.parse::<u32>().unwrap() + 1;
    for part in [format!("PORT={next}"), "MCP__ADMIN__PORT=".to_owned(), format!("MCP__STORE__PATH=data-{next}")] {
        assert!(message.contains(&part), "{part:?} is missing in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_reader_that_has_read_enough_is_no_trouble() {
    let program = env!("CARGO_BIN_EXE_integration-app-mcp-server");
    let command = format!("{{ {program} check-config; echo \"status $?\" >&2; }} | head -n 1");
    let ran = finish(Command::new("/bin/bash").args(["-c", &command]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), "status 0\n");
}

#[test]
fn a_word_that_is_no_level_is_no_filter() {
    for (filter, is_one) in [
        ("debug", true),
        ("info,actix_server=warn", true),
        ("info/text", true),
        ("OFF", true),
        ("loud", false),
        ("info,loud", false),
        ("actix_web=loud", false),
        ("", false),
    ] {
        let ran = finish(binary().arg("check-config").env("MCP__LOG__FILTER", filter));
        assert_eq!(ran.status.success(), is_one, "{filter:?}: {ran:?}");
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(is_one || (said.contains("log.filter") && said.contains("warn")), "{filter:?}: {said}");
    }
}

#[test]
fn a_number_below_zero_is_told_so() {
    let files = Folder::new().with("mine.toml", "[store]\ntimeout_ms = -3\n");
    let by_file = complaint(binary().args(["--config", "mine.toml", "check-config"]).current_dir(files.path()));
    assert!(by_file.contains("store.timeout_ms") && by_file.contains("must not be negative"), "{by_file}");
    for (variable, key) in [("MCP__SERVER__PORT", "server.port"), ("MCP__STORE__TIMEOUT_MS", "store.timeout_ms")] {
        let message = complaint(binary().arg("check-config").env(variable, "-1"));
        assert!(message.contains(key) && message.contains("must not be negative"), "{message}");
    }
}

fn initialize() -> Value {
    let client = json!({"name": "test", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

#[tokio::test]
async fn log_lines_in_json_are_one_object_each() {
    let mut command = binary();
    command.args(["--sandbox"]).envs([
        ("PORT", "0"),
        ("MCP__ADMIN__PORT", "0"),
        ("MCP__STORE__PATH", ""),
        ("MCP__SANDBOX__SECRET", SECRET),
    ]);
    let mut process = command.env("MCP__LOG__FORMAT", "json").env("MCP__LOG__FILTER", "debug").spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["time", "level", "target", "message"] {
            assert!(object[field].is_string(), "{field}: {line}");
        }
        object
    });
    let url = lines.find_map(|line| Some(line["message"].as_str()?.strip_prefix("listening on ")?.to_owned())).unwrap();

    let http = reqwest::Client::new();
    let post = |body: Value| {
        let request =
            http.post(format!("{url}/mcp?token={}", token("ann"))).json(&body).header("x-chat-id", "my \"chat\"");
        request.header("accept", "application/json, text/event-stream")
    };
    let opened = post(initialize()).send().await.unwrap();
    let session = opened.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let list = post(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    list.header("mcp-session-id", &session).send().await.unwrap();
    http.get(format!("{url}/mcp/sessions")).send().await.unwrap();
    http.get(format!("{url}/the-end?token=of-it")).send().await.unwrap();

    let mut seen = Vec::new();
    for line in lines.filter(|line| line["target"] == "access") {
        let ends = line["path"] == "/the-end";
        assert!(line["ms"].is_u64(), "{line}");
        let fields = ["method", "path", "status", "user", "chat", "session", "rpc"];
        seen.push(json!(fields.map(|field| line[field].clone())));
        if ends {
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let expected = [
        json!(["POST", "/mcp", 200, "sandbox/ann", "my \"chat\"", session, "initialize"]),
        json!(["POST", "/mcp", 200, "sandbox/ann", "my \"chat\"", session, "tools/list"]),
        json!(["GET", "/mcp/sessions", 401, null, null, null, null]),
        json!(["GET", "/the-end", 404, null, null, null, null]),
    ];
    assert_eq!(seen, expected);
}
