//! What the agents say to each other over gRPC, in mail types
