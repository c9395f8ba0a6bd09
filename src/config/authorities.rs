//! The certificate authorities of all connections to other services, by the variables that AWS's tools and OpenSSL
//! define: those of `AWS_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR` together. Without these variables, the system's.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{
    env::Env,
    limits::LimitBackend,
    reader::{self, Reader},
    store::{self, Store},
};
use crate::auth::IssuerConfig;

const AWS_CA_BUNDLE: &str = "AWS_CA_BUNDLE";
const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// The authorities that the environment names.
pub(super) struct Authorities {
    /// All of them, in PEM. `None` without `AWS_CA_BUNDLE`: the libraries read the other two variables.
    pem: Option<Arc<[u8]>>,
    /// The file for PostgreSQL.
    file: Option<String>,
}

/// Reads the authorities. Reports a bundle that cannot be used.
pub(super) fn read(env: &dyn Env, reader: &Reader) -> Authorities {
    let variable = |name| env.get(name).filter(|path: &String| !path.is_empty());
    let (bundle, file, dir) = (variable(AWS_CA_BUNDLE), variable(SSL_CERT_FILE), variable(SSL_CERT_DIR));
    // The libraries would say nothing, and trust no server.
    if let Some(path) = &file {
        certificates(SSL_CERT_FILE, Path::new(path), reader);
    }
    if let Some(path) = &dir {
        check_folder(Path::new(path), reader);
    }
    let certificates = bundle.as_ref().and_then(|path| certificates(AWS_CA_BUNDLE, Path::new(path), reader));
    let pem = certificates.map(|mut certificates| {
        if file.is_some() || dir.is_some() {
            let (file, dir) = (file.as_deref().map(Path::new), dir.as_deref().map(Path::new));
            certificates.extend(rustls_native_certs::load_certs_from_paths(file, dir).certs);
        }
        to_pem(&certificates)
    });
    Authorities { pem, file: file.or(bundle) }
}

/// The certificates in the file that this variable names.
fn certificates(variable: &str, path: &Path, reader: &Reader) -> Option<Vec<CertificateDer<'static>>> {
    let problem = match fs::read(path) {
        Ok(text) => {
            let found: Vec<_> = CertificateDer::pem_slice_iter(&text).flatten().collect();
            if found.iter().any(is_usable) {
                return Some(found);
            }
            "contains no usable PEM certificate".to_owned()
        }
        Err(error) => format!("cannot be read: {}", reader::io_message(&error)),
    };
    reader.report_file(
        path,
        format!("{problem}; {variable} names this file: name one with PEM certificates, or unset it"),
    );
    None
}

/// Reports a folder without usable certificates.
fn check_folder(path: &Path, reader: &Reader) {
    let found = rustls_native_certs::load_certs_from_paths(None, Some(path)).certs;
    if !found.iter().any(is_usable) {
        let problem =
            "contains no file with a usable PEM certificate that is named by the hash of its subject";
        let advice = format!(
            "{SSL_CERT_DIR} names this folder: run `openssl rehash` on it, name another one, or unset it"
        );
        reader.report_file(path, format!("{problem}; {advice}"));
    }
}

/// The usable certificates, because the AWS SDK panics at one that it cannot use, for example of X.509 version 1.
fn to_pem(certificates: &[CertificateDer<'_>]) -> Arc<[u8]> {
    let usable = certificates.iter().filter(|certificate| is_usable(certificate));
    let blocks: Vec<_> =
        usable.map(|certificate| pem::Pem::new("CERTIFICATE", certificate.to_vec())).collect();
    pem::encode_many(&blocks).into_bytes().into()
}

fn is_usable(certificate: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(certificate.clone().into_owned()).is_ok()
}

// === impl Authorities ===

impl Authorities {
    /// The authorities of a connection for which no setting names others, in PEM.
    pub(super) fn pem(&self) -> Option<Arc<[u8]>> {
        self.pem.clone()
    }

    /// Sets the authorities wherever no setting names others.
    pub(super) fn apply(
        &self,
        store: &mut Store,
        aws: &mut crate::aws::Config,
        issuers: &mut [IssuerConfig],
        backend: &mut LimitBackend,
    ) {
        if let Some(file) = &self.file {
            store::trust(store, file);
        }
        let Some(pem) = &self.pem else { return };
        aws.authorities = Some(Arc::clone(pem));
        for issuer in issuers {
            issuer.authorities = Some(Arc::clone(pem));
        }
        if let LimitBackend::Redis(url) = backend
            && url.is_encrypted()
            && !url.has_ca()
        {
            *url = url.clone().with_ca(pem.to_vec());
        }
    }
}
