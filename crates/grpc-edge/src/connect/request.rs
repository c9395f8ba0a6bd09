//! Converts the body of a request to gRPC while the server reads it. Nothing is read before the server asks for the
//! first message, so that a caller without a token costs no memory.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost_reflect::MessageDescriptor;
use tonic::{Status, body::Body};

use super::{
    compression::{Encoding, too_long},
    message,
    protocol::{Codec, Form, Protocol},
};
use crate::frame::{self, COMPRESSED, TooLong};

/// How to convert the messages of a request.
#[derive(Clone, Debug)]
pub(super) struct RequestConversion {
    codec: Codec,
    encoding: Encoding,
    of: MessageDescriptor,
    max_message: usize,
}

/// The state of the conversion of a stream.
struct Envelopes {
    body: Body,
    buffer: BytesMut,
    conversion: RequestConversion,
    has_ended: bool,
}

type Frames = Result<Frame<Bytes>, Status>;

/// The body for gRPC.
pub(super) fn body(protocol: &Protocol, of: MessageDescriptor, max_message: usize, body: Body) -> Body {
    if !protocol.is_known_version {
        return failing(Status::invalid_argument(
            "the only connect-protocol-version is 1: send 1, or omit it",
        ));
    }
    if let Encoding::Unknown(_) = &protocol.request_encoding {
        return failing(protocol.request_encoding.unsupported());
    }
    let encoding = protocol.request_encoding.clone();
    let conversion = RequestConversion { codec: protocol.codec, encoding, of, max_message };
    match protocol.form {
        Form::Unary => Body::new(StreamBody::new(stream::once(unary(body, conversion)))),
        Form::Stream => Body::new(StreamBody::new(envelopes(body, conversion))),
    }
}

/// A body that ends with this error. The server answers it after it has authenticated the caller.
fn failing(status: Status) -> Body {
    Body::new(StreamBody::new(stream::once(async { Frames::Err(status) })))
}

/// The one message of a unary request.
async fn unary(mut body: Body, conversion: RequestConversion) -> Frames {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if bytes.len() + data.len() > conversion.max_message {
            return Err(too_long(conversion.max_message));
        }
        bytes.extend_from_slice(&data);
    }
    let is_compressed = !bytes.is_empty();
    conversion.convert(is_compressed, bytes.freeze()).map(Frame::data)
}

/// The messages of a stream.
fn envelopes(body: Body, conversion: RequestConversion) -> impl Stream<Item = Frames> {
    let state = Envelopes { body, buffer: BytesMut::new(), conversion, has_ended: false };
    let messages = stream::unfold(state, |mut state| async move {
        if state.has_ended {
            return None;
        }
        let next = state.next().await.transpose()?;
        state.has_ended = next.is_err();
        Some((next.map(Frame::data), state))
    });
    // A body may be polled after its end.
    messages.fuse()
}

// === impl Envelopes ===

impl Envelopes {
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let max = self.conversion.max_message;
        loop {
            let taken = frame::take(&mut self.buffer, max).map_err(|TooLong| too_long(max))?;
            if let Some(envelope) = taken {
                if envelope.flags & !COMPRESSED != 0 {
                    return Err(Status::invalid_argument("a message of the request has unknown flags"));
                }
                let is_compressed = envelope.flags & COMPRESSED != 0;
                if is_compressed && self.conversion.encoding == Encoding::Identity {
                    return Err(Status::internal(
                        "a message has the compressed-flag, and connect-content-encoding is absent",
                    ));
                }
                return self.conversion.convert(is_compressed, envelope.message).map(Some);
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::invalid_argument("the request ends within a message")),
            }
        }
    }
}

// === impl RequestConversion ===

impl RequestConversion {
    /// The message in Protobuf, with the prefix of gRPC.
    fn convert(&self, is_compressed: bool, message: Bytes) -> Result<Bytes, Status> {
        let plain =
            if is_compressed { self.encoding.decompress(message, self.max_message)? } else { message };
        let proto = message::to_proto(self.codec, &self.of, plain)?;
        Ok(frame::put(0, &proto))
    }
}
