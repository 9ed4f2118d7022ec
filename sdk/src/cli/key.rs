//! `key new | rotate | show` and `enroll`.

use super::{CliError, PersonArguments};
use crate::client::look_up;
use crate::home::Profile;
use clap::{Args, Subcommand};
use cloister_net::{Role, SystemClock, Token};
use cloister_terms::Name;
use cloister_wire::SigningKey;
use std::sync::Arc;

#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// Make a signing key, protected by a passphrase.
    New {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a new key in the place of the old one, which is kept.
    Rotate,
    /// Print the public key.
    Show,
}

#[derive(Args)]
pub(super) struct EnrollArguments {
    /// Your name, as the coordinator's operator invited you.
    #[arg(long)]
    name: Name,
    /// The one-time token.
    #[arg(long)]
    token: String,
    /// The coordinator's address, host:port.
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: String,
    /// The coordinator's enrolment address, host:port.
    #[arg(long, value_name = "HOST:PORT")]
    enrol_addr: String,
    /// Replace the certificate that is here, after a revocation or expiry.
    #[arg(long)]
    again: bool,
}

pub(super) fn key(person: &PersonArguments, command: &KeyCommand) -> Result<(), CliError> {
    let home = person.home();
    let make = || -> Result<_, CliError> {
        let passphrase = crate::passphrase::chosen(person.passphrase_file.as_deref())?;
        Ok(SigningKey::generate()?.seal(&passphrase)?)
    };
    match command {
        KeyCommand::New { json } => {
            let file = make()?;
            home.write_key(&file)?;
            let public = file.public_key();
            if *json {
                say!("{}", serde_json::json!({ "public_key": public }));
            } else {
                tell!(
                    "key written to {}; tell the agreement's drafter this public key:",
                    home.key_path().display()
                );
                say!("{public}");
            }
        }
        KeyCommand::Rotate => {
            let file = make()?;
            let kept = home.rotate_key(&file)?;
            tell!(
                "the old key is kept in {}; agreements that name it need a new version that names this one:",
                kept.display()
            );
            say!("{}", file.public_key());
        }
        KeyCommand::Show => say!("{}", home.key_file()?.public_key()),
    }
    Ok(())
}

pub(super) async fn enroll(
    person: &PersonArguments,
    arguments: &EnrollArguments,
) -> Result<(), CliError> {
    let home = person.home();
    if !arguments.again {
        home.not_enrolled()?;
    }
    let token: Token =
        arguments.token.trim().parse().map_err(|e| CliError::Token(format!("{e}")))?;
    let name = &arguments.name;
    // Before the token is used up: who cannot reach the coordinator cannot ask it anything.
    look_up(&arguments.coordinator).await?;
    let addresses = look_up(&arguments.enrol_addr).await?;
    let clock = Arc::new(SystemClock);
    let identity =
        cloister_net::enrol_at_each(&addresses, &token, name, Role::Person, clock).await?;
    let profile = Profile { name: name.clone(), coordinator: arguments.coordinator.clone() };
    home.write_enrolment(&profile, &identity)?;
    tell!("enrolled as `{name}`; your private TLS key was made here and stays here");
    Ok(())
}
