//! Refusals as HTTP says them: problem details (RFC 9457). What SMTP would have said is translated here and nowhere else.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use smtp::Reply;
use utoipa::ToSchema;

use super::answer::{RecipientAnswer, json};

/// Why a request was refused (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    /// Always `about:blank`: `status` says which problem it is.
    #[schema(example = "about:blank")]
    pub(crate) r#type: String,
    /// The name of the status.
    #[schema(example = "Unprocessable Content")]
    pub(crate) title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub(crate) status: u16,
    /// One sentence that says what is wrong, and what to change.
    pub(crate) detail: String,
    /// The reply code that SMTP has for it (RFC 5321 4.2), where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) code: Option<u16>,
    /// The enhanced status code (RFC 3463), where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) enhanced: Option<String>,
    /// What became of each recipient, where all of them were refused.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) recipients: Vec<RecipientAnswer>,
}

/// A refused request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    reply: Option<(u16, String)>,
    recipients: Vec<RecipientAnswer>,
    /// In seconds.
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), reply: None, recipients: Vec::new(), retry_after: None }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The request can be read, and what it asks for cannot be done.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// For now; the same request may do later.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(0), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// A limit, whatever the reply's code.
    pub(crate) fn too_many(reply: &Reply) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, ..Self::from(reply) }
    }

    /// None of the recipients takes the message.
    pub(crate) fn no_recipient(recipients: Vec<RecipientAnswer>) -> Self {
        Self { recipients, ..Self::unprocessable("No recipient takes the message; see recipients") }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// A client is to wait at least so long before it tries again, where trying again may help.
    pub(crate) fn not_before(self, seconds: u64) -> Self {
        Self { retry_after: self.retry_after.map(|known| known.max(seconds).max(1)), ..self }
    }
}

/// What SMTP says, in the words of HTTP.
impl From<&Reply> for Problem {
    fn from(reply: &Reply) -> Self {
        let subject = reply.enhanced().map(|e| (e.subject, e.detail));
        let status = match (reply.code(), subject) {
            (530 | 535, _) => StatusCode::UNAUTHORIZED,
            // RFC 3463 X.7.1 for a time: a limit of what one may do.
            (400..=499, Some((7, 1) | (5, 3))) => StatusCode::TOO_MANY_REQUESTS,
            (400..=499, _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, Some((3, 4))) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, Some((7, _))) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let enhanced = reply.enhanced().map(|enhanced| enhanced.to_string()).unwrap_or_default();
        Self {
            reply: Some((reply.code(), enhanced)),
            retry_after: reply.is_transient().then_some(0),
            ..Self::new(status, reply.text().replace('\n', " "))
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, enhanced) = self.reply.unzip();
        let details = Details {
            r#type: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Refused").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            code,
            enhanced: enhanced.filter(|enhanced| !enhanced.is_empty()),
            recipients: self.recipients,
        };
        let mut response = json(self.status, &details);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"Postrider\", charset=\"UTF-8\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Postrider\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use smtp::reply;

    use super::*;

    #[test]
    fn what_smtp_says_has_a_status_of_its_own() {
        for (reply, status, again) in [
            (reply::authentication_failed(), 401, false),
            (reply::authentication_required(), 401, false),
            (crate::refusal::authentication_away(), 503, true),
            (crate::refusal::reverse_path(), 403, false),
            (crate::refusal::unreadable("From"), 422, false),
            (crate::refusal::not_queued(), 503, true),
            (reply::too_large(5), 413, false),
            (reply::storage_full(), 503, true),
            (Reply::new(450, (4, 7, 1), "Too many messages"), 429, true),
            (Reply::new(452, (4, 5, 3), "Too many recipients"), 429, true),
            (reply::unknown_user(), 422, false),
        ] {
            let problem = Problem::from(&reply).not_before(7);
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), status, "{reply}");
            assert_eq!(
                response.headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap()),
                again.then_some("7")
            );
            assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), status == 401);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }
}
