//! Content on its way out: frames that share its octets, held back until somebody says go.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::oneshot;

/// A stream of `first`, and then of `rest` once the sender has been used; when the sender is dropped instead, the stream
/// ends behind `first`.
pub(super) fn held_back<T>(
    first: T,
    rest: Vec<T>,
) -> (oneshot::Sender<()>, impl Stream<Item = T> + Send + 'static)
where
    T: Send + 'static,
{
    let (go, told) = oneshot::channel();
    let rest = async move {
        match told.await {
            Ok(()) => stream::iter(rest),
            Err(_) => stream::iter(Vec::new()),
        }
    };
    (go, stream::iter([first]).chain(stream::once(rest).flatten()))
}

/// Each chunk as a frame.
pub(super) fn frames<T>(chunks: Vec<Bytes>, frame: impl Fn(Bytes) -> T) -> Vec<T> {
    chunks.into_iter().map(frame).collect()
}
