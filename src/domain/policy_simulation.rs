//! What a role's own policies let it do: what IAM's policy simulator is asked, and what it says.

use super::{
    arn::KmsKeyArn,
    association::{Location, Resource, Target},
    key_policy::{REQUIRED_ACTIONS, service_principal},
};

/// Sets a key.
pub const ASSOCIATE: &str = "logs:AssociateKmsKey";
/// Takes a key away.
pub const DISASSOCIATE: &str = "logs:DisassociateKmsKey";
/// Actions by which this service looks at keys.
pub const DESCRIBE_ACTIONS: [&str; 2] = ["kms:DescribeKey", "kms:GetKeyPolicy"];
/// Reads the tags of a key, which policies of this service's operator may go by.
pub const READ_TAGS: &str = "kms:ListResourceTags";

/// One question to the simulator: may the role do each of these actions with each of these resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulationRequest {
    /// `service:Action`.
    pub actions: Vec<&'static str>,
    /// ARNs; they need not exist.
    pub resources: Vec<String>,
    /// What is known of such a call, by condition key.
    pub context: Vec<(&'static str, String)>,
}

/// What the simulator says of one action with one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulationResult {
    /// The action.
    pub action: Box<str>,
    /// The resource.
    pub resource: Box<str>,
    /// Its answer.
    pub decision: SimulationDecision,
    /// Condition keys of the role's policies whose values were not said, so that a real call may end
    /// otherwise.
    pub missing: Vec<Box<str>>,
}

/// The simulator's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulationDecision {
    /// A policy of the role allows it and none denies it.
    Allowed,
    /// No policy of the role speaks of it.
    NotAllowed,
    /// A policy of the role, or its boundary, denies it.
    Denied,
    /// A policy of the AWS organization is in the way.
    DeniedByOrganization,
}

// === impl Trial ===

impl SimulationRequest {
    /// Using these keys through `CloudWatch` Logs, as AWS does in the role's name when a key is set.
    #[must_use]
    pub fn key_use(location: &Location, keys: Vec<String>) -> Self {
        let mut context = context(location, true);
        context.push(("kms:ViaService", service_principal(location)));
        context.push(("kms:CallerAccount", location.account.to_string()));
        Self { actions: REQUIRED_ACTIONS.to_vec(), resources: keys, context }
    }

    /// Using this key for a target.
    #[must_use]
    pub fn key_use_for(key: &KmsKeyArn, resource: &Resource) -> Self {
        Self::key_use(&resource.location, vec![key.to_string()])
    }

    /// Looking at these keys, as this service does itself.
    #[must_use]
    pub fn key_reads_of(location: &Location, keys: Vec<String>) -> Self {
        Self::key_reads(&DESCRIBE_ACTIONS, location, keys)
    }

    /// Reading the tags of these keys.
    #[must_use]
    pub fn key_tags(location: &Location, keys: Vec<String>) -> Self {
        Self::key_reads(&[READ_TAGS], location, keys)
    }

    fn key_reads(actions: &[&'static str], location: &Location, keys: Vec<String>) -> Self {
        let mut context = context(location, false);
        context.push(("kms:CallerAccount", location.account.to_string()));
        Self { actions: actions.to_vec(), resources: keys, context }
    }

    /// Changing the keys of these targets.
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

/// A target as AWS may name it to policies: a log group is shown with `:log-stream:` behind its name in
/// AWS's errors, and documented without. Which of the two decides is not documented.
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

// === impl Simulated ===

impl SimulationResult {
    /// Whether it is about this.
    #[must_use]
    pub fn concerns(&self, action: &str, resource: &str) -> bool {
        self.action.eq_ignore_ascii_case(action) && &*self.resource == resource
    }
}
