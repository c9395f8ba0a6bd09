//! A minimal HTTP/2 client that reads and writes single frames.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::TcpSocket,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// The length of a frame header.
const FRAME_HEADER_LEN: usize = 9;

/// An HTTP/2 frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// A byte stream, with or without TLS.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection after the exchange of SETTINGS.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    /// The server's settings.
    pub(super) settings: Vec<(u16, u32)>,
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let [_, a, b, c] = length;
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a `GetCaller` call.
pub(super) fn head() -> Vec<u8> {
    head_of("/keyassociation.v1.TenantService/GetCaller")
}

/// The header block of a call, in HPACK without indexing.
fn head_of(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", "Bearer good"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A whole call: its headers and an empty message.
pub(super) fn call(stream: u32) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &head());
    bytes.extend(frame(DATA, END_STREAM, stream, &[0; 5]));
    bytes
}

/// A reflection call that requests the same file `times` times and does not end.
pub(super) fn reflection_call(stream: u32, times: usize) -> Vec<u8> {
    let symbol = "keyassociation.v1.KeyAssociationService";
    let length = u8::try_from(symbol.len()).unwrap();
    // `file_containing_symbol`, after the gRPC prefix.
    let mut message = vec![0, 0, 0, 0, length + 2, 0x22, length];
    message.extend(symbol.as_bytes());
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &head_of(path));
    bytes.extend(frame(DATA, 0, stream, &message.repeat(times)));
    bytes
}

impl Wire {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::over(address, None).await
    }

    /// Opens a connection, with TLS if there is a connector.
    pub(super) async fn over(address: SocketAddr, tls: Option<&TlsConnector>) -> Self {
        Self::try_over(address, tls).await.unwrap()
    }

    /// Like [`Wire::over`], or `None` if the server closes the connection.
    pub(super) async fn try_over(address: SocketAddr, tls: Option<&TlsConnector>) -> Option<Self> {
        let socket = TcpSocket::new_v4().unwrap();
        // With a small buffer, unread data soon waits at the server.
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let stream = socket.connect(address).await.ok()?;
        stream.set_nodelay(true).unwrap();
        let mut stream: Box<dyn Duplex> = match tls {
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(tls.connect(name, stream).await.ok()?)
            }
            None => Box::new(stream),
        };
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.ok()?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
        let mut wire = Self { stream, settings: Vec::new() };
        let first = wire.read().await?;
        assert_eq!(first.kind, SETTINGS);
        wire.settings = first
            .payload
            .as_chunks::<6>()
            .0
            .iter()
            .map(|&[a, b, c, d, e, f]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])))
            .collect();
        wire.write(&frame(SETTINGS, ACK, 0, &[])).await;
        // A window for all responses.
        wire.write(&frame(WINDOW_UPDATE, 0, 0, &0x3FFF_FFFF_u32.to_be_bytes())).await;
        Some(wire)
    }

    /// Writes the bytes. Returns false if the server closed the connection.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next frame, or `None` if the server closed the connection.
    pub(super) async fn read(&mut self) -> Option<Frame> {
        next(&mut self.stream).await
    }

    /// Reads up to the first frame that matches.
    pub(super) async fn until(&mut self, matches: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            if matches(&frame) {
                return Some(frame);
            }
        }
    }

    /// Writes without pause while it reads, and returns the error code of the GOAWAY frame.
    pub(super) async fn flood(self, mut bytes: impl FnMut() -> Vec<u8> + Send + 'static) -> Option<u32> {
        let (mut read, mut write) = split(self.stream);
        let writing = tokio::spawn(async move { while write.write_all(&bytes()).await.is_ok() {} });
        let goaway = timeout(Duration::from_secs(5), async {
            loop {
                let Frame { kind, payload, .. } = next(&mut read).await?;
                if kind == GOAWAY {
                    return payload.get(4..8)?.try_into().ok().map(u32::from_be_bytes);
                }
            }
        });
        let goaway = goaway.await.ok().flatten();
        writing.abort();
        goaway
    }
}

async fn next(from: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; FRAME_HEADER_LEN];
    from.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    from.read_exact(&mut payload).await.ok()?;
    Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
}
