//! `[server]`: the addresses, TLS and limits of the gRPC server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};

use http::HeaderValue;
use ipnet::IpNet;
use jiff::Timestamp;
use url::Url;

use super::{
    section::Section,
    tree::Node,
    value::{self, ValueError},
};
use crate::{
    domain::error_chain::error_chain,
    server::{self, ClientAuth, ConnectionLifetime, ConnectionLimits, Tls, TlsConfig, TlsError},
};

/// Default of `server.listen`.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);
/// Default of `server.admin_listen`.
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
/// Default of `server.drain_delay`.
const DRAIN_DELAY: Duration = Duration::from_secs(5);
/// Default of `server.drain_timeout`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Default of `server.request_timeout`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Default of `server.max_in_flight`.
const MAX_IN_FLIGHT: usize = 4_096;
/// How long before its expiry a certificate causes a warning.
const EXPIRY_WARNING: Duration = Duration::from_hours(14 * 24);
/// The maximum of `server.request_timeout`, `server.drain_delay` and `server.drain_timeout`.
const MAX_WAIT: Duration = Duration::from_hours(1);

/// The settings of the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The address for gRPC.
    pub listen: SocketAddr,
    /// The address for HTTP: metrics, probes and limits.
    pub admin_listen: SocketAddr,
    /// The settings of the gRPC server.
    pub grpc: server::Config,
    /// The certificates for gRPC; `None` means plain text.
    pub tls: Option<TlsConfig>,
}

/// Reads `[server]`.
pub(super) fn read(section: &Section<'_>) -> Server {
    let min = Duration::from_millis(1);
    let server = Server {
        listen: section.or_default("listen", LISTEN, value::address),
        admin_listen: section.or_default("admin_listen", ADMIN_LISTEN, value::address),
        grpc: server::Config {
            request_timeout: section.or_default(
                "request_timeout",
                REQUEST_TIMEOUT,
                value::duration_within(min, MAX_WAIT),
            ),
            drain_delay: section.or_default(
                "drain_delay",
                DRAIN_DELAY,
                value::duration_within(Duration::ZERO, MAX_WAIT),
            ),
            drain_timeout: section.or_default(
                "drain_timeout",
                DRAIN_TIMEOUT,
                value::duration_within(Duration::ZERO, MAX_WAIT),
            ),
            reflection: section.or_default("reflection", true, value::boolean),
            max_in_flight: size(section, "max_in_flight", MAX_IN_FLIGHT),
            connections: read_connections(section),
            lifetime: ConnectionLifetime::default(),
            allowed_origins: section.section("cors").list_of("allowed_origins", origin).unwrap_or_default(),
            trusted_proxies: section
                .list_of("trusted_proxies", network)
                .unwrap_or_default()
                .into_iter()
                .collect(),
            documentation_url: section.optional("documentation_url", value::http_url),
        },
        tls: section.optional_section("tls").and_then(|tls| read_tls(&tls)),
    };
    let allow_plaintext = section.or_default("allow_plaintext", false, value::boolean);
    if !section.has("tls") && !allow_plaintext && !server.listen.ip().is_loopback() {
        section.report(
            "listen",
            "is not a loopback address, and tokens would be sent in plain text: add [server.tls], or write \
             allow_plaintext = true if a proxy or a service mesh terminates TLS",
        );
    }
    if server.grpc.reflection && !server.listen.ip().is_loopback() {
        section.warn(
            "reflection",
            "shows every method to everyone who reaches the port, without a token: write reflection = false if \
             callers have the .proto files",
        );
    }
    if server.listen == server.admin_listen && server.listen.port() != 0 {
        section.report("admin_listen", "is the same address as server.listen: use another port");
    }
    server
}

fn read_connections(section: &Section<'_>) -> ConnectionLimits {
    let default = ConnectionLimits::default();
    ConnectionLimits {
        max: size(section, "max_connections", default.max),
        max_per_address: size(section, "max_connections_per_address", default.max_per_address),
        ..default
    }
}

fn size(section: &Section<'_>, key: &'static str, default: usize) -> usize {
    section.optional(key, value::size).map_or(default, NonZeroUsize::get)
}

/// Parses a network such as `10.0.0.0/8`, or one address.
fn network(node: &Node) -> Result<IpNet, ValueError> {
    let text = value::text(node)?;
    let network = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()));
    network.ok_or_else(|| "is neither a network nor an address: write for example \"10.0.0.0/8\"".to_owned())
}

/// Parses an origin such as `https://portal.example.com`, exactly as browsers send it.
fn origin(node: &Node) -> Result<HeaderValue, ValueError> {
    const EXAMPLE: &str = "write for example \"https://portal.example.com\"";
    let text = value::text(node)?;
    if text == "*" {
        return Err(format!("would let every page call the service: list the origins, {EXAMPLE}"));
    }
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(exact) = url.map(|url| url.origin().ascii_serialization()) else {
        return Err(format!("is not an origin: {EXAMPLE}"));
    };
    if exact != text {
        return Err(format!("is not an origin as browsers send it: write \"{exact}\""));
    }
    HeaderValue::try_from(exact).map_err(|_invalid| format!("is not an origin: {EXAMPLE}"))
}

fn read_tls(section: &Section<'_>) -> Option<TlsConfig> {
    let cert_file = section.readable_file("cert_file");
    let key_file = section.secret_file("key_file");
    for (key, example) in [("cert_file", "\"tls.crt\""), ("key_file", "\"tls.key\"")] {
        if !section.has(key) {
            section.missing(key, example);
        }
    }
    let words =
        [("none", ClientAuth::None), ("optional", ClientAuth::Optional), ("required", ClientAuth::Required)];
    let client_auth = section.or_default("client_auth", ClientAuth::None, value::one_of(&words));
    let client_ca_file = section.readable_file("client_ca_file");
    match (client_auth, section.has("client_ca_file")) {
        (ClientAuth::None, true) => section.report(
            "client_ca_file",
            "has no effect while client_auth is \"none\": write client_auth = \"required\", or omit it",
        ),
        (ClientAuth::Optional | ClientAuth::Required, false) => {
            section.missing("client_ca_file", "\"clients-ca.crt\"");
        }
        (ClientAuth::None, false) | (ClientAuth::Optional | ClientAuth::Required, true) => {}
    }
    if section.has("client_ca_file") && client_ca_file.is_none() {
        return None;
    }
    let tls = TlsConfig { cert_file: cert_file?, key_file: key_file?, client_ca_file, client_auth };
    // The code above reports missing files; this checks the contents.
    match Tls::load(tls.clone()) {
        Ok(loaded) => warn_of_expiry(section, &loaded),
        Err(TlsError::NoClientCa) => {}
        Err(error) => section.report("cert_file", &format!("cannot be used: {}", error_chain(&error))),
    }
    Some(tls)
}

/// Warns about a certificate that has expired or soon will.
fn warn_of_expiry(section: &Section<'_>, tls: &Tls) {
    let expiry = tls.expires().and_then(|expiry| Timestamp::from_second(expiry.as_secs()).ok());
    let Some(expiry) = expiry else { return };
    let left = Timestamp::now().duration_until(expiry);
    if left.is_negative() {
        section.warn("cert_file", &format!("has expired: its last moment was {expiry}; replace it"));
    } else if left.unsigned_abs() < EXPIRY_WARNING {
        section.warn("cert_file", &format!("expires at {expiry}, in less than 14 days: replace it"));
    }
}
