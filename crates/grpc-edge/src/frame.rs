//! The prefix of a message: a byte of flags and four bytes of length. gRPC and Connect share it.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The length of the prefix, in bytes.
pub(crate) const PREFIX: usize = 5;
/// The flag of a compressed message.
pub(crate) const COMPRESSED: u8 = 1;
/// The flag of the last envelope of a Connect stream.
pub(crate) const END_OF_STREAM: u8 = 2;

/// One message with its flags.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) flags: u8,
    pub(crate) message: Bytes,
}

/// A message is longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes the first whole envelope of the buffer; none if the buffer has only a part of one.
pub(crate) fn take(buffer: &mut BytesMut, max_message: usize) -> Result<Option<Envelope>, TooLong> {
    let Some(&[flags, a, b, c, d]) = buffer.first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > max_message {
        return Err(TooLong);
    }
    if buffer.len() < PREFIX + length {
        return Ok(None);
    }
    buffer.advance(PREFIX);
    Ok(Some(Envelope { flags, message: buffer.split_to(length).freeze() }))
}

/// A message with its prefix.
pub(crate) fn put(flags: u8, message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(flags);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_taken_only_when_it_is_whole() {
        let mut buffer = BytesMut::new();
        for byte in put(COMPRESSED, b"ab").iter().chain(&put(0, b"")) {
            assert_eq!(take(&mut buffer.clone(), 2).unwrap().filter(|it| it.flags == 0), None);
            buffer.put_u8(*byte);
        }
        let first = take(&mut buffer, 2).unwrap().unwrap();
        assert_eq!((first.flags, &*first.message), (COMPRESSED, &b"ab"[..]));
        assert_eq!(take(&mut buffer, 2).unwrap().unwrap().message.len(), 0);
        assert_eq!(take(&mut buffer, 2), Ok(None));
    }

    #[test]
    fn a_long_message_is_rejected_before_it_arrives() {
        assert_eq!(take(&mut BytesMut::from(&[0, 0, 0, 0, 3][..]), 2), Err(TooLong));
        assert_eq!(take(&mut BytesMut::from(&[0, 255, 255, 255, 255][..]), 2), Err(TooLong));
    }
}
