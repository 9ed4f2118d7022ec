//! The coordinator's folder: its certificate authority, its own certificate, its store and one
//! configuration file. Private keys are written readable by their owner only.

use cloister_net::{Ca, Clock, Identity, Serial, TlsError};
use cloister_terms::Name;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Lifetime of the coordinator's own certificate, in seconds.
const SERVER_CERTIFICATE_LIFETIME_S: u64 = 365 * 86_400;
/// A coordinator that starts with less than this left of its certificate makes a new one, in seconds.
const SERVER_RENEWAL_LEFT_S: u64 = 30 * 86_400;

/// `coordinator.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The coordinator's name, as agreements and its certificate have it.
    pub name: Name,
    /// Address for nodes and persons (UDP).
    pub listen: SocketAddr,
    /// Address for enrolment with one-time tokens (UDP).
    pub enrol_listen: SocketAddr,
}

/// The sample that `init` writes, every key explained.
pub fn sample(name: &Name) -> String {
    format!(
        "# Cloister coordinator\n\n\
         # The coordinator's name, as agreements and its certificate have it.\n\
         name = \"{name}\"\n\n\
         # UDP address that nodes and persons connect to (QUIC, mutual TLS). Port 0 picks a free one.\n\
         listen = \"0.0.0.0:4433\"\n\n\
         # UDP address at which one-time tokens are exchanged for certificates.\n\
         enrol_listen = \"0.0.0.0:4434\"\n"
    )
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is missing or unreadable.
    #[error("cannot use `{path}`: {error}; run `cloister-coordinator init` first, or check the folder's owner", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The configuration does not parse.
    #[error("`{path}` is not a valid configuration: {error}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// The folder already holds a coordinator.
    #[error("`{path}` already holds a coordinator: choose another folder", path = .0.display())]
    Exists(PathBuf),
    /// The configuration is gone.
    #[error("`{path}` holds a coordinator's keys without its `coordinator.toml`: put that back from your backup, or choose another folder", path = .0.display())]
    Incomplete(PathBuf),
    /// Keys or certificates cannot be made or read.
    #[error("the coordinator's certificate authority: {0}")]
    Ca(#[from] cloister_net::CaError),
    /// Its own certificate is unusable.
    #[error("the coordinator's certificate: {0}")]
    Tls(#[from] TlsError),
    /// The random generator failed.
    #[error("the system's random generator failed: nothing was written")]
    Entropy,
}

/// Paths below the coordinator's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.0.join("coordinator.sqlite")
    }

    /// The configuration's file.
    pub fn config(&self) -> PathBuf {
        self.0.join("coordinator.toml")
    }

    fn ca(&self) -> [PathBuf; 2] {
        [self.0.join("ca.cert.pem"), self.0.join("ca.key.pem")]
    }

    fn server(&self) -> [PathBuf; 2] {
        [self.0.join("server.cert.pem"), self.0.join("server.key.pem")]
    }

    /// A new certificate and its key before they take the place of [`Folder::server`].
    fn renewed(&self) -> [PathBuf; 2] {
        [self.0.join("server.cert.pem.new"), self.0.join("server.key.pem.new")]
    }

    /// The sample configuration before everything else is there.
    fn ready(&self) -> PathBuf {
        self.0.join("coordinator.toml.new")
    }

    /// Makes the folder: CA, own certificate, sample configuration. What a call left that was cut short is
    /// made anew: nobody has that CA's fingerprint. Errors when there is a coordinator, or its keys alone.
    pub fn init(&self, name: &Name, clock: &dyn Clock) -> Result<Ca, ConfigError> {
        if is_there(&self.config()) {
            return Err(ConfigError::Exists(self.0.clone()));
        }
        // The configuration lies ready first and gets its name last: once it has it, all keys are there, and
        // keys beside one that lies ready are of a call that was cut short. Keys beside a store are not: the
        // store is made later, and the file that lies ready is somebody else's.
        let left: Vec<PathBuf> = [self.ca(), self.server()].concat();
        let was_cut_short = is_there(&self.ready()) && !is_there(&self.store());
        if left.iter().any(|path| is_there(path)) && !was_cut_short {
            return Err(ConfigError::Incomplete(self.0.clone()));
        }
        std::fs::create_dir_all(&self.0).map_err(|error| self.file(&self.0, error))?;
        left.iter().try_for_each(|path| self.remove(path))?;
        self.sync()?;
        self.remove(&self.ready())?;
        let now_s = clock.now_unix_s();
        let ca = Ca::generate(name, now_s)?;
        let identity = issue(&ca, name, now_s)?;
        self.write(&self.ready(), sample(name).as_bytes(), false)?;
        self.sync()?;
        let [ca_cert, ca_key] = self.ca();
        let [cert, key] = self.server();
        self.write(&ca_cert, ca.cert_pem().as_bytes(), false)?;
        self.write(&ca_key, ca.key_pem().as_bytes(), true)?;
        self.write(&cert, identity.cert_chain_pem.as_bytes(), false)?;
        self.write(&key, identity.key_pem.as_bytes(), true)?;
        self.sync()?;
        let config = self.config();
        std::fs::rename(self.ready(), &config).map_err(|error| self.file(&config, error))?;
        self.sync()?;
        Ok(ca)
    }

    /// Reads the configuration.
    pub fn load_config(&self) -> Result<Config, ConfigError> {
        let path = self.config();
        let text = self.read(&path)?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Malformed { path, error: Box::new(error) })
    }

    /// Reads the CA.
    pub fn load_ca(&self) -> Result<Ca, ConfigError> {
        let [cert, key] = self.ca();
        Ok(Ca::from_pem(&self.read(&cert)?, &zeroize::Zeroizing::new(self.read(&key)?))?)
    }

    /// Reads CA and own identity.
    pub fn load_keys(&self) -> Result<(Ca, Identity), ConfigError> {
        let ca = self.load_ca()?;
        let [cert, key] = self.server();
        let key = zeroize::Zeroizing::new(self.read(&key)?);
        let identity = Identity::from_pem(&self.read(&cert)?, &key, &ca.cert_pem())?;
        Ok((ca, identity))
    }

    /// Makes a new key and certificate when its own is over or soon will be; clients trust the CA, so
    /// nothing changes for them. The new one's end in seconds since 1970 UTC, if one was made.
    pub fn renew(&self, name: &Name, clock: &dyn Clock) -> Result<Option<u64>, ConfigError> {
        let [[cert, key], [new_cert, new_key]] = [self.server(), self.renewed()];
        let mut loaded = self.load_keys();
        // The new key took its place and the certificate did not: a renewal was cut short in between.
        if matches!(loaded, Err(ConfigError::Tls(TlsError::KeyMismatch))) && is_there(&new_cert) {
            self.replace(&new_cert, &cert)?;
            loaded = self.load_keys();
        }
        let (ca, old) = loaded?;
        let (now_s, ends_s) = (clock.now_unix_s(), old.claims()?.not_after_s);
        let best_s = server_end_s(&ca, now_s);
        // A CA near its own end has nothing better to give.
        if ends_s >= now_s.saturating_add(SERVER_RENEWAL_LEFT_S) || ends_s >= best_s {
            return Ok(None);
        }
        let identity = issue(&ca, name, now_s)?;
        self.remove(&new_key)?;
        self.remove(&new_cert)?;
        self.write(&new_cert, identity.cert_chain_pem.as_bytes(), false)?;
        self.write(&new_key, identity.key_pem.as_bytes(), true)?;
        self.sync()?;
        // The key first: as long as the certificate has not followed, it lies beside, and whole.
        self.replace(&new_key, &key)?;
        self.replace(&new_cert, &cert)?;
        Ok(Some(best_s))
    }

    fn read(&self, path: &Path) -> Result<String, ConfigError> {
        std::fs::read_to_string(path).map_err(|error| self.file(path, error))
    }

    fn write(&self, path: &Path, bytes: &[u8], secret: bool) -> Result<(), ConfigError> {
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(if secret { 0o600 } else { 0o644 });
        }
        let mut file = options.open(path).map_err(|error| self.file(path, error))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| self.file(path, error))
    }

    /// Puts `from` in the place of `to`, and has the disk keep that.
    fn replace(&self, from: &Path, to: &Path) -> Result<(), ConfigError> {
        std::fs::rename(from, to).map_err(|error| self.file(to, error))?;
        self.sync()
    }

    /// Removes a file, if it is there.
    fn remove(&self, path: &Path) -> Result<(), ConfigError> {
        if !is_there(path) {
            return Ok(());
        }
        std::fs::remove_file(path).map_err(|error| self.file(path, error))
    }

    /// Has the disk keep what was named, renamed and removed so far.
    fn sync(&self) -> Result<(), ConfigError> {
        let synced = std::fs::File::open(&self.0).and_then(|folder| folder.sync_all());
        synced.map_err(|error| self.file(&self.0, error))
    }

    fn file(&self, path: &Path, error: std::io::Error) -> ConfigError {
        ConfigError::File { path: path.to_owned(), error }
    }
}

