//! The socket: HTTP/1.1 connections, each of which a fault can cut short.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};

use super::{Inner, handler};

/// Wait after a connection could not be accepted, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// The connection ends here, without an answer or in the middle of one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("connection cut by a fault")]
pub(crate) struct ConnectionReset;

/// Serves until `shutdown` resolves; then ends every connection at once.
pub(super) async fn serve(inner: Arc<Inner>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    connections.spawn(connection(Arc::clone(&inner), stream));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "sandbox: a connection could not be accepted");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(inner: Arc<Inner>, stream: TcpStream) {
    // Boxed, since only a future that can be moved lets one have the stream back after an error.
    let service = service_fn(move |request| Box::pin(handler::handle(Arc::clone(&inner), request)));
    // Answers are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "sandbox: TCP_NODELAY could not be set");
    }
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let result = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if result.is_err_and(|error| is_reset(&error)) {
        // Closed with a reset rather than an orderly end.
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(error = %error, "sandbox: the connection could not be reset");
        }
    } else {
        drop(reset(stream).await);
    }
}

async fn reset(mut stream: TcpStream) -> io::Result<()> {
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await
}

fn is_reset(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<ConnectionReset>() {
            return true;
        }
        source = error.source();
    }
    false
}
