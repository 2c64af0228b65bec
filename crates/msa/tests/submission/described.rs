//! The description of the HTTP interface is true: every example of a request in it is sent, and answered as the example of
//! the same name among the responses says.

use serde_json::Value;

use crate::fixture::Fixture;
use crate::http::{Asking, heard};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered_as_described() {
    let served = heard(Asking::of(&Fixture::start().await).get("/v1/openapi.json")).await.1;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api/openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(served, document);
    let submit = &document["paths"]["/v1/messages"]["post"];
    let mut names = Vec::new();
    for (content_type, content) in submit["requestBody"]["content"].as_object().unwrap() {
        for (name, example) in content["examples"].as_object().unwrap() {
            let value = &example["value"];
            let content = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Each on its own: the first message has the same id everywhere.
            let fixture = Fixture::start().await;
            let (status, answer) = heard(Asking::of(&fixture).post(content_type, "", content)).await;
            let expected = response(submit, name);
            assert_eq!((status.to_string(), answer), expected, "{name}");
            names.push(name.clone());
        }
    }
    assert!(names.len() >= 7, "{names:?}");
    for (status, response) in submit["responses"].as_object().unwrap() {
        for content in response["content"].as_object().unwrap().values() {
            for name in content["examples"].as_object().into_iter().flat_map(|all| all.keys()) {
                assert!(names.contains(name), "nothing is sent for the example {name} of {status}");
            }
        }
    }
}

/// The one response that has an example of this name.
fn response(operation: &Value, name: &str) -> (String, Value) {
    let responses = operation["responses"].as_object().unwrap();
    let mut found = responses.iter().filter_map(|(status, response)| {
        let (_, content) = response["content"].as_object()?.iter().next()?;
        Some((status.clone(), content["examples"].get(name)?["value"].clone()))
    });
    let first = found.next().unwrap_or_else(|| panic!("no response has the example {name}"));
    assert_eq!(found.next(), None, "{name}");
    first
}
