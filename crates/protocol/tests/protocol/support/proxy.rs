//! A connection that can be cut, as when the process behind it is killed.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    cut: CancellationToken,
}

impl Proxy {
    pub(crate) async fn start(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = CancellationToken::new();
        let run = async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut server = TcpStream::connect(behind).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        };
        // Dropping `run` closes the listener and every connection.
        tokio::spawn(cut.clone().run_until_cancelled_owned(run));
        Self { address, cut }
    }

    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}
