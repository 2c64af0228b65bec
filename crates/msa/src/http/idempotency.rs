//! The field Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): reading it, and the fingerprint by which a request that is
//! repeated is told from another one that bears its key by mistake.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use mail::{IdempotencyKey, Mailbox};
use sha2::{Digest, Sha256};

use super::problem::Problem;

const FIELD: &str = "idempotency-key";

/// The key of a request from this account; none where it has none.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn key(
    headers: &HeaderMap,
    account: &Mailbox,
    fingerprint: impl FnOnce() -> [u8; 32],
) -> Result<Option<IdempotencyKey>, Problem> {
    let mut fields = headers.get_all(FIELD).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let malformed =
        || Problem::bad_request("The field Idempotency-Key needs one key of 1 to 255 visible characters");
    if fields.next().is_some() {
        return Err(malformed());
    }
    let text = unquoted(field.to_str().map_err(|_| malformed())?).ok_or_else(malformed)?;
    IdempotencyKey::new(account.clone(), &text, fingerprint()).map(Some).map_err(|_| malformed())
}

/// A string as RFC 9651 3.3.3 writes it; many clients leave the quotes away.
fn unquoted(text: &str) -> Option<String> {
    let text = text.trim();
    let Some(inner) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(plain),
            '\\' => plain.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            character => plain.push(character),
        }
    }
}

/// A hash over all of a request that says what is to be done.
pub(crate) fn fingerprint(head: &Parts, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let content_type = head.headers.get(axum::http::header::CONTENT_TYPE);
    for part in [
        head.uri.path().as_bytes(),
        head.uri.query().unwrap_or_default().as_bytes(),
        content_type.map(axum::http::HeaderValue::as_bytes).unwrap_or_default(),
    ] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.update(body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Result<Option<String>, ()> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FIELD, field.parse().unwrap());
        }
        let account = "alice@example.test".parse().unwrap();
        key(&headers, &account, || [0; 32]).map(|key| key.map(|key| key.key)).map_err(drop)
    }

    #[test]
    fn a_key_may_have_quotes_or_none() {
        assert_eq!(read(&[]), Ok(None));
        for field in ["8e03978e-40d5", "\"8e03978e-40d5\"", " 8e03978e-40d5 "] {
            assert_eq!(read(&[field]), Ok(Some("8e03978e-40d5".to_owned())), "{field}");
        }
        assert_eq!(read(&[r#""a\"b\\c""#]), Ok(Some(r#"a"b\c"#.to_owned())));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for fields in [&[""][..], &["\"\""], &["\"a"], &["\"a\"b"], &["a b"], &[r#""a\b""#], &["a", "a"]] {
            assert_eq!(read(fields), Err(()), "{fields:?}");
        }
        assert_eq!(read(&[&"x".repeat(256)]), Err(()));
    }

    #[test]
    fn another_request_has_another_fingerprint() {
        let print = |uri: &str, content_type: &str, body: &str| {
            let request = axum::http::Request::builder().uri(uri).header("content-type", content_type);
            fingerprint(&request.body(()).unwrap().into_parts().0, body.as_bytes())
        };
        let first = print("/v1/messages", "application/json", "{}");
        assert_eq!(first, print("/v1/messages", "application/json", "{}"));
        for other in [
            print("/v1/messages?to=a", "application/json", "{}"),
            print("/v1/messages", "message/rfc822", "{}"),
            print("/v1/messages", "application/json", "{ }"),
        ] {
            assert_ne!(first, other);
        }
    }
}
