//! What was checked of a source's files, and whether it still holds. A file that went away, changed, or is
//! new is checked anew before a run is charged that reads it, and again before its scan if need be; one that
//! changes while it is read makes the scan a fault. So no scan takes a missing file for an empty table, or
//! half a record for one.

use crate::catalog::config::{FileFormat, SourceConfig};
use crate::catalog::error::CatalogError;
use crate::catalog::files::source_files;
use crate::catalog::records::{RecordError, check_records};
use crate::catalog::schema;
use datafusion::arrow::datatypes::SchemaRef;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A source's files as they were checked.
#[derive(Debug)]
pub(super) struct Watch {
    config: SourceConfig,
    schema: SchemaRef,
    /// Columns that the source's expressions read.
    used: BTreeSet<String>,
    seen: Mutex<BTreeMap<PathBuf, Seen>>,
}

/// A file as it was last checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    stamp: Stamp,
    is_good: bool,
}

/// What a file's bytes are known by without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Device, number and last change of the file's record: writing to it or putting another in its place
    /// changes one of them, whatever time of modification is set.
    #[cfg(unix)]
    file: (u64, u64, i64, i64),
}

/// Files as they stood before a scan.
#[derive(Debug)]
pub struct CheckedFiles {
    files: Vec<(PathBuf, Stamp)>,
    /// Sources whose files every scan lists anew, with those listed.
    listed: Vec<(SourceConfig, Vec<PathBuf>)>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            file: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn at(path: &Path) -> Result<Self, CatalogError> {
        std::fs::metadata(path)
            .map(|metadata| Self::of(&metadata))
            .map_err(|error| CatalogError::Path { path: path.to_owned(), kind: error.kind() })
    }
}

impl Watch {
    /// Checks every file once; `used` are the columns that the source's expressions read. Errors on the first
    /// CSV record that is malformed.
    pub(super) fn new(
        config: &SourceConfig,
        paths: &[PathBuf],
        schema: SchemaRef,
        used: BTreeSet<String>,
    ) -> Result<Self, CatalogError> {
        let watch = Self { config: config.clone(), schema, used, seen: Mutex::default() };
        match config.format {
            // The schema was just read off their footers.
            FileFormat::Parquet => {
                for path in paths {
                    watch.saw(path, Seen { stamp: Stamp::at(path)?, is_good: true });
                }
            }
            FileFormat::Csv => drop(watch.settle(paths)?),
        }
        Ok(watch)
    }

    /// The files that a scan would read now, each checked since it last changed. Errors where one is
    /// missing or no longer well-formed.
    pub(super) fn checked(&self, paths: &[PathBuf]) -> Result<CheckedFiles, CatalogError> {
        let now = self.now(paths)?;
        let files = self.settle(&now)?;
        Ok(self.standing(files, now))
    }

    /// The files that a scan would read now, where each stands as it was last checked and found good. Reads
    /// none.
    pub(super) fn as_checked(&self, paths: &[PathBuf]) -> Option<CheckedFiles> {
        let now = self.now(paths).ok()?;
        let mut files = Vec::with_capacity(now.len());
        for path in &now {
            let stamp = Stamp::at(path).ok()?;
            if self.seen(path) != Some(Seen { stamp, is_good: true }) {
                return None;
            }
            files.push((path.clone(), stamp));
        }
        Some(self.standing(files, now))
    }

    /// Checks each file that has changed since it was last checked: one that was found malformed is not read
    /// again before somebody mends it. Gives what is wrong with those that are missing, or malformed now.
    pub(super) fn look_again(&self, paths: &[PathBuf]) -> Vec<CatalogError> {
        let now = match self.now(paths) {
            Ok(now) => now,
            Err(error) => return vec![error],
        };
        let look = |path: &PathBuf| match Stamp::at(path) {
            Ok(stamp) if self.seen(path).is_some_and(|seen| seen.stamp == stamp) => None,
            Ok(stamp) => self.look(path, stamp).err(),
            Err(error) => Some(error),
        };
        now.iter().filter_map(look).collect()
    }

    /// The files of a scan: folders that every scan lists anew may hold more than at first. Errors where one
    /// of `paths` is no longer in them.
    fn now(&self, paths: &[PathBuf]) -> Result<Vec<PathBuf>, CatalogError> {
        if self.config.hive_partitions.is_empty() {
            return Ok(paths.to_vec());
        }
        let now = source_files(&self.config)?.paths;
        match paths.iter().find(|path| now.binary_search(path).is_err()) {
            Some(gone) => {
                let kind = std::io::ErrorKind::NotFound;
                Err(CatalogError::Path { path: gone.clone(), kind })
            }
            None => Ok(now),
        }
    }

