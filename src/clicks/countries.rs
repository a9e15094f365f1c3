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
        let file = std::fs::metadata(path);
        // A file that is not there is seen as well: it is reported once, and read when it is back.
        let now = Some(file.as_ref().map_or((None, 0), |it| (it.modified().ok(), it.len())));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        drop(seen);
        file.map_err(|error| failed(error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Documentation networks, in made-up countries.
    const FILE: &[u8] = include_bytes!("../../tests/data/countries.mmdb");

    fn country(countries: &Countries, address: &str) -> Option<String> {
        let found = countries.find(address.parse().expect("an address"));
        found.map(|country| country.code().to_owned())
    }

    #[test]
    fn an_address_is_in_the_country_of_its_network() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("countries.mmdb");
        std::fs::write(&path, FILE).expect("written");
        let countries = Countries::open(Some(&path)).expect("a database");
        for (address, code) in [
            ("203.0.113.77", Some("DE")),
            ("203.0.113.0", Some("DE")),
            ("198.51.100.1", Some("MX")),
            ("198.51.100.200", Some("ID")),
            ("2001:db8:1::7", Some("DE")),
            ("192.0.2.1", None),
            ("2001:db8:ffff::1", None),
        ] {
            assert_eq!(country(&countries, address).as_deref(), code, "{address}");
        }
        assert_eq!(country(&Countries::open(None).expect("none"), "203.0.113.77"), None);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_a_bad_update_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("countries.mmdb");
        let refused = |why: &str| {
            let error = Countries::open(Some(&path)).expect_err("refused").to_string();
            assert!(error.contains("[clicks] country_file"), "{error}");
            assert!(error.contains(why) && error.contains("or leave it out"), "{error}");
        };
        refused("No such file");
        std::fs::write(&path, b"no database at all").expect("written");
        refused("cannot be used");
        std::fs::write(&path, FILE).expect("written");
        let countries = Countries::open(Some(&path)).expect("a database");
        assert!(!countries.read_again().expect("nothing new"));
        std::fs::write(&path, FILE.get(..700).expect("longer")).expect("written");
        countries.read_again().expect_err("it was cut");
        assert_eq!(country(&countries, "203.0.113.77").as_deref(), Some("DE"));
        assert!(!countries.read_again().expect("said once is enough"));
        std::fs::write(&path, [FILE, b""].concat()).expect("written");
        assert!(countries.read_again().expect("whole again"));
    }
}
