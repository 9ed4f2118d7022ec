//! `agreement draft | sign | publish | show`.

use super::{CliError, PersonArguments, connected, now_s, read, read_text, write};
use clap::Subcommand;
use cloister_terms::{Act, Agreement, check_dates};
use cloister_wire::dsse::Envelope;
use cloister_wire::message::FromPerson;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(super) enum AgreementCommand {
    /// Turn a TOML draft into the document that parties sign.
    Draft {
        /// The draft.
        draft: PathBuf,
        /// Where the unsigned document goes.
        #[arg(long)]
        out: PathBuf,
    },
    /// Add your signature to the document, in place.
    Sign {
        /// The document.
        file: PathBuf,
        /// Sign with this key file instead of your folder's (a steward's key lies in the node's folder).
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Hand the fully signed document to the coordinator.
    Publish {
        /// The document.
        file: PathBuf,
    },
    /// Show the document in plain words, and who signed.
    Show {
        /// The document.
        file: PathBuf,
        /// Show exact budgets too.
        #[arg(long)]
        verbose: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn agreement(
    person: &PersonArguments,
    command: &AgreementCommand,
) -> Result<(), CliError> {
    match command {
        AgreementCommand::Draft { draft, out } => {
            let agreement = crate::draft::agreement_from_toml(&read_text(draft)?)?;
            let envelope = Envelope::unsigned(&agreement)?;
            write(out, &envelope.to_bytes())?;
            let digest = envelope.open::<Agreement>()?.digest();
            tell!(
                "agreement {digest} written to {}; every party's steward signs it next",
                out.display()
            );
        }
        AgreementCommand::Sign { file, key } => sign(person, file, key.as_deref(), now_s)?,
        AgreementCommand::Publish { file } => {
            let envelope = Envelope::parse(&read(file)?)?;
            let agreement = cloister_wire::proof::open_agreement(&envelope)?;
            let message = FromPerson::Publish { agreement: envelope.to_bytes() };
            connected(person, async |client| Ok(client.store(&message).await?)).await?;
            tell!("agreement {} published", agreement.digest());
        }
        AgreementCommand::Show { file, verbose, json } => show(file, *verbose, *json)?,
    }
    Ok(())
}

pub(super) fn sign(
    person: &PersonArguments,
    file: &Path,
    key: Option<&Path>,
    now_s: impl FnOnce() -> i64,
) -> Result<(), CliError> {
    let mut envelope = Envelope::parse(&read(file)?)?;
    let opened = envelope.open::<Agreement>()?;
    opened.document().check().map_err(crate::draft::DraftError::from)?;
    // First the key: whoever types a passphrase may take long over it.
    let key = match key {
        Some(path) => {
            let passphrase = crate::passphrase::existing(person.passphrase_file.as_deref())?;
            cloister_wire::KeyFile::parse(&read(path)?)?.open(&passphrase)?
        }
        None => person.signing_key()?,
    };
    let party = opened.document().parties.iter().find(|p| p.steward_key == key.public_key());
    let party = party.ok_or_else(|| CliError::NotAParty(person.home.clone()))?;
    check_dates(opened.document(), None, Act::Sign, now_s())?;
    envelope.add_signature(&key)?;
    replace(file, &envelope.to_bytes())
        .map_err(|error| CliError::File { path: file.to_owned(), error })?;
    tell!("signed for `{}`", party.partner);
    Ok(())
}

/// Puts a document in the place of one that is there, which may hold signatures that no other file does: at
/// each moment it is either old or new.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What a link names is replaced, not the link.
    let path = std::fs::canonicalize(file)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut written = std::fs::File::create(&fresh)?;
    written.set_permissions(std::fs::metadata(&path)?.permissions())?;
    written.write_all(bytes)?;
    written.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    // Elsewhere a folder cannot be opened.
    match path.parent().filter(|_| cfg!(unix)) {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn show(file: &Path, verbose: bool, json: bool) -> Result<(), CliError> {
    let opened = Envelope::parse(&read(file)?)?.open::<Agreement>()?;
    let signed = |key| opened.is_signed_by(key);
    if json {
        let parties = &opened.document().parties;
        let signed: Vec<_> =
            parties.iter().filter(|p| signed(&p.steward_key)).map(|p| &p.partner).collect();
        let value = serde_json::json!({
            "digest": opened.digest(), "signed_by": signed, "agreement": opened.document(),
        });
        say!("{value}");
        return Ok(());
    }
    say!("digest         {}", opened.digest());
    super::out(&crate::words::agreement(opened.document(), verbose));
    for party in &opened.document().parties {
        let state = if signed(&party.steward_key) { "signed" } else { "NOT signed yet" };
        say!("signature      {}: {state}", party.partner);
    }
    Ok(())
}
