//! The archive in a bucket of moto, an AWS emulator by other authors. `tests/run aws` starts it.

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{Credentials, Region};

use logkey::{
    aws::{S3Files, S3Location, ServiceCredentials},
    config::{EmptyEnv, Settings},
    ports::log_files::LogFiles as _,
};

use super::*;

const BUCKET: &str = "example-audit";
const KEY_ID: &str = "AKIASANDBOXHUB";

#[expect(clippy::disallowed_methods, reason = "the address of moto is no setting of the service")]
fn endpoint() -> String {
    std::env::var("LOGKEY_MOTO").unwrap()
}

fn client(endpoint: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(KEY_ID, "secret", None, None, "test"));
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Runs a command with the service's own credentials.
fn run(arguments: &[&str], config: &str) -> (Option<i32>, String) {
    let mut command = logkey(&[arguments, &["--config", config]].concat());
    let result =
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", "any").output().unwrap();
    (result.status.code(), text(&result.stdout) + &text(&result.stderr))
}

#[tokio::test]
#[ignore = "needs moto; tests/run aws runs it"]
async fn a_bucket_holds_the_archive() {
    let (endpoint, folder) = (endpoint(), tempfile::tempdir().unwrap());
    let id = fill_folder(folder.path(), 3000, 300).await;
    let below = format!(
        "[aws]\nendpoint_url = \"{endpoint}\"\n[audit]\nretention = \"1d\"\narchive = \"s3://{BUCKET}/logkey\"\n"
    );
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    let usual = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, usual + &below).unwrap();
    let (code, output) = run(&["audit", "archive"], &config);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("s3://example-audit/logkey/checkpoint cannot be read"), "{output}");
    assert!(output.contains("NoSuchBucket"), "{output}");
    assert_eq!(first_event(folder.path()).await, 1);

    let client = client(&endpoint);
    client.create_bucket().bucket(BUCKET).send().await.unwrap();
    let credentials = [("AWS_ACCESS_KEY_ID", Path::new(KEY_ID)), ("AWS_SECRET_ACCESS_KEY", Path::new("any"))];
    let process = Process::serve_with(folder, "", &below, &credentials).await;
    process.until_metric("logkey_audit_archived_events_total 2816").await;
    process.until_metric("logkey_audit_archive_timestamp_seconds ").await;
    process.until_metric("logkey_audit_archive_failures_total 0").await;
    assert_eq!(first_event(process.folder()).await, 2817);
    process.signal("-TERM");
    let config = process.config.clone();
    let kept = process.folder().join("kept").display().to_string();
    let out = process.folder().join("export").display().to_string();
    let mut process = process;
    assert_eq!(process.child.wait().unwrap().code(), Some(0));
    let cases: [(&[&str], &str); 7] = [
        (&["audit", "verify", "--checkpoint", &kept], "intact: "),
        (&["audit", "prove", &id], "c2sp.org/tlog-proof@v1\nindex 0\n"),
        (&["audit", "list", "--until", "30h", "--limit", "5000", "-o", "name"], &id),
        (&["audit", "export", "--out", &out], "events written to"),
        (
            &["audit", "archive"],
            "0 events moved out; s3://example-audit/logkey contains the first 2816 events",
        ),
        (&["audit", "archive", "--older-than", "0s"], "256 events moved out"),
        (&["audit", "verify", "--archive", "s3://example-audit/logkey"], "intact: "),
    ];
    for (arguments, expected) in cases {
        let (code, output) = run(arguments, &config);
        assert!(code == Some(0) && output.contains(expected), "{arguments:?}: {output}");
    }
    let objects = client.list_objects_v2().bucket(BUCKET).prefix("logkey/").send().await.unwrap();
    let mut names: Vec<&str> = objects.contents().iter().filter_map(aws_sdk_s3::types::Object::key).collect();
    names.retain(|name| !name.contains("/tile/"));
    assert_eq!(names, ["logkey/checkpoint", "logkey/verifier.key"]);
    // A process that read the checkpoint before another one replaced it does not replace it.
    let settings = Settings::load(Path::new(&config), &EmptyEnv).unwrap();
    let mut aws = settings.aws;
    aws.service_principal =
        Some(ServiceCredentials { access_key_id: KEY_ID.into(), secret_access_key: "any".into() });
    let location: S3Location = format!("s3://{BUCKET}/logkey").parse().unwrap();
    let (late, quick) =
        (S3Files::connect(&aws, location.clone()).await, S3Files::connect(&aws, location).await);
    let note = late.read("checkpoint").await.unwrap().unwrap();
    assert_eq!(quick.read("checkpoint").await.unwrap().unwrap(), note);
    quick.replace("checkpoint", [&note[..], b"\n"].concat()).await.unwrap();
    quick.replace("checkpoint", note.clone()).await.unwrap();
    quick.replace("checkpoint", [&note[..], b"\n"].concat()).await.unwrap();
    let refused = late.replace("checkpoint", note.clone()).await.unwrap_err();
    assert!(refused.source.to_string().contains("PreconditionFailed"), "{refused:?}");
    quick.replace("checkpoint", note).await.unwrap();
    // One event of the archive was changed.
    let key = "logkey/tile/entries/001";
    let entries = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    let mut entries = entries.body.collect().await.unwrap().to_vec();
    let at = entries.windows(13).position(|part| part == b"Informational").unwrap();
    entries[at..at + 13].copy_from_slice(b"Unimportant!!");
    client.put_object().bucket(BUCKET).key(key).body(entries.into()).send().await.unwrap();
    let (code, output) = run(&["audit", "verify"], &config);
    assert!(code == Some(1) && output.contains("event 257 was altered"), "{output}");
}
