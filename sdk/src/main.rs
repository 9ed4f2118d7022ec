//! The command line's binary.
fn main() -> std::process::ExitCode {
    // A dry run of a module runs it as a node does: in a process of this program.
    if let Some(code) = cloister_node::worker_main_if_asked() {
        return code;
    }
    cloister::main(std::env::args_os())
}
