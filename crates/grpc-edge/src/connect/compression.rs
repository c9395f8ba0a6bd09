//! Compression of single messages with gzip.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::HeaderValue;
use tonic::Status;

/// The encodings of requests that are accepted.
pub(super) const ACCEPTED: &str = "gzip, identity";

/// The compression of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// Any other.
    Unknown(Box<str>),
}

// === impl Encoding ===

impl Encoding {
    pub(super) fn of(value: Option<&HeaderValue>) -> Self {
        let name = value.map_or(&b"identity"[..], HeaderValue::as_bytes);
        match name {
            b"" | b"identity" => Self::Identity,
            b"gzip" => Self::Gzip,
            other => Self::Unknown(String::from_utf8_lossy(other).chars().take(32).collect()),
        }
    }

    /// The message without compression, which has at most `max` bytes.
    pub(super) fn decompress(&self, message: Bytes, max: usize) -> Result<Bytes, Status> {
        match self {
            Self::Identity => Ok(message),
            Self::Gzip => gunzip(&message, max),
            Self::Unknown(_) => Err(self.unsupported()),
        }
    }

    pub(super) fn unsupported(&self) -> Status {
        let name = if let Self::Unknown(name) = self { name } else { "" };
        Status::unimplemented(format!("the encoding {name:?} is not supported: use {ACCEPTED}"))
    }
}

pub(super) fn too_long(max: usize) -> Status {
    Status::resource_exhausted(format!("the message is longer than the limit of {max} bytes: send less"))
}

fn gunzip(message: &[u8], max: usize) -> Result<Bytes, Status> {
    let mut plain = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    match GzDecoder::new(message).take(limit).read_to_end(&mut plain) {
        Ok(length) if length > max => Err(too_long(max)),
        Ok(_) => Ok(plain.into()),
        Err(_) => Err(Status::invalid_argument("the message is not gzip, although its encoding says so")),
    }
}

/// The message in gzip. None if it cannot be compressed.
pub(super) fn gzip(message: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_gzip_and_a_bomb_does_not() {
        let plain = Bytes::from(vec![b'x'; 10_000]);
        let small = gzip(&plain).unwrap();
        assert!(small.len() < 200);
        assert_eq!(Encoding::Gzip.decompress(small.clone(), 10_000).unwrap(), plain);
        let refused = Encoding::Gzip.decompress(small, 9_999).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        let refused = Encoding::Gzip.decompress(plain, 10_000).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}
