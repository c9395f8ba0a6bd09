//! Changes of log groups and their keys that AWS reports as events, by this service or by anyone else.

use super::{arn::KmsKeyId, association::Resource, time::Timestamp};

/// One change that AWS accepted, as its event describes it. Later changes can have undone it already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroupChange {
    /// AWS's id of the event. Two messages with one id describe one change.
    pub event_id: Box<str>,
    /// AWS's id of the call, which its caller got in the response.
    pub request_id: Option<Box<str>>,
    /// When AWS accepted the change.
    pub time: Timestamp,
    /// The log group, or the query results.
    pub resource: Resource,
    /// What changed.
    pub kind: ChangeKind,
    /// Who made the change.
    pub actor: Actor,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A log group was created, with this key or without one.
    Created {
        /// The key as the request named it.
        key: Option<KmsKeyId>,
    },
    /// A key was set.
    KeyAssociated {
        /// The key as the request named it.
        key: KmsKeyId,
    },
    /// The key was removed.
    KeyDisassociated,
}

/// Who made a change, as AWS recorded it. The texts contain no control characters and are bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// The kind of identity, such as `AssumedRole`, `IAMUser` or `AWSService`.
    pub identity_type: Option<Box<str>>,
    /// The ARN of the principal; for a session it contains the name of the session.
    pub arn: Option<Box<str>>,
    /// The unique id of the principal, which some identities have instead of an ARN.
    pub principal_id: Option<Box<str>>,
    /// The ARN of the role, if the principal is the session of a role.
    pub role_arn: Option<Box<str>>,
    /// The source identity that was set when the role was assumed.
    pub source_identity: Option<Box<str>>,
    /// The AWS service that made the call for the principal.
    pub invoked_by: Option<Box<str>>,
    /// The address that the call came from, or the name of an AWS service.
    pub source: Option<Box<str>>,
}

// === impl ChangeKind ===

impl ChangeKind {
    /// The name as a label for logs and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created { .. } => "created",
            Self::KeyAssociated { .. } => "key_associated",
            Self::KeyDisassociated => "key_disassociated",
        }
    }
}

// === impl Actor ===

impl Actor {
    /// The most specific name of the principal that AWS recorded, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        let names = [&self.arn, &self.principal_id, &self.invoked_by, &self.identity_type];
        names.into_iter().flatten().next().map_or("an unknown principal", |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_has_the_most_specific_name_that_aws_recorded() {
        let text = |text: &str| Some(Box::from(text));
        let mut actor = Actor::default();
        assert_eq!(actor.name(), "an unknown principal");
        actor.identity_type = text("AWSService");
        assert_eq!(actor.name(), "AWSService");
        actor.invoked_by = text("rds.amazonaws.com");
        assert_eq!(actor.name(), "rds.amazonaws.com");
        actor.principal_id = text("AIDAEXAMPLE");
        assert_eq!(actor.name(), "AIDAEXAMPLE");
        actor.arn = text("arn:aws:iam::111122223333:user/alice");
        assert_eq!(actor.name(), "arn:aws:iam::111122223333:user/alice");
    }
}
