//! What was checked of a source's files, and whether it still holds. A file that went away, changed, or is
//! new is checked anew before a scan reads it; one that changes while it is read makes the scan a fault. So
//! no scan takes a missing file for an empty table, or half a record for one.

use crate::catalog::config::{FileFormat, SourceConfig};
use crate::catalog::error::CatalogError;
use crate::catalog::files::source_files;
use crate::catalog::records::{RecordError, check_records};
use crate::catalog::schema;
use datafusion::arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// A source's files as they were checked.
#[derive(Debug)]
pub(super) struct Watch {
    config: SourceConfig,
    schema: SchemaRef,
    seen: Mutex<BTreeMap<PathBuf, Stamp>>,
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
    /// Checks every file once. Errors on the first CSV record that is malformed.
    pub(super) fn new(
        config: &SourceConfig,
        paths: &[PathBuf],
        schema: SchemaRef,
    ) -> Result<Self, CatalogError> {
        let watch = Self { config: config.clone(), schema, seen: Mutex::default() };
        watch.settle(paths)?;
        Ok(watch)
    }

    /// The files that a scan would read now, each checked since it last changed. Errors where one is
    /// missing or no longer well-formed.
    pub(super) fn checked(&self, paths: &[PathBuf]) -> Result<CheckedFiles, CatalogError> {
        if self.config.hive_partitions.is_empty() {
            return self.settle(paths);
        }
        // These are listed anew by every scan.
        let now = source_files(&self.config)?.paths;
        match paths.iter().find(|path| !now.contains(path)) {
            Some(gone) => {
                let kind = std::io::ErrorKind::NotFound;
                Err(CatalogError::Path { path: gone.clone(), kind })
            }
            None => {
                let mut checked = self.settle(&now)?;
                checked.listed.push((self.config.clone(), now));
                Ok(checked)
            }
        }
    }

    /// The files that a scan would read now, where each stands as it was last checked. Reads none.
    pub(super) fn as_checked(&self, paths: &[PathBuf]) -> Option<CheckedFiles> {
        let is_partitioned = !self.config.hive_partitions.is_empty();
        let now =
            if is_partitioned { source_files(&self.config).ok()?.paths } else { paths.to_vec() };
        let mut files = Vec::with_capacity(now.len());
        for path in &now {
            let stamp = Stamp::at(path).ok()?;
            let seen = self.seen.lock().unwrap_or_else(|broken| broken.into_inner());
            if seen.get(path) != Some(&stamp) {
                return None;
            }
            files.push((path.clone(), stamp));
        }
        let listed = if is_partitioned { vec![(self.config.clone(), now)] } else { Vec::new() };
        Some(CheckedFiles { files, listed })
    }

    fn settle(&self, paths: &[PathBuf]) -> Result<CheckedFiles, CatalogError> {
        let mut checked = Vec::with_capacity(paths.len());
        for path in paths {
            // Before the check: what changes during it is seen by the next one.
            let stamp = Stamp::at(path)?;
            let known = || self.seen.lock().unwrap_or_else(|broken| broken.into_inner());
            if known().get(path) != Some(&stamp) {
                self.check(path)?;
                known().insert(path.clone(), stamp);
            }
            checked.push((path.clone(), stamp));
        }
        Ok(CheckedFiles { files: checked, listed: Vec::new() })
    }

    fn check(&self, path: &Path) -> Result<(), CatalogError> {
        if self.config.format != FileFormat::Csv {
            return Ok(());
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
        (Watch::new(&config, &paths, Arc::new(Schema::new(fields.to_vec()))), paths)
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
