//! The directory of an mda.

use async_trait::async_trait;
use mail::{Credentials, ForwardPath, Resolution, ScramChallenge};
use tonic::transport::Channel;

use super::peers::{Call, Peers};
use crate::generated as wire;
use crate::wire::answer;
use crate::{Authentication, Directory, Error};

type Stub = wire::directory_client::DirectoryClient<Channel>;

/// The directory, from afar.
#[derive(Debug, Clone)]
pub struct DirectoryClient {
    peers: Peers,
}

impl DirectoryClient {
    /// A client of these mdas.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self { peers }
    }
}

#[async_trait]
impl Directory for DirectoryClient {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Authentication, Error> {
        let make = |channel, call: Call| {
            let request = call.request(wire::AuthenticateRequest::from(credentials));
            async move { Stub::new(channel).authenticate(request).await }
        };
        answer(self.peers.look_up(make).await?.into_inner().try_into())
    }

    async fn challenge_scram(&self, login: &str) -> Result<ScramChallenge, Error> {
        let make = |channel, call: Call| {
            let request = call.request(wire::ChallengeScramRequest { login: login.to_owned() });
            async move { Stub::new(channel).challenge_scram(request).await }
        };
        Ok(self.peers.look_up(make).await?.into_inner().into())
    }

    async fn resolve(&self, forward_path: &ForwardPath) -> Result<Resolution, Error> {
        let make = |channel, call: Call| {
            let message = wire::ResolveRecipientRequest { forward_path: forward_path.to_string() };
            let request = call.request(message);
            async move { Stub::new(channel).resolve(request).await }
        };
        answer(self.peers.look_up(make).await?.into_inner().try_into())
    }
}
