//! Loads and reloads the server certificate and the client authorities from their files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use thiserror::Error;

use super::connection_limits::ConnectionPermit;
use crate::domain::time::Timestamp;

/// The certificate files, and whether clients need a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The server's certificate chain, PEM.
    pub cert_file: PathBuf,
    /// The server's private key, PEM.
    pub key_file: PathBuf,
    /// The authorities that verify client certificates, PEM; required unless `client_auth` is `None`.
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// The server does not request one. This is the default.
    #[default]
    None,
    /// The server requests one, and verifies it if the client sends it.
    Optional,
    /// The server rejects connections without one.
    Required,
}

/// TLS 1.2 and 1.3 with the certificates that were loaded last.
#[derive(Debug)]
pub struct Tls {
    config: TlsConfig,
    current: ArcSwap<LoadedTls>,
    /// When the server certificate expires. `None` if it cannot be parsed.
    expires: ArcSwapOption<Timestamp>,
    /// The open connections with a client certificate.
    clients: Mutex<Vec<TrackedClient>>,
}

/// What one load of the files gave.
#[derive(Debug)]
pub(super) struct LoadedTls {
    pub(super) server: Arc<ServerConfig>,
    /// Verifies client certificates, if clients are asked for them.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// An open connection with its client certificate and the certificates between it and its authority.
#[derive(Debug)]
struct TrackedClient {
    connection: Weak<ConnectionPermit>,
    chain: Vec<CertificateDer<'static>>,
}

/// Why the certificates cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or has no usable content.
    #[error("{path} has no usable {what}: expected PEM")]
    File {
        /// The file.
        path: PathBuf,
        /// The expected content, such as `private key`.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The certificate, its key and the client authorities do not belong together.
    #[error("cert_file, key_file and client_ca_file do not belong together")]
    Unfit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Client certificates are requested, but no authority is configured.
    #[error("client_auth requires client_ca_file: set it to the authorities that sign client certificates")]
    NoClientCa,
}

// === impl Tls ===

impl Tls {
    /// Loads the certificates from their files.
    ///
    /// # Errors
    ///
    /// [`TlsError`], with the file.
    pub fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(read(&config)?);
        let expires = ArcSwapOption::new(expiry(&config).map(Arc::new));
        Ok(Self { config, current, expires, clients: Mutex::default() })
    }

    /// Reloads the files for new connections. Open connections keep the server's certificate; those whose
    /// client certificate the new authorities do not verify are closed.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the former certificates stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.config)?));
        self.expires.store(expiry(&self.config).map(Arc::new));
        self.close_unverified();
        Ok(())
    }

    /// When the server certificate expires. `None` if it cannot be parsed.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires.load().as_deref().copied()
    }

    pub(super) fn current(&self) -> Arc<LoadedTls> {
        self.current.load_full()
    }

    /// Remembers the client certificate of a connection, to verify it again while the connection is open.
    pub(super) fn track(
        &self,
        connection: &Arc<ConnectionPermit>,
        chain: Option<&[CertificateDer<'static>]>,
        verified_by: &Arc<LoadedTls>,
    ) {
        let Some(chain) = chain.filter(|chain| !chain.is_empty()).map(<[_]>::to_vec) else { return };
        let connection = Arc::downgrade(connection);
        self.clients.lock().push(TrackedClient { connection, chain });
        // The authorities may have changed during the handshake.
        if !Arc::ptr_eq(verified_by, &self.current()) {
            self.close_unverified();
        }
    }

    /// Closes the connections whose client certificate would not be accepted now.
    pub(super) fn close_unverified(&self) {
        let current = self.current();
        self.clients.lock().retain(|client| {
            let Some(connection) = client.connection.upgrade() else { return false };
            let is_valid = current.verifies(&client.chain);
            if !is_valid {
                metrics::counter!("logkey_connections_refused_total", "cause" => "client_certificate")
                    .increment(1);
                connection.close();
            }
            is_valid
        });
    }
}

// === impl LoadedTls ===

impl LoadedTls {
    /// Whether a new connection with this certificate chain would be accepted.
    fn verifies(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some(((certificate, intermediates), verifier)) = chain.split_first().zip(self.clients.as_ref())
        else {
            return false;
        };
        verifier.verify_client_cert(certificate, intermediates, UnixTime::now()).is_ok()
    }
}

fn read(config: &TlsConfig) -> Result<LoadedTls, TlsError> {
    let chain = certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|error| unusable(&config.key_file, "private key", error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsError::Unfit(error.into()))?;
    let mut clients = None;
    let builder = match (config.client_auth, &config.client_ca_file) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (ClientAuth::Optional | ClientAuth::Required, None) => return Err(TlsError::NoClientCa),
        (requirement, Some(path)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| unusable(path, "certificate authority", error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match requirement {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                ClientAuth::None | ClientAuth::Required => verifier,
            };
            let verifier = verifier.build().map_err(|error| TlsError::Unfit(error.into()))?;
            clients = Some(Arc::clone(&verifier));
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| TlsError::Unfit(error.into()))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(LoadedTls { server: Arc::new(server), clients })
}

/// When the server's certificate expires, which is the first one of the chain.
fn expiry(config: &TlsConfig) -> Option<Timestamp> {
    let chain = certificates(&config.cert_file).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    Some(Timestamp::from_secs(certificate.validity().not_after.timestamp()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| unusable(path, "certificate", error))?;
    if found.is_empty() {
        let empty = io::Error::new(io::ErrorKind::InvalidData, "the file has no PEM block of a certificate");
        return Err(unusable(path, "certificate", empty));
    }
    Ok(found)
}

fn unusable(
    path: &Path,
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> TlsError {
    TlsError::File { path: path.to_owned(), what, source: Box::new(source) }
}
