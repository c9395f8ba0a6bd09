//! What a call to KMS that `CloudWatch` Logs makes has for each condition key: a known value, none, or
//! something that nobody outside AWS knows. The conditions of a key policy are evaluated with it.
//!
//! Sources: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html> (the
//! availability of each global key), <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
//! (the operations of each KMS key) and
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>.

use std::fmt;

use super::principals::service_principal;
use crate::domain::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    aws::{Partition, RoleArn},
};

/// Stands for a value that belongs to AWS's own account or network. No customer's policy lists it, but a
/// pattern such as `*` matches it.
const AWS_INTERNAL: &str = "aws-internal";
/// The prefix of the id of every multi-Region key, and of no other key
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html>).
const MULTI_REGION: &str = "mrk-";

/// One call to KMS.
#[derive(Clone, Copy, Debug)]
pub(super) struct KmsCall<'c> {
    pub(super) caller: Caller<'c>,
    /// What is encrypted.
    pub(super) resource: &'c Resource,
    pub(super) key: &'c KmsKeyArn,
    pub(super) action: &'static str,
}

/// With whose permissions `CloudWatch` Logs calls KMS.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller<'c> {
    /// Its own: the call comes from its service principal.
    Logs,
    /// Those of a role, in a forward access session
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html>).
    Role(&'c RoleArn),
}

/// What is known about one condition key of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyValue {
    /// The call has one of these values; `None` is a call without the key.
    OneOf(Vec<Option<String>>),
    /// AWS documents the key only for the other kind of target. An allow statement that requires it
    /// therefore does not apply. A deny statement with it is indeterminate.
    Undocumented,
    /// The key can have any value, or be absent.
    Unknown,
}

// === impl KmsCall ===

