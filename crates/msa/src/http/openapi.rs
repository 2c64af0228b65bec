//! The description of the interface (`OpenAPI` 3.1), as `/v1/openapi.json` says it and `docs/api/openapi.json` holds it.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};
use utoipa::{Modify, OpenApi as _};

use super::routes;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Postrider",
        description = "Submission of mail by applications.",
        version = "1",
        license(name = "See the project"),
    ),
    paths(routes::submit_message, routes::show_message, routes::describe),
    modifiers(&Schemes),
)]
struct Description;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_with(Components::new);
        for (name, scheme) in [("basic", HttpAuthScheme::Basic), ("bearer", HttpAuthScheme::Bearer)] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        }
    }
}

/// The document, as JSON.
pub(crate) fn description() -> String {
    // It holds texts and numbers alone, which JSON can always say.
    Description::openapi().to_pretty_json().unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To bring the file up to date: run this test with UPDATE=1 in the environment.
    #[test]
    fn the_document_in_the_repository_is_the_one_that_is_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api/openapi.json");
        let served = description();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &served).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == served, "docs/api/openapi.json is not what is served; run this with UPDATE=1");
    }

    #[test]
    fn it_is_openapi_3_1_and_says_who_may_come() {
        let document: serde_json::Value = serde_json::from_str(&description()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        for scheme in ["basic", "bearer"] {
            assert_eq!(document["components"]["securitySchemes"][scheme]["scheme"], scheme);
        }
    }
}
