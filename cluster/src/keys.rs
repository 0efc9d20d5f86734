//! The folder of keys: what `dolmen keygen` writes and every process reads.
//!
//! | file | what |
//! |---|---|
//! | `authority.pem` | the authority's certificate: everybody needs it |
//! | `scheduler.pem`, `worker.pem`, `client.pem` | a role's certificate and private key |
//!
//! All have mode 0600. A process needs `authority.pem` and the file of its own role, and no other.

use crate::authority::Authority;
use crate::private_file::{FileError, write_new};
use crate::role::Role;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

const AUTHORITY: &str = "authority.pem";

/// Why keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Keys are never overwritten: who has the old ones would be locked out.
    #[error("{0} exists: keys are never overwritten, name another folder or remove the old ones")]
    Exists(PathBuf),
    /// A file of keys that is not there.
    #[error("no {0}: make keys with dolmen keygen and copy {AUTHORITY} and the file of the role there")]
    Missing(PathBuf),
    /// A private key that is not private.
    #[error("{0} can be read by others: chmod 600 {0}")]
    NotPrivate(PathBuf),
    /// A file that holds something else.
    #[error(
        "{path} holds no usable key or certificate ({reason}): copy it once more, or make keys with dolmen keygen"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system's own words.
    #[error(transparent)]
    Io(#[from] FileError),
    /// No key could be generated.
    #[error("cannot make keys: {0}")]
    Generate(rcgen::Error),
}

/// The files that [`generate`] makes.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let names = Role::ALL.map(|role| file_of(folder, role));
    [folder.join(AUTHORITY)].into_iter().chain(names).collect()
}

fn file_of(folder: &Path, role: Role) -> PathBuf {
    folder.join(role.name()).with_extension("pem")
}

/// Makes a new authority and a key for each role in `folder`, which is made (mode 0700) if it is not there. The
/// authority's own key is not kept. If anything fails, no new file is left.
///
/// # Errors
/// [`KeyError::Exists`] if one of the files is there already, and what the file system says.
pub fn generate(folder: &Path) -> Result<(), KeyError> {
    let authority = Authority::new().map_err(KeyError::Generate)?;
    let mut contents = vec![(folder.join(AUTHORITY), authority.certificate())];
    for role in Role::ALL {
        let pem = authority.issue(role, Authority::usual_validity()).map_err(KeyError::Generate)?;
        contents.push((file_of(folder, role), pem));
    }
    let make = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    make.map_err(|error| FileError::new("make", folder, error))?;
    for (at, (path, pem)) in contents.iter().enumerate() {
        if let Err(error) = write_new(path, pem.as_bytes()) {
            for (path, _) in &contents[..at] {
                // What cannot be removed is of no use to anybody without the rest.
                let _ = fs::remove_file(path);
            }
            return Err(match error.kind() {
                io::ErrorKind::AlreadyExists => KeyError::Exists(path.clone()),
                _ => FileError::new("write", path, error).into(),
            });
        }
    }
    Ok(())
}

/// The keys that one process has: its own, and the certificate that it measures others by.
#[derive(Debug)]
pub struct Keys {
    pub(crate) role: Role,
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Clone for Keys {
    fn clone(&self) -> Keys {
        Keys {
            role: self.role,
            authority: self.authority.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Keys {
    /// Reads the keys of `role` from a folder that [`generate`] made, or a copy of it.
    ///
    /// # Errors
    /// If a file is missing or malformed, or if others may read the private key.
    pub fn load(folder: &Path, role: Role) -> Result<Keys, KeyError> {
        let path = file_of(folder, role);
        let authority = read(&folder.join(AUTHORITY))?;
        let own = read(&path)?;
        let metadata = path.metadata().map_err(|error| FileError::new("read", &path, error))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(KeyError::NotPrivate(path));
        }
        Keys::parsed(folder, role, &authority, &own)
    }

    /// Keys from the PEM that an [`Authority`] gives.
    ///
    /// # Errors
    /// If one of them is no PEM of a certificate or key.
    pub fn from_pem(role: Role, authority: &str, own: &str) -> Result<Keys, KeyError> {
        Keys::parsed(Path::new(""), role, authority.as_bytes(), own.as_bytes())
    }

    fn parsed(folder: &Path, role: Role, authority: &[u8], own: &[u8]) -> Result<Keys, KeyError> {
        let path = file_of(folder, role);
        Ok(Keys {
            role,
            authority: parse(&folder.join(AUTHORITY), authority)?,
            certificate: parse(&path, own)?,
            key: parse(&path, own)?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    // To open a named pipe is to wait for whoever writes into it.
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Err(KeyError::Malformed { path: path.to_path_buf(), reason: "it is no file".into() });
    }
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(path.to_path_buf()),
        _ => FileError::new("read", path, error).into(),
    })
}

fn parse<T: PemObject>(path: &Path, pem: &[u8]) -> Result<T, KeyError> {
    T::from_pem_slice(pem).map_err(|error| {
        let reason = match error {
            PemError::NoItemsFound => "a part is missing".to_string(),
            other => other.to_string(),
        };
        KeyError::Malformed { path: path.to_path_buf(), reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_for_each_role_and_for_nobody_else_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("new/keys");
        generate(&keys).unwrap();
        assert_eq!(mode(&keys), 0o700);
        for path in files(&keys) {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        assert_eq!(fs::read_dir(&keys).unwrap().count(), files(&keys).len());
        for role in Role::ALL {
            assert_eq!(Keys::load(&keys, role).unwrap().role, role);
        }
    }

    #[test]
    fn a_key_that_exists_is_not_touched_and_none_is_put_beside_it() {
        for taken in [AUTHORITY, "client.pem"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(taken);
            fs::write(&path, "mine").unwrap();
            let error = generate(folder.path()).unwrap_err();
            assert!(matches!(&error, KeyError::Exists(found) if *found == path), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_fails_midway_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // A link to nowhere is there, though no file is. Two files are written before it.
        let link = folder.path().join("worker.pem");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let error = generate(folder.path()).unwrap_err();
        assert!(matches!(&error, KeyError::Exists(found) if *found == link), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = generate(&file).unwrap_err();
        assert!(error.to_string().starts_with("cannot make"), "{error}");
    }

    #[test]
    fn keys_that_are_missing_malformed_or_open_to_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let why = |role| Keys::load(folder.path(), role).unwrap_err();
        assert!(matches!(why(Role::Worker), KeyError::Missing(_)));
        generate(folder.path()).unwrap();
        let path = folder.path().join("worker.pem");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(why(Role::Worker), KeyError::NotPrivate(_)));
        let client = folder.path().join("client.pem");
        for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(&client, text).unwrap();
            assert!(matches!(why(Role::Client), KeyError::Malformed { .. }), "{text:?}");
        }
        fs::remove_file(&client).unwrap();
        assert!(matches!(why(Role::Client), KeyError::Missing(_)));
        assert!(std::process::Command::new("mkfifo").arg(&client).status().unwrap().success());
        assert!(matches!(why(Role::Client), KeyError::Malformed { .. }), "nobody writes into it");
    }
}
