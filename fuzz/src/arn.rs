//! ARNs, key ids, names and patterns: a parsed value is written as the same text, and parses to the same
//! value.

use std::{fmt::Display, str::FromStr};

use logkey::domain::{
    arn::{KmsKeyArn, KmsKeyId, ResourceArn},
    association::LogGroupName,
    aws::{AccountId, Region, RoleArn},
    pattern::Pattern,
};

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    round_trips::<KmsKeyId>(text);
    round_trips::<AccountId>(text);
    round_trips::<Region>(text);
    round_trips::<RoleArn>(text);
    round_trips::<LogGroupName>(text);
    if let Ok(arn) = text.parse::<KmsKeyArn>() {
        assert_eq!(arn.as_str(), text);
        let (partition, region) = (arn.partition().as_str(), arn.region());
        let (account, id) = (arn.account(), arn.key_id());
        assert_eq!(format!("arn:{partition}:kms:{region}:{account}:key/{id}"), text);
    }
    if let Ok(arn) = text.parse::<ResourceArn>() {
        let again: ResourceArn = arn.to_string().parse().unwrap();
        assert_eq!(again, arn);
    }
    let accepted = text.parse::<ResourceArn>().is_ok() || text.parse::<KmsKeyId>().is_ok();
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.as_str(), text);
        let literal = !text.contains(['*', '?']);
        assert!(!literal || pattern.matches(text));
        assert!(!literal || !pattern.matches(&format!("{text}x")));
    }
    accepted
}

fn round_trips<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    let Ok(parsed) = text.parse::<T>() else { return };
    let Ok(again) = parsed.to_string().parse::<T>() else { panic!("{parsed} does not parse again") };
    assert_eq!(again, parsed);
}
