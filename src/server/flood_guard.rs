//! Watches which HTTP/2 frames a client sends, and ends a connection that floods.
//!
//! h2 bounds header blocks, resets and empty DATA, but answers as many PING and SETTINGS frames as come.
//! Here each frame that asks for work without being a request costs credit; requests and what we send
//! earn it back. A client without credit is handed to h2 with a frame that breaks the protocol, so that
//! h2 itself says GOAWAY.

#[cfg(test)]
mod tests;

use tokio::time::Instant;

/// What a client of HTTP/2 sends first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's head (RFC 9113, 4.1).
const HEADER_LEN: usize = 9;
/// A DATA frame on stream 0, which no peer may send (RFC 9113, 6.1).
pub(super) const FORBIDDEN: [u8; HEADER_LEN] = [0; HEADER_LEN];
/// Credit at the start, and the most there can be: a thousand frames at once.
const MAX_COST: f64 = 4_000.0;
/// Credit that each second brings.
const PER_SECOND: f64 = 400.0;
/// Credit that a request brings: enough to cancel it and to measure the way.
const REQUEST: f64 = 8.0;
/// Credit that each byte brings which we send: a client measures the way when data comes.
const PER_BYTE_SENT: f64 = 1.0 / 32.0;

/// The watch over one connection.
#[derive(Debug)]
pub(super) struct Frames {
    location: ParserState,
    credit: f64,
    counted: Instant,
}

/// Where in the client's bytes we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParserState {
    /// So far these bytes of the preface.
    Preface(usize),
    /// It is not HTTP/2: nothing to watch.
    Other,
    /// So many bytes of a frame's head.
    Head([u8; HEADER_LEN], usize),
    /// So many more bytes of a frame's payload.
    Payload(usize),
}

/// What to do with bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloodVerdict {
    /// Go on.
    Fine,
    /// Go on with so many of them, and end the connection there.
    Flood(usize),
}

// === impl Frames ===

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self { location: ParserState::Preface(0), credit: MAX_COST, counted: now }
    }

    /// Whether the client said enough to be known for one of HTTP/2 or not.
    pub(super) fn protocol_known(&self) -> bool {
        !matches!(self.location, ParserState::Preface(_))
    }

    /// We sent so many bytes.
    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.credit = (self.credit + f64::from(bytes) * PER_BYTE_SENT).min(MAX_COST);
    }

    /// The client sent these.
    pub(super) fn received(&mut self, now: Instant, bytes: &[u8]) -> FloodVerdict {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.location {
                ParserState::Other => return FloodVerdict::Fine,
                ParserState::Preface(received) => {
                    let more =
                        rest.iter().zip(PREFACE.iter().skip(received)).take_while(|(a, b)| a == b).count();
                    let received = received + more;
                    at += more;
                    self.location = if received == PREFACE.len() {
                        ParserState::Head([0; HEADER_LEN], 0)
                    } else if at < bytes.len() {
                        ParserState::Other
                    } else {
                        ParserState::Preface(received)
                    };
                }
                ParserState::Head(mut head, received) => {
                    // Only a frame whose head was not begun can be replaced by another.
                    if received == 0 && self.credit < 0.0 {
                        return FloodVerdict::Flood(at);
                    }
                    let more = rest.len().min(HEADER_LEN - received);
                    for (to, from) in head.iter_mut().skip(received).zip(rest) {
                        *to = *from;
                    }
                    at += more;
                    self.location = ParserState::Head(head, received + more);
                    if received + more == HEADER_LEN {
                        self.frame(now, head);
                    }
                }
                ParserState::Payload(left) => {
                    let more = rest.len().min(left);
                    at += more;
                    self.location = next_state(left - more);
                }
            }
        }
        FloodVerdict::Fine
    }

    fn frame(&mut self, now: Instant, [a, b, c, kind, flags, ..]: [u8; HEADER_LEN]) {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.location = next_state(length);
        let earned = now.saturating_duration_since(self.counted).as_secs_f64() * PER_SECOND;
        self.counted = now;
        self.credit = (self.credit + earned - cost(kind, flags, length)).min(MAX_COST);
    }
}

fn next_state(left: usize) -> ParserState {
    if left == 0 { ParserState::Head([0; HEADER_LEN], 0) } else { ParserState::Payload(left) }
}

/// What a frame costs (RFC 9113, 6).
fn cost(kind: u8, flags: u8, length: usize) -> f64 {
    const END_STREAM: u8 = 1;
    match kind {
        // DATA: nothing, unless it is empty and not the end either.
        0 if length > 0 || flags & END_STREAM != 0 => 0.0,
        // HEADERS.
        1 => -REQUEST,
        // WINDOW_UPDATE comes with what is received.
        8 => 1.0,
        // Empty DATA, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION, and
        // whatever else there may be.
        _ => 4.0,
    }
}
