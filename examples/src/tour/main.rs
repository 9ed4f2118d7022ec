//! The tour: the main job of Cloister, end to end, as separate processes on loopback. It is one
//! binary that runs itself again in each role; what a partner's or a person's process does, it does
//! through the same command line that they would use on their own machines.

mod beside;
mod book;
mod folds;
mod refusals;
mod setup;
mod stage;
mod story;
mod truth;

use clap::Parser;
use cloister_examples::cast;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// First argument of a process that plays a role.
const ROLE: &str = "@role";

#[derive(Parser)]
#[command(
    name = "tour",
    about = "Four partners answer two approved analyses; nobody's records move."
)]
struct Arguments {
    /// People at each partner of the made-up scenario.
    #[arg(long, default_value_t = cloister_examples::scenario::PEOPLE_DEFAULT, conflicts_with = "data")]
    people: u32,
    /// Seed of the made-up scenario.
    #[arg(long, default_value_t = cloister_examples::scenario::SEED_DEFAULT)]
    seed: u64,
    /// Run on the real records in this folder instead.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Write everything that was printed to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep the folder with keys, ledgers and logs.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    // A node that the tour plays starts its module workers from this same binary.
    if let Some(code) = cloister_node::worker_main_if_asked() {
        return code;
    }
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|first| first == ROLE) {
        // `tour @role node --config ...` becomes `node --config ...`.
        let mut rest = args.split_off(2).into_iter();
        let role = rest.next().unwrap_or_default();
        let args = std::iter::once(role.clone()).chain(rest);
        return match role.to_str() {
            Some("node") => cloister_node::cli::main(args),
            Some("coordinator") => cloister_coordinator::main(args),
            Some("cloister") => cloister::main(args),
            _ => ExitCode::from(2),
        };
    }
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match play(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe tour stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &Arguments) -> Result<(), story::TourError> {
    let mut book = book::Book::new(arguments.json.clone())?;
    let mut stage = stage::Stage::new(arguments.keep)?;
    let cast = match &arguments.data {
        Some(folder) => cast::real(folder),
        None => cast::made_up(arguments.people, arguments.seed),
    };
    let played = story::play(&cast, &mut stage, &mut book);
    // What was printed is written also when a step failed: it says which.
    book.save(played.as_ref().err().map(ToString::to_string))?;
    if played.is_err() {
        stage.keep_and_show_logs();
    }
    played
}
