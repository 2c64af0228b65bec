//! Who signs in at an issuer of tokens needs no password here (RFC 7628): the issuer is asked over HTTPS, and only the one that
//! the configured authority vouches for.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tests::certificates::{Authority, Pair};
use tests::{Client, Together};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const ALICE: &str = "alice@example.test";
const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA";

/// Knows one token, Alice's.
async fn issuer(pair: &Pair) -> SocketAddr {
    let acceptor = TlsAcceptor::from(pair.server());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust it breaks the handshake.
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });
    address
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await?;
        if let Some(octets) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = octets.trim().parse().unwrap();
        }
    }
    let mut form = vec![0; length];
    stream.read_exact(&mut form).await?;
    let known = String::from_utf8_lossy(&form).contains(&format!("token={TOKEN}&"));
    let body = if known {
        format!(r#"{{"active": true, "email": "{ALICE}"}}"#)
    } else {
        r#"{"active": false}"#.to_owned()
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

async fn together(issuer: SocketAddr, trusted: &Authority) -> Together {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &trusted.pem).unwrap();
    Together::setup()
        .domain("example.test")
        .account(ALICE, "secret")
        .set("msa.auth.mechanisms=[\"OAUTHBEARER\", \"PLAIN\"]")
        .set("mda.oauth.issuer=\"https://localhost\"")
        .set(&format!("mda.oauth.introspection_url=\"https://localhost:{}/ask\"", issuer.port()))
        .set(&format!("mda.oauth.authority_file=\"{}\"", file.path().display()))
        .start()
        .await
}

/// The last reply to AUTH OAUTHBEARER.
async fn login(together: &Together, token: &str) -> (Client, u16) {
    let mut client = Client::greeted(together.submission()).await.starttls().await;
    client.ok("EHLO client.test").await;
    let message = format!("n,a={ALICE},\u{1}auth=Bearer {token}\u{1}\u{1}");
    let mut reply = client.command(&format!("AUTH OAUTHBEARER {}", BASE64_STANDARD.encode(message))).await;
    if reply.code == 334 {
        // It told what was wrong; the client has to say that it heard (RFC 7628 3.2.3).
        reply = client.command(&BASE64_STANDARD.encode("\u{1}")).await;
    }
    (client, reply.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_account_that_its_issuer_names() {
    let authority = Authority::default();
    let mut together = together(issuer(&authority.issue(&["localhost"])).await, &authority).await;
    assert_eq!(login(&together, "another").await.1, 535);
    let (mut client, code) = login(&together, TOKEN).await;
    assert_eq!(code, 235);
    let content = format!("From: <{ALICE}>\r\nTo: <{ALICE}>\r\nSubject: s\r\n\r\nx\r\n");
    assert_eq!(client.transact(ALICE, &[ALICE], content.as_bytes()).await.code, 250);
    together.maildir(ALICE).holds(1).await;
    let log = together.agent.log();
    assert!(log.contains("a token was refused"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_where_somebody_else_poses_as_the_issuer() {
    let (authority, stranger) = (Authority::default(), Authority::default());
    for posing in [stranger.issue(&["localhost"]), authority.issue(&["other.test"])] {
        let together = together(issuer(&posing).await, &authority).await;
        assert_eq!(login(&together, TOKEN).await.1, 454);
    }
}
