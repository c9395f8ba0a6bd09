//! Pausing, resuming, cancelling and retrying; failure limits, canaries and windows.

use logkey::{
    proto::{BulkItemState, BulkPauseReason, BulkState, CreateBulkAssociationRequest, Safety},
    sandbox::fault::{Effect, Fault, When},
};
use tonic::Code;

use super::{
    BULK,
    client::{ItemExt as _, JobCaller, key_choice, patterns},
    groups,
};
use crate::harness::{ORDERS, PAYMENTS, Plan, REGION, Service, key, reason, tenant};

fn request(safety: Safety) -> CreateBulkAssociationRequest {
    CreateBulkAssociationRequest {
        selection: Some(patterns(&["/payments/a-*"])),
        change: Some(key_choice(&key("good"))),
        start: true,
        safety: Some(safety),
        ..Default::default()
    }
}

async fn with_groups(count: usize) -> Service {
    Plan::with_resources(|it| groups(it, "a", count)).start().await
}

fn refusal() -> Fault {
    let message = "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: logs:AssociateKmsKey with an explicit deny in a service control policy";
    let effect =
        Effect::Error { code: "AccessDeniedException".into(), message: Some(message.into()), status: None };
    Fault::on("AssociateKmsKey", effect)
}

#[tokio::test]
async fn a_canary_pauses_the_job_until_it_is_resumed() {
    let service = with_groups(20).await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety { canary: 3, ..Safety::default() })).await.unwrap();
    let paused = jobs.wait(&job.id, |job| job.state() == BulkState::Paused).await;
    assert_eq!((paused.pause_reason(), paused.counts.unwrap().succeeded), (BulkPauseReason::Canary, 3));
    assert_eq!(service.reached("AssociateKmsKey").len(), 3, "a canary is not exceeded");
    jobs.resume(&job.id).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 20));
    service.stop().await;
}

#[tokio::test]
async fn a_retry_after_a_canary_continues_the_job() {
    let service = with_groups(12).await;
    let fault = Fault { times: Some(1), ..refusal() };
    service.sandbox.sandbox().fault(fault);
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety { canary: 3, ..Safety::default() })).await.unwrap();
    let paused = jobs.wait(&job.id, |job| job.state() == BulkState::Paused).await;
    let counts = paused.counts.unwrap();
    assert_eq!((paused.pause_reason(), counts.succeeded, counts.failed), (BulkPauseReason::Canary, 3, 1));
    jobs.retry(&job.id).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 12));
    service.stop().await;
}

#[tokio::test]
async fn a_change_that_aws_made_but_reported_as_failed_is_reverted_too() {
    let service = Plan::with_resources(|it| groups(it, "a", 1))
        .settings("[server]\nrequest_timeout = \"1s\"\n")
        .start()
        .await;
    let effect = Effect::Error { code: "InternalFailure".into(), message: None, status: Some(500) };
    service.sandbox.sandbox().fault(Fault { when: When::After, ..Fault::on("AssociateKmsKey", effect) });
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety::default())).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 1), "{ended:?}");
    let [item] = jobs.items(&job.id, &[]).await.try_into().unwrap();
    assert!(!item.audit_event_id.is_empty(), "{item:?}");
    service.sandbox.sandbox().clear_faults();
    let revert = jobs.revert(&job.id).await.unwrap();
    assert_eq!(jobs.wait_for_end(&revert.id).await.counts.unwrap().succeeded, 1);
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, "/payments/a-000"), None);
    service.stop().await;
}

#[tokio::test]
async fn a_job_that_policy_forbids_everywhere_fails_with_that_reason() {
    let policy = "forbid(principal, action == LogKey::Action::\"ListKeyAssociations\", resource);";
    let service = Plan::with_resources(|it| groups(it, "a", 1)).policies(policy).start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety::default())).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    let error = ended.error.clone().unwrap();
    assert_eq!((ended.state(), error.reason.as_str()), (BulkState::Failed, "NOT_ALLOWED"), "{ended:?}");
    assert_eq!(ended.locations[0].error, Some(error));
    service.stop().await;
}

