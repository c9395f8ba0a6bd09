//! Connections to other services: which hosts the service reaches without a proxy, and at which step a connection
//! failed.

use std::{error::Error, fmt, io, net::IpAddr};

/// The step at which a call to another service failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedStep {
    /// The name of the server could not be resolved.
    NameResolution,
    /// There was no connection, or it broke.
    Connection,
    /// The proxy made no connection to the server.
    Proxy,
    /// The certificate of the server is not valid, or no known authority signed it.
    Certificate,
    /// The TLS handshake failed for another cause.
    Tls,
    /// No answer came in time.
    Timeout,
    /// The server answered something else than the protocol requires.
    Protocol,
}

/// Whether the host is this machine or a metadata service of the machine's cloud. The service never reaches them
/// through a proxy, which would reach its own ones.
#[must_use]
pub fn is_direct(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // fd00:ec2::/32 has the metadata services of EC2 and of EKS Pod Identity.
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments().first_chunk() == Some(&[0xfd00, 0x0ec2])
        }
        Err(_name) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The step at which the call failed, by the error and its causes. The libraries show it only in their texts, so the
/// most specific text decides. None if no text shows the step.
#[must_use]
pub fn failed_step(error: &(dyn Error + 'static)) -> Option<FailedStep> {
    let mut step = None;
    let mut next = Some(error);
    while let Some(error) = next {
        step = step_in(error).or(step);
        next = error.source();
    }
    step
}

fn step_in(error: &(dyn Error + 'static)) -> Option<FailedStep> {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let is_connection = kind.is_some_and(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NotConnected
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    });
    failed_step_in(&error.to_string()).or(is_connection.then_some(FailedStep::Connection))
}

/// The step at which a call failed, by the text of its error.
#[must_use]
pub fn failed_step_in(text: &str) -> Option<FailedStep> {
    let text = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["certificate"]) {
        return Some(FailedStep::Certificate);
    }
    if has(&["dns error", "failed to lookup", "name or service not known", "resolves to no address"]) {
        return Some(FailedStep::NameResolution);
    }
    if has(&["tunnel", "proxy"]) {
        return Some(FailedStep::Proxy);
    }
    if has(&["handshake", "received fatal alert", "corrupt message", "peer is incompatible", "tls error"]) {
        return Some(FailedStep::Tls);
    }
    if has(&["timed out", "timeout", "deadline has elapsed", "no reply in time"]) {
        return Some(FailedStep::Timeout);
    }
    if has(&["connection refused", "connection reset", "tcp connect error"]) {
        return Some(FailedStep::Connection);
    }
    has(&["http version", "http2 error", "parsed", "incomplete message", "body error"])
        .then_some(FailedStep::Protocol)
}

// === impl FailedStep ===

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameResolution => "the name of the server could not be resolved",
            Self::Connection => "there was no connection to the server",
            Self::Proxy => "the proxy made no connection to the server",
            Self::Certificate => "the certificate of the server was not accepted",
            Self::Tls => "TLS could not be negotiated",
            Self::Timeout => "the server did not answer in time",
            Self::Protocol => "the server's answer broke the protocol",
        })
    }
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("client error (Connect)")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_most_specific_cause_names_the_step() {
        for (text, expected) in [
            ("dns error: failed to lookup address information", FailedStep::NameResolution),
            ("invalid peer certificate: UnknownIssuer", FailedStep::Certificate),
            ("tunnel error: unsuccessful", FailedStep::Proxy),
            ("received fatal alert: ProtocolVersion", FailedStep::Tls),
            ("operation timed out", FailedStep::Timeout),
            ("invalid HTTP version parsed", FailedStep::Protocol),
        ] {
            assert_eq!(failed_step(&Outer(io::Error::other(text))), Some(expected), "{text}");
        }
        assert_eq!(failed_step(&Outer(io::Error::other("the deadline has passed"))), None);
        let refused = Outer(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(failed_step(&refused), Some(FailedStep::Connection));
    }

    #[test]
    fn this_machine_and_metadata_services_are_reached_directly() {
        for host in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "169.254.170.23",
            "[fd00:ec2::23]",
        ] {
            assert!(is_direct(host), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "[fd00::1]", "sts.amazonaws.com", ""] {
            assert!(!is_direct(host), "{host}");
        }
    }
}
