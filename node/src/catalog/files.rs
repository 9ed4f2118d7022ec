//! Which files a source has: a file, a folder, a pattern or Hive partitions become a sorted list of
//! paths. It must never follow a name out of what the steward wrote, nor open a file.

use crate::catalog::config::{FileFormat, SourceConfig};
use crate::catalog::error::CatalogError;
use std::fs;
use std::path::{Path, PathBuf};

/// Most files of one source.
const FILES_MAX: usize = 1_000_000;
/// Deepest folder below a source's path.
const DEPTH_MAX: usize = 32;

/// A source's files, sorted, and where they lie.
#[derive(Debug, Clone)]
pub struct SourceFiles {
    /// Absolute paths, sorted, at least one.
    pub paths: Vec<PathBuf>,
    /// For Hive partitions: the folder above them and the partition columns, outermost first.
    pub partitioned: Option<(PathBuf, Vec<String>)>,
}

/// Finds a source's files. Errors when there are none, or one lies where it must not.
pub fn source_files(source: &SourceConfig) -> Result<SourceFiles, CatalogError> {
    let ending = source.format.ending();
    let has_pattern = |path: &Path| path.to_string_lossy().contains(['*', '?']);
    let mut paths = Vec::new();
    if has_pattern(&source.path) {
        let parts: Vec<String> = source
            .path
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        match_parts(Path::new(""), &parts, 0, &mut paths)?;
    } else if metadata(&source.path)?.is_dir() {
        walk(&source.path, source.format, 0, &mut paths)?;
    } else {
        paths.push(source.path.clone());
    }
    for path in &mut paths {
        let kind =
            |error: std::io::Error| CatalogError::Path { path: path.clone(), kind: error.kind() };
        *path = fs::canonicalize(&path).map_err(kind)?;
        if path.to_str().is_none_or(|text| text.contains(['*', '?', '['])) {
            return Err(CatalogError::FileName { path: path.clone() });
        }
    }
    paths.sort();
    paths.dedup();
    if paths.is_empty() {
        return Err(CatalogError::NoFiles { path: source.path.clone(), ending });
    }
    let partitioned = partitions(source, &paths)?;
    Ok(SourceFiles { paths, partitioned })
}

fn metadata(path: &Path) -> Result<fs::Metadata, CatalogError> {
    fs::metadata(path)
        .map_err(|error| CatalogError::Path { path: path.to_owned(), kind: error.kind() })
}

/// Entries of a folder, sorted, hidden ones left out.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, CatalogError> {
    let wrong =
        |error: std::io::Error| CatalogError::Path { path: folder.to_owned(), kind: error.kind() };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(['.', '_']) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn walk(
    folder: &Path,
    format: FileFormat,
    depth: usize,
    into: &mut Vec<PathBuf>,
) -> Result<(), CatalogError> {
    for (name, path) in entries(folder)? {
        if metadata(&path)?.is_dir() {
            if depth < DEPTH_MAX {
                walk(&path, format, depth + 1, into)?;
            }
        } else if name.ends_with(format.ending()) && into.len() < FILES_MAX {
            into.push(path);
        }
    }
    Ok(())
}

/// Matches the rest of a pattern's parts below `at`; `**` stands for any number of folders.
fn match_parts(
    at: &Path,
    parts: &[String],
    depth: usize,
    into: &mut Vec<PathBuf>,
) -> Result<(), CatalogError> {
    let Some((part, rest)) = parts.split_first() else {
        if into.len() < FILES_MAX && fs::metadata(at).is_ok_and(|found| found.is_file()) {
            into.push(at.to_owned());
        }
        return Ok(());
    };
    let here = if at.as_os_str().is_empty() { Path::new(".") } else { at };
    if part == "**" {
        match_parts(at, rest, depth, into)?;
        for (_, path) in entries(here)? {
            if depth < DEPTH_MAX && metadata(&path)?.is_dir() {
                match_parts(&path, parts, depth + 1, into)?;
            }
        }
        return Ok(());
    }
    if !part.contains(['*', '?']) {
        return match_parts(&at.join(part), rest, depth, into);
    }
    if !fs::metadata(here).is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    for (name, path) in entries(here)? {
        if matches(part, &name) {
            match_parts(&path, rest, depth, into)?;
        }
    }
    Ok(())
}

