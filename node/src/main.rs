//! The `cloister-node` binary; everything is in the library, so that the tour can call it too.

fn main() -> std::process::ExitCode {
    if let Some(code) = cloister_node::worker_main_if_asked() {
        return code;
    }
    cloister_node::cli::main(std::env::args_os())
}