/// End of a server certificate made now: nothing outlives its CA.
fn server_end_s(ca: &Ca, now_s: u64) -> u64 {
    now_s.saturating_add(SERVER_CERTIFICATE_LIFETIME_S).min(ca.not_after_s())
}

/// A key and certificate for the coordinator itself.
fn issue(ca: &Ca, name: &Name, now_s: u64) -> Result<Identity, ConfigError> {
    let serial = Serial::random().map_err(|_| ConfigError::Entropy)?;
    let until_s = server_end_s(ca, now_s);
    Ok(ca.issue_server(name, serial, now_s.saturating_sub(60), until_s)?)
}

/// Whether the name is taken, be it by a link to nothing.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloister_net::SystemClock;

    #[test]
    fn an_init_that_was_killed_is_run_again_and_keys_that_stand_are_never_replaced() {
        let kept = tempfile::tempdir().unwrap();
        let name: Name = "hub".parse().unwrap();
        let files = [
            "coordinator.toml.new",
            "ca.cert.pem",
            "ca.key.pem",
            "server.cert.pem",
            "server.key.pem",
        ];
        // Killed in the middle of each of them.
        for left in 1..=files.len() {
            let folder = Folder::new(kept.path().join(left.to_string()));
            std::fs::create_dir(&folder.0).unwrap();
            for file in files.iter().take(left) {
                std::fs::write(folder.0.join(file), "half").unwrap();
            }
            assert!(matches!(folder.load_config(), Err(ConfigError::File { .. })));
            let ca = folder.init(&name, &SystemClock).unwrap();
            assert!(folder.load_keys().unwrap().0.fingerprint() == ca.fingerprint());
            assert_eq!(folder.load_config().unwrap().name, name);
            assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), files.len());
            assert!(matches!(folder.init(&name, &SystemClock), Err(ConfigError::Exists(_))));
        }
        // A configuration that was there and is gone: the keys are the only ones of their kind.
        let folder = Folder::new(kept.path().join("1"));
        let key = std::fs::read(folder.0.join("ca.key.pem")).unwrap();
        std::fs::remove_file(folder.config()).unwrap();
        assert!(matches!(folder.init(&name, &SystemClock), Err(ConfigError::Incomplete(_))));
        assert_eq!(std::fs::read(folder.0.join("ca.key.pem")).unwrap(), key);
        // Nor are they of a call that was cut short, whatever lies beside them, once there is a store.
        std::fs::write(folder.store(), "").unwrap();
        std::fs::write(folder.0.join("coordinator.toml.new"), "# the operator's own").unwrap();
        assert!(matches!(folder.init(&name, &SystemClock), Err(ConfigError::Incomplete(_))));
        assert_eq!(std::fs::read(folder.0.join("ca.key.pem")).unwrap(), key);
    }

    #[derive(Debug)]
    struct At(u64);

    impl Clock for At {
        fn now_unix_s(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_certificate_that_ends_soon_is_renewed_and_a_renewal_that_was_killed_is_finished() {
        const NOW_S: u64 = 1_800_000_000;
        let kept = tempfile::tempdir().unwrap();
        let folder = Folder::new(kept.path().join("hub"));
        let name: Name = "hub".parse().unwrap();
        let ca = folder.init(&name, &At(NOW_S)).unwrap();
        let claims = || folder.load_keys().unwrap().1.claims().unwrap();
        let (first, files) = (claims(), std::fs::read_dir(&folder.0).unwrap().count());
        // As long as enough is left, nothing changes.
        let last_s = first.not_after_s - SERVER_RENEWAL_LEFT_S;
        assert_eq!(folder.renew(&name, &At(last_s)).unwrap(), None);
        assert_eq!(claims(), first);
        let [cert, key] = folder.server();
        let old = std::fs::read(&cert).unwrap();
        let until_s = last_s + 1 + SERVER_CERTIFICATE_LIFETIME_S;
        assert_eq!(folder.renew(&name, &At(last_s + 1)).unwrap(), Some(until_s));
        let second = claims();
        assert_eq!((second.not_after_s, &second.name), (until_s, &name));
        assert_eq!(folder.load_ca().unwrap().fingerprint(), ca.fingerprint());
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), files);
        // Killed after the key took its place.
        let [new_cert, new_key] = folder.renewed();
        std::fs::rename(&cert, &new_cert).unwrap();
        std::fs::write(&cert, old).unwrap();
        assert!(matches!(folder.load_keys(), Err(ConfigError::Tls(TlsError::KeyMismatch))));
        assert_eq!(folder.renew(&name, &At(last_s + 1)).unwrap(), None);
        assert_eq!(claims(), second);
        // Killed before: what lies beside is not used. The old one is over by now.
        for left in [&new_cert, &new_key] {
            std::fs::write(left, "half").unwrap();
        }
        assert!(folder.renew(&name, &At(until_s + 1)).unwrap().is_some());
        assert!(claims().not_after_s > until_s);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), files);
        // Nothing outlives the CA, and a CA at its end renews nothing again and again.
        let late = At(ca.not_after_s() - 9);
        assert_eq!(folder.renew(&name, &late).unwrap(), Some(ca.not_after_s()));
        assert_eq!(folder.renew(&name, &late).unwrap(), None);
        // A key that is damaged is told, not replaced.
        std::fs::write(&key, new_key_of_another()).unwrap();
        assert!(matches!(folder.renew(&name, &late), Err(ConfigError::Tls(TlsError::KeyMismatch))));
    }

    fn new_key_of_another() -> String {
        let ca = Ca::generate(&"other".parse().unwrap(), 1_800_000_000).unwrap();
        issue(&ca, &"other".parse().unwrap(), 1_800_000_000).unwrap().key_pem.to_string()
    }
}