/// Whether a name fits a pattern of `*` (any characters) and `?` (one character).
fn matches(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // reach[i]: the pattern so far fits the first i characters.
    let mut reach = vec![false; name.len() + 1];
    if let Some(start) = reach.first_mut() {
        *start = true;
    }
    for wanted in pattern.chars() {
        let mut next = vec![false; name.len() + 1];
        let mut any = false;
        for (place, fits) in reach.iter().enumerate() {
            any |= *fits;
            if wanted == '*' {
                next[place] = any;
            } else if *fits
                && name.get(place).is_some_and(|found| wanted == '?' || wanted == *found)
            {
                next[place + 1] = true;
            }
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

/// Reads the partition columns' order off the first file and checks the others against it.
fn partitions(
    source: &SourceConfig,
    paths: &[PathBuf],
) -> Result<Option<(PathBuf, Vec<String>)>, CatalogError> {
    if source.hive_partitions.is_empty() {
        return Ok(None);
    }
    let wrong = |path: &Path| {
        let wanted: Vec<String> =
            source.hive_partitions.keys().map(|name| format!("`{name}=...`")).collect();
        CatalogError::Partitions { path: path.to_owned(), wanted: wanted.join(", ") }
    };
    let unreadable = |error: std::io::Error| CatalogError::Path {
        path: source.path.clone(),
        kind: error.kind(),
    };
    let root = fs::canonicalize(&source.path).map_err(unreadable)?;
    let mut order: Option<Vec<String>> = None;
    for path in paths {
        let folders =
            path.strip_prefix(&root).ok().and_then(Path::parent).ok_or_else(|| wrong(path))?;
        let names = folders.components().map(|part| {
            let (name, _) = part.as_os_str().to_str()?.split_once('=')?;
            source.hive_partitions.contains_key(name).then(|| name.to_owned())
        });
        let names: Vec<String> = names.collect::<Option<_>>().ok_or_else(|| wrong(path))?;
        if names.len() != source.hive_partitions.len()
            || order.as_ref().is_some_and(|order| *order != names)
        {
            return Err(wrong(path));
        }
        order.get_or_insert(names);
    }
    Ok(order.map(|order| (root, order)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: PathBuf, hive: &str) -> SourceConfig {
        let text = format!(
            "dataset = \"events\"\nformat = \"csv\"\npath = \"x\"\nhive_partitions = {{ {hive} }}\n[columns]\n"
        );
        SourceConfig { path, ..toml::from_str(&text).unwrap() }
    }

    fn touch(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a\n1\n").unwrap();
        }
    }

    fn found(root: &Path, path: &str, hive: &str) -> Result<Vec<String>, String> {
        let root = fs::canonicalize(root).unwrap();
        let files =
            source_files(&source(root.join(path), hive)).map_err(|error| error.to_string())?;
        let short = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        Ok(files.paths.iter().map(short).collect())
    }

    #[test]
    fn folders_and_patterns_give_sorted_files() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            &["b.csv", "a.csv", "sub/c.csv", "_d.csv", ".e.csv", "f.txt", "sub/deep/g.csv"],
        );
        assert_eq!(
            found(root.path(), "", "").unwrap(),
            ["a.csv", "b.csv", "sub/c.csv", "sub/deep/g.csv"]
        );
        assert_eq!(found(root.path(), "?.csv", "").unwrap(), ["a.csv", "b.csv"]);
        assert_eq!(found(root.path(), "s*/*.csv", "").unwrap(), ["sub/c.csv"]);
        assert_eq!(found(root.path(), "**/*.csv", "").unwrap().len(), 4);
        assert_eq!(found(root.path(), "f.txt", "").unwrap(), ["f.txt"]);
        assert!(found(root.path(), "*.parquet", "").unwrap_err().contains("no file matches"));
        assert!(found(root.path(), "gone.csv", "").unwrap_err().contains("cannot be read"));
        touch(root.path(), &["odd/a[1].csv"]);
        assert!(found(root.path(), "odd", "").unwrap_err().contains("rename"));
    }

    #[test]
    fn partitions_are_read_off_the_folders_or_refused() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), &["t/month=1/town=x/a.csv", "t/month=2/town=y/b.csv"]);
        let hive = r#"town = "text", month = "int64""#;
        let files = source_files(&source(root.path().join("t"), hive)).unwrap();
        assert_eq!(files.partitioned.unwrap().1, ["month", "town"]);
        assert!(found(root.path(), "t", r#"month = "int64""#).unwrap_err().contains("`month=...`"));
        touch(root.path(), &["t/town=x/month=2/c.csv"]);
        assert!(found(root.path(), "t", hive).is_err());
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("??", "a", false),
            ("*a*b*", "xaxxbx", true),
            ("é?", "éa", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(200), &"b".repeat(200)));
    }
}
