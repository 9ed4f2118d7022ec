//! The coordinator's binary.
fn main() -> std::process::ExitCode {
    cloister_coordinator::main(std::env::args_os())
}
