//! Ends connections that flood the server with HTTP/2 frames. h2 limits header blocks, resets and empty DATA,
//! but acknowledges any number of PING and SETTINGS frames. Here each frame that causes work without being a
//! request costs credit; requests and sent bytes earn it. When the credit is used up, h2 gets a frame that
//! violates the protocol, so that h2 itself sends GOAWAY.

#[cfg(test)]
mod tests;

use tokio::time::Instant;

/// The client connection preface (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of a frame header (RFC 9113, section 4.1).
const HEADER_LEN: usize = 9;
/// A DATA frame on stream 0, which no peer may send (RFC 9113, section 6.1).
pub(super) const FORBIDDEN: [u8; HEADER_LEN] = [0; HEADER_LEN];
/// The initial credit, which is also the maximum: enough for a thousand frames at once.
const MAX_CREDIT: f64 = 4_000.0;
/// The credit earned per second.
const CREDIT_PER_SECOND: f64 = 400.0;
/// The credit earned by a request: enough to cancel it and to measure the round trip with a PING.
const CREDIT_PER_REQUEST: f64 = 8.0;
/// The credit earned per byte sent, because clients measure the round trip when they receive data.
const CREDIT_PER_BYTE_SENT: f64 = 1.0 / 32.0;

/// Parses the frames of one connection, and keeps its credit.
#[derive(Debug)]
pub(super) struct Frames {
    state: ParserState,
    credit: f64,
    counted: Instant,
}

/// The position in the bytes that the client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParserState {
    /// Inside the preface, after this number of bytes.
    Preface(usize),
    /// The connection does not speak HTTP/2, so its bytes are not parsed.
    Other,
    /// Inside a frame header: its bytes so far, and their number.
    Head([u8; HEADER_LEN], usize),
    /// Inside a frame's payload: the number of bytes left.
    Payload(usize),
}

/// What to do with received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloodVerdict {
    /// Pass them on.
    Fine,
    /// Pass on this number of them, and end the connection there.
    Flood(usize),
}

// === impl Frames ===

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self { state: ParserState::Preface(0), credit: MAX_CREDIT, counted: now }
    }

    /// Whether the client has sent enough to tell whether it speaks HTTP/2.
    pub(super) fn protocol_known(&self) -> bool {
        !matches!(self.state, ParserState::Preface(_))
    }

    /// Whether the client speaks another protocol than HTTP/2.
    pub(super) fn is_http1(&self) -> bool {
        matches!(self.state, ParserState::Other)
    }

    /// Adds the credit for bytes sent to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.credit = (self.credit + f64::from(bytes) * CREDIT_PER_BYTE_SENT).min(MAX_CREDIT);
    }

    /// Parses bytes from the client, and charges the frames in them.
    pub(super) fn received(&mut self, now: Instant, bytes: &[u8]) -> FloodVerdict {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                ParserState::Other => return FloodVerdict::Fine,
                ParserState::Preface(received) => {
                    let more =
                        rest.iter().zip(PREFACE.iter().skip(received)).take_while(|(a, b)| a == b).count();
                    let received = received + more;
                    at += more;
                    self.state = if received == PREFACE.len() {
                        ParserState::Head([0; HEADER_LEN], 0)
                    } else if at < bytes.len() {
                        ParserState::Other
                    } else {
                        ParserState::Preface(received)
                    };
                }
                ParserState::Head(mut head, received) => {
                    // The forbidden frame can only replace a frame of which no byte was passed on.
                    if received == 0 && self.credit < 0.0 {
                        return FloodVerdict::Flood(at);
                    }
                    let more = rest.len().min(HEADER_LEN - received);
                    for (to, from) in head.iter_mut().skip(received).zip(rest) {
                        *to = *from;
                    }
                    at += more;
                    self.state = ParserState::Head(head, received + more);
                    if received + more == HEADER_LEN {
                        self.frame(now, head);
                    }
                }
                ParserState::Payload(left) => {
                    let more = rest.len().min(left);
                    at += more;
                    self.state = next_state(left - more);
                }
            }
        }
        FloodVerdict::Fine
    }

    fn frame(&mut self, now: Instant, [a, b, c, kind, flags, ..]: [u8; HEADER_LEN]) {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.state = next_state(length);
        let earned = now.saturating_duration_since(self.counted).as_secs_f64() * CREDIT_PER_SECOND;
        self.counted = now;
        self.credit = (self.credit + earned - cost(kind, flags, length)).min(MAX_CREDIT);
    }
}

fn next_state(left: usize) -> ParserState {
    if left == 0 { ParserState::Head([0; HEADER_LEN], 0) } else { ParserState::Payload(left) }
}

/// The cost of a frame (RFC 9113, section 6); negative if the frame earns credit.
fn cost(kind: u8, flags: u8, length: usize) -> f64 {
    const END_STREAM: u8 = 1;
    match kind {
        // DATA is free, unless it is empty and does not end the stream.
        0 if length > 0 || flags & END_STREAM != 0 => 0.0,
        // HEADERS.
        1 => -CREDIT_PER_REQUEST,
        // WINDOW_UPDATE follows received data.
        8 => 1.0,
        // Empty DATA, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION, and unknown
        // types.
        _ => 4.0,
    }
}
