use super::*;

#[test]
fn the_archive_is_a_folder_beside_the_settings_or_a_bucket() {
    let target = |value: &str| {
        let folder = folder(&[("logkey.toml", &format!("[audit]\narchive = \"{value}\"\n{MINIMAL}"))]);
        (load_in(folder.path(), &[]).unwrap().audit.archive.target.unwrap(), folder)
    };
    for path in ["old", "/var/lib/logkey/old"] {
        let (found, folder) = target(path);
        assert_eq!(found, ArchiveTarget::Folder(folder.path().join(path)));
    }
    let (found, _folder) = target("s3://example-audit/logkey/");
    assert_eq!(found, ArchiveTarget::S3("s3://example-audit/logkey".parse().unwrap()));
}

#[test]
fn invalid_archive_settings_are_reported_with_what_to_write() {
    for (text, expected) in [
        (
            "archive_after = \"400d\"",
            "audit.archive_after is not a setting: it is now called audit.retention",
        ),
        ("archive_dir = \"old\"", "audit.archive_dir is not a setting: it is now called audit.archive"),
        (
            "archive = \"s3://Example/logkey\"",
            "audit.archive is not the URL of a bucket; expected one such as s3://example-audit/logkey",
        ),
        (
            "retention = \"30d\"",
            "audit.retention has no effect without audit.archive: write archive = \"DIR\" or \"s3://BUCKET/PREFIX\"",
        ),
        (
            "retention = \"1h\"\narchive = \"old\"",
            "audit.retention is out of range: write a duration from 24h to 876600h",
        ),
    ] {
        let found = diagnostics_with(&format!("[audit]\n{text}\n"));
        let [diagnostic] = &found[..] else { panic!("{text}: {found:?}") };
        let (location, message) = diagnostic.split_once(": ").unwrap();
        assert!(location.starts_with("logkey.toml:2"), "{diagnostic}");
        assert_eq!(message, expected);
    }
}
