//! AWS's partitions: commercial, China, US government. Accounts, ARNs and service names are valid only within
//! their partition.

/// The partition of a Region.
pub(crate) fn of_region(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The partition in an ARN.
pub(crate) fn of_arn(arn: &str) -> &str {
    arn.split(':').nth(1).unwrap_or_default()
}

/// The suffix of service principals, as in `logs.eu-west-1.amazonaws.com`.
pub(crate) fn suffix(partition: &str) -> &'static str {
    if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// The Region that hosts IAM for the whole partition.
pub(crate) fn default_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        _ => "us-east-1",
    }
}
