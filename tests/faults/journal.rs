//! The driver's journal: what it asks before it asks, what it was answered after. A line is on the disk before the
//! next thing happens.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// See the module.
pub(crate) struct Journal {
    file: Mutex<File>,
    next: AtomicU64,
}

/// Something that was asked; its answer names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intent(u64);

impl Journal {
    /// A new one.
    pub(crate) fn create(path: &Path) -> Self {
        let file = File::create_new(path).expect("a new journal");
        Self { file: Mutex::new(file), next: AtomicU64::new(1) }
    }

    /// Writes down what will be asked. `more` is what the checker has to know besides.
    pub(crate) fn intend(&self, what: &str, body: &Value, more: &[(&str, Value)]) -> Intent {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = json!({ "line": "intent", "number": number, "what": what, "body": body });
        let fields = line.as_object_mut().expect("an object");
        fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.write(&line);
        Intent(number)
    }

    /// Writes down what was answered.
    pub(crate) fn answered(&self, to: Intent, status: u16, body: &Value) {
        let line = json!({ "line": "answer", "number": to.0, "status": status, "body": body });
        self.write(&line);
    }

    fn write(&self, line: &Value) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{line}\n").as_bytes()).expect("a disk with room");
        file.sync_data().expect("a disk that keeps what it was given");
    }
}
