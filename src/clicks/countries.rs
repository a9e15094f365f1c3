//! Which country an address is in, by a MaxMind file (GeoLite2-Country and the like). The only place
//! that knows `maxminddb`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use maxminddb::{PathElement, Reader};

use crate::visitor::country::Country;

/// Why a file tells no countries.
#[derive(Debug, thiserror::Error)]
#[error(
    "[clicks] country_file = {path:?} cannot be used: {why}. Give it a MaxMind country or city \
     database (.mmdb), or leave it out: then no country is known"
)]
pub struct Error {
    path: PathBuf,
    why: String,
}

type Database = Reader<Vec<u8>>;

/// The countries of addresses.
pub struct Countries {
    path: Option<PathBuf>,
    database: RwLock<Option<Arc<Database>>>,
    /// What the file looked like when it was read: it is replaced every week or so.
    seen: Mutex<Option<Seen>>,
}

type Seen = (Option<SystemTime>, u64);

impl std::fmt::Debug for Countries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Countries").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Countries {
    /// The countries that this file knows; without a file, none.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
        let countries = Self {
            path: path.map(Path::to_owned),
            database: RwLock::default(),
            seen: Mutex::default(),
        };
        countries.read_again()?;
        Ok(countries)
    }

    /// Reads the file again if it changed; says whether it did. A file that cannot be used leaves
    /// what was known, and is reported once.
    pub fn read_again(&self) -> Result<bool, Error> {
        let Some(path) = &self.path else { return Ok(false) };
        let failed = |why: String| Error { path: path.clone(), why };
        let file = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
        let now = Some((file.modified().ok(), file.len()));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        drop(seen);
        let database = Reader::open_readfile(path).map_err(|error| failed(error.to_string()))?;
        let kind = &database.metadata().database_type;
        if !["Country", "City", "Enterprise"].iter().any(|word| kind.contains(word)) {
            return Err(failed(format!("it is a database of the type '{kind}'")));
        }
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(database));
        Ok(true)
    }

    /// Whether there is a file to ask.
    pub fn are_known(&self) -> bool {
        self.path.is_some()
    }

    /// The country of an address, if the file knows it.
    pub fn find(&self, address: IpAddr) -> Option<Country> {
        let database = self
            .database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(Arc::clone)?;
        let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
        let code: Option<&str> = database.lookup(address).ok()?.decode_path(&path).ok()?;
        Country::parse(code?)
    }
}
