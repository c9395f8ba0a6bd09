//! `logkey check-key` and `logkey access`: checks that change nothing.

use clap::Args;
use serde_json::{Value, json};

use super::{
    locations,
    shared::{ServiceArgs, hint, short_name},
    target::TargetArgs,
};
use crate::{
    failure::Failure,
    output::{self, Column, Note, Report, Table, remedy, to_json},
    proto::{
        Check, CheckKeyAssociationRequest, Outcome, TestAccessRequest, Verdict,
        check_key_association_request::Target, key_association_service_client::KeyAssociationServiceClient,
        tenant_service_client::TenantServiceClient,
    },
};

/// The arguments of `logkey check-key`.
#[derive(Args, Debug)]
pub struct CheckKeyArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The key: a key ARN, alias ARN, `alias/NAME` or key id
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Print only the policy statement to add, exactly as it is to be pasted
    #[arg(long)]
    print_remedy: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

/// The arguments of `logkey access`.
#[derive(Args, Debug)]
pub struct AccessArgs {
    #[command(flatten)]
    service: ServiceArgs,
}

const WOULD_FAIL: &str = "the change would fail: see the checks with the outcome FAILED";
const NO_ACCESS: &str = "a role cannot do what it must: see the checks with the outcome FAILED";

pub(super) async fn check_key(args: CheckKeyArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    let target = args.target.resolve(&session).await?;
    let request = CheckKeyAssociationRequest {
        target: Some(target.resource(Target::LogGroupName, Target::ResourceIdentifier)),
        account_id: target.account_id,
        region: target.region,
        kms_key_id: args.key,
    };
    let response = session.call(request, async |channel, request| {
        KeyAssociationServiceClient::new(channel).check_key_association(request).await
    });
    let response = response.await?;
    if args.print_remedy {
        let remedies = remedies(&response.checks);
        if remedies.is_empty() {
            hint(&args.service.output, &"No statement would help.");
        }
        output::print_text(&remedies.join("\n"))?;
    } else {
        let mut table = checks(&[]);
        for check in &response.checks {
            table.push(row(check));
        }
        let report = Report::new(to_json(&response), table)
            .detail("VERDICT", short_name(response.verdict().as_str_name(), "VERDICT_"))
            .detail("KEY", &response.resolved_kms_key_arn)
            .notes(instructions(&response.checks));
        output::print(&report, &args.service.output)?;
    }
    conclude(WOULD_FAIL, [response.verdict()])
}

pub(super) async fn access(args: AccessArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    let mut table = checks(&[Column::new("account"), Column::new("region")]);
    let (mut documents, mut verdicts, mut failed, mut notes) = (vec![], vec![], vec![], vec![]);
    for location in locations::of_tenant(&session).await? {
        let (account_id, region) = (location.account_id.clone(), location.region.clone());
        let request = TestAccessRequest { account_id: account_id.clone(), region: region.clone() };
        let response = session.call(request, async |channel, request| {
            TenantServiceClient::new(channel).test_access(request).await
        });
        match response.await {
            Ok(response) => {
                for check in &response.checks {
                    let [name, outcome, detail, reason, cause, remedy] = row(check);
                    let (account, region) = (account_id.clone(), region.clone());
                    table.push([account, region, name, outcome, detail, reason, cause, remedy]);
                }
                verdicts.push(response.verdict());
                notes.extend(instructions(&response.checks));
                documents.push(with_location(to_json(&response), &account_id, &region));
            }
            Err(failure) => failed.push(location.failed(failure)),
        }
    }
    let report = Report::new(json!({ "locations": documents }), table).notes(notes);
    output::print(&report, &args.service.output)?;
    locations::all_answered(failed)?;
    conclude(NO_ACCESS, verdicts)
}

/// A table of checks, with these columns before them.
fn checks(before: &[Column]) -> Table {
    let columns = [
        Column::new("check"),
        Column::new("outcome"),
        Column::new("detail"),
        Column::wide("reason"),
        Column::wide("cause"),
        Column::wide("remedy"),
    ];
    Table::new(&[before, &columns].concat(), "There was nothing to check.").named_by("check")
}

fn row(check: &Check) -> [String; 6] {
    [
        check.name.clone(),
        short_name(check.outcome().as_str_name(), "OUTCOME_"),
        check.detail.clone(),
        check.reason.clone(),
        check.cause.clone(),
        check.remedy.clone(),
    ]
}

/// What to do about each failed check: the sentence and the statement.
fn instructions(checks: &[Check]) -> Vec<Note> {
    let failed = checks.iter().filter(|check| check.outcome() == Outcome::Failed);
    failed
        .flat_map(|check| remedy(&format!("{}: {}", check.name, check.remedy), &check.remedy_document))
        .collect()
}

/// The statements of the failed checks, each once.
fn remedies(checks: &[Check]) -> Vec<String> {
    let mut remedies: Vec<String> = Vec::new();
    for check in checks.iter().filter(|check| check.outcome() == Outcome::Failed) {
        if !check.remedy_document.is_empty() && !remedies.contains(&check.remedy_document) {
            remedies.push(check.remedy_document.clone());
        }
    }
    remedies
}

fn with_location(mut document: Value, account_id: &str, region: &str) -> Value {
    if let Value::Object(fields) = &mut document {
        fields.insert("accountId".to_owned(), account_id.into());
        fields.insert("region".to_owned(), region.into());
    }
    document
}

fn conclude(failed: &str, verdicts: impl IntoIterator<Item = Verdict>) -> Result<(), Failure> {
    let would_fail = verdicts.into_iter().any(|verdict| verdict == Verdict::WouldFail);
    if would_fail { Err(Failure::Negative(failed.to_owned())) } else { Ok(()) }
}
