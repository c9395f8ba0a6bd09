//! As much of HTTP/2 as a generator needs that is cheaper than the server: calls are bytes made once, of
//! which only the stream's number changes, and of answers only the heads of the frames are read.

/// What a client sends first, an empty SETTINGS, and room for all answers.
pub(crate) const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
/// Length of a frame's head.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A call of `GetCaller`, to be sent on any stream.
pub(crate) struct Call {
    bytes: Vec<u8>,
    /// Where the second frame begins.
    data: usize,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A message on this stream: the call is answered with OK.
    Message(u32),
    /// The end of this stream.
    End(u32),
    /// SETTINGS that want an answer.
    Settings,
    /// A PING that wants an answer.
    Ping([u8; 8]),
    /// The server hangs up.
    Goodbye,
}

// === impl Call ===

impl Call {
    pub(crate) fn new(token: &str) -> Self {
        let authorization = format!("Bearer {token}");
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/keyassociation.v1.TenantService/GetCaller"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", authorization.as_str()),
        ];
        let mut block = Vec::new();
        for (name, value) in fields {
            // Literal, never to be remembered.
            block.push(0x10);
            for text in [name, value] {
                length(&mut block, text.len());
                block.extend_from_slice(text.as_bytes());
            }
        }
        let mut bytes = frame(HEADERS, END_HEADERS, &block);
        let data = bytes.len();
        bytes.extend(frame(DATA, END_STREAM, &[0; 5]));
        Self { bytes, data }
    }

    /// Writes it down for a stream.
    pub(crate) fn write(&self, stream: u32, to: &mut Vec<u8>) {
        let (headers, data) = self.bytes.split_at(self.data);
        for part in [headers, data] {
            let (head, rest) = part.split_at(HEAD - 4);
            to.extend_from_slice(head);
            to.extend_from_slice(&stream.to_be_bytes());
            to.extend_from_slice(rest.get(4..).unwrap_or_default());
        }
    }
}

/// HPACK's integer with a prefix of seven bits (RFC 7541, 5.1).
fn length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).unwrap_or(0));
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).unwrap_or(0) | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).unwrap_or(0));
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

/// An answer to SETTINGS.
pub(crate) fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, &[])
}

/// An answer to a PING.
pub(crate) fn pong(payload: [u8; 8]) -> Vec<u8> {
    frame(PING, ACK, &payload)
}

/// Reads whole frames from the front, and says how many bytes they were.
pub(crate) fn read(bytes: &[u8], mut arrived: impl FnMut(Arrival)) -> usize {
    let mut at = 0;
    while let Some(&[a, b, c, kind, flags, s0, s1, s2, s3]) =
        bytes.get(at..at + HEAD).and_then(|head| <&[u8; HEAD]>::try_from(head).ok())
    {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(payload) = bytes.get(at + HEAD..at + HEAD + length) else { break };
        at += HEAD + length;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        match kind {
            DATA if length > 0 => arrived(Arrival::Message(stream)),
            SETTINGS if flags & ACK == 0 => arrived(Arrival::Settings),
            PING if flags & ACK == 0 => arrived(Arrival::Ping(payload.try_into().unwrap_or_default())),
            GOAWAY => arrived(Arrival::Goodbye),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            arrived(Arrival::End(stream));
        }
    }
    at
}
