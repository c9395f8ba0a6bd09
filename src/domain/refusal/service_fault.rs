//! What is wrong with the service's own access to AWS. Only the operator of the service can change that.

use std::fmt;

/// Why AWS does not serve this service, whichever tenant calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceFault {
    /// No source of credentials is configured.
    CredentialsMissing,
    /// The configured source of credentials fails or does not respond.
    CredentialsUnavailable,
    /// AWS considers the credentials expired.
    CredentialsExpired,
    /// AWS does not know the credentials.
    CredentialsInvalid,
    /// The credentials are those of an account's root user, which cannot assume roles.
    RootCredentials,
    /// The account of the credentials is not signed up for the AWS service, or is suspended.
    AccountNotActive,
    /// AWS considers the time of the signature wrong.
    Clock,
    /// AWS cannot verify the signature.
    Signature,
    /// The endpoint is not the AWS service that the call is for, or something else responds for it.
    Endpoint,
    /// The service's own policies do not allow it to assume the role.
    AssumeRoleNotAllowed,
    /// An organization's policy does not allow the service's account to assume the role.
    AssumeRoleDeniedByOrganization,
    /// The policy of the VPC endpoint denies the call.
    VpcEndpointPolicy,
    /// The role is in another partition than the service.
    Partition,
    /// The session duration is longer than role chaining allows.
    SessionDuration,
    /// The session policy and the session tags together are too large.
    SessionPolicyTooLarge,
    /// The session policy is malformed, or denies what the service tries.
    SessionPolicy,
    /// STS is not active for the service's account in the service's Region.
    StsRegionDisabled,
    /// AWS does not accept a parameter of the `AssumeRole` call.
    AssumeRoleRequest,
}

// === impl ServiceFault ===

impl ServiceFault {
    /// Every fault.
    pub const ALL: [Self; 18] = [
        Self::CredentialsMissing,
        Self::CredentialsUnavailable,
        Self::CredentialsExpired,
        Self::CredentialsInvalid,
        Self::RootCredentials,
        Self::AccountNotActive,
        Self::Clock,
        Self::Signature,
        Self::Endpoint,
        Self::AssumeRoleNotAllowed,
        Self::AssumeRoleDeniedByOrganization,
        Self::VpcEndpointPolicy,
        Self::Partition,
        Self::SessionDuration,
        Self::SessionPolicyTooLarge,
        Self::SessionPolicy,
        Self::StsRegionDisabled,
        Self::AssumeRoleRequest,
    ];

