//! The certificate authorities that the environment names.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{folder, load_in, *};
use crate::config::limits::LimitBackend;

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap().cert.pem()
}

/// Loads settings with these lines, and with variables whose values are files in the folder.
fn load(lines: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let text = format!("{lines}{MINIMAL}");
    let folder = folder(&[&[("logkey.toml", &*text), ("key.pem", dependent_keys::KEY)], files].concat());
    let path = |file: &str| folder.path().join(file).display().to_string();
    let env: Vec<_> = env.iter().map(|(name, file)| (*name, path(file))).collect();
    load_in(folder.path(), &env.iter().map(|(name, path)| (*name, &**path)).collect::<Vec<_>>())
}

const SERVERS: &str = "[store]\nurl = \"postgres://logkey@db.test/logkey\"\n\
                       [limits]\nbackend = \"rediss://redis.test:6379\"\n\
                       [audit]\ncheckpoint_key_file = \"key.pem\"\n";

#[test]
fn the_authorities_of_a_bundle_and_a_file_count_together_for_every_connection() {
    let (one, other) = (certificate(), certificate());
    let unusable = pem::encode(&pem::Pem::new("CERTIFICATE", *b"no certificate"));
    let bundle = format!("{unusable}{one}");
    let env = [("AWS_CA_BUNDLE", "bundle.pem"), ("SSL_CERT_FILE", "file.pem")];
    let settings = load(SERVERS, &[("bundle.pem", &bundle), ("file.pem", &other)], &env).unwrap();
    let expected: Vec<_> =
        [&one, &other].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).to_vec();
    let found = |pem: &[u8]| CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(found(settings.aws.authorities.as_deref().unwrap()), expected);
    assert_eq!(found(settings.auth.issuers[0].authorities.as_deref().unwrap()), expected);
    assert!(matches!(&settings.limits.backend, LimitBackend::Redis(url) if url.has_ca()));
    assert!(
        settings.store.config.url.contains("sslrootcert=") && settings.store.config.url.contains("file.pem")
    );
}

#[test]
fn without_a_bundle_the_libraries_read_the_other_variables() {
    let settings = load(SERVERS, &[("file.pem", &certificate())], &[("SSL_CERT_FILE", "file.pem")]).unwrap();
    assert!(settings.aws.authorities.is_none() && settings.auth.issuers[0].authorities.is_none());
    assert!(settings.store.config.url.ends_with("file.pem"), "the client of PostgreSQL reads no variable");
    assert!(load(SERVERS, &[], &[]).unwrap().store.config.url.ends_with("/logkey"));
}

#[test]
fn settings_that_name_authorities_take_precedence() {
    let servers = SERVERS.replace("/logkey\"", "/logkey?sslrootcert=own.pem\"");
    let env = [("AWS_CA_BUNDLE", "bundle.pem")];
    let settings = load(&servers, &[("bundle.pem", &certificate())], &env).unwrap();
    assert!(settings.store.config.url.ends_with("?sslrootcert=own.pem"), "{}", settings.store.config.url);
}

#[test]
fn a_file_or_folder_without_usable_certificates_is_reported() {
    for (variable, name) in [("SSL_CERT_FILE", "file.pem"), ("SSL_CERT_DIR", "certs")] {
        let errors = load(SERVERS, &[], &[(variable, name)]).unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(name), "{errors:?}");
        assert!(errors[0].contains(&format!("{variable} names this ")), "{errors:?}");
    }
    let errors = load("", &[("file.pem", "")], &[("SSL_CERT_FILE", "file.pem")]).unwrap_err();
    assert!(errors[0].contains("contains no usable PEM certificate"), "{errors:?}");
}

#[test]
fn a_bundle_without_usable_certificates_is_reported() {
    let unusable = pem::encode(&pem::Pem::new("CERTIFICATE", *b"no certificate"));
    for (files, problem) in [
        (vec![], "bundle.pem: cannot be read"),
        (vec![("bundle.pem", "nothing")], "bundle.pem: contains no usable PEM certificate"),
        (vec![("bundle.pem", &*unusable)], "bundle.pem: contains no usable PEM certificate"),
    ] {
        let errors = load("", &files, &[("AWS_CA_BUNDLE", "bundle.pem")]).unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(problem), "{errors:?}");
        assert!(errors[0].contains("AWS_CA_BUNDLE names this file"), "{errors:?}");
    }
}
