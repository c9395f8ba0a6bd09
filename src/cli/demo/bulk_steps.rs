//! The steps of a bulk job over three accounts: plan, start, list what failed, repair, retry, revert.

use std::{error::Error, time::Duration};

use logkey_client::output::OutputArgs;
use tonic::{Response, Status, transport::Channel};

use super::{
    demo_call::DemoCall,
    show::Printer,
    world::{
        ALL_SCOPES, DemoEnvironment, FIRST_KEY, FLEET, FLEET_GROUPS, REGION, StepResult, key_arn, key_seed,
    },
};
use crate::{
    cli::progress::Progress,
    proto::{
        self, BulkAssociation, BulkCounts, BulkItem, BulkItemState, BulkState, CreateBulkAssociationRequest,
        KeyChoice, ListBulkAssociationItemsRequest, RetryBulkAssociationRequest,
        RevertBulkAssociationRequest, Selection, StartBulkAssociationRequest, WatchBulkAssociationRequest,
        bulk_association_service_client::BulkAssociationServiceClient, bulk_item,
        create_bulk_association_request::Change,
    },
};

/// How long it waits for a job.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the service takes a refusal of STS for granted.
const REFUSAL_TTL: Duration = Duration::from_secs(5);
/// The role of the closed account, as it should be.
const TRUSTING: &str = "external_id = \"platform-external-id\"";

/// A job, as it was after each change.
type Updates = Vec<BulkAssociation>;

pub(super) async fn all(demo: &DemoEnvironment, printer: &mut Printer) -> StepResult {
    Printer::chapter("Many accounts");
    let Some(job) = plan(demo, printer).await? else { return Ok(()) };
    let planned = tokio::time::Instant::now();
    run(demo, printer, &job).await?;
    let Some(item) = failed_item(demo, printer, &job.id).await? else { return Ok(()) };
    tokio::time::sleep_until(planned + REFUSAL_TTL).await;
    retry(demo, printer, &job.id, &item).await?;
    revert(demo, printer, &job.id).await
}

async fn plan(
    demo: &DemoEnvironment,
    printer: &mut Printer,
) -> Result<Option<BulkAssociation>, Box<dyn Error>> {
    let message = CreateBulkAssociationRequest {
        selection: Some(Selection { log_group_patterns: vec!["/platform/*".into()], ..Selection::default() }),
        change: Some(Change::Key(KeyChoice { kms_key_id: "alias/logs".into(), overrides: Vec::new() })),
        reason: "DEMO-3".into(),
        ..Default::default()
    };
    let request = demo.request(message, "platform", ALL_SCOPES)?;
    let started = demo.started().await?;
    let created = client(demo).create_bulk_association(request).await;
    let created = created.map(|created| created.into_inner().bulk_association.unwrap_or_default());
    let result = match created {
        Ok(job) => watch(demo, &job.id, |job| job.state() != BulkState::Planning).await?,
        Err(status) => Err(status),
    };
    let title = "Plan a bulk job: a key for every log group of three accounts";
    let request = "CreateBulkAssociation { key: alias/logs, patterns: /platform/* }";
    printer.step(&DemoCall::new(title, request, demo.took(started).await?, &result).succeeds(
        plan_summary,
        |updates| {
            let planned = updates.last().filter(|job| job.state() == BulkState::Planned);
            planned.is_some_and(|job| {
                counts(job).waiting == 2 * FLEET_GROUPS && job.locations.iter().any(|it| it.error.is_some())
            })
        },
    ));
    Ok(result.ok().and_then(|updates| updates.into_inner().pop()))
}

/// Starts the job. Meanwhile somebody narrows the policy of one key to some of the log groups.
async fn run(demo: &DemoEnvironment, printer: &mut Printer, job: &BulkAssociation) -> StepResult {
    let [_, narrowed, _] = FLEET;
    demo.change_aws(&fleet_key_seed(&[&statement(&format!("{narrowed}:log-group:/platform/app-*"))]))?;
    let message = StartBulkAssociationRequest { id: job.id.clone(), etag: job.etag.clone() };
    let request = demo.request(message, "platform", ALL_SCOPES)?;
    let started = demo.started().await?;
    let result = match client(demo).start_bulk_association(request).await {
        Ok(_running) => watch(demo, &job.id, has_ended).await?,
        Err(status) => Err(status),
    };
    let title = "Start the plan and watch it, while a key policy loses a log group";
    let request = "StartBulkAssociation { etag }, WatchBulkAssociation";
    printer.step(&DemoCall::new(title, request, demo.took(started).await?, &result).succeeds(
        progress,
        |updates| {
            updates
                .last()
                .is_some_and(|job| job.state() == BulkState::CompletedWithFailures && counts(job).failed == 1)
        },
    ));
    Ok(())
}

