//! From configuration and keys to a node that serves: opened in one fixed order, and not at all when
//! a part is wrong. Nothing is charged or read here but what a crash left behind.

use crate::admit::Terms;
use crate::agreement::{NotOurAgreement, SignedAgreement};
use crate::catalog::{Catalog, CatalogError};
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};
use crate::measure::MeasureOptions;
use crate::run::{Runs, Tables, Work};
use crate::serve::Node;
use crate::slot::SystemPace;
use crate::state::{FolderLock, StateError, StateFolder, read_bounded};
use cloister_net::{Clock, ConnectError, Dialer};
use cloister_sandbox::{CompileCache, RunnerError, Workers};
use cloister_terms::limits::DOCUMENT_BYTES_MAX;
use cloister_wire::SigningKey;
use std::sync::Arc;

/// A node that is ready to serve. The folder stays locked as long as it lives.
#[derive(Debug)]
pub struct Started {
    /// The node.
    pub node: Arc<Node>,
    /// Dials with the node's certificate.
    pub dialer: Dialer,
    /// The coordinator's address, host:port.
    pub address: String,
    _lock: FolderLock,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder is unusable.
    #[error(transparent)]
    State(#[from] StateError),
    /// The ledger is unusable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The agreement is not this partner's.
    #[error(transparent)]
    Agreement(#[from] NotOurAgreement),
    /// There is no agreement yet.
    #[error(
        "`{0}` is not there: put the agreement that every party signed there, or correct `agreement` in node.toml"
    )]
    NoAgreement(String),
    /// The tables do not map onto the dictionary.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The slot is longer than the agreement lets a run take.
    #[error(
        "`release_slot_ms` is {slot_ms}, the agreement's `run_time_max_ms` is {run_time_max_ms}: a run could never end in time; lower the slot"
    )]
    SlotTooLong {
        /// The node's slot.
        slot_ms: u64,
        /// The agreement's limit.
        run_time_max_ms: u64,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The certificate was made for another partner.
    #[error(
        "the certificate in the state folder is `{found}`'s, `name` in node.toml is `{wanted}`: use one name"
    )]
    OtherName {
        /// The certificate's name.
        found: String,
        /// The configuration's.
        wanted: String,
    },
    /// Modules cannot run as they should.
    #[error("no module could run here: {0}")]
    Modules(#[from] RunnerError),
    /// Nobody said where the coordinator is.
    #[error(
        "the coordinator's address is not known: set `coordinator` in node.toml, or join with `cloister-node enroll`"
    )]
    NoCoordinator,
}

/// The agreement the configuration names, opened with the folder's keys and not pinned yet; `None`
/// when the file is not there.
pub fn agreement(
    config: &Config,
    state: &StateFolder,
) -> Result<Option<SignedAgreement>, StartError> {
    if !config.agreement.exists() {
        return Ok(None);
    }
    // base64 grows by a third; signatures fit in the rest.
    let bytes_max = (DOCUMENT_BYTES_MAX as u64).saturating_mul(2);
    let bytes = read_bounded(&config.agreement, bytes_max)?;
    let (steward, node) = (state.steward_key_file()?, state.node_key_file()?);
    let (steward, node) = (steward.public_key(), node.public_key());
    Ok(Some(SignedAgreement::open(&bytes, &config.name, &steward, &node)?))
}

/// Errors when the node's slot is longer than the agreement lets a run take.
pub fn check_slot(config: &Config, agreement: &SignedAgreement) -> Result<(), StartError> {
    let run_time_max_ms = agreement.document().run_time_max_ms;
    let slot_ms = config.release_slot_ms;
    if slot_ms > run_time_max_ms {
        return Err(StartError::SlotTooLong { slot_ms, run_time_max_ms });
    }
    Ok(())
}

