//! Postrider, the program for people.

fn main() -> std::process::ExitCode {
    postrider::main()
}
