//! ARNs, key ids, names and patterns: what is read is written as it was, and read the same again.

use std::{fmt::Display, str::FromStr};

use logkey::domain::{
    arn::{KmsKeyArn, KmsKeyId, ResourceArn},
    association::LogGroupName,
    aws::{AccountId, Region, RoleArn},
    pattern::Pattern,
};

/// Whether the input was taken.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    stays::<KmsKeyId>(text);
    stays::<AccountId>(text);
    stays::<Region>(text);
    stays::<RoleArn>(text);
    stays::<LogGroupName>(text);
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
    let taken = text.parse::<ResourceArn>().is_ok() || text.parse::<KmsKeyId>().is_ok();
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.as_str(), text);
        let literal = !text.contains(['*', '?']);
        assert!(!literal || pattern.matches(text));
        assert!(!literal || !pattern.matches(&format!("{text}x")));
    }
    taken
}

fn stays<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    let Ok(again) = read.to_string().parse::<T>() else { panic!("{read} is not read again") };
    assert_eq!(again, read);
}
