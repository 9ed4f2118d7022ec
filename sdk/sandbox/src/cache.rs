//! Machine code that this node's workers made, kept in the state folder between runs.
//!
//! Must never give out a byte that this node did not store itself: every artefact carries an HMAC with a
//! key of the folder over the module's digest and the bytes. Whatever does not verify is compiled again;
//! nothing here is an error, since a cache that cannot be read or written costs time alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Longest artefact, in bytes; a module of the largest size makes some tens of MiB.
pub const ARTEFACT_BYTES_MAX: usize = 64 << 20;
/// Most artefacts kept; the oldest makes room.
pub const ARTEFACTS_MAX: usize = 64;

/// Bytes of the key and of a tag.
const TAG_BYTES: usize = 32;
/// Separates these tags from every other use of the key.
const DOMAIN: &[u8] = b"cloister compile cache v1\0";
const KEY_FILE: &str = "cache.key";
const SUFFIX: &str = "machine";

/// A folder of authenticated artefacts.
#[derive(Debug)]
pub struct CompileCache {
    folder: PathBuf,
    key: hmac::Key,
}

impl CompileCache {
    /// Opens `folder`, or makes it with a new key. Readable by its owner alone.
    ///
    /// # Errors
    /// The system's: the folder or its key can neither be read nor made.
    pub fn open(folder: &Path) -> io::Result<CompileCache> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(KEY_FILE);
        let key = match read_at_most(&path, TAG_BYTES) {
            Ok(key) if key.len() == TAG_BYTES => key,
            // No key, or none of ours: whatever lies here is compiled again.
            _ => {
                let mut key = vec![0; TAG_BYTES];
                SystemRandom::new().fill(&mut key).map_err(|_| io::ErrorKind::Other)?;
                write_whole(&path, &[&key])?;
                key
            }
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(CompileCache { folder: folder.to_owned(), key })
    }

    /// The artefact stored for these module bytes, if it is unchanged.
    pub(crate) fn load(&self, wasm: &[u8]) -> Option<Vec<u8>> {
        let module = digest(&SHA256, wasm);
        let path = self.path(module.as_ref());
        let stored = read_at_most(&path, ARTEFACT_BYTES_MAX + TAG_BYTES).ok()?;
        let (tag, artefact) = stored.split_at_checked(TAG_BYTES)?;
        let signed = [DOMAIN, module.as_ref(), artefact].concat();
        match hmac::verify(&self.key, &signed, tag) {
            Ok(()) => Some(artefact.to_vec()),
            Err(_) => {
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Stores what a worker made of these module bytes. A cache that cannot be written stays as it was.
    pub(crate) fn store(&self, wasm: &[u8], artefact: &[u8]) {
        if artefact.is_empty() || artefact.len() > ARTEFACT_BYTES_MAX {
            return;
        }
        let module = digest(&SHA256, wasm);
        let signed = [DOMAIN, module.as_ref(), artefact].concat();
        let tag = hmac::sign(&self.key, &signed);
        let _ = write_whole(&self.path(module.as_ref()), &[tag.as_ref(), artefact]);
        let _ = self.make_room();
    }

    fn path(&self, module: &[u8]) -> PathBuf {
        let name: String = module.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name).with_extension(SUFFIX)
    }

    /// Removes the oldest artefacts past [`ARTEFACTS_MAX`].
    fn make_room(&self) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == SUFFIX) {
                kept.push((fs::metadata(&path)?.modified()?, path));
            }
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(ARTEFACTS_MAX);
        kept.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn read_at_most(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Writes a file of mode 0600, whole or not at all; of two writers the later wins.
fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| io::ErrorKind::Other)?;
    let fresh = path.with_extension(format!("{:016x}.new", u64::from_le_bytes(random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written = (|| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn cache() -> (tempfile::TempDir, CompileCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompileCache::open(&folder.path().join("modules")).unwrap();
        (folder, cache)
    }

    #[test]
    fn what_was_stored_comes_back_also_after_a_restart() {
        let (folder, cache) = cache();
        assert_eq!(cache.load(b"module"), None);
        cache.store(b"module", b"machine code");
        assert_eq!(cache.load(b"module").unwrap(), b"machine code");
        assert_eq!(cache.load(b"other"), None);
        let again = CompileCache::open(&folder.path().join("modules")).unwrap();
        assert_eq!(again.load(b"module").unwrap(), b"machine code");
        for entry in fs::read_dir(&again.folder).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "readable by others");
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_no_artefact() {
        let (_folder, cache) = cache();
        cache.store(b"module", b"machine code");
        let path = cache.path(digest(&SHA256, b"module").as_ref());
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert_eq!(cache.load(b"module"), None, "byte {at}");
        }
        for cut in [0, 1, TAG_BYTES - 1, TAG_BYTES, good.len() - 1] {
            fs::write(&path, &good[..cut]).unwrap();
            assert_eq!(cache.load(b"module"), None, "{cut} bytes");
        }
        // Another module's artefact under this one's name.
        cache.store(b"other", b"other code");
        fs::copy(cache.path(digest(&SHA256, b"other").as_ref()), &path).unwrap();
        assert_eq!(cache.load(b"module"), None);
        cache.store(b"module", b"machine code");
        assert_eq!(cache.load(b"module").unwrap(), b"machine code");
    }

    #[test]
    fn another_nodes_key_opens_nothing_and_a_broken_key_is_replaced() {
        let (folder, cache) = cache();
        let (_other_folder, other) = self::cache();
        cache.store(b"module", b"machine code");
        let path = cache.path(digest(&SHA256, b"module").as_ref());
        fs::copy(&path, other.path(digest(&SHA256, b"module").as_ref())).unwrap();
        assert_eq!(other.load(b"module"), None);
        fs::write(cache.folder.join(KEY_FILE), b"short").unwrap();
        let again = CompileCache::open(&folder.path().join("modules")).unwrap();
        assert_eq!(again.load(b"module"), None);
        again.store(b"module", b"machine code");
        assert_eq!(again.load(b"module").unwrap(), b"machine code");
    }

    #[test]
    fn the_oldest_artefacts_make_room() {
        let (_folder, cache) = cache();
        for module in 0..ARTEFACTS_MAX as u64 + 3 {
            cache.store(&module.to_le_bytes(), b"machine code");
            let path = cache.path(digest(&SHA256, &module.to_le_bytes()).as_ref());
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(module);
            File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        }
        // The newest was stored with the clock's time, which is later than all set here.
        let there = |module: u64| cache.load(&module.to_le_bytes()).is_some();
        assert!(!there(0) && !there(1) && !there(2) && there(3) && there(66));
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), ARTEFACTS_MAX + 1);
    }

    #[test]
    fn nothing_and_too_much_are_not_stored() {
        let (_folder, cache) = cache();
        cache.store(b"module", &[]);
        cache.store(b"module", &vec![0; ARTEFACT_BYTES_MAX + 1]);
        assert_eq!(cache.load(b"module"), None);
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 1);
    }
}
