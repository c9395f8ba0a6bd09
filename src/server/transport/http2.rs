//! The limits that the HTTP/2 server sets for each connection.

use tonic::transport::Server;

use super::connection_driver::ConnectionLifetime;

/// The maximum number of calls in flight on one connection.
const MAX_STREAMS: u32 = 256;
/// The longest metadata that is read, in bytes as HTTP/2 counts them. The authentication layer accepts less;
/// metadata between the two limits is read so that the caller gets a message that explains the limit.
const MAX_METADATA: u32 = 96 * 1024;
/// The maximum number of streams that a client may reset before the server accepts them (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 64;
/// The maximum number of streams that the server resets for client errors before it closes the connection.
const MAX_LOCAL_RESETS: usize = 1024;
/// The flow control window of a stream, in bytes: one message.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The flow control window of a connection, in bytes.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The longest frame that a client may send, in bytes.
const MAX_FRAME: u32 = 16 * 1024;

/// A server with these limits and no layers. It also accepts HTTP/1.1, for gRPC-Web.
pub(in crate::server) fn server(lifetime: ConnectionLifetime) -> Server {
    Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_METADATA)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .http2_keepalive_interval(Some(lifetime.keepalive_interval))
        .http2_keepalive_timeout(Some(lifetime.keepalive_timeout))
}
