//! A person's folder: signing key (sealed by a passphrase), certificate, and where the coordinator
//! is. Files are written whole and never over an old one, but for a certificate that a new enrolment
//! replaces on purpose and a key that was copied first; secrets are readable by their owner only.

use cloister_net::Identity;
use cloister_terms::Name;
use cloister_wire::{KeyError, KeyFile, SigningKey};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The folder.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// `profile.toml`: who this is and where the coordinator listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The person's name, as in the agreement and the certificate.
    pub name: Name,
    /// The coordinator's address, host:port; looked up for each connection.
    pub coordinator: String,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file is missing or unreadable.
    #[error("cannot use `{path}`: {error}; {hint}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// A file would be overwritten.
    #[error("`{path}` is there already and is never overwritten: use another --home, or `cloister key rotate`", path = .0.display())]
    Exists(PathBuf),
    /// Enrolled already.
    #[error(
        "`{path}` is enrolled already: to replace a revoked or expired certificate, ask the operator for a new token and pass --again too; the signing key stays", path = .0.display()
    )]
    Enrolled(PathBuf),
    /// The profile does not parse.
    #[error("`{path}` is malformed: {error}; run `cloister enroll --again` with a new token", path = path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<toml::de::Error>,
    },
    /// The key file is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate is unusable.
    #[error(
        "the certificate in this folder is unusable: {0}; enrol with `cloister enroll --again` and a new token"
    )]
    Tls(#[from] cloister_net::TlsError),
}

const KEY: &str = "key.json";
const NEW_KEY: &str = "make a key with `cloister key new`";
const ENROL: &str = "enrol with `cloister enroll`";
const FOLDER: &str = "check the folder's owner";

impl Home {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where the key file is.
    pub fn key_path(&self) -> PathBuf {
        self.0.join(KEY)
    }

