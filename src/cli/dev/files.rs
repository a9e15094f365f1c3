//! `DIR/dev.json`: where everything is while `waypost dev` runs, for scripts and other programs; and
//! `DIR/key`, which keeps the API key for the next start.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::Error;

/// What the file tells. The key is in it because it is good for this directory's data only.
#[derive(Serialize)]
pub(super) struct Content {
    pub(super) edge: SocketAddr,
    pub(super) control: SocketAddr,
    pub(super) api_key: String,
    pub(super) database_url: String,
    pub(super) redis_url: Option<String>,
    pub(super) payment_url: String,
}

/// The file, which is there only while everything runs.
pub(super) struct DevFile {
    path: PathBuf,
    key: PathBuf,
}

impl DevFile {
    /// Takes away what a killed process left, so that nobody is sent to addresses of yesterday.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let directory = fs::canonicalize(directory)?;
        let file = Self { path: directory.join("dev.json"), key: directory.join("key") };
        file.remove();
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The key of the last start.
    pub(super) fn api_key(&self) -> Option<String> {
        Some(fs::read_to_string(&self.key).ok()?.trim().to_owned())
    }

    /// Writes both files, for the eyes of their owner only.
    pub(super) fn write(&self, content: &Content) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(content).map_err(io::Error::other)?;
        replace(&self.key, &content.api_key)?;
        replace(&self.path, &text)?;
        Ok(())
    }

    /// Removes the file if it is there.
    pub(super) fn remove(&self) {
        // Wherever it cannot be removed it cannot be written either, and that says more.
        drop(fs::remove_file(&self.path));
    }
}

/// Puts a whole file in place of the old one: a reader sees the one or the other.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    drop(fs::remove_file(&new));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, path)
}
