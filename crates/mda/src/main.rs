//! The mail delivery agent's program.

fn main() -> std::process::ExitCode {
    service::main("mda", mda::ABOUT, mda::run)
}
