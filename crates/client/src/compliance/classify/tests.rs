use std::collections::HashSet;

use super::*;
use crate::{compliance::model::Location, proto::BulkError};

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1";

fn group(key: &str, health: KeyHealth) -> KeyAssociation {
    KeyAssociation {
        account_id: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        resource: Some(key_association::Resource::LogGroupName("/app".to_owned())),
        resource_arn: "arn:aws:logs:us-east-1:111122223333:log-group:/app".to_owned(),
        kms_key_arn: key.to_owned(),
        key_health: health.into(),
        ..Default::default()
    }
}

fn status(group: KeyAssociation, answer: Result<Answer, BulkError>) -> Status {
    let location = Location { account: group.account_id.clone(), region: group.region.clone() };
    let listing = Listing { location, groups: Ok(vec![group]), answer };
    resources(&listing, &mut Findings::new())[0].status
}

#[test]
fn without_rules_any_usable_key_is_compliant() {
    for (key, health, expected) in [
        ("", KeyHealth::Unspecified, Status::NoKey),
        (KEY, KeyHealth::Usable, Status::Compliant),
        (KEY, KeyHealth::NotChecked, Status::Compliant),
        (KEY, KeyHealth::Disabled, Status::KeyUnhealthy),
        (KEY, KeyHealth::PendingDeletion, Status::KeyUnhealthy),
        (KEY, KeyHealth::NotFound, Status::KeyUnhealthy),
    ] {
        assert_eq!(status(group(key, health), Ok(Answer::AnyKey)), expected, "{key} {health:?}");
    }
}

#[test]
fn another_key_than_the_expected_one_is_not_compliant() {
    let usable = || group(KEY, KeyHealth::Usable);
    assert_eq!(status(usable(), Ok(Answer::KeyArn(KEY.to_owned()))), Status::Compliant);
    assert_eq!(status(usable(), Ok(Answer::KeyArn(KEY.replace("key/1", "key/2")))), Status::OtherKey);
    let others = HashSet::from([usable().resource_arn]);
    assert_eq!(status(usable(), Ok(Answer::WithOtherKey(others))), Status::OtherKey);
    assert_eq!(status(usable(), Ok(Answer::WithOtherKey(HashSet::new()))), Status::Compliant);
}

#[test]
fn a_log_group_that_no_rule_was_evaluated_for_is_not_called_compliant() {
    let usable = || group(KEY, KeyHealth::Usable);
    let evaluated = HashSet::from([KEY.to_owned()]);
    assert_eq!(status(usable(), Ok(Answer::CompliantKeys(evaluated.clone()))), Status::Compliant);
    assert_eq!(status(usable(), Ok(Answer::CompliantKeys(HashSet::new()))), Status::Unknown);
    assert_eq!(
        status(group("", KeyHealth::Unspecified), Ok(Answer::CompliantKeys(evaluated))),
        Status::Unknown
    );
    assert_eq!(status(usable(), Err(BulkError::default())), Status::Unknown);
    assert_eq!(status(group("", KeyHealth::Unspecified), Err(BulkError::default())), Status::NoKey);
}
