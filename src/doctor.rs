//! Examines what the server needs, part by part, and says what to do where something is wrong.

use std::{
    fmt, io,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    config::{Count, Settings, unsupported_proxy},
    healthcheck::{self, HealthcheckError},
    membrane::{MembraneClient, MembraneError, Upstream},
    secret::Secret,
    store::{self, StoreError},
    token::{AccessToken, Claim, TokenProblem},
};

/// Finding on one part that was examined.
#[derive(Debug)]
pub struct Finding {
    part: &'static str,
    what: String,
    /// Advice for the operator, where something is wrong.
    remedy: Option<String>,
}

impl Finding {
    fn good(part: &'static str, what: String) -> Self {
        Self { part, what, remedy: None }
    }

    fn bad(part: &'static str, what: String, remedy: impl Into<String>) -> Self {
        Self { part, what, remedy: Some(remedy.into()) }
    }

    /// Returns whether nothing is wrong with the part.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.remedy.is_none()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_good() { "ok" } else { "WRONG" };
        write!(f, "{:<10} {verdict:<6} {}", self.part, self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n{:<17} {remedy}", ""),
            None => Ok(()),
        }
    }
}

/// Examines everything that the settings name, and a token if there is one.
pub async fn examine(settings: &Settings, token: Option<&Secret>) -> Vec<Finding> {
    let (server, is_running) = listener("server", &settings.server.host, settings.server.port);
    let (admin, _) = listener("admin", &settings.admin.host, settings.admin.port);
    let mut findings = vec![
        Finding::good("settings", "every key is known and in its range (check-config prints them)".to_owned()),
        server,
        admin,
        examine_store(settings, is_running),
    ];
    let url = &settings.membrane.base_url;
    let client = match client(settings) {
        Ok(client) => client,
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    };
    let upstream = match unsupported_proxy(settings) {
        Some(name) => Finding::bad(
            "upstream",
            format!("{name} names a proxy, but {url} is asked directly"),
            "Take the variable away, or except the upstream's host by NO_PROXY.",
        ),
        None => upstream(&client, url).await,
    };
    let is_reachable = upstream.is_good();
    findings.push(upstream);
    if let Some(token) = token {
        findings.push(self::token(&client, token, is_reachable).await);
    }
    findings
}

/// Returns the trouble with the upstream, if there is some, for an operator who has just started a server at a
/// terminal.
pub async fn upstream_trouble(settings: &Settings) -> Option<Finding> {
    let finding = match client(settings) {
        Ok(client) => upstream(&client, &settings.membrane.base_url).await,
        Err(finding) => finding,
    };
    Some(finding).filter(|finding| !finding.is_good())
}

fn client(settings: &Settings) -> Result<MembraneClient, Finding> {
    let upstream = Upstream::new(settings)
        .map_err(|error| Finding::bad("upstream", error.to_string(), "See membrane.base_url and membrane.ca_file."))?;
    Ok(MembraneClient::new(settings, Arc::new(upstream)))
}

/// Examines an address to listen on, and returns whether a server that is well listens there already.
fn listener(part: &'static str, host: &str, port: Count) -> (Finding, bool) {
    let address = format!("{host}:{}", port.port());
    let error = match TcpListener::bind((host, port.port())) {
        Ok(_free_again) => return (Finding::good(part, format!("{address} is free to listen on")), false),
        Err(error) => error,
    };
    match healthcheck::check_at(host, port.port()) {
        Ok(()) => (Finding::good(part, format!("a server runs on {address}, and is alive")), true),
        Err(HealthcheckError::Unhealthy { answer, .. }) if error.kind() == io::ErrorKind::AddrInUse => {
            let what = format!("{address} is taken by what answers {answer:?} when asked for its health");
            (Finding::bad(part, what, format!("Set {part}.host or {part}.port, or see to the server there.")), false)
        }
        Err(_) => {
            let what = format!("{address} can't be listened on: {error}");
            (Finding::bad(part, what, format!("Set {part}.host or {part}.port.")), false)
        }
    }
}

/// Returns whether sessions can be kept. What says why not says what to do, too.
fn examine_store(settings: &Settings, is_running: bool) -> Finding {
    const PART: &str = "store";
    let folder = &settings.store.path;
    let is_shared = !settings.store.url.is_empty();
    let opened =
        store::open(settings).and_then(|store| store.details().map_or(Ok(()), |why| Err(StoreError::Failed(why))));
    match opened {
        Ok(_closed_again) if is_shared => {
            Finding::good(PART, "sessions are kept where store.url says, which other servers may share".to_owned())
        }
        Err(error) if is_shared => Finding::bad(
            PART,
            error.to_string(),
            "See store.url, and whether Redis runs there and this machine may connect to it.",
        ),
        Ok(_closed_again) if folder.as_os_str().is_empty() => {
            Finding::good(PART, "sessions are kept in memory, and end with the server".to_owned())
        }
        Ok(_closed_again) => Finding::good(PART, format!("sessions are kept in {}", folder.display())),
        Err(StoreError::InUse { path }) if is_running => {
            Finding::good(PART, format!("sessions are kept in {path}, by the server that runs"))
        }
        Err(error) => {
            Finding::bad(PART, error.to_string(), "See store.path, unless this server is already running there.")
        }
    }
}

