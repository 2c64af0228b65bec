//! The mail delivery agent's program.

fn main() -> std::process::ExitCode {
    service::main_with("mda", mda::ABOUT, &[mda::MIGRATE], mda::run)
}
