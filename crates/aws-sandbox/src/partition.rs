//! AWS's partitions, from the table that the service reads too. Accounts, ARNs and service names are valid only
//! within their partition.

use std::sync::LazyLock;

/// One line of the table that the service reads too.
struct Partition {
    name: &'static str,
    region_prefix: &'static str,
    suffix: &'static str,
    default_region: &'static str,
}

static PARTITIONS: LazyLock<Vec<Partition>> = LazyLock::new(|| {
    let text = include_str!("../../../data/aws-partitions.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(Partition::parse).collect()
});

/// The name of a Region's partition.
pub(crate) fn of_region(region: &str) -> &'static str {
    column(|it| region.starts_with(it.region_prefix), |it| it.name)
}

/// The partition in an ARN.
pub(crate) fn of_arn(arn: &str) -> &str {
    arn.split(':').nth(1).unwrap_or_default()
}

/// Whether AWS has a partition with this name.
pub(crate) fn exists(partition: &str) -> bool {
    PARTITIONS.iter().any(|it| it.name == partition)
}

/// The suffix of service principals, as in `logs.eu-west-1.amazonaws.com`.
pub(crate) fn suffix(partition: &str) -> &'static str {
    column(|it| it.name == partition, |it| it.suffix)
}

/// The Region that hosts IAM for the whole partition.
pub(crate) fn default_region(partition: &str) -> &'static str {
    column(|it| it.name == partition, |it| it.default_region)
}

/// One value of the partition that matches; of the commercial partition, which is the first, if none does.
fn column(matches: impl Fn(&Partition) -> bool, value: impl Fn(&Partition) -> &'static str) -> &'static str {
    let found = PARTITIONS.iter().find(|it| matches(it)).or(PARTITIONS.first());
    found.map(value).unwrap_or_default()
}

// === impl Partition ===

impl Partition {
    fn parse(line: &'static str) -> Option<Self> {
        let mut columns = line.split_whitespace();
        Some(Self {
            name: columns.next()?,
            region_prefix: columns.next()?,
            suffix: columns.next()?,
            default_region: columns.next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_determines_partitions_and_their_service_names() {
        assert_eq!(
            ["eu-west-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-isob-east-1"].map(of_region),
            ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso-b"]
        );
        assert_eq!(suffix("aws-eusc"), "amazonaws.eu");
        assert_eq!(suffix("aws-cn"), "amazonaws.com.cn");
        assert_eq!(default_region("aws-us-gov"), "us-gov-west-1");
        assert!(exists("aws") && !exists("aws-x"));
    }
}
