//! Diagnoses a would-be association: every check that a call would meet, changing nothing.

use std::sync::Arc;

use super::{Error, KeyBroker, diagnose, locate, require, role::RoleLook, trail::Trail, verify::ResultsKey};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        ask::AskCheck,
        association::{AssociateKmsKey, CheckKeyAssociation, Resource, Source, Target},
        authorization::{Access, Authorized, Question},
        aws::Region,
        call::Call,
        diagnosis::{self, Check, Diagnosis, GroupSeen, Look, Name},
        key::KeyMetadata,
        principal::{Principal, Scope},
        reason::Reason,
        tenant::Tenant,
    },
    ports::aws::AwsAnswer,
};

impl KeyBroker {
    /// Every check of a would-be association.
    ///
    /// # Errors
    ///
    /// [`Error`] where the caller may not ask; whatever stands against the association itself is a
    /// check.
    pub async fn check(&self, call: &Call, who: &Principal, ask: AskCheck) -> Result<Diagnosis, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let result = self.diagnosis(call, who, ask, &mut trail).await;
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    async fn diagnosis(
        &self,
        call: &Call,
        who: &Principal,
        ask: AskCheck,
        trail: &mut Trail,
    ) -> Result<Diagnosis, Error> {
        let AskCheck { resource, key: requested } = ask;
        trail.requested(&requested);
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let place = locate::place(&tenant, &resource.place)?;
        let resource = Resource { place, target: resource.target };
        trail.resource(&resource);
        let look = CheckKeyAssociation { resource };
        let permit = self.permit(call, who, &tenant, look, trail)?;
        Ok(self.examine(call, who, &tenant, &permit, &requested, trail).await)
    }

    /// Looks at everything a call would meet, in that order, and stops where nothing further can be
    /// seen.
    pub(super) async fn examine(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        permit: &Authorized<CheckKeyAssociation>,
        requested: &KmsKeyId,
        trail: &mut Trail,
    ) -> Diagnosis {
        let (access, resource) = (permit.access(), &permit.command().resource);
        if let Target::LogGroup(name) = &resource.target
            && name.is_reserved()
        {
            let check = Check::failed(
                Name::LogGroupNotReserved,
                Reason::LogGroupReserved,
                format!("log groups whose names begin with aws/, such as {name}, are reserved for AWS"),
                "their keys cannot be set",
            );
            return Diagnosis { checks: vec![check], key: None };
        }
        let mut checks = Vec::new();
        if let Target::LogGroup(name) = &resource.target {
            let detail = format!("{name} is not one of the log groups that AWS keeps to itself");
            checks.push(Check::passed(Name::LogGroupNotReserved, detail));
        }
        if let Some(region) = elsewhere(requested, resource) {
            checks.push(diagnosis::key_elsewhere(region, resource));
            return Diagnosis { checks, key: None };
        }
        let group = match self.look_at_group(access, &resource.target, call, trail).await {
            Ok(group) => group,
            Err(answer) => {
                checks.push(role_refused(&answer));
                return Diagnosis { checks, key: None };
            }
        };
        let key = match self.look_at_granted_key(access, requested, call, trail).await {
            Ok(key) => key,
            Err(answer) => {
                checks.push(role_refused(&answer));
                return Diagnosis { checks, key: None };
            }
        };
        checks.push(role(trail.assumed()));
        checks.extend(match &resource.target {
            Target::LogGroup(_) => diagnosis::log_group(resource, &group),
            Target::QueryResults => {
                vec![self.look_at_query_results(call, who, access, resource, trail).await]
            }
        });
        checks.extend(diagnosis::key_exists(requested, resource, &key));
        let Look::Found(metadata) = &key else { return Diagnosis { checks, key: None } };
        let arn = metadata.arn.clone();
        trail.resolved(&arn);
        let would = AssociateKmsKey {
            resource: resource.clone(),
            key: arn.clone(),
            requested_key: requested.clone(),
            reason: None,
        };
        let wants = Authorized::wants(|question| self.wants(question), call, who, tenant, &would);
        checks.insert(
            0,
            match self.look_up(&wants, access, (Some(&arn), resource), call, trail).await {
                Ok(facts) => {
                    let policy = |question: &Question<'_>| self.decide(question);
                    let decided = Authorized::decide_knowing(&facts, policy, call, who, tenant, would);
                    diagnosis::tenant_policy(decided.as_ref().map(|_| ()), resource, &arn)
                }
                Err(Error::Diagnosed { cause, .. }) => *cause,
                Err(error) => Check::not_checked(Name::TenantPolicy, error.to_string()),
            },
        );
        if arn.region() == &resource.place.region {
            checks.extend(diagnosis::key_usable(metadata));
            let policy = diagnose::look_at_policy(&self.ports, access, &arn, call.deadline, trail).await;
            checks.push(diagnosis::key_policy(&arn, resource, &policy));
            let role = RoleLook { ports: &self.ports, access, resource, deadline: call.deadline };
            checks.extend(role.may_associate(&arn, &policy, trail).await);
        }
        Diagnosis { checks, key: Some(arn) }
    }