    /// The cause in the metadata of errors and in metrics. It never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CredentialsMissing => "CREDENTIALS_MISSING",
            Self::CredentialsUnavailable => "CREDENTIALS_UNAVAILABLE",
            Self::CredentialsExpired => "CREDENTIALS_EXPIRED",
            Self::CredentialsInvalid => "CREDENTIALS_INVALID",
            Self::RootCredentials => "ROOT_CREDENTIALS",
            Self::AccountNotActive => "ACCOUNT_NOT_ACTIVE",
            Self::Clock => "CLOCK",
            Self::Signature => "SIGNATURE",
            Self::Endpoint => "ENDPOINT",
            Self::AssumeRoleNotAllowed => "ASSUME_ROLE_NOT_ALLOWED",
            Self::AssumeRoleDeniedByOrganization => "ASSUME_ROLE_DENIED_BY_ORGANIZATION",
            Self::VpcEndpointPolicy => "VPC_ENDPOINT_POLICY",
            Self::Partition => "PARTITION",
            Self::SessionDuration => "SESSION_DURATION",
            Self::SessionPolicyTooLarge => "SESSION_POLICY_TOO_LARGE",
            Self::SessionPolicy => "SESSION_POLICY",
            Self::StsRegionDisabled => "STS_REGION_DISABLED",
            Self::AssumeRoleRequest => "ASSUME_ROLE_REQUEST",
        }
    }

    /// Whether no role can be assumed until the operator acts. The others concern some roles or calls.
    #[must_use]
    pub fn concerns_every_role(self) -> bool {
        match self {
            Self::CredentialsMissing
            | Self::CredentialsUnavailable
            | Self::CredentialsExpired
            | Self::CredentialsInvalid
            | Self::RootCredentials
            | Self::AccountNotActive
            | Self::Clock
            | Self::Signature
            | Self::Endpoint
            | Self::SessionDuration
            | Self::StsRegionDisabled => true,
            Self::AssumeRoleNotAllowed
            | Self::AssumeRoleDeniedByOrganization
            | Self::VpcEndpointPolicy
            | Self::Partition
            | Self::SessionPolicyTooLarge
            | Self::SessionPolicy
            | Self::AssumeRoleRequest => false,
        }
    }

    /// What the operator should do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::CredentialsMissing => {
                "configure a source of credentials: a profile, environment variables, a token file, EKS Pod Identity, or an instance or task role"
            }
            Self::CredentialsUnavailable => {
                "check the source: the token file, the Pod Identity agent, or the instance metadata service and its hop limit"
            }
            Self::CredentialsExpired => "renew the credentials, and check that their source renews them",
            Self::CredentialsInvalid => {
                "check that the credentials exist, are active, belong to the partition of aws.region, and that their account has enabled that Region"
            }
            Self::RootCredentials => "use the credentials of a role or of an IAM user",
            Self::AccountNotActive => "check that the account of the credentials is active",
            Self::Clock => "synchronize the clock of the machine",
            Self::Signature => "check the secret access key, and that no proxy changes requests to AWS",
            Self::Endpoint => {
                "check aws.endpoint_url, aws.endpoints, aws.region and the proxies on the way to AWS"
            }
            Self::AssumeRoleNotAllowed => {
                "allow the service's own role sts:AssumeRole, sts:TagSession and, with attribution by subject, sts:SetSourceIdentity on the tenant's role"
            }
            Self::AssumeRoleDeniedByOrganization => {
                "allow sts:AssumeRole and sts:TagSession in the service control policies of the service's own account"
            }
            Self::VpcEndpointPolicy => "allow the call in the policy of the VPC endpoint",
            Self::Partition => {
                "run the service in the partition of the role, with aws.region in that partition"
            }
            Self::SessionDuration => {
                "set aws.session_duration to at most 1h, because the service's own credentials are a role's"
            }
            Self::SessionPolicyTooLarge => {
                "shorten the patterns of the grant, or remove session tags of the service's own session (for EKS Pod Identity, disableSessionTags)"
            }
            Self::SessionPolicy => {
                "compare the patterns of the tenant's grant with what policies permit the tenant"
            }
            Self::StsRegionDisabled => {
                "activate STS in aws.region for the service's own account, or use another Region"
            }
            Self::AssumeRoleRequest => "check role_arn, external_id and aws.session_duration",
        }
    }
}

impl fmt::Display for ServiceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CredentialsMissing => "this service itself has no AWS credentials",
            Self::CredentialsUnavailable => "this service cannot get its own AWS credentials",
            Self::CredentialsExpired => "this service's own AWS credentials have expired",
            Self::CredentialsInvalid => "AWS does not accept this service's own credentials",
            Self::RootCredentials => {
                "this service's own AWS credentials are those of a root user, which cannot assume roles"
            }
            Self::AccountNotActive => "the AWS account of this service's own credentials is not active",
            Self::Clock => "AWS rejects the time of this service's requests, so its clock is probably wrong",
            Self::Signature => "AWS cannot verify the signature that this service makes with its credentials",
            Self::Endpoint => "the AWS endpoint that this service calls does not respond as AWS does",
            Self::AssumeRoleNotAllowed => {
                "the policies of this service's own AWS identity do not allow it to assume the role"
            }
            Self::AssumeRoleDeniedByOrganization => {
                "a service control policy does not allow this service's own AWS account to assume the role"
            }
            Self::VpcEndpointPolicy => {
                "the policy of the VPC endpoint that this service calls AWS through denies the call"
            }
            Self::Partition => "the role is in another AWS partition than this service's own credentials",
            Self::SessionDuration => {
                "this service requests longer sessions than the hour that AWS allows if one role assumes another"
            }
            Self::SessionPolicyTooLarge => {
                "the session policy and the session tags of this service together exceed AWS's limit, even with the shortest policy"
            }
            Self::SessionPolicy => "the session policy that this service makes from the tenant's grant denies the call",
            Self::StsRegionDisabled => "STS is not active for this service's own account in its Region",
            Self::AssumeRoleRequest => "AWS does not accept how this service is configured to assume the role",
        })
    }
}
