//! The steps of an encryption rule: declare it, let it find a log group that AWS reports as new, count the coverage.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Credentials, Region};
use tonic::{Response, Status};

use super::{
    demo_call::DemoCall,
    show::Printer,
    world::{ALL_SCOPES, DemoEnvironment, FIRST_KEY, FLEET, FLEET_GROUPS, REGION, StepResult, key_arn},
};
use crate::proto::{
    CoverageGrouping, CreateEncryptionRuleRequest, EncryptionRule, EvaluateEncryptionRuleRequest,
    GetCoverageRequest, GetCoverageResponse, GetEncryptionRuleRequest, KeyChoice, RuleMode, Selection,
    coverage_service_client::CoverageServiceClient,
    encryption_rule_service_client::EncryptionRuleServiceClient,
};

/// How long it waits for a rule.
const RULE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it looks.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The log group that is created while the rule is active.
const NEW_GROUP: &str = "/platform/created-meanwhile";

pub(super) async fn all(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    Printer::chapter("A rule that keeps the keys");
    let Some(rule) = declare(demo, printer).await? else { return Ok(()) };
    catch(demo, printer).await?;
    coverage(demo, printer, rule.id).await
}

/// Declares the rule, and waits until each log group of the account has its key.
async fn declare(
    demo: &DemoEnvironment,
    printer: &mut Printer,
) -> Result<Option<EncryptionRule>, Box<dyn Error>> {
    let [account, ..] = FLEET;
    let rule = EncryptionRule {
        selection: Some(Selection {
            account_ids: vec![account.into()],
            log_group_patterns: vec!["/platform/*".into()],
            ..Selection::default()
        }),
        key: Some(KeyChoice { kms_key_id: "alias/logs".into(), overrides: Vec::new() }),
        mode: RuleMode::Enforce.into(),
        ..EncryptionRule::default()
    };
    let message = CreateEncryptionRuleRequest { encryption_rule: Some(rule), request_id: String::new() };
    let request = demo.request(message, "platform", ALL_SCOPES)?;
    let started = demo.started().await?;
    let created = EncryptionRuleServiceClient::new(demo.channel()).create_encryption_rule(request).await;
    let result = match created.map(|created| created.into_inner().encryption_rule.unwrap_or_default()) {
        Ok(rule) => wait_for(|| evaluated_rule(demo, &rule.id)).await?,
        Err(status) => Err(status),
    };
    let title = "Declare a rule: every log group of an account keeps the key";
    let request = "CreateEncryptionRule { key: alias/logs, mode: ENFORCE }";
    printer.step(
        &DemoCall::new(title, request, demo.took(started).await?, &result)
            .succeeds(rule_summary, is_compliant),
    );
    Ok(result.ok().map(Response::into_inner))
}

/// Creates a log group beside the service, and waits until the rule gave it the key.
async fn catch(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    let [account, ..] = FLEET;
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(demo.aws())
        .credentials_provider(Credentials::new(format!("AKIAADMIN{account}"), "any", None, None, "demo"));
    let logs = aws_sdk_cloudwatchlogs::Client::from_conf(config.build());
    let started = demo.started().await?;
    logs.create_log_group().log_group_name(NEW_GROUP).send().await?;
    let result = wait_for(async || Ok(demo.key_in_aws(account, NEW_GROUP).map(Response::new))).await?;
    let title = "Somebody creates a log group: AWS reports it, and the rule sets its key";
    let request = format!("logs:CreateLogGroup {{ {NEW_GROUP} }}");
    let expected = key_arn(account, FIRST_KEY);
    printer.step(
        &DemoCall::new(title, &request, demo.took(started).await?, &result)
            .succeeds(|key| key_id(key), |key| *key == expected),
    );
    Ok(())
}

/// Evaluates the rule, so that the new log group counts, and reads the counts.
async fn coverage(demo: &DemoEnvironment, printer: &mut Printer, id: String) -> StepResult {
    let evaluate = EvaluateEncryptionRuleRequest { id, max_changes: None };
    let evaluate = demo.request(evaluate, "platform", ALL_SCOPES)?;
    EncryptionRuleServiceClient::new(demo.channel()).evaluate_encryption_rule(evaluate).await?;
    let message =
        GetCoverageRequest { group_by: CoverageGrouping::Account.into(), ..GetCoverageRequest::default() };
    let started = demo.started().await?;
    let result = wait_for(async || {
        let request = demo.request(message.clone(), "platform", ALL_SCOPES)?;
        let report = CoverageServiceClient::new(demo.channel()).get_coverage(request).await?;
        Ok(is_covered(report.get_ref()).then_some(report))
    })
    .await?;
    let title = "Count how many log groups have the key that a rule requires";
    let request = "EvaluateEncryptionRule, GetCoverage { group_by: ACCOUNT }";
    printer.step(
        &DemoCall::new(title, request, demo.took(started).await?, &result)
            .succeeds(coverage_summary, is_covered),
    );
    Ok(())
}

/// The rule, if its log groups have the key by now.
async fn evaluated_rule(
    demo: &DemoEnvironment,
    id: &str,
) -> Result<Option<Response<EncryptionRule>>, Box<dyn Error>> {
    let message = GetEncryptionRuleRequest { id: id.into(), tenant_id: String::new() };
    let request = demo.request(message, "platform", ALL_SCOPES)?;
    let found = EncryptionRuleServiceClient::new(demo.channel()).get_encryption_rule(request).await?;
    let rule = found.into_inner().encryption_rule.unwrap_or_default();
    Ok(is_compliant(&rule).then(|| Response::new(rule)))
}

/// Asks until there is an answer.
async fn wait_for<T>(
    mut ask: impl AsyncFnMut() -> Result<Option<Response<T>>, Box<dyn Error>>,
) -> Result<Result<Response<T>, Status>, Box<dyn Error>> {
    let deadline = Instant::now() + RULE_TIMEOUT;
    loop {
        if let Some(found) = ask().await? {
            return Ok(Ok(found));
        }
        if Instant::now() > deadline {
            return Ok(Err(Status::deadline_exceeded("the rule did not get there in time")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The id of a key: the last part of its ARN.
fn key_id(arn: &str) -> String {
    format!("its key is {}", arn.rsplit('/').next().unwrap_or_default())
}

fn is_compliant(rule: &EncryptionRule) -> bool {
    rule.last_evaluation.as_ref().is_some_and(|it| it.compliant == FLEET_GROUPS)
}

fn is_covered(report: &GetCoverageResponse) -> bool {
    report.total.is_some_and(|total| {
        total.total == 3 * FLEET_GROUPS + 1
            && total.compliant == FLEET_GROUPS + 1
            && total.no_rule == 2 * FLEET_GROUPS
    })
}

fn rule_summary(rule: &EncryptionRule) -> String {
    let evaluation = rule.last_evaluation.clone().unwrap_or_default();
    format!("{} of {} log groups have the key", evaluation.compliant, evaluation.groups)
}

fn coverage_summary(report: &GetCoverageResponse) -> String {
    let groups = report.groups.iter().map(|group| {
        let counts = group.counts.unwrap_or_default();
        format!("{}: {} compliant, {} without a rule", group.value, counts.compliant, counts.no_rule)
    });
    groups.collect::<Vec<_>>().join("\n")
}