async fn failed_item(
    demo: &DemoEnvironment,
    printer: &mut Printer,
    id: &str,
) -> Result<Option<BulkItem>, Box<dyn Error>> {
    let states = vec![BulkItemState::Failed.into()];
    let message = ListBulkAssociationItemsRequest { id: id.into(), states, ..Default::default() };
    let request = demo.request(message, "platform", ALL_SCOPES)?;
    let started = demo.started().await?;
    let result = client(demo).list_bulk_association_items(request).await;
    let describe = |page: &proto::ListBulkAssociationItemsResponse| {
        page.items.iter().map(item_summary).collect::<Vec<_>>().join("\n")
    };
    let title = "List what failed, with the statement that the key's policy needs";
    let request = "ListBulkAssociationItems { states: FAILED }";
    printer.step(
        &DemoCall::new(title, request, demo.took(started).await?, &result)
            .succeeds(describe, |page| matches!(&*page.items, [item] if !item.remedy_document.is_empty())),
    );
    Ok(result.ok().and_then(|page| page.into_inner().items.pop()))
}

/// Adds the statement to the key's policy, repairs the role of the third account, and retries the job.
async fn retry(demo: &DemoEnvironment, printer: &mut Printer, id: &str, item: &BulkItem) -> StepResult {
    let [_, narrowed, closed] = FLEET;
    let granted = statement(&format!("{narrowed}:log-group:/platform/app-*"));
    demo.change_aws(&fleet_key_seed(&[&granted, &item.remedy_document]))?;
    demo.change_aws(&format!(
        "[[accounts]]\naccount_id = \"{closed}\"\nroles = [{{ name = \"LogKeyAssociator\", {TRUSTING} }}]"
    ))?;
    let request = demo.request(RetryBulkAssociationRequest { id: id.into() }, "platform", ALL_SCOPES)?;
    let started = demo.started().await?;
    let result = match client(demo).retry_bulk_association(request).await {
        Ok(_running) => watch(demo, id, has_ended).await?,
        Err(status) => Err(status),
    };
    let has_key =
        |account: &str, name: &str| demo.key_in_aws(account, name) == Some(key_arn(account, FIRST_KEY));
    let title = "Repair both accounts and retry: the job now also enters the third one";
    let call = DemoCall::new(
        title,
        "RetryBulkAssociation, WatchBulkAssociation",
        demo.took(started).await?,
        &result,
    );
    printer.step(&call.succeeds(progress, |updates| {
        updates.last().is_some_and(|job| job.state() == BulkState::Succeeded)
            && groups().all(|(account, name)| has_key(account, &name))
    }));
    Ok(())
}

async fn revert(demo: &DemoEnvironment, printer: &mut Printer, id: &str) -> StepResult {
    let message = RevertBulkAssociationRequest { id: id.into(), ..Default::default() };
    let request = demo.request(message, "platform", ALL_SCOPES)?;
    let started = demo.started().await?;
    let created = client(demo).revert_bulk_association(request).await;
    let result = match created.map(|created| created.into_inner().bulk_association.unwrap_or_default()) {
        Ok(job) => watch(demo, &job.id, has_ended).await?,
        Err(status) => Err(status),
    };
    let title = "Revert the job: each log group gets its former key, here none";
    let call = DemoCall::new(
        title,
        "RevertBulkAssociation, WatchBulkAssociation",
        demo.took(started).await?,
        &result,
    );
    printer.step(&call.succeeds(progress, |updates| {
        updates.last().is_some_and(|job| job.state() == BulkState::Succeeded)
            && groups().all(|(account, name)| demo.key_in_aws(account, &name).is_none())
    }));
    Ok(())
}