    /// The key of query results, as a query shows it or as our own record has it.
    async fn look_at_query_results(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        resource: &Resource,
        trail: &mut Trail,
    ) -> Check {
        match self.results_key(call, who, access, resource, trail).await {
            Ok(ResultsKey { known: Some(known), source: Source::Live }) => {
                diagnosis::query_results(known.key.as_ref())
            }
            Ok(ResultsKey { known, .. }) => diagnosis::recorded(known.map(|known| known.key)),
            Err(error) => Check::not_checked(Name::CurrentAssociation, error.to_string()),
        }
    }

    /// The log group, or the words of STS where the role cannot be assumed.
    async fn look_at_group(
        &self,
        access: &Access,
        target: &Target,
        call: &Call,
        trail: &mut Trail,
    ) -> Result<Look<GroupSeen>, AwsAnswer> {
        let Target::LogGroup(name) = target else { return Ok(Look::Absent) };
        match self.find_log_group(access, name, call.deadline, trail).await {
            Ok(group) => Ok(Look::Found(GroupSeen { key: group.key, class: group.class })),
            Err(Error::LogGroupNotFound { .. }) => Ok(Look::Absent),
            Err(Error::RoleNotAssumable { answer }) => Err(answer),
            Err(Error::Refused { answer, .. }) => {
                Ok(Look::Unknown(format!("AWS said {}", diagnose::words(&answer))))
            }
            Err(error) => Ok(Look::Unknown(error.to_string())),
        }
    }

    /// The key, where the tenant may know of it: one that is not granted is as if absent. Or the words
    /// of STS where the role cannot be assumed.
    async fn look_at_granted_key(
        &self,
        access: &Access,
        requested: &KmsKeyId,
        call: &Call,
        trail: &mut Trail,
    ) -> Result<Look<KeyMetadata>, AwsAnswer> {
        let granted = |key: &KmsKeyArn| access.grant().opens_key(key);
        if let KmsKeyId::Arn(arn) = requested
            && !granted(arn)
        {
            return Ok(Look::Absent);
        }
        match diagnose::look_at_key(&self.ports, access, requested, call.deadline, trail).await? {
            Look::Found(key) if !granted(&key.arn) => Ok(Look::Absent),
            look @ (Look::Found(_) | Look::Absent | Look::Unknown(_)) => Ok(look),
        }
    }
}

/// The Region that a key's name says, where it is another than the target's.
fn elsewhere<'k>(requested: &'k KmsKeyId, resource: &Resource) -> Option<&'k Region> {
    let region = match requested {
        KmsKeyId::Arn(arn) => arn.region(),
        KmsKeyId::AliasArn { region, .. } => region,
        KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => return None,
    };
    (*region != resource.place.region).then_some(region)
}

fn role(assumed: bool) -> Check {
    if assumed {
        Check::passed(Name::RoleAssumable, "the account's role can be assumed, with the external id")
    } else {
        Check::not_checked(Name::RoleAssumable, "no role was assumed, since AWS was not reached")
    }
}

pub(super) fn role_refused(answer: &AwsAnswer) -> Check {
    Check::failed(
        Name::RoleAssumable,
        Reason::RoleNotAssumable,
        format!("the account's role cannot be assumed: STS said {}", diagnose::words(answer)),
        "let the role's trust policy name this service's own role, with sts:AssumeRole, sts:TagSession and the external id that was agreed",
    )
}
