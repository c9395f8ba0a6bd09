//! The AWS services that the sandbox serves, with what the protocols call them.

use serde::Serialize;

/// The AWS services that the sandbox serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// `CloudWatch` Logs.
    Logs,
    /// Key Management Service.
    Kms,
    /// Security Token Service.
    Sts,
    /// Identity and Access Management.
    Iam,
    /// Resource Groups Tagging API.
    Tagging,
    /// Service Quotas.
    ServiceQuotas,
    /// Simple Queue Service.
    Sqs,
}

// === impl Service ===

impl Service {
    /// Whether the service uses AWS JSON: version 1.0 for SQS, and 1.1 otherwise.
    pub(crate) fn is_json(self) -> bool {
        match self {
            Self::Logs | Self::Kms | Self::ServiceQuotas | Self::Tagging | Self::Sqs => true,
            Self::Sts | Self::Iam => false,
        }
    }

    /// The service's name in a credential scope, an ARN and an action.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Kms => "kms",
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::Tagging => "tagging",
            Self::ServiceQuotas => "servicequotas",
            Self::Sqs => "sqs",
        }
    }

    /// Whether one endpoint serves the whole partition, so the Region of the signature does not matter.
    pub(crate) fn is_global(self) -> bool {
        self == Self::Iam
    }

    /// The API version in the query protocol.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Logs | Self::Kms | Self::Sts | Self::ServiceQuotas | Self::Tagging | Self::Sqs => {
                "2011-06-15"
            }
        }
    }

    /// The service whose targets in `X-Amz-Target` start with this prefix.
    pub(crate) fn of_target(prefix: &str) -> Option<Self> {
        match prefix {
            "Logs_20140328" => Some(Self::Logs),
            "TrentService" => Some(Self::Kms),
            "ResourceGroupsTaggingAPI_20170126" => Some(Self::Tagging),
            "ServiceQuotasV20190624" => Some(Self::ServiceQuotas),
            "AmazonSQS" => Some(Self::Sqs),
            _ => None,
        }
    }
}
