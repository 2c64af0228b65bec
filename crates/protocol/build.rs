//! Generates the types and services of `proto/` without protoc.

use std::error::Error;

const FILES: [&str; 7] = [
    "postrider/v1/envelope.proto",
    "postrider/v1/relay.proto",
    "postrider/v1/delivery.proto",
    "postrider/v1/directory.proto",
    "postrider/v1/quotas.proto",
    "postrider/v1/queue_admin.proto",
    "postrider/v1/mailbox.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(FILES, [root])?;
    tonic_prost_build::configure()
        // Content is shared with the buffer that it arrived in, not copied.
        .bytes(".postrider.v1")
        .build_transport(false)
        // A password must not reach a log, not even by way of Debug.
        .skip_debug([
            ".postrider.v1.AuthenticateRequest",
            ".postrider.v1.AuthenticateRequest.proof",
            ".postrider.v1.ScramProof",
            ".postrider.v1.AccountRequest",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
