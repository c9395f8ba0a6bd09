//! The log stream of the `CloudWatch` Logs sink, and the role that writes to it.

use serde_json::json;

use crate::domain::{
    association::LogGroupName,
    aws::{AccountId, ExternalId, Region, RoleArn},
};

/// The log stream, and the role that writes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// The Region of the log group.
    pub region: Region,
    /// The role that writes, in the log group's account.
    pub role: RoleArn,
    /// The external id that its trust policy requires, if any.
    pub external_id: Option<ExternalId>,
    /// The log group. The service does not create it, because the operator chooses its key and retention.
    pub log_group: LogGroupName,
    /// The log stream. The service creates it if it does not exist.
    pub log_stream: Box<str>,
}

// === impl StreamConfig ===

impl StreamConfig {
    /// The session policy that limits the session to this log stream.
    pub(super) fn session_policy(&self) -> String {
        let (partition, region) = (self.role.partition().as_str(), self.region.as_str());
        let account: AccountId = self.role.account();
        let group =
            format!("arn:{partition}:logs:{region}:{}:log-group:{}", account.as_str(), self.log_group);
        json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": [group.clone(), format!("{group}:*")],
            }],
        })
        .to_string()
    }
}
