//! Requests to IAM's policy simulator about a role's own policies, and its results. The diagnosis and
//! `TestAccess` use them.

use super::{
    arn::KmsKeyArn,
    association::{Location, Resource, Target},
    key_policy::{REQUIRED_ACTIONS, service_principal},
};

/// The action that sets a key.
pub const ASSOCIATE: &str = "logs:AssociateKmsKey";
/// The action that removes a key.
pub const DISASSOCIATE: &str = "logs:DisassociateKmsKey";
/// The actions with which this service reads keys.
pub const DESCRIBE_ACTIONS: [&str; 2] = ["kms:DescribeKey", "kms:GetKeyPolicy"];
/// The action that reads the tags of a key, which the operator's policies may require.
pub const READ_TAGS: &str = "kms:ListResourceTags";

/// The condition key for the ARN of the log group that is encrypted.
pub const ENCRYPTION_CONTEXT: &str = "kms:EncryptionContext:aws:logs:arn";

/// A request to the simulator: whether the role may perform each action on each resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulationRequest {
    /// The actions, in the form `service:Action`.
    pub actions: Vec<&'static str>,
    /// The ARNs of the resources, which need not exist.
    pub resources: Vec<String>,
    /// The condition keys of such a call with their values.
    pub context: Vec<(&'static str, String)>,
}

/// The simulator's result for one action on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulationResult {
    /// The action, as IAM returned it.
    pub action: Box<str>,
    /// The ARN of the resource, as IAM returned it.
    pub resource: Box<str>,
    /// Whether the role may perform the action.
    pub decision: SimulationDecision,
    /// Condition keys of the role's policies that the request did not contain. A real call may therefore have
    /// another result.
    pub missing: Vec<Box<str>>,
}

/// The simulator's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulationDecision {
    /// A policy of the role allows it and none denies it.
    Allowed,
    /// No policy of the role allows or denies it.
    NotAllowed,
    /// A policy of the role, or its boundary, denies it.
    Denied,
    /// A policy of the AWS organization denies it.
    DeniedByOrganization,
}

// === impl SimulationRequest ===

impl SimulationRequest {
    /// The use of these keys through `CloudWatch` Logs, which AWS makes on behalf of the role when a key is
    /// set.
    #[must_use]
    pub fn key_use(location: &Location, keys: Vec<String>) -> Self {
        let mut context = context(location, true);
        context.push(("kms:ViaService", service_principal(location)));
        context.push(("kms:CallerAccount", location.account.to_string()));
        Self { actions: REQUIRED_ACTIONS.to_vec(), resources: keys, context }
    }

    /// The use of this key for a target. For a log group, the call has an encryption context with its ARN.
    #[must_use]
    pub fn key_use_for(key: &KmsKeyArn, resource: &Resource) -> Self {
        let mut request = Self::key_use(&resource.location, vec![key.to_string()]);
        request.context.push(("aws:PrincipalIsAWSService", "false".to_owned()));
        request.context.push(("aws:ResourceAccount", key.account().to_string()));
        request.context.push(("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT".to_owned()));
        if matches!(resource.target, Target::LogGroup(_)) {
            request.context.push((ENCRYPTION_CONTEXT, resource.arn().to_string()));
            request.context.push(("kms:EncryptionContextKeys", "aws:logs:arn".to_owned()));
        }
        request
    }

    /// The reading of these keys by this service.
    #[must_use]
    pub fn key_reads_of(location: &Location, keys: Vec<String>) -> Self {
        Self::key_reads(&DESCRIBE_ACTIONS, location, keys)
    }

    /// The reading of the tags of these keys.
    #[must_use]
    pub fn key_tags(location: &Location, keys: Vec<String>) -> Self {
        Self::key_reads(&[READ_TAGS], location, keys)
    }

    fn key_reads(actions: &[&'static str], location: &Location, keys: Vec<String>) -> Self {
        let mut context = context(location, false);
        context.push(("kms:CallerAccount", location.account.to_string()));
        Self { actions: actions.to_vec(), resources: keys, context }
    }

    /// The changes of the keys of these targets.
    #[must_use]
    pub fn changes<'r>(
        location: &Location,
        actions: &[&'static str],
        targets: impl IntoIterator<Item = &'r Resource>,
    ) -> Self {
        let resources = targets.into_iter().flat_map(arn_forms).collect();
        Self { actions: actions.to_vec(), resources, context: context(location, false) }
    }
}

/// The forms of a target's ARN that AWS may evaluate policies with. The documentation names a log group
/// without a suffix, but AWS's errors show `:log-stream:` after its name. AWS does not document which form it
/// evaluates.
#[must_use]
pub fn arn_forms(resource: &Resource) -> Vec<String> {
    let arn = resource.arn().to_string();
    match resource.target {
        Target::LogGroup(_) => vec![format!("{arn}:log-stream:"), arn],
        Target::QueryResults => vec![arn],
    }
}

fn context(location: &Location, through_service: bool) -> Vec<(&'static str, String)> {
    vec![
        ("aws:RequestedRegion", location.region.to_string()),
        ("aws:SecureTransport", "true".to_owned()),
        ("aws:ViaAWSService", through_service.to_string()),
    ]
}

// === impl SimulationResult ===

impl SimulationResult {
    /// Whether the result is about this action and resource.
    #[must_use]
    pub fn concerns(&self, action: &str, resource: &str) -> bool {
        self.action.eq_ignore_ascii_case(action) && &*self.resource == resource
    }
}