/// Returns whether the upstream answers at all; a refusal is an answer.
async fn upstream(client: &MembraneClient, url: &str) -> Finding {
    const PART: &str = "upstream";
    let begun = Instant::now();
    // No token of anybody's is needed to find out.
    let answer = match AccessToken::parse("doctor", SystemTime::now()) {
        Ok(nobody) => client.customer(&nobody).await.map(|_| ()),
        Err(_never) => Ok(()),
    };
    match answer {
        Ok(()) | Err(MembraneError::Refused(_)) => {
            Finding::good(PART, format!("{url} answers in {} ms", begun.elapsed().as_millis()))
        }
        Err(error @ MembraneError::Malformed(_)) => Finding::bad(
            PART,
            format!("{url}: {error}"),
            "Something answers there, but not the Membrane API: see membrane.base_url.",
        ),
        Err(error) => Finding::bad(
            PART,
            format!("{url}: {error}"),
            "See membrane.base_url, and whether this machine may connect there: name server, proxy, firewall.",
        ),
    }
}

/// Examines a token: its kind, its user and its end. The token itself is shown to the upstream alone.
async fn token(client: &MembraneClient, secret: &Secret, is_reachable: bool) -> Finding {
    const PART: &str = "token";
    const RENEW: &str = "Get a new one: https://docs.integration.app/docs/authentication#access-token";
    let now = SystemTime::now();
    // Read as of long ago, a token that has expired still says whose it was.
    let (token, is_over) =
        match (AccessToken::parse(secret.reveal(), now), AccessToken::parse(secret.reveal(), UNIX_EPOCH)) {
            (Ok(token), _) => (token, false),
            (Err(TokenProblem::Expired), Ok(token)) => (token, true),
            (Err(problem), _) => return Finding::bad(PART, problem.to_string(), RENEW),
        };
    let what = match token.claim() {
        Claim::Opaque => "an opaque token".to_owned(),
        Claim::UserAlone { user, expires_at: None } => format!("a JWT of {user}, of no workspace, without an end"),
        Claim::UserAlone { user, expires_at: Some(end) } => {
            format!("a JWT of {user}, of no workspace, {}", ending(*end, now))
        }
        Claim::User { user, expires_at: None } => format!("a JWT of {user}, without an end"),
        Claim::User { user, expires_at: Some(end) } => format!("a JWT of {user}, {}", ending(*end, now)),
    };
    if is_over {
        return Finding::bad(PART, what, RENEW);
    }
    if !is_reachable {
        return Finding::bad(
            PART,
            format!("{what}; the upstream can't be asked about it"),
            "First see to the upstream.",
        );
    }
    match client.customer(&token).await {
        Ok(_) => Finding::good(PART, format!("{what}; the upstream accepts it")),
        Err(error) => Finding::bad(PART, format!("{what}; the upstream does not accept it: {error}"), RENEW),
    }
}

/// Returns when a token ends or ended.
fn ending(end: SystemTime, now: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(end).map_or_else(|_far| "in a far future".to_owned(), |at| format!("{at:.0}"));
    match end.duration_since(now) {
        Ok(left) => format!("which ends at {at}, in {}", coarse(left)),
        Err(past) => format!("which ended at {at}, {} ago", coarse(past.duration())),
    }
}

/// Returns a time in its largest unit or two.
fn coarse(time: Duration) -> String {
    let (minutes, hours) = (time.as_secs() / 60, time.as_secs() / 3600);
    match (hours, minutes) {
        (48.., _) => format!("{} days", hours / 24),
        (1.., _) => format!("{hours} h {} min", minutes % 60),
        (0, 1..) => format!("{minutes} min"),
        (0, 0) => format!("{} s", time.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_with_how_far_it_is() {
        let at = |s| UNIX_EPOCH + Duration::from_secs(s);
        let cases = [
            (at(90), at(30), "which ends at 1970-01-01T00:01:30Z, in 1 min"),
            (at(7260), at(0), "which ends at 1970-01-01T02:01:00Z, in 2 h 1 min"),
            (at(0), at(259_200), "which ended at 1970-01-01T00:00:00Z, 3 days ago"),
            (at(0), at(59), "which ended at 1970-01-01T00:00:00Z, 59 s ago"),
        ];
        for (end, now, expected) in cases {
            assert_eq!(ending(end, now), expected);
        }
    }
}
