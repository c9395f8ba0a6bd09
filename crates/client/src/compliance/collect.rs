//! Collects a report from the service.

use std::collections::BTreeSet;

use tonic::Code;

use super::{
    classify,
    findings::{findings, rules},
    listing::{self, Listing, Question},
    model::{Basis, ComplianceReport, Findings, Location, QUERY_RESULTS, Resource},
};
use crate::{
    failure::Failure,
    proto::{
        CoverageLocation, CoveragePoint, GetCallerRequest, GetCallerResponse, GetCoverageHistoryRequest,
        ListCoverageFindingsRequest, coverage_service_client::CoverageServiceClient,
        tenant_service_client::TenantServiceClient,
    },
    session::Session,
};

/// How many days of history a report shows.
const HISTORY_DAYS: i32 = 90;

/// What a report covers, and what it compares with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Only this account.
    pub(crate) account: Option<String>,
    /// Only this Region.
    pub(crate) region: Option<String>,
    /// The key that every log group must have, instead of the rules.
    pub(crate) expect: Option<String>,
}

/// Reads the report. One row for each log group that the tenant may see, and for query results that a rule
/// has a finding for.
///
/// # Errors
///
/// If the scope names no account or Region of the tenant, or if a call fails. An account that cannot be read
/// is no error: the report says so.
pub(crate) async fn collect(session: &Session, scope: &Scope) -> Result<ComplianceReport, Failure> {
    let caller = session
        .call(GetCallerRequest {}, async |channel, request| {
            TenantServiceClient::new(channel).get_caller(request).await
        })
        .await?;
    let locations = locations(&caller, scope)?;
    // The findings before the log groups: what is repaired meanwhile counts as not repaired, never the reverse.
    let by_rules = match &scope.expect {
        None => of_rules(session, &caller, scope).await?,
        Some(_) => None,
    };
    let basis = match (&scope.expect, &by_rules) {
        (Some(key), _) => Basis::ExpectedKey(key.clone()),
        (None, None) => Basis::AnyKey,
        (None, Some(_)) => Basis::Rules,
    };
    let question = match &basis {
        Basis::ExpectedKey(key) => Question::OtherThan(key),
        Basis::AnyKey => Question::AnyKey,
        Basis::Rules => Question::CompliantKeys,
    };
    // The service keeps the counts of past days for the whole tenant only.
    let history = if basis == Basis::Rules && scope.account.is_none() && scope.region.is_none() {
        past_days(session, &caller.tenant_id).await?
    } else {
        Vec::new()
    };
    let mut of_rules = by_rules.unwrap_or_default();
    let listings = listing::list(session, &locations, question).await?;
    let mut resources: Vec<_> =
        listings.iter().flat_map(|listing| classify::resources(listing, &mut of_rules)).collect();
    resources.extend(not_listed(of_rules, &listings));
    resources.sort_by(|a, b| (&a.account, &a.region, &a.name).cmp(&(&b.account, &b.region, &b.name)));
    let locations = listings.into_iter().map(coverage_location).collect();
    let time = jiff::Timestamp::now();
    Ok(ComplianceReport { tenant: caller.tenant_id, basis, time, resources, locations, history })
}

/// The findings of the tenant's rules. Absent if it has no rules, or if the service does not have coverage.
async fn of_rules(
    session: &Session,
    caller: &GetCallerResponse,
    scope: &Scope,
) -> Result<Option<Findings>, Failure> {
    let rules = available(rules(session, &caller.tenant_id).await)?.unwrap_or_default();
    if rules.is_empty() {
        return Ok(None);
    }
    available(findings(session, &rules, request(caller, scope)).await)
}

/// The result of a call that an older service does not have, or does not serve.
fn available<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Err(Failure::Refused(status)) if status.code() == Code::Unimplemented => Ok(None),
        other => other.map(Some),
    }
}

fn locations(caller: &GetCallerResponse, scope: &Scope) -> Result<Vec<Location>, Failure> {
    let granted = caller.accounts.iter().flat_map(|grant| {
        let account = &grant.account_id;
        grant.regions.iter().map(|region| Location { account: account.clone(), region: region.clone() })
    });
    let within = |wanted: &Option<String>, value: &String| wanted.as_ref().is_none_or(|it| it == value);
    let mut locations: Vec<_> = granted
        .filter(|it| within(&scope.account, &it.account) && within(&scope.region, &it.region))
        .collect();
    locations.sort();
    if locations.is_empty() {
        let names = [("--account", &scope.account), ("--region", &scope.region)];
        let wanted = names.map(|(name, value)| value.as_ref().map(|it| format!("{name} {it}")));
        let wanted = wanted.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let message = if wanted.is_empty() {
            format!("the tenant {} has no account: nothing to report", caller.tenant_id)
        } else {
            format!(
                "{wanted}: the tenant {} has no such account and Region; see `logkey whoami`",
                caller.tenant_id
            )
        };
        return Err(Failure::Usage(message));
    }
    Ok(locations)
}

fn request(caller: &GetCallerResponse, scope: &Scope) -> ListCoverageFindingsRequest {
    ListCoverageFindingsRequest {
        account_id: scope.account.clone().unwrap_or_default(),
        region: scope.region.clone().unwrap_or_default(),
        tenant_id: caller.tenant_id.clone(),
        ..Default::default()
    }
}

async fn past_days(session: &Session, tenant: &str) -> Result<Vec<CoveragePoint>, Failure> {
    let request = GetCoverageHistoryRequest { days: HISTORY_DAYS, tenant_id: tenant.to_owned() };
    let answer = session
        .call(request, async |channel, request| {
            CoverageServiceClient::new(channel).get_coverage_history(request).await
        })
        .await?;
    Ok(answer.points)
}

/// Findings without a listed log group: those of query results, and those of locations that could not be listed.
/// Any other log group was deleted.
fn not_listed(findings: Findings, listings: &[Listing]) -> impl Iterator<Item = Resource> {
    let unread: BTreeSet<_> =
        listings.iter().filter(|it| it.groups.is_err()).map(|it| it.location.clone()).collect();
    findings
        .into_iter()
        .filter(move |((location, name), _)| name == QUERY_RESULTS || unread.contains(location))
        .map(|(_, resource)| resource)
}

fn coverage_location(listing: Listing) -> CoverageLocation {
    let Listing { location: Location { account, region }, groups, answer } = listing;
    let error = groups.err().or(answer.err());
    CoverageLocation { account_id: account, region, known_as_of: None, error }
}
