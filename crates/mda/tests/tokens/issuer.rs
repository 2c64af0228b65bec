//! An issuer of tokens on a loopback port: it signs them, and publishes its keys or says of tokens what it knows, or misbehaves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Says(Value),
    Status(&'static str),
    Endless,
    Silence,
    HangsUp,
}

/// The issuer's server.
#[derive(Debug, Clone)]
pub(crate) struct Issuer(Arc<State>);

#[derive(Debug)]
struct State {
    address: SocketAddr,
    answer: Mutex<Answer>,
    requests: Mutex<Vec<String>>,
    octets: AtomicUsize,
}

impl Issuer {
    pub(crate) async fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, requests) = (Mutex::new(answer), Mutex::default());
        let issuer = Self(Arc::new(State { address, answer, requests, octets: AtomicUsize::new(0) }));
        let server = issuer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // A client that had enough breaks the connection.
                tokio::spawn(async move { server.serve(stream).await.ok() });
            }
        });
        issuer
    }

    pub(crate) async fn publishing(keys: &[&Key]) -> Self {
        Self::new(published(keys)).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ask", self.0.address)
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = answer;
    }

    /// What it was asked, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.requests.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.requests.lock().unwrap().len()
    }

    /// Octets of endless answers that were taken from it.
    pub(crate) fn octets(&self) -> usize {
        self.0.octets.load(Ordering::Relaxed)
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = request(&mut stream).await?;
        self.0.requests.lock().unwrap().push(request);
        let answer = self.0.answer.lock().unwrap().clone();
        match answer {
            Answer::Says(value) => {
                let body = value.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
                stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await
            }
            Answer::Status(status) => {
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await
            }
            Answer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
                loop {
                    stream.write_all(chunk.as_bytes()).await?;
                    self.0.octets.fetch_add(1024, Ordering::Relaxed);
                }
            }
            // Until the client has had enough.
            Answer::Silence => stream.read_to_end(&mut Vec::new()).await.map(drop),
            Answer::HangsUp => Ok(()),
        }
    }
}

/// A head, and a body as long as it says.
async fn request(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await?;
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.lines().next().unwrap_or_default().parse::<usize>().unwrap());
        if read == 0 || body.len() >= length {
            return Ok(text);
        }
    }
}

/// A JSON Web Key Set.
pub(crate) fn published(keys: &[&Key]) -> Answer {
    Answer::Says(json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}))
}

/// A key that tokens are signed with.
#[derive(Debug)]
pub(crate) struct Key {
    kid: &'static str,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl Key {
    pub(crate) fn ed25519(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Ed25519(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(crate) fn p256(kid: &'static str) -> Self {
        Self { kid, pair: Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()) }
    }

    pub(crate) fn rsa(kid: &'static str) -> Self {
        Self { kid, pair: Pair::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(crate) fn public(&self) -> &[u8] {
        match &self.pair {
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::P256(pair) => pair.public_key().as_ref(),
            Pair::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let public = self.public();
        match &self.pair {
            Pair::Ed25519(_) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "x": encode(public)})
            }
            // Uncompressed: 4, then both coordinates (SEC 1).
            Pair::P256(_) => {
                let (x, y) = public[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)})
            }
            // A sequence of modulus and exponent in DER (RFC 8017 A.1.1): 9 octets stand before the 256 of the modulus.
            Pair::Rsa(_) => {
                json!({"kty": "RSA", "kid": self.kid, "n": encode(&public[9..265]), "e": "AQAB"})
            }
        }
    }

    /// A token with this header, signed as it says, or as well as this key can.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let (random, octets) = (SystemRandom::new(), signed.as_bytes());
        let signature = match (&self.pair, header["alg"].as_str()) {
            (_, Some("HS256")) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.public()), octets).as_ref().to_vec()
            }
            (Pair::Ed25519(pair), _) => pair.sign(octets).as_ref().to_vec(),
            (Pair::P256(pair), _) => pair.sign(&random, octets).unwrap().as_ref().to_vec(),
            (Pair::Rsa(pair), algorithm) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if algorithm == Some("PS256") { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, octets, &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", encode(&signature))
    }

    /// A token like those of this issuer.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let alg = match self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::P256(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        };
        self.sign(&json!({"alg": alg, "typ": "at+jwt", "kid": self.kid}), claims)
    }
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

/// Letters that nobody has seen before.
pub(crate) fn novelty() -> String {
    let mut octets = [0; 12];
    rand::fill(&mut octets).unwrap();
    encode(&octets)
}

fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}
