use proptest::prelude::*;

use super::*;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn a_key_arn_keeps_its_text_and_yields_its_parts() {
    let arn: KmsKeyArn = KEY.parse().unwrap();
    assert_eq!(arn.to_string(), KEY);
    assert_eq!(arn.account().as_str(), "111122223333");
    assert_eq!(arn.region().as_str(), "eu-west-1");
    assert_eq!(arn.key_id(), "1234abcd-12ab-34cd-56ef-1234567890ab");
}

#[test]
fn every_form_of_a_key_id_is_recognized() {
    let form = |text: &str| text.parse::<KmsKeyId>();
    assert!(matches!(form(KEY), Ok(KmsKeyId::Arn(_))));
    assert!(matches!(
        form("arn:aws-cn:kms:cn-north-1:111122223333:alias/team/logs"),
        Ok(KmsKeyId::AliasArn { .. })
    ));
    assert_eq!(form("alias/logs"), Ok(KmsKeyId::Alias("alias/logs".into())));
    assert_eq!(form("mrk-1234"), Ok(KmsKeyId::KeyId("mrk-1234".into())));
}

#[test]
fn an_invalid_key_id_is_rejected_with_the_reason() {
    use InvalidKmsKeyId::{Empty, Malformed, NotAKeyArn, TooLong};
    for (text, reason) in [
        ("", Empty),
        (&*"a".repeat(257), TooLong),
        ("arn:aws:kms:eu-west-1:111122223333", NotAKeyArn),
        ("arn:aws:s3:::key/x", NotAKeyArn),
        ("arn:aws:kms:eu-west-1::key/x", NotAKeyArn),
        ("arn:aws:kms:eu-west-1:111122223333:key/", NotAKeyArn),
        ("arn:aws:kms:eu-west-1:111122223333:key/*", NotAKeyArn),
        ("alias/", Malformed),
        ("two words", Malformed),
    ] {
        assert_eq!(text.parse::<KmsKeyId>(), Err(reason), "{text:?}");
    }
}

#[test]
fn resource_identifiers_round_trip() {
    for text in [
        "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web",
        "arn:aws:logs:eu-west-1:111122223333:query-result:*",
        "arn:aws-us-gov:logs:us-gov-west-1:111122223333:log-group:x",
    ] {
        assert_eq!(text.parse::<ResourceArn>().unwrap().to_string(), text);
    }
}

#[test]
fn resource_identifiers_that_aws_would_refuse_are_rejected() {
    use InvalidResourceArn::{Empty, HashInArn, Malformed, TooLong, TrailingStar};
    let at = |rest: &str| format!("arn:aws:logs:eu-west-1:111122223333:{rest}");
    for (text, reason) in [
        (String::new(), Empty),
        (at(&"x".repeat(2100)), TooLong),
        (at("log-group:/app/web:*"), TrailingStar),
        (at("log-group:/app/#1"), HashInArn),
        (at("log-group:"), Malformed),
        (at("query-result:1"), Malformed),
        (at("destination:x"), Malformed),
        ("arn:aws:kms:eu-west-1:111122223333:log-group:x".into(), Malformed),
        ("/app/web".into(), Malformed),
    ] {
        assert_eq!(text.parse::<ResourceArn>(), Err(reason), "{text:?}");
    }
}

#[test]
fn the_region_of_a_key_must_be_in_its_partition() {
    for (partition, region) in [
        ("aws-cn", "cn-north-1"),
        ("aws-eusc", "eusc-de-east-1"),
        ("aws-iso", "us-iso-east-1"),
        ("aws-iso-b", "us-isob-east-1"),
        ("aws-iso-e", "eu-isoe-west-1"),
        ("aws-iso-f", "us-isof-south-1"),
        ("aws-us-gov", "us-gov-west-1"),
    ] {
        for resource in ["key/k", "alias/a"] {
            let own = format!("arn:{partition}:kms:{region}:111122223333:{resource}");
            assert!(own.parse::<KmsKeyId>().is_ok(), "{own}");
            for foreign in [
                format!("arn:{partition}:kms:eu-west-1:111122223333:{resource}"),
                format!("arn:aws:kms:{region}:111122223333:{resource}"),
            ] {
                assert_eq!(foreign.parse::<KmsKeyId>(), Err(InvalidKmsKeyId::ForeignRegion), "{foreign}");
            }
        }
    }
}

/// Texts that are ARNs or resemble them: each part is independently valid or invalid.
fn nearly_an_arn() -> impl Strategy<Value = String> {
    let partition = prop_oneof!["aws", "aws-cn", "aws-us-gov", "aws-x", ""];
    let service = prop_oneof!["kms", "logs", "s3", ""];
    let region = prop_oneof!["eu-west-1", "cn-north-1", "us-gov-west-1", "[a-z0-9-]{0,12}"];
    let account = prop_oneof!["[0-9]{12}", "[0-9a-z]{0,13}"];
    let resource = prop_oneof![
        "key/[a-z0-9-]{0,36}",
        "alias/[A-Za-z0-9/_-]{0,20}",
        "log-group:[A-Za-z0-9./_#:*-]{0,30}",
        Just("query-result:*".to_owned()),
        "\\PC{0,20}",
    ];
    (partition, service, region, account, resource).prop_map(
        |(partition, service, region, account, resource)| {
            format!("arn:{partition}:{service}:{region}:{account}:{resource}")
        },
    )
}

proptest! {
    #[test]
    fn an_accepted_text_round_trips(text in nearly_an_arn()) {
        if let Ok(arn) = text.parse::<ResourceArn>() {
            prop_assert_eq!(arn.to_string(), text.as_str());
            prop_assert_eq!(arn.to_string().parse(), Ok(arn));
        }
        if let Ok(key) = text.parse::<KmsKeyId>() {
            prop_assert_eq!(key.to_string(), text.as_str());
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn a_parsed_arn_has_the_parts_of_its_text(text in nearly_an_arn()) {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if let Ok(arn) = text.parse::<KmsKeyArn>() {
            let own = [arn.partition().as_str(), "kms", arn.region().as_str(), arn.account().as_str()]
                .map(str::to_owned);
            prop_assert_eq!(&own[..], &parts[1..5]);
            prop_assert_eq!(format!("key/{}", arn.key_id()), parts[5]);
        }
        if let Ok(ResourceArn { partition, region, account, .. }) = text.parse() {
            let own = [partition.as_str(), "logs", region.as_str(), account.as_str()].map(str::to_owned);
            prop_assert_eq!(&own[..], &parts[1..5]);
        }
    }

    #[test]
    fn no_text_is_both_a_key_id_and_a_resource_identifier(text in prop_oneof![nearly_an_arn(), "\\PC{0,40}"]) {
        let (key, resource) = (text.parse::<KmsKeyId>(), text.parse::<ResourceArn>());
        prop_assert!(key.is_err() || resource.is_err());
    }
}
