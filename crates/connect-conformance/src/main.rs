//! The server that Connect's conformance suite starts and tests. The suite says on standard input what it needs, and
//! reads the port from standard output.

mod call;
mod exchange;
mod service;

use std::io::{Read as _, Write as _};

use connect_conformance::{ServerCompatRequest, ServerCompatResponse};
use grpc_edge::{CardinalityLayer, ConnectLayer, ContentTypeLayer, DrainLayer};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use self::service::Conformance;

/// The longest message if the suite sets no limit, in bytes.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let request = read_request()?;
    let mut pool = DescriptorPool::decode(connect_conformance::DESCRIPTORS)?;
    pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
    let max_message = match usize::try_from(request.message_receive_limit)? {
        0 => MAX_MESSAGE,
        limit => limit,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = u32::from(listener.local_addr()?.port());
    let response = ServerCompatResponse { host: "127.0.0.1".to_owned(), port, pem_cert: Vec::new() };
    write_response(&response)?;
    Server::builder()
        .accept_http1(true)
        .layer(DrainLayer)
        .layer(ContentTypeLayer)
        .layer(ConnectLayer::new(pool.clone(), max_message))
        .layer(CardinalityLayer::new(&pool))
        .serve_with_incoming(Conformance, TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

/// A message after four bytes of length.
fn read_request() -> Result<ServerCompatRequest, Error> {
    let mut stdin = std::io::stdin().lock();
    let mut length = [0; 4];
    stdin.read_exact(&mut length)?;
    let mut message = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stdin.read_exact(&mut message)?;
    Ok(ServerCompatRequest::decode(&*message)?)
}

fn write_response(response: &ServerCompatResponse) -> Result<(), Error> {
    let message = response.encode_to_vec();
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
    stdout.write_all(&message)?;
    Ok(stdout.flush()?)
}
