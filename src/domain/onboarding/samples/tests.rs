use super::*;

fn grant(log_groups: &[&str], kms_keys: &[&str]) -> AccountGrant {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    AccountGrant {
        account: "111122223333".parse().unwrap(),
        role: "arn:aws-cn:iam::111122223333:role/R".parse().unwrap(),
        external_id: "the-external-id".parse().unwrap(),
        regions: ["cn-north-1".parse().unwrap()].into(),
        log_groups: patterns(log_groups),
        kms_keys: patterns(kms_keys),
        query_results: true,
        verify_query_results: false,
    }
}

fn location() -> Location {
    Location { account: "111122223333".parse().unwrap(), region: "cn-north-1".parse().unwrap() }
}

#[test]
fn every_sample_is_granted() {
    let keys = [
        "*",
        "arn:aws-cn:kms:*:*:key/*",
        "arn:aws-cn:kms:cn-north-1:444455556666:key/mrk-*",
        "arn:aws-cn:kms:*:111122223333:*",
        "*:key/abc",
    ];
    let grant = grant(&["/payments/*", "*", "/one"], &keys);
    let samples = sample_keys(&grant, &location());
    assert_eq!(samples.len(), 4, "a pattern that is not an ARN has no sample: {samples:?}");
    assert!(samples.iter().all(|key| grant.allows_key(key) && *key.region() == location().region));
    let targets = sample_targets(&grant, &location());
    assert_eq!(targets.len(), 4);
    assert!(targets.iter().all(|resource| grant.allows(&resource.target)));
}

#[test]
fn keys_in_other_regions_and_reserved_log_groups_have_no_samples() {
    let grant = grant(&["aws/*"], &["arn:aws-cn:kms:cn-northwest-1:111122223333:key/*"]);
    assert_eq!(sample_keys(&grant, &location()), []);
    assert_eq!(sample_targets(&grant, &location()).len(), 1, "only the query results");
}

#[test]
fn a_key_granted_by_its_full_arn_is_found() {
    let exact = "arn:aws-cn:kms:cn-north-1:111122223333:key/k";
    let grant = grant(
        &["*"],
        &["arn:aws-cn:kms:*:*:key/*", exact, "arn:aws-cn:kms:cn-northwest-1:111122223333:key/k"],
    );
    assert_eq!(exact_keys(&grant, &location()), [exact.parse::<KmsKeyArn>().unwrap()]);
}
