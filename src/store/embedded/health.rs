//! Health of the store's file: noted by the store's thread, and read by probes and metrics on any other.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use metrics::gauge;
use rusqlite::Connection;

use super::file;
use crate::store::{StoreError, Trouble};

/// Writes in a row that have to go well before the store counts as healthy again. A disk that is almost full takes a small
/// write and refuses the next larger one.
const GOOD_WRITES: u32 = 3;

/// Device and number of a file, which stay the same as long as it is the same file.
type Identity = (u64, u64);

/// Health of the store's file and thread. See the [module](self).
pub(super) struct Health {
    path: PathBuf,
    /// Identity of the file that was opened; none in memory.
    opened: Option<Identity>,
    refuses: AtomicBool,
    /// Writes that went well since the last that did not.
    good_writes: AtomicU32,
    is_file_gone: AtomicBool,
    has_stopped: AtomicBool,
}

impl Health {
    /// Health of a store whose file was opened just now.
    pub(super) fn new(path: &Path) -> Self {
        gauge!("mcp_store_up").set(1);
        Self {
            path: path.to_owned(),
            opened: identity(path),
            refuses: AtomicBool::new(false),
            good_writes: AtomicU32::new(0),
            is_file_gone: AtomicBool::new(false),
            has_stopped: AtomicBool::new(false),
        }
    }

    /// Returns what is wrong, if something is.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        // The worst first: writes that are refused matter little once the thread or the file is gone.
        match () {
            () if is(&self.has_stopped) => Some(Trouble::Stopped),
            () if is(&self.is_file_gone) => Some(Trouble::FileGone),
            () if is(&self.refuses) => Some(Trouble::Refusing),
            () => None,
        }
    }

    /// Notes that something could not be done. Only the first time in a row is logged.
    pub(super) fn note_failure(&self, error: &StoreError) {
        self.good_writes.store(0, Ordering::Relaxed);
        // Each request would log it otherwise, for as long as the disk is full.
        if !self.refuses.swap(true, Ordering::Relaxed) {
            log::error!("the store {} can't do what it is asked: {error}", self.path.display());
            self.tell();
        }
    }

    /// Notes a write that went well. Reads don't count: they go on while the disk is full.
    pub(super) fn note_write(&self) {
        if !self.refuses.load(Ordering::Relaxed) {
            return;
        }
        let good = self.good_writes.fetch_add(1, Ordering::Relaxed) + 1;
        if good >= GOOD_WRITES {
            self.refuses.store(false, Ordering::Relaxed);
            log::info!("the store {} works again", self.path.display());
            self.tell();
        }
    }

    /// Looks whether the file is still where it was and, while writes are refused, whether one is taken.
    ///
    /// # Errors
    /// The write's, which counts as a failure like any other.
    pub(super) fn probe(&self, connection: &Connection) -> rusqlite::Result<bool> {
        // SQLite goes on writing to a file that was deleted, without an error. Only its identity shows that sessions
        // would end with the process.
        let is_gone = self.opened.is_some() && identity(&self.path) != self.opened;
        match (self.is_file_gone.swap(is_gone, Ordering::Relaxed), is_gone) {
            (false, true) => log::error!(
                "the store {} was deleted or moved: restart the server, or all sessions end with it",
                self.path.display()
            ),
            (true, false) => log::info!("the store {} is where it was", self.path.display()),
            _ => {}
        }
        self.tell();
        // While writes are refused, few are tried. The probe finds out that there is room again.
        let must_write = self.refuses.load(Ordering::Relaxed);
        if must_write {
            file::rewrite(connection)?;
        }
        Ok(must_write)
    }

    fn tell(&self) {
        gauge!("mcp_store_up").set(u8::from(self.trouble().is_none()));
    }
}

/// Notes the end of the store's thread, which a panic brings about.
pub(super) struct Ending<'a>(pub(super) &'a Health);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // The thread also ends when the server does, which is no trouble.
        if thread::panicking() {
            self.0.has_stopped.store(true, Ordering::Relaxed);
            self.0.tell();
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
