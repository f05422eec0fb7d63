//! Reads the settings' sources one over the other, and says which of them is at fault.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::Settings;

const BUILT_IN: &str = include_str!("../../config/default.toml");

/// Sources of the settings, later ones winning.
#[derive(Debug, Default)]
pub struct Sources {
    /// The folder of `default.toml` and `<APP_ENV>.toml`.
    pub folder: PathBuf,
    /// The file named on the command line.
    pub file: Option<PathBuf>,
    /// Variables of the environment, by name.
    pub env: HashMap<String, String>,
    /// Address to listen on, named on the command line.
    pub host: Option<String>,
    /// Port to listen on, named on the command line.
    pub port: Option<u16>,
}

impl Sources {
    /// Returns the process's own: `config/` in the working directory, and its environment.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self { folder: "config".into(), file, env: std::env::vars().collect(), ..Self::default() }
    }
}

/// Returns how this program was called, for commands that a person can repeat.
#[must_use]
pub fn program() -> String {
    let called = std::env::args_os().next().map(|name| name.to_string_lossy().into_owned());
    called.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned())
}

/// Why the settings can't be used: each line names the source, the key and what is allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

/// One source: its name for messages, and its values by dotted key.
struct Layer {
    name: String,
    values: BTreeMap<String, Value>,
}

/// Reads the settings.
///
/// # Errors
/// [`SettingsError`] for a file that can't be read, an unknown key, or a value that is not allowed.
pub fn load(sources: &Sources) -> Result<Settings, SettingsError> {
    let built_in = file_layer("the built-in defaults", &File::from_str(BUILT_IN, FileFormat::Toml))?;
    let known: Vec<String> = built_in.values.keys().cloned().collect();
    let mut layers = vec![built_in];
    layers.extend(files(sources)?);
    layers.push(environment(&sources.env)?);
    layers.extend(platform(&sources.env));
    layers.extend(options(sources));

    let unknown: Vec<String> = layers.iter().flat_map(|layer| unknown_keys(layer, &known)).collect();
    if !unknown.is_empty() {
        return Err(SettingsError(unknown));
    }
    stack(&layers)
}

/// Lays the layers one over the other; the first that brings a fault is the one to name.
fn stack(layers: &[Layer]) -> Result<Settings, SettingsError> {
    let mut builder = Config::builder();
    let mut settings = None;
    for layer in layers {
        let blame = |what: String| SettingsError(vec![format!("{}: {what}", layer.name)]);
        for (key, value) in &layer.values {
            builder = builder.set_override(key, value.clone()).map_err(|error| blame(error.to_string()))?;
        }
        let config = builder.clone().build().map_err(|error| blame(error.to_string()))?;
        let so_far: Settings = config.try_deserialize().map_err(|error| SettingsError(vec![explain(layer, &error)]))?;
        let faults: Vec<String> = so_far
            .faults()
            .iter()
            .map(|fault| format!("{}: `{}` must be {}", layer.origin_of(fault.key), fault.key, fault.allowed))
            .collect();
        if !faults.is_empty() {
            return Err(SettingsError(faults));
        }
        settings = Some(so_far);
    }
    if let Some(fault) = settings.as_ref().and_then(Settings::conflict) {
        return Err(SettingsError(vec![format!("`{}` must be {}", fault.key, fault.allowed)]));
    }
    settings.ok_or_else(|| SettingsError(vec!["no settings at all".to_owned()]))
}

/// Returns the source first, then the key, then what is wrong with it.
fn explain(layer: &Layer, error: &ConfigError) -> String {
    let (key, what) = match error {
        ConfigError::Type { key, .. } if key.as_ref().is_some_and(|key| layer.is_negative(key)) => {
            (key, " must not be negative".to_owned())
        }
        ConfigError::Type { unexpected, expected, key, .. } => (key, format!(" must be {expected}, not {unexpected}")),
        ConfigError::At { error, key, .. } => (key, format!(": {error}")),
        other => return format!("{}: {other}", layer.name),
    };
    let key = key.as_deref().unwrap_or("?");
    format!("{}: `{key}`{what}", layer.origin_of(key))
}

impl Layer {
    /// Returns whether a value is a number below zero, in whatever form: no setting is one.
    fn is_negative(&self, key: &str) -> bool {
        let value = self.values.get(key).map(ToString::to_string);
        value.and_then(|value| value.trim().parse::<f64>().ok()).is_some_and(|number| number < 0.0)
    }

    /// Returns the source's name, with the variable's where it is the environment.
    fn origin_of(&self, key: &str) -> String {
        match self.values.get(key).and_then(Value::origin) {
            Some(variable) if self.name == ENVIRONMENT => variable.to_owned(),
            _ => self.name.clone(),
        }
    }
}

