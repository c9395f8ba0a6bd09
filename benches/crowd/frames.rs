//! A minimal HTTP/2 client that costs less than the server. It encodes a call once and changes only the
//! stream id. Of responses it reads only the frame headers.

/// The client preface, an empty SETTINGS frame, and a `WINDOW_UPDATE` that leaves room for all responses.
pub(crate) const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";
/// The length of a frame header.
const FRAME_HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A call of `GetCaller` that can be sent on any stream.
pub(crate) struct Call {
    bytes: Vec<u8>,
    /// The offset of the second frame.
    data: usize,
}

/// A frame from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A message on this stream: the call succeeded.
    Message(u32),
    /// The end of this stream.
    End(u32),
    /// SETTINGS that must be acknowledged.
    Settings,
    /// A PING that must be answered.
    Ping([u8; 8]),
    /// The server closes the connection (GOAWAY).
    GoAway,
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
            // A literal that the table must not index (RFC 7541, section 6.2.3).
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

    /// Appends the frames of the call for a stream.
    pub(crate) fn write(&self, stream: u32, to: &mut Vec<u8>) {
        let (headers, data) = self.bytes.split_at(self.data);
        for part in [headers, data] {
            let (head, rest) = part.split_at(FRAME_HEADER - 4);
            to.extend_from_slice(head);
            to.extend_from_slice(&stream.to_be_bytes());
            to.extend_from_slice(rest.get(4..).unwrap_or_default());
        }
    }
}

/// Encodes an HPACK integer with a prefix of seven bits (RFC 7541, section 5.1).
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

/// The acknowledgement of SETTINGS.
pub(crate) fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, &[])
}

/// The answer to a PING.
pub(crate) fn pong(payload: [u8; 8]) -> Vec<u8> {
    frame(PING, ACK, &payload)
}

/// Reads the complete frames at the front of `bytes`, and returns their length.
pub(crate) fn read(bytes: &[u8], mut arrived: impl FnMut(Arrival)) -> usize {
    let mut at = 0;
    while let Some(&[a, b, c, kind, flags, s0, s1, s2, s3]) =
        bytes.get(at..at + FRAME_HEADER).and_then(|head| <&[u8; FRAME_HEADER]>::try_from(head).ok())
    {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(payload) = bytes.get(at + FRAME_HEADER..at + FRAME_HEADER + length) else { break };
        at += FRAME_HEADER + length;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        match kind {
            DATA if length > 0 => arrived(Arrival::Message(stream)),
            SETTINGS if flags & ACK == 0 => arrived(Arrival::Settings),
            PING if flags & ACK == 0 => arrived(Arrival::Ping(payload.try_into().unwrap_or_default())),
            GOAWAY => arrived(Arrival::GoAway),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            arrived(Arrival::End(stream));
        }
    }
    at
}
