//! The documents are correct: error reasons, links, metrics, and the policies to install in AWS.

mod tokens;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use logkey::{
    app::telemetry::METRICS,
    config::{Env, Settings},
    domain::reason::Reason,
    sandbox::seed::{KeySeed, PolicyText, RoleSeed},
};
use serde_json::{Value, json};

use crate::harness::{ALL, GROUP, Plan, REGION, reason, tenant};

/// An account of the embedded AWS that has only what `deploy/iam` installs.
const ACCOUNT: &str = "222233334444";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_reason_is_explained_under_its_code() {
    let text = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let mut explained = BTreeSet::new();
    let mut heading = "";
    for line in text.lines() {
        if let Some(section) = line.strip_prefix("## ") {
            heading = section.split('`').nth(1).unwrap_or_default();
        }
        let mut quoted = line.split('`').skip(1).step_by(2);
        if let (true, Some(reason)) = (line.starts_with("| <a id="), quoted.next())
            && line.starts_with(&format!("| <a id=\"{reason}\"></a>"))
            && Reason::ALL.iter().any(|candidate| candidate.as_str() == reason)
        {
            let code = if heading.is_empty() { quoted.next().unwrap() } else { heading };
            explained.insert((reason, code));
        }
    }
    let reasons: BTreeSet<_> = Reason::ALL.iter().map(|it| (it.as_str(), it.code_name())).collect();
    assert_eq!(explained, reasons);
}

#[test]
fn links_between_documents_lead_to_existing_files() {
    let mut checked = 0;
    for file in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/iam/README.md", "docs/adr/README.md"]
        .map(|file| root().join(file))
        .into_iter()
        .chain(markdown(&root().join("docs")))
    {
        let text = fs::read_to_string(&file).unwrap();
        // Brackets in code are no links.
        let prose = text.split("\n```").step_by(2);
        for link in prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next())
        {
            if !link.contains("://") {
                let target = file.parent().unwrap().join(link.split('#').next().unwrap());
                assert!(target.exists(), "{} leads to {link}", file.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked} links");
}

#[test]
fn the_documentation_site_has_every_page() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> = summary
        .split("](")
        .skip(1)
        .map(|rest| root().join("docs").join(rest.split(')').next().unwrap()))
        .collect();
    let pages = markdown(&root().join("docs")).into_iter().chain(markdown(&root().join("docs/adr")));
    assert_eq!(pages.filter(|page| !page.ends_with("SUMMARY.md")).collect::<BTreeSet<_>>(), listed);
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// A file of `deploy/iam`, with the names of this test instead of the example names.
fn iam(name: &str) -> Value {
    let text = fs::read_to_string(root().join("deploy/iam").join(name)).unwrap();
    let text = text
        .replace("111122223333", ACCOUNT)
        .replace("us-east-1", REGION)
        .replace("replace-me-by-a-long-random-text", "payments-external-id");
    without_organization(serde_json::from_str(&text).unwrap())
}

/// The policy without its conditions for the organization, as the README says for accounts that are in none: the
/// embedded AWS has no organizations.
pub(crate) fn without_organization(mut policy: Value) -> Value {
    let statements = policy.get_mut("Statement").and_then(Value::as_array_mut);
    for statement in statements.into_iter().flatten() {
        if let Some(Value::Object(equals)) = statement.pointer_mut("/Condition/StringEquals") {
            equals.remove("aws:PrincipalOrgID");
        }
    }
    policy
}

/// A key whose policy has the statement for its account and this statement.
fn key(id: &str, statement: &str) -> KeySeed {
    let own = json!({
        "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{ACCOUNT}:root") },
        "Action": "kms:*",
        "Resource": "*",
    });
    let policy = json!({ "Version": "2012-10-17", "Statement": [own, iam(statement)] });
    KeySeed {
        id: id.into(),
        region: REGION.into(),
        policy: Some(PolicyText::Document(policy)),
        ..KeySeed::default()
    }
}

fn installed(permissions: Value) -> Plan {
    let role = RoleSeed {
        name: "LogKeyAssociator".into(),
        trust_policy: Some(PolicyText::Document(iam("tenant-role-trust.json"))),
        policy: Some(PolicyText::Document(permissions)),
        ..RoleSeed::default()
    };
    let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    Plan::default().tenants(&tenant("payments", ACCOUNT, generous)).aws(|aws| {
        aws.account(ACCOUNT, |account| {
            account
                .role_with(role)
                .key_with(key("groups", "key-policy-log-groups.json"))
                .key_with(key("queries", "key-policy-query-results.json"))
                .log_group(REGION, GROUP)
        })
    })
}

