//! Something limits every call to AWS: a budget, or a permit of the upstream limiter. The test reads the source, so
//! that a new method of a port, or a new place that sends, cannot be forgotten.

use std::{collections::BTreeSet, fs, path::Path};

use logkey::{domain::association::ListKeyAssociations, ports::Roles as _};

use super::*;
use crate::layering::rust_files;

/// What limits the calls of a method.
#[derive(Clone, Copy)]
enum LimitedBy {
    /// A budget for each tenant and in all, which the adapter takes from. This text is in the adapter.
    Budget { adapter: &'static str, text: &'static str },
    /// A permit for the operation, which the use case takes.
    Permit(&'static str),
    /// One task of the service calls it, with pauses between failures. No tenant causes it.
    OneTask,
}

const KMS: LimitedBy =
    LimitedBy::Budget { adapter: "src/aws/kms.rs", text: "limited_read(&self.budgets.kms" };
const STS: LimitedBy = LimitedBy::Budget { adapter: "src/aws/roles.rs", text: "self.assume.acquire(" };
const IAM: LimitedBy =
    LimitedBy::Budget { adapter: "src/aws/iam.rs", text: "limited_read(&self.budgets.iam" };
const QUOTAS: LimitedBy =
    LimitedBy::Budget { adapter: "src/aws/quotas.rs", text: "limited_read(&self.budgets.quotas" };
const DESCRIBE: LimitedBy = LimitedBy::Permit("DescribeLogGroups");

/// A port of AWS.
struct Port {
    name: &'static str,
    /// Its field in the dependencies of the use cases.
    field: &'static str,
    methods: &'static [(&'static str, LimitedBy)],
}

const PORTS: &[Port] = &[
    Port {
        name: "KeyAssociations",
        field: "associations",
        methods: &[
            ("associate", LimitedBy::Permit("AssociateKmsKey")),
            ("disassociate", LimitedBy::Permit("DisassociateKmsKey")),
        ],
    },
    Port {
        name: "LogGroups",
        field: "log_groups",
        methods: &[("find", DESCRIBE), ("find_many", DESCRIBE), ("page", DESCRIBE)],
    },
    Port { name: "Keys", field: "keys", methods: &[("describe", KMS), ("policy", KMS), ("tags", KMS)] },
    Port {
        name: "Roles",
        field: "roles",
        methods: &[("service_principal", STS), ("trusts_without_external_id", STS), ("simulate", IAM)],
    },
    Port {
        name: "Queries",
        field: "queries",
        methods: &[
            ("start", LimitedBy::Permit("StartQuery")),
            ("poll", LimitedBy::Permit("GetQueryResults")),
        ],
    },
    Port { name: "Quotas", field: "aws", methods: &[("fetch", QUOTAS)] },
    Port {
        name: "GroupEvents",
        field: "events",
        methods: &[("receive", LimitedBy::OneTask), ("delete", LimitedBy::OneTask)],
    },
];

/// The files that send to AWS, and how often. The archive, the sink and the event queue are one task each.
const SENDS: &[(&str, usize)] = &[
    ("src/aws/log_stream/sink.rs", 2),
    ("src/aws/operation.rs", 1),
    ("src/aws/roles.rs", 1),
    ("src/aws/s3/bucket.rs", 2),
    ("src/aws/service_identity.rs", 1),
    ("src/aws/sqs/queue.rs", 2),
    ("src/aws/sts/client.rs", 1),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The methods of each trait in these files.
fn methods_of_ports() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for file in ["aws", "queries", "quotas", "group_events"] {
        let parsed = syn::parse_file(&read(&format!("src/ports/{file}.rs"))).unwrap();
        for item in parsed.items {
            let syn::Item::Trait(port) = item else { continue };
            for method in port.items {
                let syn::TraitItem::Fn(method) = method else { continue };
                found.insert((port.ident.to_string(), method.sig.ident.to_string()));
            }
        }
    }
    // This one calls another port.
    found.retain(|(port, _)| port != "QuotaDiscovery");
    found
}

