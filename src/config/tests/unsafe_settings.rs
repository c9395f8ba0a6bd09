//! Settings that are valid and still cause a warning.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

use super::*;

/// The warnings about these settings, which come before [`MINIMAL`], in a folder with these files.
fn warned(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    let text = format!("{text}{MINIMAL}");
    let folder = folder(&[files, &[("logkey.toml", text.as_str())]].concat());
    let settings = load_in(folder.path(), &[]).unwrap();
    settings.warnings.iter().map(|warning| warning.message.clone()).collect()
}

fn has(warnings: &[String], start: &str) -> bool {
    warnings.iter().any(|warning| warning.starts_with(start))
}

#[test]
fn a_shared_store_with_local_limits_causes_a_warning() {
    let key = super::dependent_keys::KEY;
    let store =
        "[store]\nurl = \"postgres://logkey@localhost/logkey\"\n[audit]\ncheckpoint_key_file = \"key\"\n";
    let start = "limits.backend is \"local\", but replicas can share this store";
    assert!(has(&warned(store, &[("key", key)]), start));
    let shared = format!("{store}[limits]\nbackend = \"redis://localhost:6379\"\n");
    assert!(!has(&warned(&shared, &[("key", key)]), start));
    assert!(!has(&warned("", &[]), start), "a SQLite store has one process");
}

#[test]
fn reflection_on_an_address_that_others_reach_causes_a_warning() {
    let start = "server.reflection shows every method";
    let with = |listen: &str, reflection: bool| {
        let text = format!(
            "[server]\nlisten = \"{listen}:50051\"\nallow_plaintext = true\nreflection = {reflection}\n"
        );
        has(&warned(&text, &[]), start)
    };
    assert!(with("0.0.0.0", true) && with("[::]", true));
    assert!(!with("0.0.0.0", false) && !with("127.0.0.1", true) && !with("[::1]", true));
}

#[test]
fn a_certificate_that_expires_within_14_days_causes_a_warning() {
    let key = rcgen::KeyPair::generate().unwrap();
    let with = |days: i32| {
        let mut params = rcgen::CertificateParams::new(["logkey.example".to_owned()]).unwrap();
        let day = (Timestamp::now().to_zoned(TimeZone::UTC) + days.days()).date();
        let month = u8::try_from(day.month()).unwrap();
        params.not_after = rcgen::date_time_ymd(day.year().into(), month, u8::try_from(day.day()).unwrap());
        let certificate = params.self_signed(&key).unwrap().pem();
        let files = [("tls.crt", certificate.as_str()), ("tls.key", &key.serialize_pem())];
        let warnings = warned("[server.tls]\ncert_file = \"tls.crt\"\nkey_file = \"tls.key\"\n", &files);
        warnings.into_iter().find(|warning| warning.starts_with("server.tls.cert_file")).unwrap_or_default()
    };
    assert!(with(10).contains("in less than 14 days: replace it"), "{}", with(10));
    assert!(with(-2).contains("has expired"), "{}", with(-2));
    assert_eq!(with(20), "");
}

#[test]
fn recorded_reads_that_stay_forever_cause_a_warning() {
    let start = "audit.reads records every read";
    assert!(has(&warned("", &[]), start));
    assert!(!has(&warned("[audit]\nreads = false\n", &[]), start));
    assert!(!has(&warned("[audit]\nretention = \"30d\"\narchive = \"old\"\n", &[]), start));
    let sampled = warned("[audit]\nreads = \"sampled\"\n", &[]);
    assert!(has(&sampled, "audit.reads records a part of the reads"), "{sampled:?}");
}
