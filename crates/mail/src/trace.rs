//! The W3C trace context that travels with a message, as text: who makes and reads it is telemetry's business.

/// `traceparent` and `tracestate` of W3C Trace Context; empty where nobody traces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceContext {
    /// `00-<trace id>-<span id>-<flags>`, or empty.
    pub traceparent: String,
    /// Vendor entries, or empty.
    pub tracestate: String,
}

impl TraceContext {
    /// Whether there is no context.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traceparent.is_empty()
    }

    /// The trace id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.split('-').nth(1).filter(|id| id.len() == 32)
    }
}
