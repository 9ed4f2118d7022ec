//! The `cloister-node` binary; everything is in the library, so that the tour can call it too.

fn main() -> std::process::ExitCode {
    cloister_node::cli::main(std::env::args_os())
}