impl KmsCall<'_> {
    /// What the call has for a condition key. Names of condition keys do not distinguish upper and lower case.
    pub(super) fn value(&self, key: &str) -> KeyValue {
        let key = key.to_ascii_lowercase();
        match key.split_once(':') {
            Some(("aws", name)) => self.global(name),
            Some(("kms", name)) => self.kms(name),
            // The keys of other services and of identity providers belong to other calls and sessions. A
            // session from `AssumeRole` has none of them.
            Some(_) => KeyValue::absent(),
            None => KeyValue::Unknown,
        }
    }

    fn global(&self, name: &str) -> KeyValue {
        let Resource { location, .. } = self.resource;
        match (name, self.caller) {
            ("principalisawsservice", caller) => KeyValue::flag(matches!(caller, Caller::Logs)),
            ("viaawsservice", caller) => KeyValue::flag(matches!(caller, Caller::Role(_))),
            // KMS accepts only TLS (https://docs.aws.amazon.com/kms/latest/developerguide/infrastructure-security.html).
            ("securetransport", _) => KeyValue::flag(true),
            ("requestedregion", _) => KeyValue::one(&location.region),
            ("resourceaccount", _) => KeyValue::one(&self.key.account()),
            ("principalservicename", Caller::Logs) => KeyValue::one(&service_principal(location)),
            ("principalaccount", Caller::Role(role)) => KeyValue::one(&role.account()),
            ("principalarn", Caller::Role(role)) => KeyValue::one(role),
            ("principaltype", Caller::Role(_)) => KeyValue::one(&"AssumedRole"),
            // The service belongs to AWS, and the request comes from AWS's network, also for a role: "Using the
            // IP address condition in policies with AWS KMS permissions" and "Using VPC endpoint conditions in
            // policies with AWS KMS permissions"
            // (https://docs.aws.amazon.com/kms/latest/developerguide/conditions-aws.html).
            ("principalaccount" | "principalarn" | "userid", Caller::Logs)
            | (
                "sourceip" | "vpcsourceip" | "sourcevpc" | "sourcevpcarn" | "sourcevpce" | "vpceaccount"
                | "vpceorgid" | "vpceorgpaths",
                _,
            ) => KeyValue::aws_internal(),
            ("sourcearn" | "sourceaccount", Caller::Logs) => self.source(name),
            // A forward access session says through which service it came. AWS lists the services that set
            // these keys, and `CloudWatch` Logs is not among them.
            ("calledvia" | "calledviafirst" | "calledvialast", Caller::Role(_)) => {
                let suffix = Partition::of(&location.region).service_suffix();
                let names = [format!("logs.{suffix}"), service_principal(location)];
                KeyValue::OneOf(std::iter::once(None).chain(names.map(Some)).collect())
            }
            ("multifactorauthpresent", _) => KeyValue::OneOf(vec![None, Some("false".to_owned())]),
            // Only a service's own call has these.
            (
                "principalservicename" | "principalservicenameslist" | "sourcearn" | "sourceaccount"
                | "sourceorgid" | "sourceorgpaths",
                Caller::Role(_),
            )
            // Only a call of, or for, a customer's principal has these.
            | (
                "principalorgid" | "principalorgpaths" | "sourceidentity" | "calledvia" | "calledviafirst"
                | "calledvialast",
                Caller::Logs,
            )
            // Only IAM users, federated sessions, sessions with MFA, instances and requests with tags have
            // these.
            | (
                "username" | "multifactorauthage" | "federatedprovider" | "ec2instancesourcevpc"
                | "ec2instancesourceprivateipv4" | "chatbotsourcearn" | "assumedroot" | "referer" | "tagkeys",
                _,
            ) => KeyValue::absent(),
            (name, Caller::Logs) if name.starts_with("principaltag/") => KeyValue::absent(),
            (name, _) if name.starts_with("requesttag/") => KeyValue::absent(),
            (_, Caller::Logs | Caller::Role(_)) => KeyValue::Unknown,
        }
    }

    fn kms(&self, name: &str) -> KeyValue {
        if let Some(pair) = name.strip_prefix("encryptioncontext:") {
            return self.encryption_context(pair == "aws:logs:arn", || self.resource.arn().to_string());
        }
        let is_multi_region = self.key.key_id().starts_with(MULTI_REGION);
        match (name, self.caller) {
            ("encryptioncontextkeys", _) => self.encryption_context(true, || "aws:logs:arn".to_owned()),
            ("viaservice", Caller::Role(_)) => KeyValue::one(&service_principal(&self.resource.location)),
            ("calleraccount", Caller::Role(role)) => KeyValue::one(&role.account()),
            // The key is for the users and roles of an account. The service's principal is in none of ours.
            ("calleraccount", Caller::Logs) => KeyValue::aws_internal(),
            // `CloudWatch` Logs accepts only such keys; other checks say so about other keys.
            ("keyspec" | "customermasterkeyspec" | "encryptionalgorithm", _) => {
                KeyValue::one(&"SYMMETRIC_DEFAULT")
            }
            ("keyusage" | "customermasterkeyusage", _) => KeyValue::one(&"ENCRYPT_DECRYPT"),
            ("multiregion", _) => KeyValue::flag(is_multi_region),
            ("multiregionkeytype", _) if is_multi_region => {
                KeyValue::OneOf(["PRIMARY", "REPLICA"].map(|kind| Some(kind.to_owned())).into())
            }
            ("reencryptonsamekey", _) if self.action.starts_with("kms:ReEncrypt") => KeyValue::Unknown,
            ("keyorigin" | "resourcealiases", _) => KeyValue::Unknown,
            // Only a request through a service on behalf of a principal has `ViaService`, and
            // `CloudWatch` Logs names a key by its ARN, so `RequestAlias` is absent. The others belong to
            // CreateKey, PutKeyPolicy, CreateGrant, ImportKeyMaterial, Sign and the like.
            (
                "viaservice"
                | "requestalias"
                | "multiregionkeytype"
                | "reencryptonsamekey"
                | "primaryregion"
                | "replicaregion"
                | "bypasspolicylockoutsafetycheck"
                | "datakeypairspec"
                | "expirationmodel"
                | "validto"
                | "wrappingalgorithm"
                | "wrappingkeyspec"
                | "grantconstrainttype"
                | "grantisforawsresource"
                | "grantoperations"
                | "granteeprincipal"
                | "retiringprincipal"
                | "keyagreementalgorithm"
                | "macalgorithm"
                | "messagetype"
                | "signingalgorithm"
                | "rotationperiodindays"
                | "schedulekeydeletionpendingwindowindays",
                _,
            ) => KeyValue::absent(),
            (name, _) if name.starts_with("recipientattestation:") => KeyValue::absent(),
            (_, Caller::Logs | Caller::Role(_)) => KeyValue::Unknown,
        }
    }

    /// The encryption context of a log group has one pair: `aws:logs:arn` with the group's ARN ("Encrypt log
    /// data in `CloudWatch` Logs using AWS KMS"). The calls for a role have it too: AWS's own policy
    /// `CloudWatchLogsAPIKeyAccess` requires it beside `kms:ViaService`
    /// (<https://docs.aws.amazon.com/aws-managed-policy/latest/reference/CloudWatchLogsAPIKeyAccess.html>).
    /// AWS documents none for query results.
    fn encryption_context(&self, has_pair: bool, value: impl FnOnce() -> String) -> KeyValue {
        match (&self.resource.target, self.caller) {
            (Target::LogGroup(_), _) if has_pair => KeyValue::one(&value()),
            (Target::LogGroup(_), _) => KeyValue::absent(),
            (Target::QueryResults, Caller::Logs) => KeyValue::Undocumented,
            (Target::QueryResults, Caller::Role(_)) => KeyValue::Unknown,
        }
    }

    /// The source of a call for query results ("Encrypt query results with AWS KMS", user guide).
    fn source(&self, name: &str) -> KeyValue {
        match self.resource.target {
            Target::LogGroup(_) => KeyValue::Undocumented,
            Target::QueryResults if name == "sourceaccount" => KeyValue::one(&self.resource.location.account),
            Target::QueryResults => {
                // The documented condition has a `*` in the position of a query's id.
                let arn = self.resource.arn().to_string();
                let with_id = format!("{}12345678-1234-1234-1234-123456789012", arn.trim_end_matches('*'));
                KeyValue::OneOf(vec![Some(arn), Some(with_id)])
            }
        }
    }
}

// === impl KeyValue ===

impl KeyValue {
    fn one(value: &impl fmt::Display) -> Self {
        Self::OneOf(vec![Some(value.to_string())])
    }

    fn flag(value: bool) -> Self {
        Self::one(&value)
    }

    /// Whether no such call has the key.
    pub(super) fn is_absent(&self) -> bool {
        *self == Self::absent()
    }

    fn absent() -> Self {
        Self::OneOf(vec![None])
    }

    /// The key is absent, or its value belongs to AWS.
    fn aws_internal() -> Self {
        Self::OneOf(vec![None, Some(AWS_INTERNAL.to_owned())])
    }
}
