//! The sandbox's apps: JSON files, built in or from a folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::protocol::json;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/config/sandbox");

/// All apps, by key.
#[derive(Debug, Default)]
pub struct Catalog {
    apps: BTreeMap<String, App>,
}

/// An app with its actions.
#[derive(Debug)]
pub struct App {
    /// What it is.
    pub integration: Integration,
    /// What a user's account holds at first.
    pub records: BTreeMap<String, Vec<Map<String, Value>>>,
    /// What can be done.
    pub actions: Vec<Action>,
    /// Whether users have it only if their token says so.
    pub is_extra: bool,
}

/// What an app is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Integration {
    /// Its id, made from its key.
    #[serde(default)]
    pub id: String,
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its logo.
    pub logo_uri: String,
}

/// An action, with the JSON by which it is listed.
#[derive(Debug)]
pub struct Action {
    /// Its key.
    pub key: String,
    /// As the API gives it.
    pub json: Box<RawValue>,
    /// What it does.
    pub run: Behaviour,
}

/// What an action does when it is run with an input.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Behaviour {
    /// Keeps the input, with `with`, as a new record.
    Create {
        /// The collection.
        records: String,
        /// What each record has.
        #[serde(default)]
        with: Map<String, Value>,
    },
    /// Gives the records whose fields equal the input's members.
    List {
        /// The collection.
        records: String,
        /// The member of the output.
        r#as: String,
        /// Record fields by input members.
        #[serde(default)]
        r#where: BTreeMap<String, String>,
        /// The input member with the most to give.
        #[serde(default)]
        limit: Option<String>,
    },
    /// Gives the record.
    Find {
        /// The collection.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
    },
    /// Gives the record, or keeps the input as a new one.
    FindOrCreate {
        /// The collection.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
    },
    /// Merges the input, or one member of it, into the record.
    Update {
        /// The collection.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
        /// The input member to merge.
        #[serde(default)]
        patch: Option<String>,
    },
    /// Forgets the record.
    Delete {
        /// The collection.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
    },
    /// Gives the records that hold a text.
    Search {
        /// The collection.
        records: String,
        /// The member of the output.
        r#as: String,
        /// The input member with the text.
        query: String,
        /// The fields to look into.
        r#in: Vec<String>,
        /// The input member with the most to give.
        #[serde(default)]
        limit: Option<String>,
    },
    /// Gives a value.
    Output {
        /// The value.
        value: Value,
    },
    /// Gives the input.
    Echo,
    /// Fails.
    Fail {
        /// With this HTTP status.
        status: u16,
        /// And this body.
        error: Value,
    },
    /// Takes its time.
    Sleep {
        /// The input member with the milliseconds.
        input: String,
        /// The milliseconds without it.
        default: u64,
    },
    /// Gives a long text.
    Bytes {
        /// How long.
        count: usize,
    },
    /// Gives no output.
    Nothing,
    /// Gives what is no JSON.
    Malformed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppFile {
    integration: Integration,
    #[serde(default)]
    extra: bool,
    #[serde(default)]
    records: BTreeMap<String, Vec<Map<String, Value>>>,
    actions: Vec<ActionFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ActionFile {
    key: String,
    name: String,
    description: String,
    r#type: String,
    #[serde(default)]
    input_schema: Option<Box<RawValue>>,
    #[serde(default)]
    output_schema: Option<Box<RawValue>>,
    run: Box<RawValue>,
}

/// Why the apps can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The folder or a file in it can't be read.
    #[error("the sandbox's apps can't be read from {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is no app of the sandbox: {source}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Catalog {
    /// Reads the apps of a folder, or the built-in ones where the path is empty.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn load(folder: &Path) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (path, text) in files(folder)? {
            let apps = App::read(&text).map_err(|source| CatalogError::Malformed { path, source })?;
            catalog.apps.extend(apps.into_iter().map(|app| (app.integration.key.clone(), app)));
        }
        Ok(catalog)
    }

    /// All apps.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    /// The app with this key.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&App> {
        self.apps.get(key)
    }

    /// The app with this id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&App> {
        self.apps().find(|app| app.integration.id == id)
    }
}

fn files(folder: &Path) -> Result<Vec<(PathBuf, String)>, CatalogError> {
    if folder.as_os_str().is_empty() {
        let files = BUILT_IN.files().filter_map(|file| {
            let text = file.contents_utf8()?;
            Some((file.path().to_owned(), text.to_owned()))
        });
        return Ok(files.collect());
    }
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CatalogError::Unreadable { path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            files.push((path, text));
        }
    }
    Ok(files)
}

impl App {
    /// Reads a file, which holds an app or a list of them.
    fn read(text: &str) -> Result<Vec<Self>, serde_json::Error> {
        let files: Vec<AppFile> = match text.trim_start().starts_with('[') {
            true => serde_json::from_str(text)?,
            false => vec![serde_json::from_str(text)?],
        };
        files.into_iter().map(Self::new).collect()
    }

    fn new(file: AppFile) -> Result<Self, serde_json::Error> {
        let AppFile { mut integration, extra, records, actions } = file;
        integration.id = format!("int-{}", integration.key);
        let actions = actions.into_iter().map(|action| Action::new(action, &integration)).collect::<Result<_, _>>()?;
        Ok(Self { integration, records, actions, is_extra: extra })
    }

    /// The action with this key.
    #[must_use]
    pub fn action(&self, key: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.key == key)
    }
}

impl Action {
    fn new(file: ActionFile, integration: &Integration) -> Result<Self, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Listed<'a> {
            id: String,
            key: &'a str,
            name: &'a str,
            description: &'a str,
            r#type: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            input_schema: Option<Box<RawValue>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            output_schema: Option<Box<RawValue>>,
            integration_id: &'a str,
            integration: &'a Integration,
        }
        // Files are written for people, the wire is not.
        let compact = |schema: Option<Box<RawValue>>| {
            let compact = schema.map(|schema| RawValue::from_string(json::compact(&schema)));
            compact.transpose()
        };
        let listed = Listed {
            id: format!("act-{}-{}", integration.key, file.key),
            key: &file.key,
            name: &file.name,
            description: &file.description,
            r#type: &file.r#type,
            input_schema: compact(file.input_schema)?,
            output_schema: compact(file.output_schema)?,
            integration_id: &integration.id,
            integration,
        };
        Ok(Self { json: json::to_raw(&listed), run: json::read(&file.run)?, key: file.key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_apps_are_sound() {
        let catalog = Catalog::load(Path::new("")).unwrap();
        for key in ["acme_crm", "gmail", "google-calendar", "hubspot", "notion", "slack"] {
            let app = catalog.by_key(key).unwrap();
            assert!(app.actions.len() >= 5, "{key}");
        }
    }
}
