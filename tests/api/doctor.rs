//! What the program says of its own surroundings: `doctor`, `healthcheck`, and the banner at a terminal.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    redis::Redis,
    support::{SECRET, Server, binary, claims, finish, sign, token},
};

/// A doctor whose ports are free.
fn doctor() -> Command {
    let mut command = binary();
    command.arg("doctor").envs([
        ("PORT", "0"),
        ("MCP__ADMIN__PORT", "0"),
        ("MCP__STORE__PATH", ""),
        ("MCP__SANDBOX__SECRET", SECRET),
    ]);
    command
}

/// What the doctor says, and whether it found everything in order.
fn advice(command: &mut Command) -> (bool, String) {
    let output = finish(command);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

#[test]
fn a_doctor_finds_what_is_sound_sound() {
    let good = token("ann");
    let (is_sound, said) = advice(doctor().args(["--sandbox", "--token", &good]));
    assert!(is_sound, "{said}");
    for part in ["settings   ok", "server     ok", "admin      ok", "store      ok", "upstream   ok", "token      ok"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    for part in ["a JWT of sandbox/ann", "in 59 min", "accepts it"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert!(!said.contains(&good), "the token is not printed");
}

#[test]
fn a_doctor_examines_redis_without_showing_its_password() {
    let redis = Redis::start_with(Some("a-password-nobody-sees"));
    let url = redis.url();
    let (_, said) = advice(doctor().arg("--sandbox").env("MCP__STORE__URL", &url));
    assert!(said.contains("store      ok") && said.contains("store.url"), "{said}");
    redis.kill();
    let (is_sound, said) = advice(doctor().arg("--sandbox").env("MCP__STORE__URL", &url));
    assert!(!is_sound && said.contains("store      WRONG") && said.contains("See store.url"), "{said}");
    assert!(!said.contains("a-password-nobody-sees"), "{said}");
    let shown = finish(binary().arg("check-config").env("MCP__STORE__URL", &url));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("(hidden)") && !shown.contains("a-password-nobody-sees"), "{shown}");
}

#[test]
fn a_doctor_names_each_fault_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let nobody = format!("http://127.0.0.1:{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let mut expired = claims("ann");
    expired["exp"] = json!(1_000);
    let (expired, forged) = (sign(&expired, SECRET), sign(&claims("ann"), "another key"));
    let good = token("ann");
    let cases: [(&[&str], &[(&str, &str)], &[&str]); 8] = [
        (
            &["--sandbox"],
            &[("MCP__STORE__PATH", "/proc/nowhere")],
            &["store      WRONG", "/proc/nowhere", "store.path"],
        ),
        (&["--sandbox"], &[("PORT", &port)], &["server     WRONG", &port, "server.port"]),
        (&["--sandbox"], &[("MCP__ADMIN__PORT", &port)], &["admin      WRONG", &port, "admin.port"]),
        (&[], &[("MCP__MEMBRANE__BASE_URL", &nobody)], &["upstream   WRONG", &nobody, "membrane.base_url"]),
        (
            &["--token", &good],
            &[("MCP__MEMBRANE__BASE_URL", &nobody)],
            &["token      WRONG", "First see to the upstream"],
        ),
        (
            &["--sandbox", "--token", &expired],
            &[],
            &["token      WRONG", "sandbox/ann", "1970-01-01T00:16:40Z", "new one"],
        ),
        (&["--sandbox", "--token", &forged], &[], &["token      WRONG", "does not accept it"]),
        (&["--sandbox", "--token", "two words"], &[], &["token      WRONG", "Invalid token format"]),
    ];
    for (args, env, parts) in cases {
        let (is_sound, said) = advice(doctor().args(args).envs(env.iter().copied()));
        assert!(!is_sound, "{args:?} {env:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?} {env:?}: {part:?} is missing in:\n{said}");
        }
        for token in [&good, &expired, &forged] {
            assert!(!said.contains(token), "{args:?}: the token is printed:\n{said}");
        }
    }
}

#[test]
fn a_token_may_come_by_standard_input() {
    let mut command = doctor();
    let mut process = command.args(["--sandbox", "--token", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(format!("{}\n", token("bob")).as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("a JWT of sandbox/bob"), "{said}");
}

#[test]
fn a_doctor_beside_a_running_server_finds_it_alive() {
    let server = Server::start();
    let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();
    let beside = |command: &mut Command| {
        let store = server.folder_path();
        advice(
            command
                .arg("--sandbox")
                .env("PORT", port(&server.url))
                .env("MCP__ADMIN__PORT", port(&server.admin))
                .env("MCP__STORE__PATH", store),
        )
    };
    let (is_sound, said) = beside(&mut doctor());
    assert!(is_sound, "{said}");
    for part in ["server     ok     a server runs on", "admin      ok     a server runs on", "by the server that runs"]
    {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    // The sandbox answers too, but not as a server that is well.
    let (is_sound, said) = advice(doctor().arg("--sandbox").env("PORT", port(&server.sandbox)));
    assert!(!is_sound && said.contains("server     WRONG") && said.contains("404"), "{said}");
}

#[test]
fn a_healthcheck_asks_the_running_server() {
    let server = Server::start();
    let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();
    let check = |name: &str, port: &str| {
        let ports = [("PORT", "0"), ("MCP__ADMIN__PORT", "0"), ("HOST", "0.0.0.0")];
        finish(binary().arg("healthcheck").envs(ports).env(name, port))
    };
    assert!(check("MCP__ADMIN__PORT", &port(&server.admin)).status.success(), "by the admin listener");
    assert!(check("PORT", &port(&server.url)).status.success(), "by the other, if that is all that is known");
    assert!(!check("PORT", "0").status.success(), "nobody knows where");
    // The sandbox is a server too, but not one that is alive in this sense.
    let complaint = check("PORT", &port(&server.sandbox));
    assert!(!complaint.status.success(), "{complaint:?}");
    let admin = port(&server.admin);
    drop(server);
    let complaint = check("MCP__ADMIN__PORT", &admin);
    let said = String::from_utf8_lossy(&complaint.stderr).into_owned();
    assert!(!complaint.status.success() && said.contains(&admin), "{said}");
}

#[test]
fn a_banner_greets_whoever_sits_at_a_terminal() {
    // Nobody listens where somebody just left.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{closed}");
    let mut command = Command::new("script");
    let server = format!("timeout --foreground 30 {}", env!("CARGO_BIN_EXE_integration-app-mcp-server"));
    command.args(["--quiet", "--flush", "--command", &server, "/dev/null"]);
    command.env_clear().envs([
        ("PORT", "0"),
        ("MCP__ADMIN__PORT", "0"),
        ("MCP__STORE__PATH", ""),
        ("PATH", "/usr/bin:/bin"),
        ("MCP__MEMBRANE__BASE_URL", &nobody),
    ]);
    let mut terminal = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(terminal.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut shown = String::new();
    for line in lines {
        shown += &(line + "\n");
        if shown.contains("metrics and health") && shown.contains("whether this machine may connect there") {
            break;
        }
    }
    // Who hangs up takes the program along.
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    for part in [
        "Page           http://127.0.0.1:",
        "MCP endpoint   http://127.0.0.1:",
        "Operators",
        &format!("Upstream       {nobody}"),
        &format!("upstream   WRONG  {nobody}"),
        "See membrane.base_url",
        "Sessions",
        "Tokens ",
        "Ctrl-C",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
}
