//! Diagnoses a would-be association: every check that a call would meet, changing nothing.

use std::sync::Arc;

use super::{
    Error, KeyBroker, audit_context::AuditContext, explain, query_results_probe::ObservedKey, require_scope,
    resolve, role_check::RoleCheck,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, CheckKeyAssociation, Resource, Source, Target},
        authorization::{Access, Authorized, AuthzRequest},
        aws::Region,
        call::Call,
        diagnosis::{self, Check, CheckName, Diagnosis, GroupLookup, Lookup},
        key::KeyMetadata,
        principal::{Principal, Scope},
        reason::Reason,
        request::CheckRequest,
        tenant::Tenant,
    },
    ports::aws::AwsErrorDetails,
};

impl KeyBroker {
    /// Every check of a would-be association.
    ///
    /// # Errors
    ///
    /// [`Error`] where the caller may not ask; whatever stands against the association itself is a
    /// check.
    pub async fn check(
        &self,
        call: &Call,
        principal: &Principal,
        request: CheckRequest,
    ) -> Result<Diagnosis, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let result = self.diagnosis(call, principal, request, &mut audit).await;
        match &result {
            Ok(_) => audit.read(&self.ports),
            Err(error) => audit.record_refusal(&self.ports, error),
        }
        result
    }

    async fn diagnosis(
        &self,
        call: &Call,
        principal: &Principal,
        request: CheckRequest,
        audit: &mut AuditContext,
    ) -> Result<Diagnosis, Error> {
        let CheckRequest { resource, key: requested } = request;
        audit.requested(&requested);
        require_scope(principal, Scope::Read)?;
        let tenant = self.tenant(principal)?;
        let location = resolve::resolve_place(&tenant, &resource.location)?;
        let resource = Resource { location, target: resource.target };
        audit.resource(&resource);
        let read = CheckKeyAssociation { resource };
        let permit = self.authorize(call, principal, &tenant, read, audit)?;
        Ok(self.run_checks(call, principal, &tenant, &permit, &requested, audit).await)
    }

    /// Looks at everything a call would meet, in that order, and stops where nothing further can be
    /// seen.
    pub(super) async fn run_checks(
        &self,
        call: &Call,
        principal: &Principal,
        tenant: &Arc<Tenant>,
        authorized: &Authorized<CheckKeyAssociation>,
        requested: &KmsKeyId,
        audit: &mut AuditContext,
    ) -> Diagnosis {
        let (access, resource) = (authorized.access(), &authorized.command().resource);
        if let Target::LogGroup(name) = &resource.target
            && name.is_reserved()
        {
            let check = Check::failed(
                CheckName::LogGroupNotReserved,
                Reason::LogGroupReserved,
                format!("log groups whose names begin with aws/, such as {name}, are reserved for AWS"),
                "their keys cannot be set",
            );
            return Diagnosis { checks: vec![check], key: None };
        }
        let mut checks = Vec::new();
        if let Target::LogGroup(name) = &resource.target {
            let detail = format!("{name} is not one of the log groups that AWS keeps to itself");
            checks.push(Check::passed(CheckName::LogGroupNotReserved, detail));
        }
        if let Some(region) = key_elsewhere(requested, resource) {
            checks.push(diagnosis::check_foreign_key(region, resource));
            return Diagnosis { checks, key: None };
        }
        let group = match self.check_log_group(access, &resource.target, call, audit).await {
            Ok(group) => group,
            Err(answer) => {
                checks.push(assume_role_failure(&answer));
                return Diagnosis { checks, key: None };
            }
        };
        let key = match self.check_key(access, requested, call, audit).await {
            Ok(key) => key,
            Err(answer) => {
                checks.push(assume_role_failure(&answer));
                return Diagnosis { checks, key: None };
            }
        };
        checks.push(check_role(audit.record_role()));
        checks.extend(match &resource.target {
            Target::LogGroup(_) => diagnosis::log_group(resource, &group),
            Target::QueryResults => {
                vec![self.check_query_results(call, principal, access, resource, audit).await]
            }
        });
        checks.extend(diagnosis::key_exists(requested, resource, &key));
        let Lookup::Found(metadata) = &key else { return Diagnosis { checks, key: None } };
        let arn = metadata.arn.clone();
        audit.resolved(&arn);
        let would = AssociateKmsKey {
            resource: resource.clone(),
            key: arn.clone(),
            requested_key: requested.clone(),
            reason: None,
        };
        let required_facts = Authorized::required_facts(
            |question| self.required_facts(question),
            call,
            principal,
            tenant,
            &would,
        );
        checks.insert(
            0,
            match self.load_facts(&required_facts, access, (Some(&arn), resource), call, audit).await {
                Ok(facts) => {
                    let policy = |question: &AuthzRequest<'_>| self.decide(question);
                    let decided = Authorized::decide_with(&facts, policy, call, principal, tenant, would);
                    diagnosis::tenant_policy(decided.as_ref().map(|_| ()), resource, &arn)
                }
                Err(Error::Diagnosed { cause, .. }) => *cause,
                Err(error) => Check::not_checked(CheckName::TenantPolicy, error.to_string()),
            },
        );
        if arn.region() == &resource.location.region {
            checks.extend(diagnosis::key_usable(metadata));
            let policy = explain::fetch_policy(&self.ports, access, &arn, call.deadline, audit).await;
            checks.push(diagnosis::key_policy(&arn, resource, &policy));
            let role = RoleCheck { ports: &self.ports, access, resource, deadline: call.deadline };
            checks.extend(role.check_may_associate(&arn, &policy, audit).await);
        }
        Diagnosis { checks, key: Some(arn) }
    }

    /// The key of query results, as a query shows it or as our own record has it.
    async fn check_query_results(
        &self,
        call: &Call,
        principal: &Principal,
        access: &Access,
        resource: &Resource,
        audit: &mut AuditContext,
    ) -> Check {
        match self.results_key(call, principal, access, resource, audit).await {
            Ok(ObservedKey { record: Some(record), source: Source::Live }) => {
                diagnosis::check_query_results(record.key.as_ref())
            }
            Ok(ObservedKey { record, .. }) => diagnosis::check_recorded(record.map(|record| record.key)),
            Err(error) => Check::not_checked(CheckName::CurrentAssociation, error.to_string()),
        }
    }

    /// The log group, or the words of STS where the role cannot be assumed.
    async fn check_log_group(
        &self,
        access: &Access,
        target: &Target,
        call: &Call,
        audit: &mut AuditContext,
    ) -> Result<Lookup<GroupLookup>, AwsErrorDetails> {
        let Target::LogGroup(name) = target else { return Ok(Lookup::Absent) };
        match self.find_log_group(access, name, call.deadline, audit).await {
            Ok(group) => Ok(Lookup::Found(GroupLookup { key: group.key, class: group.class })),
            Err(Error::LogGroupNotFound { .. }) => Ok(Lookup::Absent),
            Err(Error::RoleNotAssumable { answer }) => Err(answer),
            Err(Error::Refused { answer, .. }) => {
                Ok(Lookup::Unknown(format!("AWS said {}", explain::aws_message(&answer))))
            }
            Err(error) => Ok(Lookup::Unknown(error.to_string())),
        }
    }

    /// The key, where the tenant may know of it: one that is not granted is as if absent. Or the words
    /// of STS where the role cannot be assumed.
    async fn check_key(
        &self,
        access: &Access,
        requested: &KmsKeyId,
        call: &Call,
        audit: &mut AuditContext,
    ) -> Result<Lookup<KeyMetadata>, AwsErrorDetails> {
        let granted = |key: &KmsKeyArn| access.grant().allows_key(key);
        if let KmsKeyId::Arn(arn) = requested
            && !granted(arn)
        {
            return Ok(Lookup::Absent);
        }
        match explain::describe_key(&self.ports, access, requested, call.deadline, audit).await? {
            Lookup::Found(key) if !granted(&key.arn) => Ok(Lookup::Absent),
            read @ (Lookup::Found(_) | Lookup::Absent | Lookup::Unknown(_)) => Ok(read),
        }
    }
}

/// The Region that a key's name says, where it is another than the target's.
fn key_elsewhere<'k>(requested: &'k KmsKeyId, resource: &Resource) -> Option<&'k Region> {
    let region = match requested {
        KmsKeyId::Arn(arn) => arn.region(),
        KmsKeyId::AliasArn { region, .. } => region,
        KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => return None,
    };
    (*region != resource.location.region).then_some(region)
}

fn check_role(assumed: bool) -> Check {
    if assumed {
        Check::passed(CheckName::RoleAssumable, "the account's role can be assumed, with the external id")
    } else {
        Check::not_checked(CheckName::RoleAssumable, "no role was assumed, since AWS was not reached")
    }
}

pub(super) fn assume_role_failure(answer: &AwsErrorDetails) -> Check {
    Check::failed(
        CheckName::RoleAssumable,
        Reason::RoleNotAssumable,
        format!("the account's role cannot be assumed: STS said {}", explain::aws_message(answer)),
        "let the role's trust policy name this service's own role, with sts:AssumeRole, sts:TagSession and the external id that was agreed",
    )
}
