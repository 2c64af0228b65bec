//! The mail transfer agent