#[tokio::test]
async fn a_job_pauses_at_its_failure_limit_and_a_retry_runs_what_failed() {
    let service = with_groups(30).await;
    service.sandbox.sandbox().fault(refusal());
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety { max_failures: Some(2), ..Safety::default() })).await.unwrap();
    let paused = jobs.wait(&job.id, |job| job.state() == BulkState::Paused).await;
    assert_eq!(paused.pause_reason(), BulkPauseReason::FailureLimit);
    let quiet = jobs.wait(&job.id, |job| job.counts.is_some_and(|counts| counts.running == 0)).await;
    let counts = quiet.counts.unwrap();
    assert!(counts.failed > 2 && counts.failed < 20 && counts.succeeded == 0, "{counts:?}");
    let failed = jobs.items(&job.id, &[BulkItemState::Failed]).await;
    assert!(failed.iter().all(|item| item.reason == "DENIED_BY_ORGANIZATION" && !item.message.is_empty()));
    assert!(failed.iter().all(|item| !item.audit_event_id.is_empty() && item.end_time.is_some()));

    service.sandbox.sandbox().clear_faults();
    jobs.retry(&job.id).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 30));
    let first = jobs.items(&job.id, &[]).await.remove(0);
    assert_eq!((first.attempts, first.reason.as_str()), (2, ""));
    service.stop().await;
}

#[tokio::test]
async fn a_caller_pauses_resumes_and_cancels_a_job() {
    let service = Plan::with_resources(|it| groups(it, "a", 60))
        .settings("[limits.upstream]\nassociate_per_second = 5\n")
        .start()
        .await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety::default())).await.unwrap();
    jobs.wait(&job.id, |job| job.counts.is_some_and(|counts| counts.succeeded > 0)).await;
    let paused = jobs.pause(&job.id).await.unwrap();
    assert_eq!((paused.state(), paused.pause_reason()), (BulkState::Paused, BulkPauseReason::Caller));
    let refused = jobs.pause(&job.id).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "JOB_STATE".into()));
    let quiet = jobs.wait(&job.id, |job| job.counts.is_some_and(|counts| counts.running == 0)).await;
    let sent = service.reached("AssociateKmsKey").len();
    assert_eq!(quiet.counts.unwrap().succeeded as usize, sent, "calls already sent finish");
    jobs.resume(&job.id).await.unwrap();
    jobs.wait(&job.id, |job| job.counts.is_some_and(|counts| counts.succeeded as usize > sent)).await;
    let cancelled = jobs.cancel(&job.id).await.unwrap();
    assert_eq!((cancelled.state(), cancelled.end_time.is_some()), (BulkState::Cancelled, true));
    let ended = jobs.wait_for_end(&job.id).await;
    let counts = ended.counts.unwrap();
    assert_eq!(counts.total, 60);
    assert_eq!(counts.succeeded as usize, service.reached("AssociateKmsKey").len());
    assert!(counts.waiting > 0 && counts.failed == 0, "{counts:?}");
    assert_eq!(reason(&jobs.resume(&job.id).await.unwrap_err()), "JOB_STATE");
    service.stop().await;
}

#[tokio::test]
async fn a_started_job_waits_for_its_window() {
    let service = with_groups(3).await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let later = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
    let job = jobs.send(request(Safety { start_time: Some(later), ..Safety::default() })).await.unwrap();
    let paused = jobs.wait(&job.id, |job| job.state() == BulkState::Paused).await;
    assert_eq!(paused.pause_reason(), BulkPauseReason::Window);
    assert!(paused.expected_end_time.unwrap().seconds >= later.seconds);
    assert_eq!(reason(&jobs.resume(&job.id).await.unwrap_err()), "JOB_STATE");
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);
    service.stop().await;
}

