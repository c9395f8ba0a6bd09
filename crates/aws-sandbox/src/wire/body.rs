//! The body of a response, which a fault can cut off.

use bytes::Bytes;
use http_body_util::{Either, Full, combinators::UnsyncBoxBody};
use thiserror::Error;

/// A response body: complete, or streamed as a fault requires.
pub(crate) type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, ConnectionReset>>;

/// A fault ends the connection here, before or during a response.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an injected fault reset the connection")]
pub(crate) struct ConnectionReset;