    fn standing(&self, files: Vec<(PathBuf, Stamp)>, now: Vec<PathBuf>) -> CheckedFiles {
        let is_listed = !self.config.hive_partitions.is_empty();
        let listed = if is_listed { vec![(self.config.clone(), now)] } else { Vec::new() };
        CheckedFiles { files, listed }
    }

    fn settle(&self, paths: &[PathBuf]) -> Result<Vec<(PathBuf, Stamp)>, CatalogError> {
        let mut checked = Vec::with_capacity(paths.len());
        for path in paths {
            // Before the check: what changes during it is seen by the next one.
            let stamp = Stamp::at(path)?;
            if self.seen(path) != Some(Seen { stamp, is_good: true }) {
                self.look(path, stamp)?;
            }
            checked.push((path.clone(), stamp));
        }
        Ok(checked)
    }

    /// Checks a file that had this stamp, and remembers what came of it.
    fn look(&self, path: &Path, stamp: Stamp) -> Result<(), CatalogError> {
        let found = self.check(path);
        // A disk or a network that failed may be back without the file having changed.
        if !matches!(found, Err(CatalogError::Path { .. })) {
            self.saw(path, Seen { stamp, is_good: found.is_ok() });
        }
        found
    }

    fn check(&self, path: &Path) -> Result<(), CatalogError> {
        if self.config.format == FileFormat::Parquet {
            return schema::check_footer(path, &self.schema, &self.used);
        }
        let csv = self.config.csv.clone().unwrap_or_default();
        schema::check_header(path, &csv, &self.schema)?;
        let file = File::open(path)
            .map_err(|error| CatalogError::Path { path: path.to_owned(), kind: error.kind() })?;
        check_records(file, &csv, self.schema.fields().len()).map_err(|error| match error {
            RecordError::Read(error) => {
                CatalogError::Path { path: path.to_owned(), kind: error.kind() }
            }
            RecordError::Record { line, problem } => {
                CatalogError::Record { path: path.to_owned(), line, problem }
            }
        })
    }

    fn seen(&self, path: &Path) -> Option<Seen> {
        self.kept().get(path).copied()
    }

