//! What a handshake agreed on, and what authentication may be bound to.

use std::sync::Arc;

use rustls::{ClientConnection, CommonState, ProtocolVersion, ServerConnection};

use super::certificate;
use crate::sasl::scram::BindingKind;

/// The label of `tls-exporter` (RFC 9266 2).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// What a handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsInfo {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// `tls-exporter` (RFC 9266): what both sides of this session can derive, and nobody else. Only with TLS 1.3: with 1.2 it
    /// is safe under an extended master secret alone, and rustls does not tell whether there is one.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929 4): the hash of the server's certificate, where its signature has one hash.
    pub end_point: Option<Arc<[u8]>>,
    /// The addresses that the client's certificate is for, where the server asked for one and could verify it.
    pub client_addresses: Vec<String>,
}

impl TlsInfo {
    /// What the client sees.
    pub(crate) fn of_client(connection: &ClientConnection) -> Self {
        let export = || connection.export_keying_material([0; 32], EXPORTER, Some(&[])).ok();
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        Self {
            exporter: export().filter(|_| is_bindable(connection)),
            end_point: certificate.and_then(|certificate| certificate::end_point(certificate)),
            ..Self::agreed(connection)
        }
    }

    /// What the server sees, but for what it knows of certificates.
    pub(super) fn of_server(connection: &ServerConnection) -> Self {
        let export = || connection.export_keying_material([0; 32], EXPORTER, Some(&[])).ok();
        Self { exporter: export().filter(|_| is_bindable(connection)), ..Self::agreed(connection) }
    }

    fn agreed(connection: &CommonState) -> Self {
        let version = connection.protocol_version().and_then(|v| v.as_str()).unwrap_or("unknown");
        let suite =
            connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or("unknown");
        Self {
            version: version.replace('_', "."),
            cipher: suite.replacen("TLS13_", "TLS_", 1),
            ..Self::default()
        }
    }

    /// What an exchange is bound to, by this kind of binding.
    #[must_use]
    pub fn binding(&self, kind: BindingKind) -> Option<&[u8]> {
        match kind {
            BindingKind::Exporter => self.exporter.as_ref().map(<[u8; 32]>::as_slice),
            BindingKind::EndPoint => self.end_point.as_deref(),
        }
    }

    /// Whether an exchange can be bound to the session at all.
    #[must_use]
    pub fn can_bind(&self) -> bool {
        self.exporter.is_some() || self.end_point.is_some()
    }
}

fn is_bindable(connection: &CommonState) -> bool {
    connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}
