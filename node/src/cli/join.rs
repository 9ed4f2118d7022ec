//! Keys, folders and enrolment. Every private key is made here and stays here; what is printed is
//! public.

use super::opened::{new_passphrase, now_s};
use super::{CliError, Printed, Shared};
use crate::config::{Config, sample_for};
use crate::state::{StateError, StateFolder};
use clap::Args;
use cloister_net::{Role, SystemClock, Token, enrol_at_each};
use cloister_terms::Name;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the configuration that `init` writes.
const CONFIG_FILE: &str = "node.toml";
/// Name of the state folder in the sample configuration.
const STATE_FOLDER: &str = "state";

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Folder for configuration and state; made if needed
    #[arg(long, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// This partner's name, as it will stand in the agreement
    #[arg(long)]
    name: Name,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    pub fn run(self, shared: &Shared) -> Printed {
        let config = self.folder.join(CONFIG_FILE);
        if config.exists() {
            return Err(CliError::ConfigExists(config));
        }
        let folder = self.folder.join(STATE_FOLDER);
        let (state, made) = match StateFolder::open(&folder) {
            // Of an `init` that was cut short before its last step.
            Ok(state) => (state, "for the keys"),
            Err(StateError::NotInitialised(_)) => {
                (StateFolder::create(&folder, &new_passphrase(shared)?)?.0, "and the keys")
            }
            Err(other) => return Err(other.into()),
        };
        let steward = state.steward_key_file()?.public_key();
        let node = state.node_key_file()?.public_key();
        // The last step, and whole: where it is done, `init` is.
        let fresh = self.folder.join(format!("{CONFIG_FILE}.new"));
        write_synced(&fresh, &sample_for(&self.name))
            .and_then(|()| std::fs::rename(&fresh, &config))
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|cause| CliError::File { path: config.clone(), verb: "written", cause })?;
        let steward_key_file = state.steward_key_path();
        if self.json {
            let made = serde_json::json!({
                "name": self.name,
                "config": config,
                "steward_key": steward,
                "node_key": node,
                "steward_key_file": steward_key_file,
            });
            return Ok(format!("{made}\n"));
        }
        Ok(format!(
            "Made {config} {made} of `{name}`.\n\n\
             Give these public keys to whoever drafts the agreement:\n\
             \x20 steward key  {steward}\n  node key     {node}\n\n\
             Next: edit {config}, sign the agreement with {steward_file},\n\
             then join with `cloister-node enroll`. To try it alone first: draft local.toml beside it with\n\
             `cloister-node describe FILE > local.toml`, then `cloister-node answer ANALYSIS.toml`.\n",
            config = config.display(),
            name = self.name,
            steward_file = steward_key_file.display(),
        ))
    }
}

/// Writes a file that the disk keeps.
fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[derive(Debug, Args)]
pub(super) struct Enroll {
    /// The one-time token that the coordinator's operator made for this node
    #[arg(long)]
    token: String,
    /// The coordinator's address for running, host:port
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: String,
    /// The coordinator's address for joining, host:port
    #[arg(long, value_name = "HOST:PORT")]
    enrol_addr: String,
}

impl Enroll {
    pub fn run(self, shared: &Shared) -> Printed {
        let config = Config::load(&shared.config)?;
        let state = StateFolder::open(&config.state)?;
        let token: Token = self.token.trim().parse().map_err(|_| {
            // A token is a secret: only its beginning may be shown.
            CliError::Token(self.token.chars().take(16).collect())
        })?;
        let runtime = super::run::runtime()?;
        let identity = runtime.block_on(async {
            // Before the token is used up: a node that cannot reach it could not run.
            look_up(&self.coordinator).await?;
            let addresses = look_up(&self.enrol_addr).await?;
            let clock = Arc::new(SystemClock);
            let enrolled = enrol_at_each(&addresses, &token, &config.name, Role::Node, clock).await;
            enrolled.map_err(CliError::from)
        })?;
        state.keep_identity(&identity, &self.coordinator)?;
        let claims = identity.claims().map_err(crate::state::StateError::from)?;
        let until_s = i64::try_from(claims.not_after_s).unwrap_or(i64::MAX);
        let days = until_s.saturating_sub(now_s()) / 86_400;
        Ok(format!(
            "Joined as `{}`; the certificate holds for {days} days. Next: `cloister-node check`.\n",
            claims.name
        ))
    }
}

/// The addresses of host:port, one at least.
pub(super) async fn look_up(address: &str) -> Result<Vec<SocketAddr>, CliError> {
    let unknown = || CliError::Address(address.to_owned());
    let found: Vec<_> = tokio::net::lookup_host(address).await.map_err(|_| unknown())?.collect();
    if found.is_empty() { Err(unknown()) } else { Ok(found) }
}
