//! `node.toml`: what the steward declares about this node. Read whole or refused with the line and
//! the key; it holds no secret, and nothing here is ever taken from the coordinator.

use crate::alone::LocalConfig;
use crate::catalog::SourceConfig;
use cloister_terms::{Budget, Name};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The sample that `cloister-node init` starts from, every key explained.
pub const SAMPLE: &str = include_str!("../node.sample.toml");
/// The sample's partner name, which `init` replaces.
const SAMPLE_NAME: &str = "name = \"north-mobile\"";
/// Longest release slot: one day.
pub const RELEASE_SLOT_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Largest configuration file, in bytes.
const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A node's configuration, paths made absolute or relative to the working folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The partner's name.
    pub name: Name,
    /// Folder of keys, certificate and ledger.
    pub state: PathBuf,
    /// Address of the coordinator; without it, the one kept by enrolment.
    #[serde(default)]
    pub coordinator: Option<String>,
    /// The signed agreement.
    pub agreement: PathBuf,
    /// From charge to answer, in milliseconds.
    pub release_slot_ms: u64,
    /// What all analyses together may ever spend.
    pub lifetime_caps: Budget,
    /// What keeps modules in.
    #[serde(default)]
    pub sandbox: SandboxConfig,
    /// What `cloister-node answer` goes by while there is no agreement.
    #[serde(default)]
    pub local: LocalConfig,
    /// The partner's tables.
    #[serde(default, rename = "source")]
    pub sources: Vec<SourceConfig>,
}

/// What keeps modules in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxConfig {
    /// Do not start where the kernel lacks a protection for module workers.
    pub require_kernel_isolation: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { require_kernel_isolation: true }
    }
}

/// Why a configuration is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "`{path}` cannot be read: {cause}; make one with `cloister-node init`, or name it with --config"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is no TOML, or a key is missing, unknown or malformed.
    #[error("`{path}`, line {line}: {detail}; every key is explained in node.sample.toml")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with which key.
        detail: String,
    },
    /// The slot is 0 or too long.
    #[error("`release_slot_ms` is {found}: it must be between 1 and {RELEASE_SLOT_MS_MAX}")]
    Slot {
        /// The number found.
        found: u64,
    },
    /// The coordinator's address is none.
    #[error(
        "`coordinator` is `{found}`: write host:port, such as \"coordinator.example.org:4433\""
    )]
    Coordinator {
        /// The text found.
        found: String,
    },
    /// Nothing may ever be spent.
    #[error("`lifetime_caps` allow nothing: give at least one column a number above \"0\"")]
    NoBudget,
}

impl Config {
    /// Reads `path`. Errors name the line and the key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > CONFIG_BYTES_MAX {
            return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    /// As [`Config::load`], from text; `path` says which folder paths are relative to.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
            let detail = error.message().trim().replace('\n', "; ");
            ConfigError::Malformed { path: path.to_owned(), line: line.saturating_add(1), detail }
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        config.state = folder.join(&config.state);
        config.agreement = folder.join(&config.agreement);
        config.local.file = folder.join(&config.local.file);
        for source in &mut config.sources {
            source.resolve(&folder);
        }
        // A slot of 0 lets an answer leave as soon as it is there: only benches and tests may.
        config.check(cfg!(feature = "for-tests"))?;
        Ok(config)
    }

    fn check(&self, may_be_zero: bool) -> Result<(), ConfigError> {
        let found = self.release_slot_ms;
        let too_short = found == 0 && !may_be_zero;
        if too_short || found > RELEASE_SLOT_MS_MAX {
            return Err(ConfigError::Slot { found });
        }
        if let Some(found) = self.coordinator.as_ref().filter(|text| !is_host_and_port(text)) {
            return Err(ConfigError::Coordinator { found: found.clone() });
        }
        if self.lifetime_caps.is_zero() {
            return Err(ConfigError::NoBudget);
        }
        Ok(())
    }
}

/// The sample with another partner's name.
pub fn sample_for(name: &Name) -> String {
    SAMPLE.replacen(SAMPLE_NAME, &format!("name = \"{name}\""), 1)
}

fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/cloister/node.toml")).map_err(|e| e.to_string())
    }

    #[test]
    fn the_sample_is_a_configuration_and_takes_a_name() {
        let config = parse(SAMPLE).unwrap();
        assert_eq!(config.state, Path::new("/etc/cloister/state"));
        assert_eq!(config.release_slot_ms, 30_000);
        assert!(config.sources.is_empty());
        let other = sample_for(&"east".parse().unwrap());
        assert_eq!(parse(&other).unwrap().name.as_str(), "east");
    }

    #[test]
    fn the_samples_commented_sources_are_sources() {
        let mut whole = SAMPLE.to_owned();
        let blocks = SAMPLE.split("\n\n").filter(|block| block.starts_with("# [[source]]"));
        for line in blocks.flat_map(str::lines) {
            whole += line.trim_start_matches("# ").trim_start_matches('#');
            whole.push('\n');
        }
        let config = parse(&whole).unwrap();
        let paths: Vec<_> = config.sources.iter().map(|source| source.path.as_path()).collect();
        let at = |path: &str| Path::new("/etc/cloister/data").join(path);
        assert_eq!(paths, [at("trips"), at("trips-*.csv")]);
    }

    #[test]
    fn kernel_isolation_is_required_unless_it_says_otherwise() {
        assert!(parse(SAMPLE).unwrap().sandbox.require_kernel_isolation);
        let without = SAMPLE.replacen("[sandbox]\nrequire_kernel_isolation = true", "", 1);
        assert!(without.len() < SAMPLE.len());
        assert!(parse(&without).unwrap().sandbox.require_kernel_isolation);
        let off = SAMPLE.replacen("isolation = true", "isolation = false", 1);
        assert!(!parse(&off).unwrap().sandbox.require_kernel_isolation);
        let unknown = SAMPLE.replacen("require_kernel_isolation", "kernel_isolation", 1);
        assert!(parse(&unknown).unwrap_err().contains("kernel_isolation"));
    }

    #[test]
    fn errors_name_line_and_key() {
        let line_of = |error: String, line: usize| {
            assert!(error.contains(&format!("line {line}:")), "{error}");
            error
        };
        let edit = |from: &str, to: &str| {
            assert!(SAMPLE.contains(from));
            SAMPLE.replacen(from, to, 1)
        };
        let line = |key: &str| SAMPLE.lines().position(|l| l.starts_with(key)).unwrap() + 1;
        let missing = parse(&edit("release_slot_ms = 30000", "")).unwrap_err();
        assert!(missing.contains("release_slot_ms"), "{missing}");
        let unknown = parse(&edit("release_slot_ms", "slot_ms")).unwrap_err();
        assert!(line_of(unknown, line("release_slot_ms")).contains("slot_ms"));
        let bad = parse(&edit("rho = \"2\"", "rho = \"2e9\"")).unwrap_err();
        assert!(line_of(bad, line("rho")).contains("2e9"));
        let name = parse(&edit("north-mobile", "North Mobile")).unwrap_err();
        line_of(name, line("name"));
        assert!(parse("name = ").unwrap_err().contains("line 1"));
        for address in ["nonsense", ":4433", "host:", "host:0", "host:65536"] {
            let text = format!("coordinator = \"{address}\"\n{SAMPLE}");
            let error = parse(&text).unwrap_err();
            assert!(error.contains(address) && error.contains("host:port"), "{error}");
        }
        for address in ["coordinator.example.org:4433", "127.0.0.1:1", "[::1]:4433"] {
            assert!(parse(&format!("coordinator = \"{address}\"\n{SAMPLE}")).is_ok());
        }
        let huge = parse(&edit("30000", "86400001")).unwrap_err();
        assert!(huge.contains("release_slot_ms"), "{huge}");
    }

    #[test]
    fn a_slot_of_zero_is_refused() {
        let mut config = parse(SAMPLE).unwrap();
        assert!(config.check(false).is_ok());
        config.release_slot_ms = 0;
        assert!(matches!(config.check(false), Err(ConfigError::Slot { found: 0 })));
        config.release_slot_ms = 1;
        config.lifetime_caps = Budget::ZERO;
        assert!(matches!(config.check(false), Err(ConfigError::NoBudget)));
    }
}