#[test]
fn every_method_of_an_aws_port_is_limited() {
    let listed = PORTS
        .iter()
        .flat_map(|port| port.methods.iter().map(|(method, _)| (port.name.to_owned(), (*method).to_owned())));
    assert_eq!(methods_of_ports(), listed.collect(), "say in this test what limits a new method");
    let sources = rust_files(&root().join("src/service")).into_iter();
    let sources: Vec<(String, String)> = sources
        .filter(|file| !file.to_str().unwrap().contains("tests"))
        .map(|file| (file.display().to_string(), fs::read_to_string(&file).unwrap()))
        .collect();
    for Port { name: port, field, methods } in PORTS {
        for (method, limit) in *methods {
            match limit {
                LimitedBy::OneTask => {}
                LimitedBy::Budget { adapter, text } => {
                    let source = read(adapter);
                    let count = methods.iter().filter(|(_, other)| is_same(*other, *limit)).count();
                    assert!(source.matches(text).count() >= count, "{port}::{method}: {text} in {adapter}");
                }
                LimitedBy::Permit(operation) => {
                    let call = format!("{field}.{method}(");
                    let calls = sources.iter().flat_map(|(file, text)| {
                        text.match_indices(&call).map(move |(at, _)| (file, &text[..at], text))
                    });
                    let calls: Vec<_> = calls.collect();
                    assert!(!calls.is_empty(), "nobody calls {call}");
                    for (file, before, text) in calls {
                        let function = &text[before.rfind("fn ").unwrap()..];
                        let end = function.find("\n}").or_else(|| function.find("\n    }")).unwrap();
                        let function = &function[..end];
                        // A change hands its call to the pipeline, which takes the permit of its operation.
                        let is_sent_by_pipeline = function.starts_with("fn send(")
                            && text.contains(&format!("Operation::{operation}"));
                        let named = format!("Operation::{operation}");
                        assert!(
                            is_sent_by_pipeline || function.contains(&named),
                            "{call} in {file} has no permit for {operation}"
                        );
                    }
                }
            }
        }
    }
}

fn is_same(one: LimitedBy, other: LimitedBy) -> bool {
    match (one, other) {
        (LimitedBy::Budget { text: one, .. }, LimitedBy::Budget { text: other, .. }) => one == other,
        (_, _) => false,
    }
}

#[test]
fn only_known_places_send_to_aws() {
    let mut found = Vec::new();
    for file in rust_files(&root().join("src/aws")) {
        let count = fs::read_to_string(&file).unwrap().matches(".send()").count();
        let file = file.strip_prefix(root()).unwrap().display().to_string();
        if count > 0 && !file.ends_with("tests.rs") {
            found.push((file, count));
        }
    }
    found.sort();
    let known: Vec<_> = SENDS.iter().map(|(file, count)| ((*file).to_owned(), *count)).collect();
    assert_eq!(found, known, "say here, and in PORTS, what limits a new call");
}

#[tokio::test]
async fn a_tenant_reaches_sts_for_the_service_identity_only_within_its_budget() {
    let env = TestEnv::new().await;
    let (deadline, tenant) = (Instant::now() + Duration::from_mins(1), &env.tenant.id);
    for _ in 0..50 {
        env.aws.service_principal(tenant, deadline).await.unwrap();
    }
    let calls = env.running.sandbox().journal();
    let identity = calls.iter().filter(|call| call.operation == "GetCallerIdentity").count();
    assert!((1..50).contains(&identity), "{identity}: what STS answered is known for some seconds");
    // The role's own simulation or trust test uses the same budget of STS.
    let location = Location { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
    let authorized = env.authorized(ListKeyAssociations { location });
    let now = Instant::now();
    let mut refused = false;
    for _ in 0..400 {
        let answer = env.aws.trusts_without_external_id(authorized.access(), now).await;
        refused |= matches!(answer.result, Err(UpstreamError::NotSent(_)));
    }
    assert!(refused, "a burst has an end");
}
