//! Loads and reloads the server certificate and the client authorities from their files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use thiserror::Error;

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
    current: ArcSwap<ServerConfig>,
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
        Ok(Self { config, current })
    }

    /// Reloads the files for new connections; open connections keep their certificates.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; the former certificates stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(&self.config)?));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

fn read(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&config.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&config.key_file)
        .map_err(|error| unusable(&config.key_file, "private key", error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsError::Unfit(error.into()))?;
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
            builder
                .with_client_cert_verifier(verifier.build().map_err(|error| TlsError::Unfit(error.into()))?)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| TlsError::Unfit(error.into()))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(server)
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
