//! The configuration of traces: the settings, and the variables of `OpenTelemetry`.

use super::*;
use crate::otlp::{Headers, Protocol, Sampling};

/// The settings of traces, from the keys of `[telemetry.otlp]` and variables.
fn traces(keys: &str, env: &[(&str, &str)]) -> crate::otlp::Config {
    let settings = load(&format!("{MINIMAL}[telemetry.otlp]\n{keys}"), env).unwrap();
    settings.telemetry.otlp.unwrap()
}

/// The warnings about variables, from the text of the whole configuration.
fn variable_warnings(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let warnings = load(text, env).unwrap().warnings;
    let variables = warnings.iter().map(ToString::to_string).filter(|warning| warning.contains("OTEL_"));
    variables.collect()
}

#[test]
fn without_its_section_nothing_is_exported() {
    assert_eq!(load(MINIMAL, &[]).unwrap().telemetry.otlp, None);
    let env = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")];
    assert_eq!(load(MINIMAL, &env).unwrap().telemetry.otlp, None);
    let warnings = variable_warnings(MINIMAL, &env);
    assert!(matches!(&warnings[..], [one] if one.contains("[telemetry.otlp]")), "{warnings:?}");
    let text = format!("{MINIMAL}[telemetry.otlp]\n");
    assert_eq!(load(&text, &[("OTEL_SDK_DISABLED", "true")]).unwrap().telemetry.otlp, None);
}

#[test]
fn an_empty_section_exports_a_twentieth_of_the_traces_by_grpc() {
    let config = traces("", &[]);
    assert_eq!(config.endpoint.as_str(), "http://127.0.0.1:4317/");
    assert_eq!((config.protocol, config.timeout), (Protocol::Grpc, Duration::from_secs(10)));
    assert_eq!(config.sampling, Sampling { ratio: 0.05, parent_based: true });
    assert_eq!(traces("protocol = \"http\"", &[]).endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
    assert!(config.resource.contains(&("service.name".into(), "logkey".into())));
}

#[test]
fn settings_count_before_variables() {
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all.example:1/base/"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%2Cb+c,other=d"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored,deployment.environment=test"),
        ("OTEL_SERVICE_NAME", "keys"),
    ];
    let config = traces("", &env);
    assert_eq!(config.endpoint.as_str(), "http://all.example:1/base/v1/traces");
    assert_eq!((config.protocol, config.timeout), (Protocol::Http, Duration::from_millis(2_500)));
    assert_eq!(config.sampling, Sampling { ratio: 0.5, parent_based: false });
    let headers = Headers::default().with("x-key", "a,b+c").unwrap().with("other", "d").unwrap();
    assert!(config.headers == headers);
    let names = config.resource.iter().filter(|(key, _)| key == "service.name");
    assert_eq!(names.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["keys"]);
    assert!(config.resource.contains(&("deployment.environment".into(), "test".into())));

    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces.example:1/exact");
    assert_eq!(traces("", &[&env[..], &[of_traces]].concat()).endpoint.as_str(), of_traces.1);
    let keys = "endpoint = \"https://set.example\"\nprotocol = \"grpc\"\nsample_ratio = 1";
    let config = traces(keys, &env);
    assert_eq!((config.endpoint.as_str(), config.protocol), ("https://set.example/", Protocol::Grpc));
    assert_eq!(config.sampling, Sampling { ratio: 1.0, parent_based: true });
}

#[test]
fn an_invalid_variable_causes_a_warning_and_the_default_counts() {
    let text = format!("{MINIMAL}[telemetry.otlp]\n");
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ];
    let warnings = variable_warnings(&text, &env);
    assert_eq!(warnings.len(), env.len(), "{warnings:#?}");
    assert!(!warnings.concat().contains("hunter2"), "{warnings:#?}");
    assert_eq!(traces("", &env), traces("", &[]));
}

#[test]
fn the_headers_come_from_a_file_and_are_never_shown() {
    let text = format!(
        "{MINIMAL}[telemetry.otlp]\nendpoint = \"http://collector.example:4317\"\nheaders_file = \"headers\"\n"
    );
    let folder =
        folder(&[("logkey.toml", &text), ("headers", "Authorization: Bearer hunter2\n\nx-other: 1\n")]);
    let settings = load_in(folder.path(), &[]).unwrap();
    let headers = &settings.telemetry.otlp.as_ref().unwrap().headers;
    let expected = Headers::default().with("authorization", "Bearer hunter2").unwrap();
    assert!(*headers == expected.with("x-other", "1").unwrap());
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(settings.files.iter().any(|file| file.ends_with("headers")));
    let warnings = warnings(&settings);
    assert!(warnings.iter().any(|warning| warning.contains("is not encrypted")), "{warnings:?}");

    fs::write(folder.path().join("headers"), "hunter2").unwrap();
    let diagnostics = load_in(folder.path(), &[]).unwrap_err();
    let [one] = &diagnostics[..] else { panic!("{diagnostics:?}") };
    assert!(one.contains("line 1") && !one.contains("hunter2"), "{one}");
}

#[test]
fn invalid_settings_of_traces_are_reported() {
    let keys = "[telemetry.otlp]\nendpoint = \"http://user:hunter2@collector.example\"\nsample_ratio = 1.5\nprotocol = \"json\"\n";
    let diagnostics = diagnostics_with(keys);
    assert_eq!(diagnostics.len(), 3, "{diagnostics:#?}");
    assert!(!diagnostics.concat().contains("hunter2"), "{diagnostics:#?}");
}