/// What this node holds askings against; pins the agreement at its first use and journals lifetime
/// caps that are new.
pub fn terms(
    config: &Config,
    agreement: SignedAgreement,
    ledger: &Ledger,
    now_s: i64,
) -> Result<Terms, StartError> {
    check_slot(config, &agreement)?;
    ledger.check_namespace(&agreement.own().unit_namespace)?;
    ledger.pin_first(agreement.digest(), now_s)?;
    ledger.note_lifetime_caps(&agreement.own().unit_namespace, config.lifetime_caps, now_s)?;
    let lifetime_caps = config.lifetime_caps;
    let workers = Workers::of_this_program(config.sandbox.require_kernel_isolation);
    Ok(Terms {
        agreement,
        lifetime_caps,
        release_slot_ms: config.release_slot_ms,
        workers,
        remembered: Arc::default(),
    })
}

/// Where this node's modules run: in processes of this program, with a compile cache in its state folder.
pub fn workers(config: &Config, state: &StateFolder) -> Workers {
    let workers = Workers::of_this_program(config.sandbox.require_kernel_isolation);
    match CompileCache::open(&state.modules_path()) {
        Ok(cache) => workers.with_cache(cache),
        Err(cause) => {
            let folder = state.modules_path();
            tracing::warn!(folder = %folder.display(), %cause, "no compile cache: modules are compiled for each run");
            workers
        }
    }
}

/// Whether this kernel has every protection for module workers of this program.
pub fn kernel_isolates_modules() -> bool {
    Workers::of_this_program(true).protections().is_ok()
}

/// Says in the log what keeps modules in; refuses a kernel that lacks what the configuration requires.
fn check_isolation(workers: &Workers) -> Result<(), StartError> {
    match workers.protections()? {
        Some(on) if on.are_all_on() => {
            tracing::info!(protections = %on, "modules run in a process of their own");
        }
        Some(on) => {
            tracing::warn!(protections = %on, "modules run in a process of their own, with less than every protection, as node.toml allows");
        }
        None => tracing::warn!("modules run in a thread of this process: for tests alone"),
    }
    Ok(())
}

/// The partner's tables, mapped onto the agreement's dictionary.
pub fn tables(config: &Config, agreement: &SignedAgreement) -> Result<Tables, StartError> {
    let catalog = Catalog::open(&config.sources, &agreement.document().dictionary)?;
    Ok(Tables { catalog, options: MeasureOptions::default() })
}

/// Opens everything and takes up what a crash left behind. Blocks on the disk; a runtime must be
/// entered.
///
/// # Errors
/// The first [`StartError`]; nothing runs then.
pub fn start(
    config: &Config,
    node_key: SigningKey,
    clock: Arc<dyn Clock>,
) -> Result<Started, StartError> {
    let state = StateFolder::open(&config.state)?;
    let lock = state.lock()?;
    let identity = state.identity()?;
    let found = identity.claims().map_err(StateError::from)?.name;
    if found != config.name {
        let (found, wanted) = (found.to_string(), config.name.to_string());
        return Err(StartError::OtherName { found, wanted });
    }
    let address = config.coordinator.clone().or_else(|| state.coordinator());
    let address = address.ok_or(StartError::NoCoordinator)?;
    let dialer = Dialer::new(&identity, clock.clone())?;
    let workers = workers(config, &state);
    check_isolation(&workers)?;
    let ledger = Arc::new(Ledger::open(&state.ledger_path())?);
    let now_s = i64::try_from(clock.now_unix_s()).unwrap_or(i64::MAX);
    let node = match agreement(config, &state)? {
        Some(agreement) => {
            let mut tables = tables(config, &agreement)?;
            tables.options.workers = workers.clone();
            let work: Arc<dyn Work> = Arc::new(tables);
            let terms = Terms { workers, ..terms(config, agreement, &ledger, now_s)? };
            let pace = Arc::new(SystemPace::default());
            let runs = Runs::new(ledger, work, node_key, clock, pace, terms);
            let runs = Arc::new(runs);
            runs.resume()?;
            Node::new(runs)
        }
        None => {
            tracing::warn!(file = %config.agreement.display(), "no agreement yet: every run is refused until it is there and the node started again");
            Node::without_agreement(ledger, clock)
        }
    };
    Ok(Started { node: Arc::new(node), dialer, address, _lock: lock })
}
