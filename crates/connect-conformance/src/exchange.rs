//! Reads the messages of a gRPC request, and writes a response with headers and trailers. tonic's own services cannot
//! send trailers with a message, which the suite requires.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use connect_conformance::Header;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, body::Body};

/// The length of the prefix of a message, in bytes.
const PREFIX: usize = 5;

/// The messages of a request.
pub(crate) struct Messages {
    body: Body,
    buffer: BytesMut,
}

/// Sends the parts of a response.
pub(crate) struct Sender(mpsc::Sender<Result<Frame<Bytes>, Status>>);

// === impl Messages ===

impl Messages {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: BytesMut::new() }
    }

    pub(crate) async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, Status> {
        loop {
            if let Some(&[_, a, b, c, d]) = self.buffer.first_chunk() {
                let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                if self.buffer.len() >= PREFIX + length {
                    self.buffer.advance(PREFIX);
                    let message = T::decode(self.buffer.split_to(length));
                    return message.map(Some).map_err(|error| Status::invalid_argument(error.to_string()));
                }
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// The only message of a request.
    pub(crate) async fn only<T: Message + Default>(&mut self) -> Result<T, Status> {
        let first = self.next().await?.unwrap_or_default();
        while self.next::<T>().await?.is_some() {}
        Ok(first)
    }

    pub(crate) async fn all<T: Message + Default>(&mut self) -> Result<Vec<T>, Status> {
        let mut all = Vec::new();
        while let Some(message) = self.next().await? {
            all.push(message);
        }
        Ok(all)
    }
}

// === impl Sender ===

impl Sender {
    /// A response with these headers, and what sends its messages and trailers.
    pub(crate) fn response(headers: &[Header]) -> (Response<Body>, Self) {
        let (sender, frames) = mpsc::channel(4);
        let mut response = Response::new(Body::new(StreamBody::new(ReceiverStream::new(frames))));
        *response.headers_mut() = header_map(headers);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        (response, Self(sender))
    }

    pub(crate) async fn send(&self, message: &impl Message) {
        let message = message.encode_to_vec();
        let mut framed = BytesMut::with_capacity(PREFIX + message.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        framed.put_slice(&message);
        // A client that is gone needs no answer.
        let _gone = self.0.send(Ok(Frame::data(framed.freeze()))).await;
    }

    pub(crate) async fn end(self, trailers: &[Header], status: &Status) {
        let mut trailers = header_map(trailers);
        if status.add_header(&mut trailers).is_ok() {
            let _gone = self.0.send(Ok(Frame::trailers(trailers))).await;
        }
    }
}

fn header_map(headers: &[Header]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for header in headers {
        for value in &header.value {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(header.name.as_str()), HeaderValue::try_from(value.as_str()))
            {
                map.append(name, value);
            }
        }
    }
    map
}
