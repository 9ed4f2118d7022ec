//! The state folder: sealed signing keys, the transport certificate with its key, the ledger file,
//! and a lock that lets one node run on it. Secrets are readable by the owner alone, and a file is
//! either old or new, never half of each.

use crate::ledger::marker_of;
use cloister_net::Identity;
use cloister_terms::PublicKey;
use cloister_wire::{KeyError, KeyFile, SigningKey};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest file that is read from the folder, in bytes.
const STATE_FILE_BYTES_MAX: u64 = 1024 * 1024;

const STEWARD_KEY: &str = "steward.key.json";
const NODE_KEY: &str = "node.key.json";
const CERTIFICATE: &str = "certificate.pem";
const TRANSPORT_KEY: &str = "transport.key.pem";
const AUTHORITY: &str = "authority.pem";
const COORDINATOR: &str = "coordinator.address";
const LEDGER: &str = "ledger.sqlite";
const MODULES: &str = "modules";
const LOCK: &str = "node.lock";
const ANSWER_LOCK: &str = "answer.lock";

/// A state folder.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
}

/// Held while a node runs on the folder.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why the folder is unusable.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file cannot be read or written.
    #[error("`{path}` cannot be {verb}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read`, `written` or `removed`.
        verb: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// `init` ran here before.
    #[error("`{0}` already holds keys: they are never overwritten; choose another folder")]
    Exists(PathBuf),
    /// The node's key is gone.
    #[error(
        "`{0}` holds the steward's key without the node's: put `node.key.json` back from your backup, or move the folder away and run `cloister-node init` again"
    )]
    Incomplete(PathBuf),
    /// `init` has not run here.
    #[error(
        "`{0}` holds no keys: make them with `cloister-node init`, or correct `state` in node.toml"
    )]
    NotInitialised(PathBuf),
    /// `enroll` has not run here.
    #[error("`{0}` holds no certificate: join with `cloister-node enroll --token TOKEN`")]
    NotEnrolled(PathBuf),
    /// Another node runs on this folder.
    #[error("another process runs this node: stop it first (`{0}` is locked)")]
    Locked(PathBuf),
    /// Another question of the steward's own is under way.
    #[error("another `cloister-node answer` is under way: wait for it (`{0}` is locked)")]
    Answering(PathBuf),
    /// A signing key does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate and its key do not fit.
    #[error(transparent)]
    Tls(#[from] cloister_net::TlsError),
}

