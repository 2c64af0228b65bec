//! The mail delivery agent
