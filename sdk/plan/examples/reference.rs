//! Writes the reference page of the SQL surface, `sdk/plan/SQL.md`, from code. It must be run again
//! whenever a test says that the page is stale.

fn main() -> std::process::ExitCode {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/SQL.md");
    let written = cloister_plan::reference::page()
        .map_err(|error| error.to_string())
        .and_then(|page| std::fs::write(path, page).map_err(|error| error.to_string()));
    match written {
        Ok(()) => {
            println!("wrote {path}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path} was not written: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