fn arn(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{id}")
}

#[tokio::test]
async fn the_policies_in_deploy_allow_the_main_job_and_no_more() {
    let service = installed(iam("tenant-role-policy.json")).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &arn("groups")).await.unwrap();
    assert_eq!(caller.get(GROUP).await.unwrap().kms_key_arn, arn("groups"));
    caller.disassociate(GROUP).await.unwrap();

    let refused = caller.associate(GROUP, &arn("queries")).await.unwrap_err();
    assert!(reason(&refused).starts_with("KEY_POLICY"), "{refused:?}");
    let queries = format!("arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*");
    let refused = caller.associate_arn(&queries, &arn("queries")).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_LACKS_LOGS_PERMISSION", "{refused:?}");
    service.stop().await;
}

#[tokio::test]
async fn query_results_need_their_own_policy_statements() {
    let mut permissions = iam("tenant-role-policy.json");
    let more = iam("tenant-role-policy-query-results.json")["Statement"][0].take();
    permissions["Statement"].as_array_mut().unwrap().push(more);
    let service = installed(permissions).start().await;
    let caller = service.caller("payments", ALL);
    let queries = format!("arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*");
    caller.associate_arn(&queries, &arn("queries")).await.unwrap();
    assert_eq!(caller.get_arn(&queries).await.unwrap().kms_key_arn, arn("queries"));
    let refused = caller.associate_arn(&queries, &arn("groups")).await.unwrap_err();
    assert!(reason(&refused).starts_with("KEY_POLICY"), "{refused:?}");
    service.stop().await;
}

/// The text under `name: |` in a manifest.
fn embedded(manifest: &str, name: &str) -> String {
    let lines = manifest.lines().skip_while(|line| line.trim() != format!("{name}: |")).skip(1);
    let block = lines.take_while(|line| line.starts_with("    ") || line.is_empty());
    block.map(|line| line.strip_prefix("    ").unwrap_or_default().to_owned() + "\n").collect()
}

/// The environment variables in a manifest, with other paths.
struct ManifestEnv(Vec<(String, String)>);

impl Env for ManifestEnv {
    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        self.0.iter().filter(|(name, _)| name.starts_with(prefix)).cloned().collect()
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    }
}

#[test]
fn the_settings_in_the_kubernetes_manifests_are_valid() {
    let manifest = fs::read_to_string(root().join("deploy/kubernetes/sqlite.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = |text: &str| text.replace("/etc/logkey", &folder.path().display().to_string());
    let pair = rcgen::generate_simple_self_signed(["logkey.example.com".to_owned()]).unwrap();
    for (name, text) in [
        ("logkey.toml", here(&embedded(&manifest, "logkey.toml"))),
        ("tenants.d/payments.toml", here(&embedded(&manifest, "payments.toml"))),
        ("external-ids/payments", "payments-external-id".to_owned()),
        ("tls/tls.crt", pair.cert.pem()),
        ("tls/tls.key", pair.signing_key.serialize_pem()),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let variable = |line: &str| {
        let (name, value) =
            line.trim().strip_prefix("- { name: LOGKEY__")?.strip_suffix(" }")?.split_once(", value: ")?;
        Some((format!("LOGKEY__{name}"), here(value.trim_matches('"'))))
    };
    let env = ManifestEnv(manifest.lines().filter_map(variable).collect());
    assert!(env.get("LOGKEY__STORE__URL").is_some());
    let settings = Settings::load(&folder.path().join("logkey.toml"), &env);
    let settings = settings.unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!(settings.tenants.len(), 1);
    assert!(settings.server.tls.is_some());
}

/// The words in a text that begin like the name of a metric.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("logkey_"))
        .map(|word| word.trim_end_matches("_bucket").trim_end_matches("_sum"))
        .collect()
}

/// The text of every file with this ending below a folder.
fn texts(folder: &Path, ending: &str) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&texts(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    all
}

fn known_metrics() -> BTreeSet<&'static str> {
    METRICS.iter().map(|metric| metric.name).collect()
}

#[test]
fn every_metric_is_described_documented_and_used_by_its_name() {
    let known = known_metrics();
    let sources = texts(&root().join("src"), "rs");
    let literals: BTreeSet<&str> = sources
        .split('"')
        .filter(|text| text.starts_with("logkey_") && !text.contains("__") && metrics(text).contains(text))
        .collect();
    let undescribed: Vec<_> = literals.difference(&known).collect();
    assert!(undescribed.is_empty(), "no help text in app/telemetry/metrics.rs: {undescribed:?}");
    let pages = texts(&root().join("docs"), "md");
    let documented = metrics(&pages);
    let undocumented: Vec<_> = known.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs: {undocumented:?}");
    for (folder, ending) in [("deploy/prometheus", "yaml"), ("deploy/grafana", "json")] {
        let text = texts(&root().join(folder), ending);
        let used = metrics(&text);
        assert!(!used.is_empty() && used.is_subset(&known), "{folder}: {:?}", used.difference(&known));
    }
}

/// The name of each alert with its expression.
fn alerts() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap();
    let rule = |rule: &str| {
        let name = rule.lines().next().unwrap().to_owned();
        let expression = rule.split_once("expr:").unwrap().1.split_once("labels: {").unwrap().0;
        (name, expression.to_owned())
    };
    text.split("- alert: ").skip(1).map(rule).collect()
}

