//! Reads the findings of the encryption rules: the most serious one of each resource.

use std::collections::HashMap;

use super::model::{Finding, Findings, Location, QUERY_RESULTS, Resource, Status};
use crate::{
    failure::Failure,
    proto::{
        CoverageFinding, EncryptionRule, FindingKind, ListCoverageFindingsRequest,
        ListEncryptionRulesRequest, RuleMode, RuleState, coverage_finding,
        coverage_service_client::CoverageServiceClient,
        encryption_rule_service_client::EncryptionRuleServiceClient,
    },
    session::Session,
};

/// The largest page that the service returns.
const PAGE_SIZE: i32 = 500;

/// The rules that count.
pub(super) async fn rules(session: &Session, tenant: &str) -> Result<Vec<EncryptionRule>, Failure> {
    let mut request = ListEncryptionRulesRequest {
        page_size: PAGE_SIZE,
        states: vec![RuleState::Active.into(), RuleState::Paused.into()],
        tenant_id: tenant.to_owned(),
        ..Default::default()
    };
    let mut rules = Vec::new();
    loop {
        let page = session
            .call(request.clone(), async |channel, request| {
                EncryptionRuleServiceClient::new(channel).list_encryption_rules(request).await
            })
            .await?;
        rules.extend(page.encryption_rules);
        if page.next_page_token.is_empty() {
            return Ok(rules);
        }
        request.page_token = page.next_page_token;
    }
}

/// The most serious finding of each resource. Among equally serious findings, that of the rule which
/// decides comes first: rules in `RULE_MODE_ENFORCE` before others, then the lowest priority number.
pub(super) async fn findings(
    session: &Session,
    rules: &[EncryptionRule],
    mut request: ListCoverageFindingsRequest,
) -> Result<Findings, Failure> {
    let by_id: HashMap<_, _> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let rank = |resource: &Resource| {
        let rule = resource.finding.as_ref().and_then(|it| by_id.get(it.rule.as_str()));
        (resource.status, rule.map(|it| (it.mode() != RuleMode::Enforce, it.priority)))
    };
    let mut found = Findings::new();
    request.page_size = PAGE_SIZE;
    // All kinds: an empty list leaves out exempt log groups and those without a rule.
    request.kinds = KINDS.iter().map(|kind| i32::from(*kind)).collect();
    loop {
        let page = session
            .call(request.clone(), async |channel, request| {
                CoverageServiceClient::new(channel).list_coverage_findings(request).await
            })
            .await?;
        for finding in page.findings {
            let rule = by_id.get(finding.rule_id.as_str()).copied();
            let Some(resource) = resource(finding, rule) else { continue };
            let location = Location { account: resource.account.clone(), region: resource.region.clone() };
            let key = (location, resource.name.clone());
            if found.get(&key).is_none_or(|other| rank(&resource) < rank(other)) {
                found.insert(key, resource);
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

const KINDS: [FindingKind; 8] = [
    FindingKind::OtherKey,
    FindingKind::NoKey,
    FindingKind::KeyUnhealthy,
    FindingKind::Exempt,
    FindingKind::Unknown,
    FindingKind::NoRule,
    FindingKind::Conflict,
    FindingKind::Flapping,
];

fn resource(finding: CoverageFinding, rule: Option<&EncryptionRule>) -> Option<Resource> {
    let status = match finding.kind() {
        FindingKind::OtherKey => Status::OtherKey,
        FindingKind::NoKey => Status::NoKey,
        FindingKind::KeyUnhealthy => Status::KeyUnhealthy,
        FindingKind::Exempt => Status::Exempt,
        FindingKind::NoRule => Status::NoRule,
        FindingKind::Conflict => Status::Conflict,
        FindingKind::Flapping => Status::Flapping,
        // A kind that this version does not know is no reason to call the resource compliant.
        FindingKind::Unknown | FindingKind::Unspecified => Status::Unknown,
    };
    let (account, region) = (finding.account_id, finding.region);
    let partition = partition(&region);
    let (name, of_arn) = match finding.resource? {
        coverage_finding::Resource::LogGroupName(name) => (name.clone(), format!("log-group:{name}")),
        coverage_finding::Resource::QueryResults(_) => {
            (QUERY_RESULTS.to_owned(), "query-result:*".to_owned())
        }
    };
    let arn = format!("arn:{partition}:logs:{region}:{account}:{of_arn}");
    let key = finding.current_kms_key_arn;
    let rule_name = rule.map(|it| it.display_name.as_str()).filter(|name| !name.is_empty());
    let finding = Finding {
        id: finding.id,
        rule_name: rule_name.unwrap_or(&finding.rule_id).to_owned(),
        rule: finding.rule_id,
        required_key: finding.kms_key_arn,
        since: finding.start_time,
        reason: finding.reason,
        message: finding.message,
        remedy: finding.remedy,
        remedy_document: finding.remedy_document,
        changed_by: finding.changed_by,
        job: finding.bulk_association_id,
    };
    Some(Resource { account, region, name, arn, status, key, finding: Some(finding) })
}

/// The partition of a Region, by the table that the service uses too.
fn partition(region: &str) -> &'static str {
    let rows =
        include_str!("../../../../data/aws-partitions.txt").lines().filter(|line| !line.starts_with('#'));
    let mut columns = rows.map(str::split_whitespace);
    let found =
        columns.find_map(|mut row| Some((row.next()?, row.next()?)).filter(|it| region.starts_with(it.1)));
    found.map_or("aws", |(partition, _prefix)| partition)
}