const ENVIRONMENT: &str = "the environment";

fn files(sources: &Sources) -> Result<Vec<Layer>, SettingsError> {
    let mut paths = Vec::new();
    let default = sources.folder.join("default.toml");
    if default.exists() {
        paths.push(default);
    }
    if let Some(env) = sources.env.get("APP_ENV").filter(|env| !env.is_empty()) {
        let path = sources.folder.join(format!("{env}.toml"));
        if !path.exists() {
            let what = format!("APP_ENV={env} asks for {}, which does not exist", path.display());
            return Err(SettingsError(vec![what]));
        }
        paths.push(path);
    }
    paths.extend(sources.file.clone());
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Result<Layer, SettingsError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError(vec![format!("{name}: can't be read: {error}")]))?;
    file_layer(&name, &File::from_str(&text, FileFormat::Toml))
}

fn file_layer<S: Source>(name: &str, source: &S) -> Result<Layer, SettingsError> {
    let tree =
        source.collect().map_err(|error| SettingsError(vec![format!("{name}: {}", error.to_string().trim())]))?;
    let mut values = BTreeMap::new();
    flatten("", tree, &mut values);
    Ok(Layer { name: name.to_owned(), values })
}

/// Reads the settings among the variables, `MCP__SECTION__KEY` each.
fn environment(env: &HashMap<String, String>) -> Result<Layer, SettingsError> {
    let ours: Map<String, String> = env
        .iter()
        .filter(|(name, _)| name.starts_with("MCP__"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let source = Environment::with_prefix("MCP").prefix_separator("__").separator("__").source(Some(ours));
    let mut layer = file_layer(ENVIRONMENT, &source)?;
    for (key, value) in &mut layer.values {
        let variable = format!("MCP__{}", key.replace('.', "__").to_uppercase());
        *value = Value::new(Some(&variable), value.kind.clone());
    }
    Ok(layer)
}

/// `HOST` and `PORT`, by which container platforms say where to listen.
fn platform(env: &HashMap<String, String>) -> Vec<Layer> {
    let variables = [("HOST", "server.host"), ("PORT", "server.port")];
    let layers = variables.into_iter().filter_map(|(variable, key)| {
        let text = env.get(variable).filter(|text| !text.is_empty())?;
        let value = Value::new(Some(&variable.to_owned()), ValueKind::String(text.clone()));
        Some(Layer { name: variable.to_owned(), values: BTreeMap::from([(key.to_owned(), value)]) })
    });
    layers.collect()
}

/// Options of the command line, which win over all.
fn options(sources: &Sources) -> Vec<Layer> {
    let host = sources.host.clone().map(|host| ("--host", "server.host", ValueKind::String(host)));
    let port = sources.port.map(|port| ("--port", "server.port", ValueKind::U64(port.into())));
    let layers = host.into_iter().chain(port).map(|(option, key, value)| Layer {
        name: option.to_owned(),
        values: BTreeMap::from([(key.to_owned(), Value::new(Some(&option.to_owned()), value))]),
    });
    layers.collect()
}

fn flatten(prefix: &str, tree: Map<String, Value>, values: &mut BTreeMap<String, Value>) {
    for (name, value) in tree {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(table) => flatten(&key, table, values),
            _ => {
                values.insert(key, value);
            }
        }
    }
}

/// Returns a line for each key of the layer that is no setting, with those that are.
fn unknown_keys(layer: &Layer, known: &[String]) -> Vec<String> {
    // With the feature `lab` constants are taken as well, whose names serde checks.
    let is_known = |key: &String| known.contains(key) || (cfg!(feature = "lab") && key.starts_with("tuning."));
    let unknown = layer.values.keys().filter(|key| !is_known(key));
    let lines = unknown.map(|key| {
        let section = key.split('.').next().unwrap_or_default();
        let inside: Vec<_> = known.iter().filter_map(|k| k.strip_prefix(section)?.strip_prefix('.')).collect();
        let allowed = if inside.is_empty() {
            let mut sections: Vec<_> = known.iter().filter_map(|k| k.split('.').next()).collect();
            sections.dedup();
            format!("the sections are {}", sections.join(", "))
        } else {
            format!("[{section}] has {}", inside.join(", "))
        };
        format!("{}: unknown key `{key}`: {allowed}", layer.origin_of(key))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_env(env: &[(&str, &str)]) -> Result<Settings, String> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(&Sources { env, ..Sources::default() }).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_wins_and_the_platform_wins_over_it() {
        let settings = load_env(&[
            ("MCP__SERVER__PORT", "4000"),
            ("MCP__STORE__TIMEOUT_MS", "1500"),
            ("MCP__SANDBOX__SECRET", "00123"),
            ("MCP__SANDBOX__ENABLED", "true"),
            ("MCP__LOG__FORMAT", "json"),
        ])
        .unwrap();
        assert_eq!(settings.server.port.port(), 4000);
        assert_eq!(settings.store.timeout.as_millis(), 1500);
        assert_eq!(settings.sandbox.secret.reveal(), "00123");
        assert!(settings.sandbox.enabled);
        assert_eq!(settings.log.format, super::super::LogFormat::Json);

        let settings = load_env(&[("MCP__SERVER__PORT", "4000"), ("PORT", "5000"), ("HOST", "0.0.0.0")]).unwrap();
        assert_eq!((settings.server.host.as_str(), settings.server.port.port()), ("0.0.0.0", 5000));
    }

    #[cfg(feature = "lab")]
    #[test]
    fn tests_take_other_constants_and_no_unknown_ones() {
        assert_eq!(load_env(&[]).unwrap().tuning.retries, 2);
        let tuning = load_env(&[("MCP__TUNING__RETRIES", "0"), ("MCP__TUNING__REQUEST_S", "1")]).unwrap().tuning;
        assert_eq!((tuning.retries, tuning.request.as_secs(), tuning.max_apps), (0, 1, 64));
        for (name, parts) in [
            ("MCP__TUNING__RETRY", ["the environment", "`retry`", "`retries`"]),
            ("MCP__TUNING__PROGRESS_MS", ["MCP__TUNING__PROGRESS_MS", "tuning.progress_ms", "a number from 1"]),
        ] {
            let message = load_env(&[(name, "0")]).unwrap_err();
            assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
        }
    }

    #[test]
    fn urls_hold_no_more_than_they_should() {
        let base = "MCP__MEMBRANE__BASE_URL";
        let cases = [
            (base, "https://api.example.com", true),
            (base, "http://127.0.0.1:1234/v1/", true),
            (base, "http://[::1]:1234", true),
            (base, "https://user:pass-word@api.example.com", false),
            (base, "https://pass-word@api.example.com", false),
            (base, "https://api.example.com?key=pass-word", false),
            (base, "https://api.example.com/?", false),
            (base, "https://api.example.com/#pass-word", false),
            (base, "ftp://api.example.com", false),
            (base, "https://", false),
            (base, "https:api.example.com", false),
            ("MCP__OAUTH__PUBLIC_URL", "https://mcp.example.com/gw", true),
            ("MCP__OAUTH__PUBLIC_URL", "https://pass-word@mcp.example.com", false),
            ("MCP__OAUTH__PUBLIC_URL", "https://mcp.example.com/?a=pass-word", false),
            ("MCP__TELEMETRY__OTLP_ENDPOINT", "http://pass-word@localhost:4318", false),
            ("MCP__STORE__CA_FILE", "ca.pem", false),
        ];
        for (name, value, is_fine) in cases {
            let loaded = load_env(&[(name, value)]).map(|_| ());
            assert_eq!(loaded.is_ok(), is_fine, "{name}={value}: {loaded:?}");
            assert!(!loaded.is_err_and(|error| error.contains("pass-word")), "{name}={value}");
        }
    }

    #[test]
    fn a_fault_names_source_key_and_what_is_allowed() {
        let cases: [(&[(&str, &str)], &[&str]); 10] = [
            (&[("MCP__SERVER__PROT", "1")], &["MCP__SERVER__PROT", "server.prot", "port"]),
            (&[("MCP__SRV__PORT", "1")], &["MCP__SRV__PORT", "srv.port", "sections", "server"]),
            (&[("MCP__SERVER__PORT", "abc")], &["MCP__SERVER__PORT", "server.port", "integer", "abc"]),
            (&[("MCP__SERVER__PORT", "70000")], &["MCP__SERVER__PORT", "server.port", "65535"]),
            (&[("PORT", "70000")], &["PORT", "server.port", "65535"]),
            (&[("MCP__AUTH__TRUST_S", "0")], &["auth.trust_s", "1 to 300"]),
            // Once a setting, now a constant.
            (
                &[("MCP__MEMBRANE__RETRIES", "1")],
                &["MCP__MEMBRANE__RETRIES", "unknown", "membrane.retries", "base_url"],
            ),
            (&[("MCP__LOG__FORMAT", "xml")], &["log.format", "text, json"]),
            (&[("MCP__AUTH__WORKSPACE_KEY", "w")], &["auth.workspace_secret", "must be set"]),
            (&[("APP_ENV", "moon")], &["APP_ENV=moon", "moon.toml"]),
        ];
        for (env, parts) in cases {
            let message = load_env(env).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "{env:?}: {part:?} is missing in: {message}");
            }
        }
    }
}
