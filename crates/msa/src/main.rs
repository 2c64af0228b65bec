//! The program `msa`.

fn main() -> std::process::ExitCode {
    service::main("msa", "Takes mail from clients: submission on ports 587, 465 and 2525", msa::start)
}
