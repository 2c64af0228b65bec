//! The mail submission agent
