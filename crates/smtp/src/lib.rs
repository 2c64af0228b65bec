//! SMTP: grammar, sans-I/O session and dialogue, and their tokio and rustls drivers