impl StateFolder {
    /// Makes the folder with new sealed keys; returns it with their public halves (steward, node). What a call
    /// left that was cut short is made anew: nobody was told its keys.
    ///
    /// # Errors
    /// [`StateError::Exists`] when it holds keys already, [`StateError::Incomplete`] when one of them is gone.
    pub fn create(
        path: &Path,
        passphrase: &str,
    ) -> Result<(Self, PublicKey, PublicKey), StateError> {
        let folder = Self { path: path.to_owned() };
        match Self::open(path) {
            Ok(_) => return Err(StateError::Exists(path.to_owned())),
            Err(StateError::NotInitialised(_)) => {}
            Err(other) => return Err(other),
        }
        let (steward, node) = (SigningKey::generate()?, SigningKey::generate()?);
        let (steward_file, node_file) = (steward.seal(passphrase)?, node.seal(passphrase)?);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|cause| StateError::File { path: path.to_owned(), verb: "written", cause })?;
        folder.remove(STEWARD_KEY)?;
        // The node's key lies ready first and gets its name last: once it has it, both are there, and a
        // steward's key beside one that lies ready is of a call that was cut short.
        folder.make_ready(NODE_KEY, &node_file.to_bytes())?;
        folder.write(STEWARD_KEY, &steward_file.to_bytes())?;
        folder.put(NODE_KEY)?;
        Ok((folder, steward.public_key(), node.public_key()))
    }

    /// The folder that `init` made.
    ///
    /// # Errors
    /// [`StateError::NotInitialised`] without keys, [`StateError::Incomplete`] without the node's.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let folder = Self { path: path.to_owned() };
        if is_there(&folder.file(NODE_KEY)) {
            return Ok(folder);
        }
        // The ledger is made later: beside one, no call was cut short, whatever lies ready.
        let was_cut_short = is_there(&folder.ready(NODE_KEY)) && !folder.had_ledger();
        if is_there(&folder.file(STEWARD_KEY)) && !was_cut_short {
            return Err(StateError::Incomplete(path.to_owned()));
        }
        Err(StateError::NotInitialised(path.to_owned()))
    }

    /// Whether a ledger lies here, or was lost.
    fn had_ledger(&self) -> bool {
        let ledger = self.ledger_path();
        is_there(&ledger) || is_there(&marker_of(&ledger))
    }

    /// Where the ledger lies.
    pub fn ledger_path(&self) -> PathBuf {
        self.file(LEDGER)
    }

    /// Where machine code of modules is kept between runs.
    pub fn modules_path(&self) -> PathBuf {
        self.file(MODULES)
    }

    /// Where the steward's sealed key lies, for signing an agreement.
    pub fn steward_key_path(&self) -> PathBuf {
        self.file(STEWARD_KEY)
    }

    /// The steward's sealed key.
    pub fn steward_key_file(&self) -> Result<KeyFile, StateError> {
        Ok(KeyFile::parse(&self.read(STEWARD_KEY)?)?)
    }

    /// The node's sealed key.
    pub fn node_key_file(&self) -> Result<KeyFile, StateError> {
        Ok(KeyFile::parse(&self.read(NODE_KEY)?)?)
    }

    /// The transport identity. Errors with [`StateError::NotEnrolled`] before enrolment.
    pub fn identity(&self) -> Result<Identity, StateError> {
        let texts = [CERTIFICATE, TRANSPORT_KEY, AUTHORITY];
        if texts.iter().any(|name| !self.file(name).exists()) {
            return Err(StateError::NotEnrolled(self.path.clone()));
        }
        let [certificate, key, authority] = texts.map(|name| self.read_text(name));
        Ok(Identity::from_pem(&certificate?, &key?, &authority?)?)
    }

    /// Keeps what enrolment gave, the certificate last: without it the node is not enrolled.
    pub fn keep_identity(&self, identity: &Identity, coordinator: &str) -> Result<(), StateError> {
        self.write(COORDINATOR, coordinator.as_bytes())?;
        self.write(AUTHORITY, identity.ca_pem.as_bytes())?;
        self.write(TRANSPORT_KEY, identity.key_pem.as_bytes())?;
        self.write(CERTIFICATE, identity.cert_chain_pem.as_bytes())
    }

    /// The coordinator's address as given at enrolment.
    pub fn coordinator(&self) -> Option<String> {
        self.read_text(COORDINATOR).ok().map(|text| text.trim().to_owned())
    }

    /// Takes the folder for one running node. The lock ends with the process.
    pub fn lock(&self) -> Result<FolderLock, StateError> {
        self.take(LOCK, StateError::Locked)
    }

    /// Takes the folder for one question of the steward's own; a node may run beside it.
    pub fn lock_answer(&self) -> Result<FolderLock, StateError> {
        self.take(ANSWER_LOCK, StateError::Answering)
    }

    fn take(
        &self,
        name: &str,
        taken: impl FnOnce(PathBuf) -> StateError,
    ) -> Result<FolderLock, StateError> {
        let path = self.file(name);
        let failed = |cause| StateError::File { path: path.clone(), verb: "written", cause };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(taken(path)),
            Err(TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, StateError> {
        read_bounded(&self.file(name), STATE_FILE_BYTES_MAX)
    }

    fn read_text(&self, name: &str) -> Result<String, StateError> {
        let cause = |_| std::io::ErrorKind::InvalidData.into();
        String::from_utf8(self.read(name)?).map_err(cause).map_err(|cause| StateError::File {
            path: self.file(name),
            verb: "read",
            cause,
        })
    }

    /// Writes a file of mode 0600, whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        self.make_ready(name, bytes)?;
        self.put(name)
    }

    /// Where a file lies ready that has no name yet.
    fn ready(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.new"))
    }

    /// Writes a file that [`StateFolder::put`] gives its name.
    fn make_ready(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let fresh = self.ready(name);
        let written = (|| {
            // A leftover of an earlier crash may have other permissions.
            if is_there(&fresh) {
                fs::remove_file(&fresh)?;
            }
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.sync()
        })();
        written.map_err(|cause| StateError::File { path: fresh, verb: "written", cause })
    }

    /// Gives a file that lies ready its name.
    fn put(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        let put = fs::rename(self.ready(name), &path).and_then(|()| self.sync());
        put.map_err(|cause| StateError::File { path, verb: "written", cause })
    }

    /// Removes a file, if it is there.
    fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.file(name);
        if !is_there(&path) {
            return Ok(());
        }
        let removed = fs::remove_file(&path).and_then(|()| self.sync());
        removed.map_err(|cause| StateError::File { path, verb: "removed", cause })
    }

    /// Has the disk keep what was renamed and removed so far.
    fn sync(&self) -> std::io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Whether the name is taken, be it by a link to nothing.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Reads a file of at most `bytes_max`.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, StateError> {
    let failed = |cause| StateError::File { path: path.to_owned(), verb: "read", cause };
    if fs::metadata(path).map_err(failed)?.len() > bytes_max {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_sealed_owner_only_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let (state, steward, node) = StateFolder::create(&path, "correct horse").unwrap();
        assert_ne!(steward, node);
        let opened = state.node_key_file().unwrap().open("correct horse").unwrap();
        assert_eq!(opened.public_key(), node);
        assert!(state.steward_key_file().unwrap().open("wrong").is_err());
        for entry in fs::read_dir(&path).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "a secret is readable by others");
        }
        assert!(matches!(StateFolder::create(&path, "x"), Err(StateError::Exists(_))));
        assert!(matches!(state.identity(), Err(StateError::NotEnrolled(_))));
        let elsewhere = folder.path().join("none");
        assert!(matches!(StateFolder::open(&elsewhere), Err(StateError::NotInitialised(_))));
        assert!(matches!(
            StateFolder::create(&folder.path().join("empty"), ""),
            Err(StateError::Key(KeyError::EmptyPassphrase))
        ));
    }

    #[test]
    fn an_init_that_was_killed_is_made_anew_and_a_lost_key_never_is() {
        let folder = tempfile::tempdir().unwrap();
        // As a call leaves it that is killed while it writes the first key, and between the two.
        for (at, left) in [&["node.key.json.new"][..], &["node.key.json.new", STEWARD_KEY]]
            .into_iter()
            .enumerate()
        {
            let path = folder.path().join(at.to_string());
            fs::create_dir(&path).unwrap();
            left.iter().for_each(|name| fs::write(path.join(name), b"{").unwrap());
            let early = StateFolder::open(&path);
            assert!(matches!(early, Err(StateError::NotInitialised(_))), "{left:?}");
            let (state, steward, node) = StateFolder::create(&path, "p").unwrap();
            assert_eq!(state.steward_key_file().unwrap().public_key(), steward);
            assert_eq!(state.node_key_file().unwrap().public_key(), node);
            assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "nothing is left lying about");
        }
        // A node's key that was there and is gone: the steward's is the only one of its kind.
        let path = folder.path().join("0");
        let kept = fs::read(path.join(STEWARD_KEY)).unwrap();
        fs::remove_file(path.join(NODE_KEY)).unwrap();
        assert!(matches!(StateFolder::open(&path), Err(StateError::Incomplete(_))));
        assert!(matches!(StateFolder::create(&path, "p"), Err(StateError::Incomplete(_))));
        assert_eq!(fs::read(path.join(STEWARD_KEY)).unwrap(), kept);
        // Nor is it of a call that was cut short, whatever lies ready, once there is a ledger.
        fs::write(path.join(LEDGER), "").unwrap();
        fs::write(path.join("node.key.json.new"), "{").unwrap();
        assert!(matches!(StateFolder::create(&path, "p"), Err(StateError::Incomplete(_))));
        assert_eq!(fs::read(path.join(STEWARD_KEY)).unwrap(), kept);
    }

    #[test]
    fn a_key_that_is_a_link_to_nothing_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let away = folder.path().join("away");
        for name in [NODE_KEY, STEWARD_KEY] {
            let path = folder.path().join(format!("of {name}"));
            fs::create_dir(&path).unwrap();
            std::os::unix::fs::symlink(&away, path.join(name)).unwrap();
            StateFolder::create(&path, "p").unwrap_err();
            assert_eq!(fs::read_link(path.join(name)).unwrap(), away);
        }
    }

    #[test]
    fn one_node_runs_on_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (state, ..) = StateFolder::create(&folder.path().join("s"), "p").unwrap();
        let held = state.lock().unwrap();
        assert!(matches!(state.lock(), Err(StateError::Locked(_))));
        drop(held);
        state.lock().unwrap();
    }

    #[test]
    fn hostile_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (state, ..) = StateFolder::create(&folder.path().join("s"), "p").unwrap();
        state.write(NODE_KEY, b"{").unwrap();
        assert!(matches!(state.node_key_file(), Err(StateError::Key(KeyError::Malformed))));
        state.write(CERTIFICATE, b"\xff").unwrap();
        state.write(TRANSPORT_KEY, b"").unwrap();
        state.write(AUTHORITY, b"").unwrap();
        assert!(state.identity().is_err());
    }
}
