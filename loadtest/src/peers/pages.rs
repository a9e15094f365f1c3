//! Servers that answer with the bytes of one landing page, which Waypost is measured against.

use std::fmt::Write as _;
use std::fs;

use super::{Peer, Place};
use crate::Error;
use crate::client::Answer;
use crate::process::{Process, find, free_address};

/// Headers that each server writes by itself, about itself, the moment and the connection.
const OWN: [&str; 4] = ["content-length", "content-type", "date", "connection"];

/// The bare server, which answers everything with the page and its headers.
pub(crate) fn bare(place: Place<'_>, page: &Answer) -> Result<Peer, Error> {
    let mut text = String::new();
    for (name, value) in page.headers().filter(|(name, _)| !is_one_of(name, &["date"])) {
        writeln!(text, "{name}: {value}").expect("a String takes all text");
    }
    write!(text, "\n{}", page.body).expect("a String takes all text");
    let file = place.directory.join("page");
    fs::write(&file, text).map_err(Error::io("write the page of the bare server"))?;
    super::bare_with(place, "bare hyper, the same page", &["--page".as_ref(), file.as_os_str()])
}

/// nginx with the page as a file, which has the names of all `paths`: once reading files, once handing
/// them to the kernel by `sendfile`, which is worth its while with longer ones. None if it is not
/// installed.
pub(crate) fn nginx(place: Place<'_>, page: &Answer, paths: &[String]) -> Result<Vec<Peer>, Error> {
    let directory = place.directory;
    let Some(program) = find("nginx", &["/usr/sbin", "/usr/local/sbin"]) else {
        return Ok(Vec::new());
    };
    let root = directory.join("pages");
    // Links to one file: its bytes are in memory, and in the processor's cache, only once.
    let write = || {
        fs::create_dir_all(root.join("r"))?;
        let file = root.join("page.html");
        fs::write(&file, &page.body)?;
        paths.iter().try_for_each(|path| fs::hard_link(&file, root.join(path)))
    };
    write().map_err(Error::io("write nginx's pages"))?;
    let mut headers = String::new();
    for (name, value) in page.headers().filter(|(name, _)| !is_one_of(name, &OWN)) {
        writeln!(headers, "add_header {name} \"{value}\";").expect("a String takes all text");
    }
    fs::write(directory.join("page.headers"), headers)
        .map_err(Error::io("write nginx's headers"))?;
    [("nginx, file by read", "off"), ("nginx, file by sendfile", "on")]
        .into_iter()
        .map(|(name, sendfile)| {
            let address = free_address()?;
            let settings = include_str!("../../nginx-page.conf")
                .replace("127.0.0.1:80", &address.to_string())
                .replace("SENDFILE", sendfile)
                .replace("PAGES", &root.display().to_string());
            let file = directory.join(format!("nginx-sendfile-{sendfile}.conf"));
            fs::write(&file, settings).map_err(Error::io("write nginx's settings"))?;
            let mut command = place.command(&program);
            command.arg("-p").arg(directory).arg("-c").arg(&file);
            let mut process = Process::start(name, command, directory)?;
            process.wait_for_port(address)?;
            Ok(Peer { name, address, knows_links: false, metrics: None, process })
        })
        .collect()
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}
