//! `[telemetry.otlp]`: where traces are exported to. For a setting that is absent, the variables count that
//! `OpenTelemetry` defines (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). As those pages ask, an invalid variable only causes a
//! warning.

use std::time::Duration;

use url::Url;

use super::{
    env::Env,
    section::Section,
    tree::{Node, Value},
    value::{self, ValueError},
};
use crate::otlp::{Config, Headers, Protocol, Sampling};

/// Default of `telemetry.otlp.sample_ratio`.
const SAMPLE_RATIO: f64 = 0.05;
/// Default of `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The path that receives traces by HTTP.
const TRACES_PATH: &str = "v1/traces";
/// The attribute with the name of the service.
const SERVICE_NAME: &str = "service.name";

/// The variables of `OpenTelemetry`.
struct Variables<'v, 's> {
    env: &'v dyn Env,
    section: &'v Section<'s>,
}

/// Reads `[telemetry.otlp]`. `None` if nothing is exported.
pub(super) fn read(telemetry: &Section<'_>, env: &dyn Env) -> Option<Config> {
    let Some(section) = telemetry.optional_section("otlp") else {
        if !telemetry.has("otlp") {
            warn_without_section(telemetry, env);
        }
        return None;
    };
    let variables = Variables { env, section: &section };
    let is_disabled =
        variables.get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let words = [("grpc", Protocol::Grpc), ("http", Protocol::Http), ("http/protobuf", Protocol::Http)];
    let protocol = section.optional("protocol", value::one_of(&words));
    let protocol = protocol.unwrap_or_else(|| variables.protocol());
    let endpoint = section.optional("endpoint", |node| endpoint(node, protocol));
    let ratio = section.optional("sample_ratio", value::ratio);
    let headers = section.secret_text("headers_file").map(|text| from_lines(&section, &text));
    let config = Config {
        endpoint: match endpoint.or_else(|| variables.endpoint(protocol)) {
            Some(endpoint) => endpoint,
            None => default_endpoint(protocol)?,
        },
        protocol,
        sampling: ratio.map_or_else(|| variables.sampling(), |ratio| Sampling { ratio, parent_based: true }),
        headers: headers.unwrap_or_else(|| variables.headers()),
        timeout: variables.timeout(),
        resource: variables.resource(),
        authorities: None,
    };
    if !config.headers.is_empty()
        && config.endpoint.scheme() == "http"
        && !value::is_loopback(&config.endpoint)
    {
        section.warn(
            "endpoint",
            "is not encrypted, and the headers are secret: use an https endpoint, or send no headers",
        );
    }
    (!is_disabled).then_some(config)
}

/// Warns that variables which ask for traces have no effect.
fn warn_without_section(telemetry: &Section<'_>, env: &dyn Env) {
    for name in ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        if env.get(name).is_some_and(|text| !text.trim().is_empty()) {
            let at = telemetry.reader().variable(name);
            telemetry.reader().warn(
                at,
                "has no effect, because traces are exported only with [telemetry.otlp]: add that line, with no \
                 keys below it if variables say everything",
            );
        }
    }
}

fn default_endpoint(protocol: Protocol) -> Option<Url> {
    let text = match protocol {
        Protocol::Grpc => "http://127.0.0.1:4317",
        Protocol::Http => "http://127.0.0.1:4318/v1/traces",
    };
    Url::parse(text).ok()
}

/// Parses an address. For HTTP, one without a path gets the path that the specification gives to traces.
fn endpoint(node: &Node, protocol: Protocol) -> Result<Url, ValueError> {
    let mut url = usable_url(node)?;
    if protocol == Protocol::Http && url.path() == "/" {
        url.set_path(TRACES_PATH);
    }
    Ok(url)
}

fn usable_url(node: &Node) -> Result<Url, ValueError> {
    let url = value::http_url(node).map_err(
        |_other_example| "is not an http or https URL: write for example \"http://127.0.0.1:4317\"",
    )?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "contains a user or a password: put the authorization header into headers_file".to_owned()
        );
    }
    Ok(url)
}

/// Reads headers: one `name: value` on each line.
fn from_lines(section: &Section<'_>, text: &str) -> Headers {
    let mut headers = Headers::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let with = line.split_once(':').and_then(|(name, value)| headers.clone().with(name, value));
        if let Some(with) = with {
            headers = with;
        } else {
            section.report(
                "headers_file",
                &format!("names a file whose line {} is not a header: write NAME: VALUE", index + 1),
            );
        }
    }
    headers
}

/// Decodes `%41` and the like.
fn percent_decoded(text: &str) -> Option<String> {
    // A form has this encoding, but a plus sign in it is a space.
    let form = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned())
}