#[test]
fn the_dashboard_shows_every_metric_that_an_alert_uses_for_each_instance() {
    let text = fs::read_to_string(root().join("deploy/grafana/logkey.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["name"] == "instance"), "{variables:?}");
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    for expression in &expressions {
        assert!(expression.contains("instance=~\"$instance\""), "{expression}");
    }
    let all = expressions.join(" ");
    let shown = metrics(&all);
    for (name, expression) in alerts() {
        let missing: Vec<_> = metrics(&expression).difference(&shown).copied().collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn every_alert_is_shown_to_fire_and_to_resolve() {
    let cases = texts(&root().join("tests/alerts"), "yaml");
    let alerts = alerts();
    assert!(alerts.len() > 20, "{alerts:?}");
    for (name, _) in alerts {
        assert!(cases.contains(&format!("alertname: {name}\n        exp_alerts:\n")), "{name} never fires");
        assert!(cases.contains(&format!("alertname: {name}, exp_alerts: [] }}")), "{name} never resolves");
    }
}

#[test]
fn the_alerts_match_the_job_that_prometheus_gives_the_service() {
    // Prometheus's operator names the job like the Service that it scrapes.
    for manifests in ["deploy/kubernetes/sqlite.yaml", "deploy/kubernetes/postgres.yaml"] {
        let manifests = fs::read_to_string(root().join(manifests)).unwrap();
        let of_admin = manifests.split("---").find(|object| object.contains("targetPort: admin")).unwrap();
        let name = of_admin.split_once("name: ").unwrap().1.lines().next().unwrap();
        assert_eq!(name, "logkey-admin");
    }
    let alerts = alerts();
    let conditions = alerts.iter().flat_map(|(alert, expression)| {
        expression.split("job=").skip(1).map(move |condition| (alert, condition))
    });
    let conditions: Vec<_> = conditions.collect();
    assert!(!conditions.is_empty(), "no alert selects the job");
    for (alert, condition) in conditions {
        assert!(condition.starts_with("~\"logkey(-admin)?\""), "{alert}: {condition}");
    }
}

/// The files that a page names between backticks, such as `service/context.rs`.
fn named_sources(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|name| name.contains('/') && Path::new(name).extension().is_some_and(|it| it == "rs"))
        .collect()
}

#[test]
fn the_main_job_opens_at_most_20_files() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (_, main_job) = page.split_once("The main job").unwrap();
    let (main_job, _) = main_job.split_once("The parts that these call").unwrap();
    let mut files = named_sources(main_job);
    files.dedup();
    assert!((10..=20).contains(&files.len()), "{}: {files:?}", files.len());
}

#[test]
fn the_sources_that_pages_name_exist() {
    let folders = ["docs", "docs/adr"].map(|folder| markdown(&root().join(folder)));
    for page in folders.into_iter().flatten().chain([root().join("CONTRIBUTING.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for name in named_sources(&text) {
            let exists = ["", "src"].iter().any(|folder| root().join(folder).join(name).exists());
            assert!(exists, "{}: {name} does not exist", page.display());
        }
    }
}

#[test]
fn the_readme_lists_every_command() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_logkey")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listed = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let commands: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split_once("| command | does |").unwrap().1.split_once("\n\n").unwrap().0;
    let documented: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(documented, commands);
}
