//! Files that a test needs, gone when it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

/// A folder of a test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mcp-server-test-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file at a path below the folder.
    pub fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// What the files hold that lie in the folder itself.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.filter_map(|entry| fs::read(entry.path()).ok()).collect()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the system's folder for such things does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An app for the sandbox, as its files have it, with actions `do-0`, `do-1` and so on.
pub fn app(key: &str, actions: usize) -> String {
    let action = |i| {
        let (key, name) = (format!("do-{i}"), format!("Do {i}"));
        json!({"key": key, "name": name, "description": "", "type": "http-request", "run": {"do": "echo"}})
    };
    let actions: Vec<Value> = (0..actions).map(action).collect();
    let integration = json!({"key": key, "name": key, "logoUri": "https://static.example.com/logo.svg"});
    json!({"integration": integration, "actions": actions}).to_string()
}
