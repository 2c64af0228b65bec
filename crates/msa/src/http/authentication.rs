//! Who a request is from: HTTP Basic (RFC 7617) and Bearer (RFC 6750), checked by the directory as AUTH is.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Credentials;
use smtp::sasl::Mechanism;

use super::problem::Problem;

/// The credentials of a request: a password where AUTH takes one as it stands, a token where AUTH takes tokens.
///
/// # Errors
/// When there are none, or they cannot be read.
pub(crate) fn credentials(headers: &HeaderMap, offered: &[Mechanism]) -> Result<Credentials, Problem> {
    let offers = |some: [Mechanism; 2]| some.iter().any(|one| offered.contains(one));

    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(refused(
            "Authenticate by Basic, with the account's address and its password, or by Bearer",
        ));
    };
    let malformed = || refused("The Authorization field cannot be read");
    let (scheme, given) = field.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    let given = given.trim();
    if scheme.eq_ignore_ascii_case("Bearer") && !given.is_empty() {
        if !offers([Mechanism::OauthBearer, Mechanism::Xoauth2]) {
            return Err(refused("This server takes no tokens"));
        }
        return Ok(Credentials::Token { login: String::new(), token: given.to_owned() });
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(refused("Of the schemes for authentication only Basic and Bearer are known"));
    }
    if !offers([Mechanism::Plain, Mechanism::Login]) {
        return Err(refused("This server takes no passwords; authenticate by Bearer"));
    }
    let decoded = STANDARD.decode(given).ok().and_then(|octets| String::from_utf8(octets).ok());
    let decoded = decoded.ok_or_else(malformed)?;
    let (login, password) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok(Credentials::password(login, password))
}

fn refused(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[&str]) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, field.parse().unwrap());
        }
        credentials(&headers, &[Mechanism::Plain, Mechanism::OauthBearer]).ok()
    }

    #[test]
    fn basic_and_bearer_are_read() {
        let alice = Credentials::password("alice@example.test", "a:b c");
        let basic = STANDARD.encode("alice@example.test:a:b c");
        assert_eq!(read(&[&format!("Basic {basic}")]), Some(alice.clone()));
        assert_eq!(read(&[&format!("bASIC  {basic}")]), Some(alice));
        let token = Credentials::Token { login: String::new(), token: "abc.def".to_owned() };
        assert_eq!(read(&["Bearer abc.def"]), Some(token));
    }

    #[test]
    fn what_auth_does_not_take_is_not_taken_here() {
        for (field, mechanisms) in [("Basic YTpi", Mechanism::OauthBearer), ("Bearer a", Mechanism::Plain)] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, field.parse().unwrap());
            assert!(credentials(&headers, &[mechanisms]).is_err(), "{field}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for fields in [
            &[][..],
            &["Basic"],
            &["Basic !!!"],
            &["Basic YWxpY2U="],
            &["Bearer "],
            &["Digest username=\"alice\""],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(read(fields), None, "{fields:?}");
        }
    }
}
