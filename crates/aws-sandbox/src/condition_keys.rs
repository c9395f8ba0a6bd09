//! The condition keys that a call has, with their values. A key that is not listed is absent from the call.
//! The sources are those of the service's own table (`domain/key_policy/condition_keys.rs`); the two are
//! written apart, and a test compares them.

use crate::state::keys::Key;

/// Condition keys and their values. A key with several values appears once for each.
pub(crate) type Facts<'a> = Vec<(&'a str, &'a str)>;

/// Whether a service makes the call on behalf of a principal.
const VIA_AWS_SERVICE: &str = "aws:ViaAWSService";

/// An IAM principal that makes a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IamCaller<'a> {
    pub(crate) account: &'a str,
    /// The ARN of the user, or that of the role of a session.
    pub(crate) arn: &'a str,
    pub(crate) is_session: bool,
    pub(crate) region: &'a str,
}

// === impl IamCaller ===

impl<'a> IamCaller<'a> {
    /// The keys of a call of this principal, with those in `more`.
    pub(crate) fn facts(self, more: &[(&'a str, &'a str)]) -> Facts<'a> {
        let mut facts = vec![
            ("aws:PrincipalAccount", self.account),
            ("aws:PrincipalArn", self.arn),
            ("aws:PrincipalType", if self.is_session { "AssumedRole" } else { "User" }),
            ("aws:PrincipalIsAWSService", "false"),
            ("aws:RequestedRegion", self.region),
            ("aws:SecureTransport", "true"),
            ("kms:CallerAccount", self.account),
        ];
        if self.is_session {
            facts.push(("aws:MultiFactorAuthPresent", "false"));
        }
        facts.extend(more);
        if !more.iter().any(|(key, _)| *key == VIA_AWS_SERVICE) {
            facts.push((VIA_AWS_SERVICE, "false"));
        }
        facts
    }
}

/// The keys of a call to KMS that `CloudWatch` Logs makes for itself.
pub(crate) fn of_logs<'a>(service: &'a str, region: &'a str) -> Facts<'a> {
    vec![
        ("aws:PrincipalIsAWSService", "true"),
        ("aws:PrincipalServiceName", service),
        (VIA_AWS_SERVICE, "false"),
        ("aws:RequestedRegion", region),
        ("aws:SecureTransport", "true"),
    ]
}

/// The keys that a call to KMS has in addition if `CloudWatch` Logs makes it on behalf of the caller.
pub(crate) fn through_logs(service: &str) -> Facts<'_> {
    vec![("kms:ViaService", service), (VIA_AWS_SERVICE, "true")]
}

/// The keys that name the log group whose data is encrypted.
pub(crate) fn of_encryption(group_arn: &str) -> Facts<'_> {
    vec![("kms:EncryptionContext:aws:logs:arn", group_arn), ("kms:EncryptionContextKeys", "aws:logs:arn")]
}

/// The keys of every call to KMS that concerns this key.
pub(crate) fn of_key<'a>(key: &'a Key, action: &str) -> Facts<'a> {
    let mut facts = vec![
        ("aws:ResourceAccount", key.account_id.as_str()),
        ("kms:KeySpec", &key.spec),
        ("kms:CustomerMasterKeySpec", &key.spec),
        ("kms:KeyUsage", &key.usage),
        ("kms:CustomerMasterKeyUsage", &key.usage),
        ("kms:KeyOrigin", "AWS_KMS"),
        ("kms:MultiRegion", if key.id.starts_with("mrk-") { "true" } else { "false" }),
    ];
    if key.id.starts_with("mrk-") {
        facts.push(("kms:MultiRegionKeyType", "PRIMARY"));
    }
    let encrypts = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt", "kms:GenerateDataKey"];
    if encrypts.iter().any(|operation| action.starts_with(operation)) {
        facts.push(("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"));
    }
    facts
}
