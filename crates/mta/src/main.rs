//! The mta as a process of its own.

fn main() -> std::process::ExitCode {
    service::main(
        "mta",
        "Takes mail, queues it durably, and carries it to the next server or to the mda",
        mta::start,
    )
}
