//! The commands that prepare others: `init`, `proto`, `completion` and `man`, and the argument `--config`.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use logkey::proto::{GetCallerRequest, tenant_service_client::TenantServiceClient};
use prost::Message as _;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use crate::{
    addresses::free_addresses,
    child::KillOnDrop,
    harness::Caller,
    process::{Process, logkey},
};

/// The maximum number of polls of a condition, 100 ms apart.
const MAX_POLLS: u32 = 300;
/// A log group of the sandbox's default seed.
const GROUP: &str = "/payments/api";
/// The alias of one of its keys.
const KEY: &str = "alias/logs";
/// A configuration that is valid.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/logkey.example.toml");

fn text(output: &Output) -> String {
    String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap()
}

/// The names of the files in a folder and in the folders in it, relative to it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).iter().map(|inner| format!("{name}/{inner}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// Starts the sandbox with its default seed on a free port; also returns its endpoint.
fn sandbox() -> (KillOnDrop, String) {
    let mut command = logkey(&["sandbox", "--listen", "127.0.0.1:0"]);
    let mut child = KillOnDrop(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let endpoint = lines.filter_map(|line| Some(line.strip_prefix("endpoint")?.trim().to_owned()));
    let endpoint = endpoint.take(1).last().unwrap();
    (child, endpoint)
}

#[tokio::test]
async fn the_configuration_that_init_writes_is_valid_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join("trial").join(name).display().to_string();
    let written = logkey(&["init", &at("")]).output().unwrap();
    assert!(written.status.success(), "{}", text(&written));
    let checked = logkey(&["check", "--config", &at("logkey.toml")]).output().unwrap();
    let valid = format!("{} is valid: 1 tenant, 1 account, 1 issuer\n", at("logkey.toml"));
    assert!(text(&checked).starts_with(&valid), "{}", text(&checked));

    let (_sandbox, endpoint) = sandbox();
    let [grpc, admin] = free_addresses().unwrap();
    let mut command = logkey(&["serve"]);
    command
        .current_dir(at(""))
        .env("LOGKEY__AWS__ENDPOINT_URL", endpoint)
        .env("LOGKEY__SERVER__LISTEN", grpc.to_string())
        .env("LOGKEY__SERVER__ADMIN_LISTEN", admin.to_string())
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOXHUB")
        .env("AWS_SECRET_ACCESS_KEY", "anything")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _service = KillOnDrop(command.spawn().unwrap());
    let token = ["token", "--key-file", &at("keys/es256.pem"), "--issuer", "https://issuer.example"];
    let token = logkey(&[&token[..], &["--tenant", "payments"]].concat()).output().unwrap();
    let channel = Endpoint::from_shared(format!("http://{grpc}")).unwrap().connect_lazy();
    let caller = Caller::new(channel, text(&token).trim());
    let mut polls = 0;
    while reqwest::get(format!("http://{admin}/livez")).await.is_err() {
        polls += 1;
        assert!(polls < MAX_POLLS, "timed out waiting for the service");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let changed = caller.associate(GROUP, KEY).await.unwrap().association.unwrap();
    assert!(changed.kms_key_arn.starts_with("arn:aws:kms:us-east-1:111122223333:key/"));
}

#[test]
fn init_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    fs::write(folder.path().join("logkey.toml"), "mine").unwrap();
    let output = logkey(&["init", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("logkey.toml exists; logkey init overwrites no file"),
        "{}",
        text(&output)
    );
    assert_eq!(files(folder.path()), BTreeSet::from(["logkey.toml".to_owned()]));
    assert_eq!(fs::read_to_string(folder.path().join("logkey.toml")).unwrap(), "mine");
}

#[test]
fn the_key_set_is_readable_and_the_keys_are_not_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    for umask in ["077", "000"] {
        let out = folder.path().join(umask);
        let script =
            format!("umask {umask}; {} token --new-key {}", env!("CARGO_BIN_EXE_logkey"), out.display());
        assert!(Command::new("sh").args(["-c", &script]).output().unwrap().status.success());
        let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode("es256.pem"), mode("rs256.pem"), mode("jwks.json")),
            (0o600, 0o600, 0o644),
            "{umask}"
        );
    }
}