/// Makes the tenant `payments` unable to call while its job runs, and then able again. The job pauses and continues.
async fn a_job_outlasts(tenants_meanwhile: impl Fn(&str) -> String) {
    let service = Plan::with_resources(|it| groups(it, "a", 15))
        .settings("[limits.upstream]\nassociate_per_second = 5\n")
        .start()
        .await;
    let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let orders = tenant("orders", ORDERS, generous);
    let active = tenant("payments", PAYMENTS, generous);
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.send(request(Safety::default())).await.unwrap();
    jobs.wait(&job.id, |job| job.counts.is_some_and(|counts| counts.succeeded > 0)).await;
    service.reload(&(tenants_meanwhile(&active) + &orders)).await;
    let operator = JobCaller::new(&service, "orders", "logkey:admin");
    let paused = operator.wait(&job.id, |job| job.state() == BulkState::Paused).await;
    assert_eq!(paused.pause_reason(), BulkPauseReason::TenantSuspended);
    let counts = paused.counts.unwrap();
    assert_eq!((counts.failed, counts.blocked, counts.skipped), (0, 0, 0), "nothing is given up: {counts:?}");
    service.reload(&(active + &orders)).await;
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 15));
    assert_eq!(service.reached("AssociateKmsKey").len(), 15, "nothing is sent twice");
    service.stop().await;
}

#[tokio::test]
async fn the_jobs_of_a_suspended_tenant_pause_and_continue() {
    a_job_outlasts(|active| active.replacen("limits = ", "suspended = true\nlimits = ", 1)).await;
}

#[tokio::test]
async fn the_jobs_of_a_removed_tenant_pause_until_the_tenant_returns() {
    a_job_outlasts(|_active| String::new()).await;
}

#[tokio::test]
async fn items_are_authorized_when_their_turn_comes() {
    let service = with_groups(3).await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    jobs.wait(&job.id, |job| job.state() == BulkState::Planned).await;
    let generous = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let narrower = tenant("payments", PAYMENTS, generous).replace("\"/payments/*\"", "\"/payments/a-001\"");
    service.reload(&narrower).await;
    jobs.start(&job.id, "").await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!(ended.counts.unwrap().succeeded, 1, "{ended:?}");
    let aws = service.sandbox.sandbox();
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, "/payments/a-000"), None);
    let [done] = jobs.items(&job.id, &[BulkItemState::Succeeded]).await.try_into().unwrap();
    assert_eq!(done.log_group(), "/payments/a-001");
    service.stop().await;
}

/// The recipe `inside-only` of `deploy/policies`, for the addresses of these tests.
const INSIDE_ONLY: &str = r#"@id("inside-only") forbid (principal, action in LogKey::Action::"Change", resource)
    unless { context has source && context.source.isLoopback() };"#;
/// The form of it that `docs/policies.md` gives for bulk jobs.
const JOBS_FROM_INSIDE: &str = r#"@id("inside-only")
    forbid (principal, action in [LogKey::Action::"Change", LogKey::Action::"Bulk"], resource)
    unless { if context has source then context.source.isLoopback() else true };"#;
const OUTSIDE_ONLY: &str = r#"@id("outside-only")
    forbid (principal, action in [LogKey::Action::"Change", LogKey::Action::"Bulk"], resource)
    unless { if context has source then !context.source.isLoopback() else true };"#;

#[tokio::test]
async fn changes_of_a_job_have_no_source_for_policies() {
    for (policy, outcome) in [(INSIDE_ONLY, "blocked"), (JOBS_FROM_INSIDE, "set"), (OUTSIDE_ONLY, "refused")]
    {
        let service = Plan::with_resources(|it| groups(it, "a", 1)).policies(policy).start().await;
        let jobs = JobCaller::new(&service, "payments", BULK);
        let created = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await;
        let observed = match created {
            Err(status) => {
                assert_eq!(reason(&status), "NOT_ALLOWED");
                "refused"
            }
            Ok(job) if jobs.wait_for_end(&job.id).await.state() == BulkState::Succeeded => "set",
            Ok(job) => {
                let [item] = jobs.items(&job.id, &[BulkItemState::Blocked]).await.try_into().unwrap();
                assert_eq!(item.reason, "NOT_ALLOWED");
                "blocked"
            }
        };
        assert_eq!(observed, outcome, "{policy}");
        service.stop().await;
    }
}
