//! What OAUTHBEARER (RFC 7628) and XOAUTH2 say: whose token, and the token. Whether it is any good the agent knows.

use mail::Credentials;

use super::scram;

/// Divides the parts of a message (`kvsep`).
const SEPARATOR: char = '\u{1}';

/// What is said of a token that is not accepted (RFC 7628 3.2.2).
pub(super) const REFUSED: &str = r#"{"status":"invalid_token","schemes":"bearer"}"#;
/// The same in the form that XOAUTH2 has for it.
pub(super) const REFUSED_XOAUTH2: &str = r#"{"status":"401","schemes":"bearer"}"#;

/// `gs2-header kvsep *(key=value kvsep) kvsep` (RFC 7628 3.1). Without a token, which only asks how to come to one, it is
/// empty.
pub(super) fn oauthbearer(text: &str) -> Option<Credentials> {
    let (header, pairs) = text.split_once(SEPARATOR)?;
    // Channel binding is not provided for (RFC 7628 3.1): "n" or "y".
    let rest = header.strip_prefix("n,").or_else(|| header.strip_prefix("y,"))?;
    let authorize = rest.strip_suffix(',')?;
    let login = match authorize.strip_prefix("a=") {
        Some(name) => scram::decode_name(name)?,
        None if authorize.is_empty() => String::new(),
        None => return None,
    };
    let token = token(pairs)?.unwrap_or_default();
    Some(Credentials::Token { login, token: token.to_owned() })
}

/// `user=… kvsep auth=Bearer … kvsep kvsep`.
pub(super) fn xoauth2(text: &str) -> Option<Credentials> {
    let (user, pairs) = text.split_once(SEPARATOR)?;
    let login = user.strip_prefix("user=")?.to_owned();
    let token = token(pairs)?.unwrap_or_default();
    Some(Credentials::Token { login, token: token.to_owned() })
}

/// The token among the pairs, of which each ends in a separator, and all of them in one more.
fn token(pairs: &str) -> Option<Option<&str>> {
    if pairs == "\u{1}" {
        return Some(None);
    }
    let pairs = pairs.strip_suffix("\u{1}\u{1}")?;
    let mut token = None;
    for pair in pairs.split(SEPARATOR) {
        let (key, value) = pair.split_once('=')?;
        if key.is_empty() || !key.bytes().all(|octet| octet.is_ascii_alphabetic()) {
            return None;
        }
        if key.eq_ignore_ascii_case("auth") {
            if token.is_some() {
                return None;
            }
            token = Some(bearer(value)?);
        }
    }
    Some(token)
}

/// `Bearer b64token` (RFC 6750 2.1), or nothing.
fn bearer(value: &str) -> Option<&str> {
    if value.is_empty() {
        return Some("");
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let is_token = !body.is_empty()
        && body.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet));
    (scheme.eq_ignore_ascii_case("Bearer") && is_token).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(credentials: Option<Credentials>) -> Option<(String, String)> {
        match credentials? {
            Credentials::Token { login, token } => Some((login, token)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7628 4.1, with the line breaks of the document taken out.
        let said = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        assert_eq!(read(oauthbearer(said)), Some(("user@example.com".to_owned(), token.to_owned())));
        // 4.3: without a token.
        let said = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=\u{1}\u{1}";
        assert_eq!(read(oauthbearer(said)), Some(("user@example.com".to_owned(), String::new())));
        assert_eq!(read(oauthbearer("n,,\u{1}\u{1}")), Some((String::new(), String::new())));
        let said = "y,a=a=2Cb=3Dc,\u{1}AUTH=bearer  t\u{1}\u{1}";
        assert_eq!(read(oauthbearer(said)), Some(("a,b=c".to_owned(), "t".to_owned())));
        let said =
            "user=user@example.com\u{1}auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\u{1}\u{1}";
        let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
        assert_eq!(read(xoauth2(said)), Some(("user@example.com".to_owned(), token.to_owned())));
    }

    #[test]
    fn what_does_not_fit_is_not_guessed_at() {
        for said in [
            "",
            "n,,",
            "n,,\u{1}",
            "n,,\u{1}auth=Bearer t\u{1}",
            "n,,\u{1}auth=Bearer t",
            "n,a=x\u{1}auth=Bearer t\u{1}\u{1}",
            "n,b=x,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a==,\u{1}auth=Bearer t\u{1}\u{1}",
            "p=tls-exporter,,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}auth=Basic dDp0\u{1}\u{1}",
            "n,,\u{1}auth=Bearer t t\u{1}\u{1}",
            "n,,\u{1}auth=Bearer \u{1}\u{1}",
            "n,,\u{1}auth=Bearer t\u{1}auth=Bearer u\u{1}\u{1}",
            "n,,\u{1}\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}a1=x\u{1}auth=Bearer t\u{1}\u{1}",
        ] {
            assert_eq!(oauthbearer(said), None, "{said:?}");
        }
        for said in ["auth=Bearer t\u{1}\u{1}", "user=a\u{1}auth=Bearer t\u{1}", "user=a"] {
            assert_eq!(xoauth2(said), None, "{said:?}");
        }
    }
}