    /// Writes a new key. Errors when there is one.
    pub fn write_key(&self, file: &KeyFile) -> Result<(), HomeError> {
        // Its own name, so that of two calls at once each publishes the key that it tells.
        let fresh = self.0.join(format!("{KEY}.{}.new", file.public_key().short()));
        let path = self.key_path();
        let written = (|| {
            std::fs::create_dir_all(&self.0)?;
            write_new(&fresh, &file.to_bytes())?;
            // Unlike a rename, this fails where the name is taken, be it by a link to nothing.
            let linked = std::fs::hard_link(&fresh, &path);
            std::fs::remove_file(&fresh)?;
            linked?;
            self.sync()
        })();
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists if path.symlink_metadata().is_ok() => {
                HomeError::Exists(path)
            }
            _ => HomeError::File { path, error, hint: FOLDER },
        })
    }

    /// Puts a new key in the place of the old one, which is kept beside it; where it is now. There is a key
    /// at each moment, and a call that was cut short is made good by the next.
    pub fn rotate_key(&self, file: &KeyFile) -> Result<PathBuf, HomeError> {
        let bytes = read(&self.key_path(), NEW_KEY)?;
        let name = format!("key.{}.json", KeyFile::parse(&bytes)?.public_key().short());
        let kept = self.0.join(&name);
        // The same bytes are of a call that was cut short.
        if kept.exists() && read(&kept, FOLDER)? != bytes {
            return Err(HomeError::Exists(kept));
        }
        self.replace(&name, &bytes)?;
        self.replace(KEY, &file.to_bytes())?;
        Ok(kept)
    }

    /// Reads the key file.
    pub fn key_file(&self) -> Result<KeyFile, HomeError> {
        Ok(KeyFile::parse(&read(&self.key_path(), NEW_KEY)?)?)
    }

    /// Opens the signing key.
    pub fn key(&self, passphrase: &str) -> Result<SigningKey, HomeError> {
        Ok(self.key_file()?.open(passphrase)?)
    }

    /// Errors with [`HomeError::Enrolled`] when a certificate is here already.
    pub fn not_enrolled(&self) -> Result<(), HomeError> {
        if self.0.join("profile.toml").exists() {
            return Err(HomeError::Enrolled(self.0.clone()));
        }
        Ok(())
    }

    /// Writes certificate and profile after enrolment, in the place of an earlier certificate; the
    /// signing key is not touched.
    pub fn write_enrolment(&self, profile: &Profile, identity: &Identity) -> Result<(), HomeError> {
        self.replace("tls.cert.pem", identity.cert_chain_pem.as_bytes())?;
        self.replace("tls.key.pem", identity.key_pem.as_bytes())?;
        self.replace("ca.cert.pem", identity.ca_pem.as_bytes())?;
        // Quoted as TOML wants it: an address is whatever could be looked up.
        let coordinator = toml::Value::from(profile.coordinator.as_str());
        let text = format!(
            "# written by `cloister enroll`\nname = \"{}\"\ncoordinator = {coordinator}\n",
            profile.name
        );
        self.replace("profile.toml", text.as_bytes())
    }

    /// Reads the profile.
    pub fn profile(&self) -> Result<Profile, HomeError> {
        let path = self.0.join("profile.toml");
        let text = String::from_utf8_lossy(&read(&path, ENROL)?).into_owned();
        toml::from_str(&text).map_err(|error| HomeError::Profile { path, error: Box::new(error) })
    }

    /// Reads the certificate.
    pub fn identity(&self) -> Result<Identity, HomeError> {
        let text = |name: &str| -> Result<Zeroizing<String>, HomeError> {
            let bytes = Zeroizing::new(read(&self.0.join(name), ENROL)?);
            Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
        };
        let (cert, key, ca) = (text("tls.cert.pem")?, text("tls.key.pem")?, text("ca.cert.pem")?);
        Ok(Identity::from_pem(&cert, &key, &ca)?)
    }

    /// A file that is either old or new, never half of each.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let replaced = (|| {
            std::fs::create_dir_all(&self.0)?;
            // A leftover of a command that was cut short.
            if fresh.exists() {
                std::fs::remove_file(&fresh)?;
            }
            write_new(&fresh, bytes)?;
            std::fs::rename(&fresh, &path)?;
            self.sync()
        })();
        replaced.map_err(|error| HomeError::File { path, error, hint: FOLDER })
    }

    /// Has the disk keep what was renamed so far, in the order in which it was.
    fn sync(&self) -> std::io::Result<()> {
        // Elsewhere a folder cannot be opened.
        if cfg!(unix) { std::fs::File::open(&self.0)?.sync_all() } else { Ok(()) }
    }
}

/// Writes a file that must not exist yet, readable by its owner only, durably.
pub fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path, hint: &'static str) -> Result<Vec<u8>, HomeError> {
    std::fs::read(path).map_err(|error| HomeError::File { path: path.to_owned(), error, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seed: u8) -> KeyFile {
        SigningKey::from_seed(&[seed; 32]).unwrap().seal("correct horse").unwrap()
    }

    #[test]
    fn a_new_key_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let first = sealed(1);
        home.write_key(&first).unwrap();
        assert!(matches!(home.write_key(&sealed(2)), Err(HomeError::Exists(_))));
        assert_eq!(home.key_file().unwrap().public_key(), first.public_key());
        assert_eq!(std::fs::read_dir(&home.0).unwrap().count(), 1, "nothing is left lying about");
    }

    #[cfg(unix)]
    #[test]
    fn a_new_key_never_takes_the_place_of_a_link_to_a_disk_that_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let (home, away) = (Home::new(folder.path()), folder.path().join("away").join("key.json"));
        std::os::unix::fs::symlink(&away, home.key_path()).unwrap();
        assert!(matches!(home.write_key(&sealed(1)), Err(HomeError::Exists(_))));
        assert_eq!(std::fs::read_link(home.key_path()).unwrap(), away);
    }
}
