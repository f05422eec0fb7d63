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

/// Apps of the sandbox, by their keys.
#[derive(Debug, Default)]
pub struct SampleApps {
    apps: BTreeMap<String, App>,
}

/// App with its actions and the records of new accounts.
#[derive(Debug)]
pub struct App {
    /// Integration, as the API gives it.
    pub integration: Integration,
    /// Records that a user's account holds at first, by collection.
    pub records: BTreeMap<String, Vec<Map<String, Value>>>,
    /// Actions of the app, in the order of their file.
    pub actions: Vec<Action>,
    /// Whether users have it only if their token says so.
    pub is_extra: bool,
}

/// Integration of an app, as the API gives it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Integration {
    /// Its id, made from its key.
    #[serde(default)]
    pub id: String,
    /// Key of the app, the first part of its tools' names.
    pub key: String,
    /// Name of the app, for people.
    pub name: String,
    /// Address of the app's logo.
    pub logo_uri: String,
}

/// An action, with the JSON by which it is listed.
#[derive(Debug)]
pub struct Action {
    /// Key of the action, the second part of its tool's name.
    pub key: String,
    /// Action as the API lists it.
    pub json: Box<RawValue>,
    /// Effect of a run of the action.
    pub run: Behaviour,
}

/// Effect of a run of an action, by its input.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Behaviour {
    /// Keeps the input, with `with`, as a new record.
    Create {
        /// Collection that gets the record.
        records: String,
        /// Members that each record has besides the input's.
        #[serde(default)]
        with: Map<String, Value>,
    },
    /// Gives the records whose fields equal the input's members.
    List {
        /// Collection that is listed.
        records: String,
        /// Member of the output that holds the list.
        r#as: String,
        /// Fields of records to compare, by members of the input.
        #[serde(default)]
        r#where: BTreeMap<String, String>,
        /// The input member with the most to give.
        #[serde(default)]
        limit: Option<String>,
    },
    /// Gives the record whose id the input names.
    Find {
        /// Collection that is searched.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
    },
    /// Gives the record, or keeps the input as a new one.
    FindOrCreate {
        /// Collection that is searched, and gets the new record.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
    },
    /// Merges the input, or one member of it, into the record.
    Update {
        /// Collection of the record that is merged into.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
        /// Member of the input that is merged, or all of it.
        #[serde(default)]
        patch: Option<String>,
    },
    /// Forgets the record whose id the input names.
    Delete {
        /// Collection of the record that goes.
        records: String,
        /// The record field by the input member.
        by: BTreeMap<String, String>,
    },
    /// Gives the records that hold a text.
    Search {
        /// Collection that is searched by text.
        records: String,
        /// Member of the output that holds what was found.
        r#as: String,
        /// The input member with the text.
        query: String,
        /// Fields that are searched for the text.
        r#in: Vec<String>,
        /// The input member with the most to give.
        #[serde(default)]
        limit: Option<String>,
    },
    /// Gives the same value for every input.
    Output {
        /// Value that is given.
        value: Value,
    },
    /// Gives the input as the output.
    Echo,
    /// Fails, with a status and a body.
    Fail {
        /// HTTP status of the failure.
        status: u16,
        /// Body of the failure.
        error: Value,
    },
    /// Waits before it answers.
    Sleep {
        /// The input member with the milliseconds.
        input: String,
        /// Milliseconds to wait where the input names none.
        default: u64,
    },
    /// Gives a text of many bytes.
    Bytes {
        /// Length of the text, in bytes.
        count: usize,
    },
    /// Answers without an output.
    Nothing,
    /// Answers with a body that is no JSON.
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
        /// File or folder that can't be read.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is no app of the sandbox: {source}")]
    Malformed {
        /// File that holds no app.
        path: PathBuf,
        /// Error of the parser, with its place.
        source: serde_json::Error,
    },
}

impl SampleApps {
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

    /// Returns all apps, in the order of their keys.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values()
    }

    /// Returns the app with this key.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&App> {
        self.apps.get(key)
    }

    /// Returns the app with this id.
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

    /// Returns the action with this key.
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
            let compact = schema.map(|schema| RawValue::from_string(json::compact(schema)));
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
        let catalog = SampleApps::load(Path::new("")).unwrap();
        for key in ["acme_crm", "gmail", "google-calendar", "hubspot", "notion", "slack"] {
            let app = catalog.by_key(key).unwrap();
            assert!(app.actions.len() >= 5, "{key}");
        }
    }
}
