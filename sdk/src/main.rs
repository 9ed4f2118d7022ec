//! The command line's binary.
fn main() -> std::process::ExitCode {
    cloister::main(std::env::args_os())
}