fn client(demo: &DemoEnvironment) -> BulkAssociationServiceClient<Channel> {
    BulkAssociationServiceClient::new(demo.channel())
}

/// Watches a job until it is as expected, or the stream ends.
async fn watch(
    demo: &DemoEnvironment,
    id: &str,
    expected: impl Fn(&BulkAssociation) -> bool,
) -> Result<Result<Response<Updates>, Status>, Box<dyn Error>> {
    let request = demo.request(WatchBulkAssociationRequest { id: id.into() }, "platform", ALL_SCOPES)?;
    let watching = async {
        let mut stream = client(demo).watch_bulk_association(request).await?.into_inner();
        let mut updates = Updates::new();
        let mut progress = None;
        while let Some(update) = stream.message().await? {
            if let Some(it) = update.bulk_association.as_ref().and_then(|job| job.counts) {
                let bar = progress.get_or_insert_with(|| {
                    Progress::new("log groups", it.total.into(), &OutputArgs::default())
                });
                bar.set(u64::from(it.succeeded) + u64::from(it.failed));
            }
            updates.extend(update.bulk_association);
            if updates.last().is_some_and(&expected) {
                break;
            }
        }
        Ok(Response::new(updates))
    };
    let timed_out = |_elapsed| Status::deadline_exceeded("the job did not get there in time");
    Ok(tokio::time::timeout(JOB_TIMEOUT, watching).await.map_err(timed_out).and_then(|it| it))
}

fn has_ended(job: &BulkAssociation) -> bool {
    job.end_time.is_some()
}

fn counts(job: &BulkAssociation) -> BulkCounts {
    job.counts.unwrap_or_default()
}

/// Every log group of the job.
fn groups() -> impl Iterator<Item = (&'static str, String)> {
    FLEET.into_iter().flat_map(|account| {
        let apps = (1..FLEET_GROUPS).map(|n| format!("/platform/app-{n}"));
        apps.chain(["/platform/ledger".to_owned()]).map(move |name| (account, name))
    })
}

fn plan_summary(updates: &Updates) -> String {
    let Some(job) = updates.last() else { return String::new() };
    let lines = job.locations.iter().map(|location| {
        let counts = location.counts.unwrap_or_default();
        match &location.error {
            None => format!(
                "{}: {} log groups, {} calls a second",
                location.account_id, counts.waiting, location.calls_per_second
            ),
            Some(error) => {
                format!("{}: {}\n{}", location.account_id, error.reason, error.message)
            }
        }
    });
    std::iter::once(state(job)).chain(lines).collect::<Vec<_>>().join("\n")
}

/// One line for each update in which something changed.
fn progress(updates: &Updates) -> String {
    let line = |job: &BulkAssociation| {
        let it = counts(job);
        format!("{:<24} {:>2} of {} succeeded, {} failed", state(job), it.succeeded, it.total, it.failed)
    };
    let mut lines: Vec<String> = updates.iter().map(line).collect();
    lines.dedup();
    lines.join("\n")
}

fn state(job: &BulkAssociation) -> String {
    job.state().as_str_name().trim_start_matches("BULK_STATE_").to_owned()
}

fn item_summary(item: &BulkItem) -> String {
    let name = match &item.resource {
        Some(bulk_item::Resource::LogGroupName(name)) => name,
        Some(bulk_item::Resource::QueryResults(_)) | None => "",
    };
    let BulkItem { account_id, reason, message, remedy_document, .. } = item;
    format!("{account_id} {name}: {reason}\n{message}\n{remedy_document}")
}

/// The second account's key, with these statements.
fn fleet_key_seed(statements: &[&str]) -> String {
    let [_, account, _] = FLEET;
    key_seed(account, FIRST_KEY, "alias/logs", statements)
}

/// The statement that lets `CloudWatch` Logs use the key for these log groups.
fn statement(groups: &str) -> String {
    format!(
        r#"{{"Effect":"Allow","Principal":{{"Service":"logs.{REGION}.amazonaws.com"}},
"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:Describe*"],"Resource":"*",
"Condition":{{"ArnLike":{{"kms:EncryptionContext:aws:logs:arn":"arn:aws:logs:{REGION}:{groups}"}}}}}}"#
    )
}
