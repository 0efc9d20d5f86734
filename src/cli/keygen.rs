//! Makes the keys by which the processes of a cluster know each other.

use super::console::say;
use crate::session::Error;
use cluster::keys::{self, KeyError};
use std::path::Path;

pub fn keygen(folder: &Path) -> Result<(), Error> {
    keys::generate(folder).map_err(|error| match error {
        KeyError::Generate(_) => Error::Run(error.to_string()),
        _ => Error::Request(error.to_string()),
    })?;
    let files: Vec<String> = keys::files(folder).iter().map(|path| path.display().to_string()).collect();
    say(&format!("{}\n", files.join("\n")))
}