    fn saw(&self, path: &Path, seen: Seen) {
        self.kept().insert(path.to_owned(), seen);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckedFiles {
    /// Nothing was read yet.
    pub(super) fn empty() -> Self {
        Self { files: Vec::new(), listed: Vec::new() }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.files.extend(other.files);
        self.listed.extend(other.listed);
    }

    /// Whether the files still stand as they did. Errors on the first that does not: what was read of it
    /// may be neither its old records nor its new ones.
    pub fn still(&self) -> Result<(), CatalogError> {
        for (path, stamp) in &self.files {
            if Stamp::at(path)? != *stamp {
                return Err(CatalogError::Changed { path: path.clone() });
            }
        }
        for (config, paths) in &self.listed {
            let now = source_files(config)?.paths;
            if let Some(new) = now.iter().find(|path| !paths.contains(path)) {
                return Err(CatalogError::Changed { path: new.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use std::fs;
    use std::sync::Arc;

    fn watch(folder: &Path, hive: &str) -> (Result<Watch, CatalogError>, Vec<PathBuf>) {
        let text = format!(
            "dataset = \"events\"\nformat = \"csv\"\npath = \"x\"\nhive_partitions = {{ {hive} }}\n[columns]\n"
        );
        let config = SourceConfig { path: folder.to_owned(), ..toml::from_str(&text).unwrap() };
        let fields = ["a", "b"].map(|name| Field::new(name, DataType::Utf8, true));
        let paths = source_files(&config).unwrap().paths;
        let schema = Arc::new(Schema::new(fields.to_vec()));
        (Watch::new(&config, &paths, schema, BTreeSet::new()), paths)
    }

    #[test]
    fn a_changed_file_is_checked_anew_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        fs::write(&file, "a,b\n1,2\n").unwrap();
        let (watch, paths) = watch(folder.path(), "");
        let watch = watch.unwrap();
        let before = watch.checked(&paths).unwrap();
        before.still().unwrap();
        // More good records are read, but not half-way through a scan.
        fs::write(&file, "a,b\n1,2\n3,4\n").unwrap();
        assert!(matches!(before.still(), Err(CatalogError::Changed { .. })));
        watch.checked(&paths).unwrap().still().unwrap();
        for (text, line) in [("a,b\n1,2\n3,\"4\n", 3), ("a,b\n1\n", 2)] {
            fs::write(&file, text).unwrap();
            let found = watch.checked(&paths);
            let is_found =
                matches!(found, Err(CatalogError::Record { line: found, .. }) if found == line);
            assert!(is_found, "{found:?}");
        }
        fs::write(&file, "b,a\n1,2\n").unwrap();
        assert!(matches!(watch.checked(&paths), Err(CatalogError::Differs { .. })));
        fs::write(&file, "").unwrap();
        assert!(matches!(watch.checked(&paths), Err(CatalogError::Unreadable { .. })));
        fs::write(&file, "a,b\n").unwrap();
        watch.checked(&paths).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(matches!(watch.checked(&paths), Err(CatalogError::Path { .. })));
    }

    #[test]
    fn a_malformed_file_is_read_once_and_again_when_somebody_mended_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        fs::write(&file, "a,b\n1,2\n").unwrap();
        let (watch, paths) = watch(folder.path(), "");
        let watch = watch.unwrap();
        let stands = || watch.as_checked(&paths).is_some();
        assert!(stands() && watch.look_again(&paths).is_empty());
        fs::write(&file, "a,b\n1,2\n3\n").unwrap();
        assert!(!stands());
        let found = watch.look_again(&paths);
        assert!(matches!(found[..], [CatalogError::Record { line: 3, .. }]), "{found:?}");
        // Said once; the file stays out, also for whoever reads it now.
        assert!(watch.look_again(&paths).is_empty() && !stands());
        assert!(matches!(watch.checked(&paths), Err(CatalogError::Record { line: 3, .. })));
        fs::write(&file, "a,b\n1,2\n3,44\n").unwrap();
        assert!(!stands(), "not before it is checked");
        assert!(watch.look_again(&paths).is_empty() && stands());
        fs::remove_file(&file).unwrap();
        for _ in 0..2 {
            assert!(matches!(watch.look_again(&paths)[..], [CatalogError::Path { .. }]));
            assert!(!stands());
        }
    }

    #[test]
    fn a_folder_that_lost_a_file_does_not_stand_as_it_was_checked() {
        let folder = tempfile::tempdir().unwrap();
        let file = |month: &str| {
            let path = folder.path().join(month).join("a.csv");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "a,b\n1,2\n").unwrap();
            path
        };
        let (first, _) = (file("month=1"), file("month=2"));
        let (watch, paths) = watch(folder.path(), "month = \"text\"");
        let watch = watch.unwrap();
        assert_eq!(watch.as_checked(&paths).unwrap().files.len(), 2);
        // One that came is read once it was checked.
        file("month=3");
        assert!(watch.as_checked(&paths).is_none() && watch.look_again(&paths).is_empty());
        assert_eq!(watch.as_checked(&paths).unwrap().files.len(), 3);
        fs::remove_file(first).unwrap();
        assert!(watch.as_checked(&paths).is_none());
        assert!(matches!(watch.look_again(&paths)[..], [CatalogError::Path { .. }]));
    }

    #[test]
    fn files_that_come_later_into_partitioned_folders_are_checked_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file("month=1/a.csv", "a,b\n1,2\n");
        let (watch, paths) = watch(folder.path(), "month = \"text\"");
        let watch = watch.unwrap();
        file("month=2/a.csv", "a,b\n1,2\n");
        assert_eq!(watch.checked(&paths).unwrap().files.len(), 2);
        file("month=3/a.csv", "a,b\n1,\"2\n");
        assert!(matches!(watch.checked(&paths), Err(CatalogError::Record { line: 2, .. })));
        fs::remove_dir_all(folder.path().join("month=3")).unwrap();
        fs::remove_dir_all(folder.path().join("month=1")).unwrap();
        assert!(matches!(watch.checked(&paths), Err(CatalogError::Path { .. })));
    }

    #[test]
    fn a_file_that_comes_into_partitioned_folders_during_a_scan_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "a,b\n1,2\n").unwrap();
            path
        };
        let known = file("month=1/a.csv");
        let (watch, paths) = watch(folder.path(), "month = \"text\"");
        let before = watch.unwrap().checked(&paths).unwrap();
        before.still().unwrap();
        // A scan lists the folders anew: it may have read this one or not.
        let new = file("month=2/a.csv");
        let found = before.still();
        assert!(matches!(&found, Err(CatalogError::Changed { path }) if *path == new), "{found:?}");
        fs::remove_file(new).unwrap();
        before.still().unwrap();
        fs::remove_file(known).unwrap();
        assert!(matches!(before.still(), Err(CatalogError::Path { .. })));
    }
}
