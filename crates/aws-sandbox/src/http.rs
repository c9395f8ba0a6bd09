//! Serves HTTP/1.1 connections. A fault can reset a connection at any point.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time,
};

use crate::{handler, instance::Instance, wire::body::ConnectionReset};

/// The pause after a failed accept, for example when the process has no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves until `shutdown` resolves, then closes every connection at once.
pub(crate) async fn serve(
    instance: Arc<Instance>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    connections.spawn(connection(Arc::clone(&instance), stream));
                }
                Err(error) => {
                    tracing::warn!(error = %error, "sandbox: cannot accept a connection");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

async fn connection(instance: Arc<Instance>, stream: TcpStream) {
    // Boxed, because `poll_without_shutdown` requires an `Unpin` future. It leaves the stream open after an
    // error.
    let service = service_fn(move |request| Box::pin(handler::handle(Arc::clone(&instance), request)));
    // Responses are small, and the caller waits for each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "sandbox: cannot set TCP_NODELAY");
    }
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let result = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    if result.is_err_and(|error| is_reset(&error)) {
        // Close with a reset instead of an orderly shutdown.
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(error = %error, "sandbox: cannot reset the connection");
        }
    } else {
        drop(close(stream).await);
    }
}

async fn close(mut stream: TcpStream) -> io::Result<()> {
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