// === impl Variables ===

impl Variables<'_, '_> {
    fn get(&self, name: &str) -> Option<String> {
        self.env.get(name).filter(|text| !text.trim().is_empty())
    }

    /// The value of `OTEL_EXPORTER_OTLP_TRACES_…`, or else of `OTEL_EXPORTER_OTLP_…`, with its name.
    fn exporter(&self, option: &str) -> Option<(String, String)> {
        ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"].into_iter().find_map(|prefix| {
            let name = format!("{prefix}{option}");
            self.get(&name).map(|text| (name, text))
        })
    }

    fn warn(&self, name: &str, what: &str) {
        let reader = self.section.reader();
        reader.warn(reader.variable(name), format!("{what}; the service uses the default"));
    }

    fn protocol(&self) -> Protocol {
        let Some((name, text)) = self.exporter("PROTOCOL") else { return Protocol::Grpc };
        match text.trim() {
            "grpc" => Protocol::Grpc,
            "http/protobuf" => Protocol::Http,
            _ => {
                self.warn(&name, "is not a protocol of this service: write grpc or http/protobuf");
                Protocol::Grpc
            }
        }
    }

    /// The address for all signals gets the path of traces, that for traces alone is used as it is.
    fn endpoint(&self, protocol: Protocol) -> Option<Url> {
        let (name, text) = self.exporter("ENDPOINT")?;
        let at = self.section.reader().variable(&name);
        let node = Node { name: at, origin: at, value: Value::Text(text.trim().to_owned()) };
        match usable_url(&node) {
            Ok(mut url) => {
                if protocol == Protocol::Http && name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
                    let base = url.path().trim_end_matches('/').to_owned();
                    url.set_path(&format!("{base}/{TRACES_PATH}"));
                }
                Some(url)
            }
            Err(wrong) => {
                self.warn(&name, &wrong);
                None
            }
        }
    }

    fn headers(&self) -> Headers {
        let Some((name, text)) = self.exporter("HEADERS") else { return Headers::default() };
        self.pairs(&name, &text).into_iter().fold(Headers::default(), |headers, (key, value)| {
            headers.clone().with(&key, &value).unwrap_or_else(|| {
                self.warn(&name, "has a header with an invalid name or value");
                headers
            })
        })
    }

    fn timeout(&self) -> Duration {
        let Some((name, text)) = self.exporter("TIMEOUT") else { return TIMEOUT };
        match text.trim().parse() {
            Ok(0) | Err(_) => {
                self.warn(&name, "is not a number of milliseconds: write for example 10000");
                TIMEOUT
            }
            Ok(millis) => Duration::from_millis(millis),
        }
    }

    fn sampling(&self) -> Sampling {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let default = Sampling { ratio: SAMPLE_RATIO, parent_based: true };
        let Some(text) = self.get(NAME) else { return default };
        let (kind, parent_based) = match text.trim().strip_prefix("parentbased_") {
            Some(kind) => (kind, true),
            None => (text.trim(), false),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.sampler_arg(),
            _ => {
                self.warn(
                    NAME,
                    "is not a sampler of this service: write always_on, always_off or traceidratio, also with \
                     parentbased_ before it",
                );
                return default;
            }
        };
        Sampling { ratio, parent_based }
    }

    fn sampler_arg(&self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.get(NAME) else { return 1.0 };
        text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).unwrap_or_else(|| {
            self.warn(NAME, "is not a number from 0 to 1: write for example 0.05");
            1.0
        })
    }

    /// What describes this process. `OTEL_SERVICE_NAME` is stronger than a name in `OTEL_RESOURCE_ATTRIBUTES`.
    fn resource(&self) -> Vec<(String, String)> {
        const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let mut resource = vec![("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        if let Some(text) = self.get(ATTRIBUTES) {
            resource.extend(self.pairs(ATTRIBUTES, &text));
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            resource.retain(|(key, _)| key != SERVICE_NAME);
            resource.push((SERVICE_NAME.to_owned(), name));
        } else if !resource.iter().any(|(key, _)| key == SERVICE_NAME) {
            resource.push((SERVICE_NAME.to_owned(), "logkey".to_owned()));
        }
        resource
    }

    /// The pairs of `key=value,key=value`, whose values are percent-encoded.
    fn pairs(&self, name: &str, text: &str) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            match pair.split_once('=').and_then(|(key, value)| Some((key, percent_decoded(value.trim())?))) {
                Some((key, value)) => pairs.push((key.trim().to_owned(), value)),
                None => self.warn(name, "has a part without \"=\": write key=value,key=value"),
            }
        }
        pairs
    }
}
