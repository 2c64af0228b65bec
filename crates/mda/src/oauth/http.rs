//! Questions to the issuer over HTTP: to one URL, few at a time, each within a time and an answer's size. No redirect is
//! followed: it could lead to where nobody protects the answer.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode};
use service::config::ConfigError;
use tokio::sync::Semaphore;

use super::Settings;

/// Asks one URL.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    url: String,
    limit: usize,
    timeout: Duration,
    turns: Semaphore,
}

impl Http {
    pub(super) fn new(settings: &Settings, url: &str) -> Result<Self, ConfigError> {
        let mut client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(settings.timeout.get())
            .user_agent("postrider");
        if let Some(path) = &settings.authority_file {
            let key = "mda.oauth.authority_file";
            let pem = std::fs::read(path).map_err(|source| ConfigError::Unreadable {
                key: key.to_owned(),
                path: path.clone(),
                source,
            })?;
            let authorities = Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
            let none = || ConfigError::invalid(key, "the file holds no certificate in PEM");
            client = client.tls_certs_only(authorities.ok_or_else(none)?);
        } else if url.starts_with("http:") {
            // Nobody's certificate is needed, and none of the system's.
            client = client.tls_certs_only([]);
        }
        let unusable = |error| ConfigError::invalid("mda.oauth.authority_file", told(&error));
        Ok(Self {
            client: client.build().map_err(unusable)?,
            url: url.to_owned(),
            limit: settings.answer_size.as_usize(),
            timeout: settings.timeout.get(),
            turns: Semaphore::new(settings.concurrent_requests),
        })
    }

    /// Fetches what lies there.
    pub(super) async fn get(&self) -> Result<Vec<u8>, String> {
        self.ask(self.client.get(&self.url)).await
    }

    /// Sends a form there.
    pub(super) async fn post(&self, form: String, user: Option<(&str, &str)>) -> Result<Vec<u8>, String> {
        let mut request = self
            .client
            .post(&self.url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        if let Some((name, password)) = user {
            request = request.basic_auth(name, Some(password));
        }
        self.ask(request).await
    }

    /// The body of the answer. What goes wrong is told without the URL, which may hold a secret.
    async fn ask(&self, request: RequestBuilder) -> Result<Vec<u8>, String> {
        let answer = async {
            let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
            let request = request.header("Accept", "application/json");
            let mut response = request.send().await.map_err(|error| told(&error))?;
            if response.status() != StatusCode::OK {
                return Err(format!("it answers {}", response.status()));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| told(&error))? {
                if body.len() + chunk.len() > self.limit {
                    return Err(format!("its answer is longer than {} octets", self.limit));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        let late = |_| Err(format!("no answer within {:?}", self.timeout));
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(late)
    }
}

/// An error with what caused it, which it does not tell by itself, and without its URL.
fn told(error: &reqwest::Error) -> String {
    let mut parts = vec![match error {
        error if error.is_timeout() => "no answer in time".to_owned(),
        error if error.is_connect() => "no connection".to_owned(),
        _ => "the exchange failed".to_owned(),
    }];
    let mut cause = error.source();
    while let Some(error) = cause {
        parts.push(error.to_string());
        cause = error.source();
    }
    parts.join(": ")
}
