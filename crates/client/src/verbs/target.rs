//! TARGET: a log group name, an ARN, or `query-results`.

use clap::Args;

use super::shared::LocationArgs;
use crate::{
    failure::Failure,
    proto::{AccountGrant, GetCallerRequest, tenant_service_client::TenantServiceClient},
    session::Session,
};

/// The stored query results of an account.
const QUERY_RESULTS: &str = "query-results";
/// The partitions by the prefixes of their Regions, as in the AWS SDK's `partitions.json`. Other Regions are in
/// `aws`.
const PARTITIONS: [Partition; 7] = [
    Partition { region_prefix: "cn-", name: "aws-cn" },
    Partition { region_prefix: "us-gov-", name: "aws-us-gov" },
    Partition { region_prefix: "us-iso-", name: "aws-iso" },
    Partition { region_prefix: "us-isob-", name: "aws-iso-b" },
    Partition { region_prefix: "eu-isoe-", name: "aws-iso-e" },
    Partition { region_prefix: "us-isof-", name: "aws-iso-f" },
    Partition { region_prefix: "eusc-", name: "aws-eusc" },
];

struct Partition {
    region_prefix: &'static str,
    name: &'static str,
}

/// The argument TARGET with its location.
#[derive(Args, Clone, Debug)]
pub(super) struct TargetArgs {
    /// A log group name, an ARN, or `query-results` for the stored query results of an account
    target: String,
    #[command(flatten)]
    location: LocationArgs,
}

/// A target as the API takes it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) account_id: String,
    pub(super) region: String,
    resource: Resource,
}

#[derive(Clone, Debug)]
enum Resource {
    LogGroupName(String),
    Arn(String),
}

impl TargetArgs {
    /// Completes the target. `query-results` has an ARN, so its account and Region must be known: if they are not
    /// given, they are those of the tenant.
    pub(super) async fn resolve(&self, session: &Session) -> Result<Target, Failure> {
        let LocationArgs { account, region } = self.location.clone();
        let (account, region) = (account.unwrap_or_default(), region.unwrap_or_default());
        let resource = match self.target.as_str() {
            QUERY_RESULTS => Resource::Arn(query_results(session, &account, &region).await?),
            arn if arn.starts_with("arn:") => Resource::Arn(log_group_arn(arn).to_owned()),
            name => Resource::LogGroupName(name.to_owned()),
        };
        Ok(Target { account_id: account, region, resource })
    }
}

impl Target {
    /// The resource in the form that one request has for it.
    pub(super) fn resource<T>(&self, name: fn(String) -> T, arn: fn(String) -> T) -> T {
        match &self.resource {
            Resource::LogGroupName(it) => name(it.clone()),
            Resource::Arn(it) => arn(it.clone()),
        }
    }
}

/// The ARN of a log group without the `:*` with which `DescribeLogGroups` and the console write it:
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html>.
pub(super) fn log_group_arn(arn: &str) -> &str {
    let is_log_group = arn.splitn(6, ':').nth(5).is_some_and(|resource| resource.starts_with("log-group:"));
    if is_log_group { arn.strip_suffix(":*").unwrap_or(arn) } else { arn }
}

async fn query_results(session: &Session, account: &str, region: &str) -> Result<String, Failure> {
    let (account, region) = if account.is_empty() || region.is_empty() {
        let caller = session
            .call(GetCallerRequest {}, async |channel, request| {
                TenantServiceClient::new(channel).get_caller(request).await
            })
            .await?;
        only_location(&caller.accounts, account, region)?
    } else {
        (account.to_owned(), region.to_owned())
    };
    let partition = PARTITIONS.iter().find(|it| region.starts_with(it.region_prefix));
    let partition = partition.map_or("aws", |it| it.name);
    Ok(format!("arn:{partition}:logs:{region}:{account}:query-result:*"))
}

/// The only account and Region of the tenant that fit what is given.
fn only_location(grants: &[AccountGrant], account: &str, region: &str) -> Result<(String, String), Failure> {
    let accounts = grants.iter().filter(|grant| account.is_empty() || grant.account_id == account);
    let mut locations = accounts.flat_map(|grant| {
        let regions = grant.regions.iter().filter(|it| region.is_empty() || *it == region);
        regions.map(|region| (grant.account_id.clone(), region.clone()))
    });
    match (locations.next(), locations.next()) {
        (Some(location), None) => Ok(location),
        (Some(_), Some(_)) => Err(Failure::Usage(
            "query-results: the tenant has several accounts or Regions; name one with --account and --region"
                .to_owned(),
        )),
        (None, _) => Err(Failure::Usage(format!(
            "query-results: the tenant has no account {account} with the Region {region}; \"logkey whoami\" lists \
             its accounts"
        ))),
    }
}
