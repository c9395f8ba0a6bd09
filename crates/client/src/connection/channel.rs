//! The connection to the service.

use std::{fs, path::Path, time::Duration};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::args::Connection;
use crate::failure::Failure;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle stream is checked: a connection that a firewall dropped is otherwise silent forever.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// A connection that opens with the first call.
pub(crate) fn channel(connection: &Connection) -> Result<Channel, Failure> {
    let server = &connection.server;
    let invalid = |error: &dyn std::error::Error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failure::Usage(format!("cannot use {server}: {error}{cause}"))
    };
    let mut endpoint = Endpoint::from_shared(server.to_string())
        .and_then(|endpoint| endpoint.user_agent(concat!("logkey/", env!("CARGO_PKG_VERSION"))))
        .map_err(|error| invalid(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL);
    if server.scheme() == "https" {
        endpoint = endpoint.tls_config(tls(connection)?).map_err(|error| invalid(&error))?;
    } else if connection.ca_file.is_some() || connection.client_certificate.is_some() {
        // Without TLS the token would be sent as plain text, although a certificate is to be verified.
        return Err(Failure::Usage(format!(
            "{server} has no certificate to verify: write https://, or omit --ca-file, --client-cert and --client-key"
        )));
    }
    Ok(endpoint.connect_lazy())
}

fn tls(connection: &Connection) -> Result<ClientTlsConfig, Failure> {
    let mut config = ClientTlsConfig::new();
    config = match &connection.ca_file {
        Some(file) => config.ca_certificate(Certificate::from_pem(read_certificates(file)?)),
        None => config.with_native_roots(),
    };
    if let Some(client) = &connection.client_certificate {
        config = config.identity(Identity::from_pem(read_certificates(&client.cert)?, read(&client.key)?));
    }
    Ok(config)
}

/// A file without a certificate would look like a connection that the other side refuses.
fn read_certificates(file: &Path) -> Result<Vec<u8>, Failure> {
    let pem = read(file)?;
    // The label of RFC 7468, section 5.1.
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(Failure::file("use", file, &"it has no certificate in PEM"));
    }
    Ok(pem)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| Failure::file("read", file, &error))
}