#[test]
fn proto_writes_every_file_of_the_contract_and_a_complete_descriptor_set() {
    let folder = tempfile::tempdir().unwrap();
    let output = logkey(&["proto", "--out", &folder.path().display().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut expected = files(&source);
    expected.retain(|name| !name.starts_with("gen/"));
    for name in &expected {
        let written = fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(written, fs::read_to_string(source.join(name)).unwrap(), "{name}");
    }
    expected.insert("descriptors.binpb".into());
    assert_eq!(files(folder.path()), expected);

    let set = fs::read(folder.path().join("descriptors.binpb")).unwrap();
    let set = prost_types::FileDescriptorSet::decode(&*set).unwrap();
    let described: BTreeSet<&str> = set.file.iter().map(prost_types::FileDescriptorProto::name).collect();
    for file in &set.file {
        let missing: Vec<_> = file.dependency.iter().filter(|it| !described.contains(&***it)).collect();
        assert!(missing.is_empty(), "{} imports {missing:?}", file.name());
    }
    let ours = |name: &&String| Path::new(name).extension().is_some_and(|it| it == "proto");
    assert!(expected.iter().filter(ours).all(|name| described.contains(&**name)), "{described:?}");
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = logkey(&["completion", shell]).output().unwrap();
        assert!(output.status.success(), "{shell}");
        for word in ["onboarding", "rotate-key", "completion", "keep-running"] {
            assert!(text(&output).contains(word), "{word} for {shell}");
        }
        if shell == "bash" {
            let folder = tempfile::tempdir().unwrap();
            let script = folder.path().join("logkey.bash");
            fs::write(&script, output.stdout).unwrap();
            let complete = format!(
                ". {}; COMP_WORDS=(logkey audit rot); COMP_CWORD=2; _logkey logkey rot audit; echo \"${{COMPREPLY[@]}}\"",
                script.display()
            );
            let completed = Command::new("bash").args(["-c", &complete]).output().unwrap();
            assert_eq!(text(&completed).trim(), "rotate-key");
        }
    }
    assert_eq!(logkey(&["completion", "tcsh"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn man_writes_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = logkey(&["man", &folder.path().join("man1").display().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let pages = files(folder.path());
    for page in ["logkey", "logkey-serve", "logkey-audit-list", "logkey-policy-explain", "logkey-token"] {
        assert!(pages.contains(&format!("man1/{page}.1")), "{page} in {pages:?}");
    }
    let page = fs::read_to_string(folder.path().join("man1/logkey-audit-verify.1")).unwrap();
    assert!(page.contains("Verify that the log is complete and unchanged"), "{page}");
    let failed = logkey(&["man", "/proc/none"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed).contains("cannot write the pages to /proc/none"), "{}", text(&failed));
}

#[test]
fn the_configuration_is_named_by_the_argument_the_variable_or_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variable: Option<&str>| {
        let mut command = logkey(arguments);
        command.current_dir(folder.path()).env_remove("LOGKEY_CONFIG");
        command.envs(variable.map(|path| ("LOGKEY_CONFIG", path)));
        text(&command.output().unwrap())
    };
    let valid = format!("{EXAMPLE} is valid: 1 tenant, 1 account, 1 issuer\n");
    assert!(run(&["check", "--config", EXAMPLE], Some("/nonexistent")).starts_with(&valid));
    assert!(run(&["--config", EXAMPLE, "check"], Some("/nonexistent")).starts_with(&valid));
    assert!(run(&["check"], Some(EXAMPLE)).starts_with(&valid));
    // Every command that reads the configuration reads the same one.
    for command in [
        &["check"][..],
        &["serve"],
        &["audit", "list"],
        &["audit", "verify"],
        &["policy", "show", "acme"],
        &["onboarding", "acme", "111122223333"],
    ] {
        for (variable, expected) in [(Some("/nonexistent"), "/nonexistent: "), (None, "logkey.toml: ")] {
            let output = run(command, variable);
            assert!(output.contains(&format!("{expected}cannot be read")), "{command:?}: {output}");
        }
        let before = run(&[&["--config", "/none.toml"], command].concat(), None);
        assert!(before.contains("/none.toml: cannot be read"), "{command:?}: {before}");
    }
    // `--store` needs no configuration.
    let output = run(&["audit", "list", "--store", "sqlite:///nonexistent.db"], Some(EXAMPLE));
    assert!(output.contains("there is no store"), "{output}");
}

#[test]
fn documents_have_their_documented_fields() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let keys = at("keys");
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policies/logkey.toml");
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policies/tests.toml");
    let pem = at("keys/es256.pem");
    let explain =
        ["policy", "explain", "--tenant", "payments", "--action", "GetCaller", "--config", policies];
    let role = "arn:aws:iam::999999999999:role/LogKeyHub";
    let cases: &[(&str, &[&str])] = &[
        ("version", &["version"]),
        ("token", &["token", "--new-key", &keys]),
        (
            "token",
            &["token", "--key-file", &pem, "--issuer", "https://issuer.example", "--tenant", "payments"],
        ),
        ("check", &["check", "--config", EXAMPLE]),
        ("check", &["check", "--config", "/nonexistent.toml"]),
        ("policy show", &["policy", "show", "payments", "--config", policies]),
        ("policy show", &["policy", "show", "--schema", "--config", policies]),
        ("policy explain", &explain),
        ("policy test", &["policy", "test", table, "--config", policies]),
        (
            "onboarding",
            &["onboarding", "payments", "111122223333", "--config", policies, "--service-role", role],
        ),
    ];
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).unwrap();
    for (command, arguments) in cases {
        let output = logkey(&[*arguments, &["-o", "json"]].concat()).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
        let line = page.lines().find(|line| line.starts_with(&format!("| `{command}` |"))).unwrap();
        for name in document.as_object().unwrap().keys() {
            assert!(line.contains(&format!("`{name}`")), "{arguments:?}: {name} is not in {line}");
        }
    }
}

#[tokio::test]
async fn errors_link_to_the_documentation_that_the_settings_name() {
    let url = [("LOGKEY__SERVER__DOCUMENTATION_URL", Path::new("https://docs.example.com/logkey/"))];
    let process = Process::serve_with(tempfile::tempdir().unwrap(), "", "", &url).await;
    let refused =
        TenantServiceClient::new(process.channel()).get_caller(GetCallerRequest {}).await.unwrap_err();
    let help = refused.get_details_help().unwrap();
    assert_eq!(help.links[0].url, "https://docs.example.com/logkey/errors.html#TOKEN_MISSING");
}
