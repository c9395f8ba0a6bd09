//! Whether what is installed in an account works: the role with its external id and without, each read
//! tried for real, and each change as IAM simulates it, since a try would change something.

mod wanted;

use super::{
    Error, KeyBroker, diagnose, locate, require, role,
    trail::Trail,
    verify::{Helps, Verified, Why},
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{TestAccess, UnresolvedPlace},
        authorization::{Access, Authorized},
        call::Call,
        diagnosis::{self, Check, Diagnosis, Name},
        onboarding::{
            self, LOOK_AT_KEYS, READ_QUERY, RUN_QUERY, SET_KEY_OF_QUERY_RESULTS, SET_KEYS, USE_KEYS,
        },
        principal::{Principal, Scope},
        reason::Reason,
        remedy,
        simulation::{ASSOCIATE, DISASSOCIATE, Trial},
    },
    ports::{LogGroup, UpstreamError, aws::Refusal},
};

/// The role was assumed.
const ASSUMED: &str = "the account's role can be assumed, with the external id";

impl KeyBroker {
    /// Tries what is installed in an account.
    ///
    /// # Errors
    ///
    /// [`Error`] where the caller may not ask; what does not work is a check.
    pub async fn test_access(
        &self,
        call: &Call,
        who: &Principal,
        place: UnresolvedPlace,
    ) -> Result<Diagnosis, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let result = self.try_access(call, who, &place, &mut trail).await;
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    async fn try_access(
        &self,
        call: &Call,
        who: &Principal,
        place: &UnresolvedPlace,
        trail: &mut Trail,
    ) -> Result<Diagnosis, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let place = locate::place(&tenant, place)?;
        let permit: Authorized<TestAccess> = self.permit(call, who, &tenant, TestAccess { place }, trail)?;
        let access = permit.access();
        let read = self.ports.log_groups.page(access, None, None, call.deadline).await;
        trail.via(read.via);
        let mut checks = Vec::new();
        match read.result {
            Err(UpstreamError::RoleNotAssumable { answer }) => {
                checks.push(super::check::role_refused(&answer));
            }
            Err(error) => {
                checks.push(assumed(trail, &error));
                checks.push(unreadable(&error));
                checks.extend(self.try_keys_and_changes(call, who, access, &[], trail).await);
                if access.grant().verify_query_results {
                    let detail = "no log group to query could be found";
                    checks.push(Check::not_checked(Name::RoleQueryPermission, detail));
                }
            }
            Ok(page) => {
                checks.push(Check::passed(Name::RoleAssumable, ASSUMED));
                checks.push(Check::passed(Name::RoleReadPermission, "the role may list log groups"));
                checks.extend(self.try_keys_and_changes(call, who, access, &page.groups, trail).await);
                if access.grant().verify_query_results {
                    checks.push(self.try_query(call, who, access, trail).await);
                }
            }
        }
        if trail.assumed() {
            checks.extend(self.try_quotas(access, call, trail).await);
        }
        checks.push(self.try_without_external_id(access, call, trail).await);
        Ok(Diagnosis { checks, key: None })
    }

    async fn try_keys_and_changes(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        groups: &[LogGroup],
        trail: &mut Trail,
    ) -> Vec<Check> {
        let (grant, place) = (access.grant(), access.place());
        let mut checks = Vec::new();
        let keys = onboarding::sample_keys(grant, place);
        let targets = onboarding::sample_targets(grant, place);
        if !keys.is_empty() {
            let known = known_key(access, groups);
            checks.push(self.try_key_reads(access, &keys, known.as_ref(), call, trail).await);
            let asked = wanted::Asked { keys: &keys, targets: &targets, groups, known: known.as_ref() };
            checks.extend(self.try_key_tags(call, who, access, &asked, trail).await);
            let trial = Trial::key_use(place, keys.iter().map(ToString::to_string).collect());
            let what = "use the granted keys through CloudWatch Logs";
            let name = Name::RoleKmsPermission;
            checks.push(self.simulated(access, name, &trial, what, USE_KEYS, call, trail).await);
        }
        if !targets.is_empty() {
            let actions = [ASSOCIATE, DISASSOCIATE];
            let trial = Trial::changes(place, &actions, &targets);
            let (via, look) = role::simulate(&self.ports, access, &trial, call.deadline).await;
            trail.via(via);
            let document = onboarding::role_statements(grant, &[SET_KEYS, SET_KEY_OF_QUERY_RESULTS]);
            let what = "change the keys of everything that is granted";
            checks.push(diagnosis::changes_allowed(&grant.role, &actions, &targets, &look, what, &document));
        }
        checks
    }

    /// Looks at a key that the tenant may use, where one is known; otherwise IAM is asked.
    async fn try_key_reads(
        &self,
        access: &Access,
        samples: &[KmsKeyArn],
        known: Option<&KmsKeyArn>,
        call: &Call,
        trail: &mut Trail,
    ) -> Check {
        let name = Name::RoleKeyReadPermission;
        let Some(key) = known else {
            let trial = Trial::key_looks(access.place(), samples.iter().map(ToString::to_string).collect());
            let what = "look at the granted keys and their policies";
            return self.simulated(access, name, &trial, what, LOOK_AT_KEYS, call, trail).await;
        };
        let described = self.ports.keys.describe(access, &KmsKeyId::Arn(key.clone()), call.deadline).await;
        trail.via(described.via);
        let policy = self.ports.keys.policy(access, key, call.deadline).await;
        trail.via(policy.via);
        match described.result.map(drop).and(policy.result.map(drop)) {
            Ok(()) => Check::passed(name, format!("the role may look at {key} and its policy")),
            Err(UpstreamError::Refused { refusal: Refusal::RoleLacksKms | Refusal::Other, answer }) => {
                let detail = format!("the role may not look at {key}: AWS said {}", diagnose::words(&answer));
                Check::failed(name, Reason::RoleLacksKmsPermission, detail, "").with_document(
                    "add this statement to the role's policy; the key's policy must let the account's own policies decide",
                    &remedy::role_look_statement(key),
                )
            }
            Err(error) => Check::not_checked(name, diagnose::why(&error)),
        }
    }

    /// Runs the query that tells the key of query results.
    async fn try_query(&self, call: &Call, who: &Principal, access: &Access, trail: &mut Trail) -> Check {
        let name = Name::RoleQueryPermission;
        match self.verified(call, who, access, trail).await {
            Verified::Shown(_) => Check::passed(name, "a query tells the key of query results"),
            Verified::Unknown(Why { said, helps: Helps::Permission }) => {
                let detail = format!("the role may not tell the key of query results by a query: {said}");
                let remedy = "let the role have these statements, and the policies of the keys of the results and of the queried log group let it decrypt through CloudWatch Logs";
                let document =
                    onboarding::role_statements(access.grant(), &[RUN_QUERY, READ_QUERY, USE_KEYS]);
                Check::failed(name, Reason::RoleLacksLogsPermission, detail, remedy)
                    .with_document(remedy, &document)
            }
            Verified::Unknown(Why { said, helps: Helps::Time | Helps::Nothing }) => {
                Check::not_checked(name, said)
            }
            Verified::Off => Check::not_checked(name, "the account's grant does not ask for queries"),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is another thing, and they are named where it is called"
    )]
    async fn simulated(
        &self,
        access: &Access,
        name: Name,
        trial: &Trial,
        what: &str,
        statement: &str,
        call: &Call,
        trail: &mut Trail,
    ) -> Check {
        let grant = access.grant();
        let (via, look) = role::simulate(&self.ports, access, trial, call.deadline).await;
        trail.via(via);
        let document = onboarding::role_statements(grant, &[statement]);
        diagnosis::trial_allowed(name, &grant.role, trial, &look, what, &document)
    }

    async fn try_without_external_id(&self, access: &Access, call: &Call, trail: &mut Trail) -> Check {
        let open = self.ports.roles.opens_without_external_id(access, call.deadline).await;
        trail.via(open.via);
        match open.result {
            Ok(false) => {
                Check::passed(Name::RoleNeedsExternalId, "the role cannot be assumed without the external id")
            }
            Ok(true) => Check::failed(
                Name::RoleNeedsExternalId,
                Reason::RoleNotAssumable,
                "the role can be assumed without the external id: whoever can make this service call AWS for them could reach your account",
                "put the condition StringEquals sts:ExternalId into the role's trust policy, as GetOnboarding shows it",
            ),
            Err(error) => Check::not_checked(Name::RoleNeedsExternalId, diagnose::why(&error)),
        }
    }
}

/// A key that the tenant may use and that is there for all that is known.
fn known_key(access: &Access, groups: &[LogGroup]) -> Option<KmsKeyArn> {
    let (grant, place) = (access.grant(), access.place());
    let home = |key: &KmsKeyArn| key.account() == place.account && grant.opens_key(key);
    let in_use = groups.iter().filter_map(|group| group.key.clone());
    onboarding::exact_keys(grant, place).into_iter().chain(in_use).find(home)
}

fn assumed(trail: &Trail, error: &UpstreamError) -> Check {
    if trail.assumed() {
        Check::passed(Name::RoleAssumable, ASSUMED)
    } else {
        Check::not_checked(Name::RoleAssumable, diagnose::why(error))
    }
}

fn unreadable(error: &UpstreamError) -> Check {
    match error {
        UpstreamError::Refused { answer, .. } => Check::failed(
            Name::RoleReadPermission,
            Reason::RoleLacksLogsPermission,
            format!("the role may not list log groups: AWS said {}", diagnose::words(answer)),
            "allow the role logs:DescribeLogGroups, as GetOnboarding shows it",
        ),
        UpstreamError::RoleNotAssumable { .. }
        | UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => Check::not_checked(Name::RoleReadPermission, diagnose::why(error)),
    }
}
