//! The certificate that the service shows and the ones it asks for, from files that may change.

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

/// Where the certificates are, and whether clients must show one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The service's certificate chain, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// The authorities whose client certificates are taken, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    None,
    /// One is asked for, and verified where it is shown.
    Optional,
    /// No connection without one.
    Required,
}

/// TLS 1.2 and 1.3 with the certificates that are in force now.
#[derive(Debug)]
pub struct Tls {
    config: TlsConfig,
    current: ArcSwap<ServerConfig>,
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of use.
    #[error("{path} holds no usable {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The parts do not fit together.
    #[error("the certificate, its key and the client authorities do not fit together")]
    Unfit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Client certificates are asked for and no authority is named.
    #[error("client_auth needs client_ca_file")]
    NoClientCa,
}

// === impl Tls ===

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] naming the file.
    pub fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(read(&config)?);
        Ok(Self { config, current })
    }

    /// Reads the files again; connections that stand are not touched.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; what was in force stays.
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
        let nothing = io::Error::new(io::ErrorKind::InvalidData, "no PEM block of a certificate");
        return Err(unusable(path, "certificate", nothing));
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
