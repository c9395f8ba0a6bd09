//! Jobs across restarts and replicas.

use std::collections::HashMap;

use logkey::{
    proto::BulkState,
    sandbox::{
        builder::Builder,
        fault::{Effect, Fault},
    },
};

use super::{
    BULK,
    client::{JobCaller, key_choice, patterns},
    groups,
};
use crate::harness::{Plan, Postgres, key};

#[tokio::test]
async fn a_job_continues_after_a_restart() {
    let plan = Plan::with_resources(|it| groups(it, "a", 60))
        .settings("[limits.upstream]\nassociate_per_second = 20\n");
    let service = plan.start().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    jobs.wait(&job.id, |job| job.counts.is_some_and(|counts| counts.succeeded > 5)).await;
    let service = service.restart().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 60));
    assert_eq!(service.reached("AssociateKmsKey").len(), 60, "nothing is sent twice");
    service.stop().await;
}

/// How often AWS got a change of each of three log groups, when `fault` affected each of the first calls.
async fn calls_per_group(fault: Fault) -> Vec<usize> {
    let service = Plan::with_resources(|it| groups(it, "a", 3)).start().await;
    for n in 0..3 {
        let parameter = Some(format!("/payments/a-{n:03}"));
        service.sandbox.sandbox().fault(Fault { parameter, ..fault.clone().times(1) });
    }
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 3), "{ended:?}");
    let calls = service.sandbox.sandbox().journal();
    let mut counts = Vec::new();
    for n in 0..3 {
        let name = format!("/payments/a-{n:03}");
        let of_group = calls.iter().filter(|call| {
            let names = call.params.get("logGroupIdentifiers").or(call.params.get("logGroupNamePrefix"));
            call.params.get("logGroupName").is_some_and(|it| *it == *name)
                || names.is_some_and(|it| it.to_string().contains(&name))
        });
        let operations: Vec<_> = of_group.map(|call| call.operation.as_str()).collect();
        let sent_again = operations.windows(2).any(|pair| pair == ["AssociateKmsKey"; 2]);
        assert!(!sent_again, "sent again without a read: {operations:?}");
        counts.push(operations.iter().filter(|operation| **operation == "AssociateKmsKey").count());
    }
    service.stop().await;
    counts
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_read_back_and_not_sent_again() {
    assert_eq!(calls_per_group(Fault::on("AssociateKmsKey", Effect::Reset).after()).await, [1; 3]);
}

#[tokio::test]
async fn a_change_that_did_not_reach_aws_is_read_back_before_it_is_sent_again() {
    assert_eq!(calls_per_group(Fault::on("AssociateKmsKey", Effect::Reset)).await, [2; 3]);
}

#[tokio::test]
async fn an_item_that_cannot_be_read_back_before_a_restart_is_decided_after_it() {
    let service = Plan::with_resources(|it| groups(it, "a", 3)).start().await;
    let aws = service.sandbox.sandbox();
    let lost = Fault::on("AssociateKmsKey", Effect::Reset).after();
    aws.fault(lost.times(3));
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    let planned = jobs.wait(&job.id, |job| job.state() == BulkState::Planned).await;
    // The read before the change works, and the read-back does not.
    aws.fault(Fault { skip: 1, ..Fault::on("DescribeLogGroups", Effect::Reset) });
    jobs.start(&job.id, &planned.etag).await.unwrap();
    jobs.wait(&job.id, |_| {
        aws.journal().iter().filter(|call| call.operation == "AssociateKmsKey").count() == 3
    })
    .await;
    let service = service.restart().await;
    service.sandbox.sandbox().clear_faults();
    let jobs = JobCaller::new(&service, "payments", BULK);
    let ended = jobs.wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 3), "{ended:?}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 3, "nothing is sent twice");
    service.stop().await;
}

#[tokio::test]
async fn replicas_share_the_locations_of_a_job_and_send_nothing_twice() {
    let postgres = Postgres::start().await;
    let account = |n: usize| format!("{:012}", 100_000_000_000_u64 + n as u64);
    let accounts = 6;
    let aws = move |aws: Builder| {
        (0..accounts).fold(aws, |aws, n| {
            aws.account(&account(n), |it| {
                groups(
                    it.role("LogKeyAssociator", "payments-external-id").key("eu-west-1", "own", "allow-both"),
                    "a",
                    20,
                )
            })
        })
    };
    let mut tenants = String::from(
        "[[tenants]]\nid = \"payments\"\nissuers = [\"https://issuer.test\"]\nlimits = { per_second = 1000, burst = 1000, max_in_flight = 100 }\n",
    );
    for n in 0..accounts {
        let id = account(n);
        let account = format!(
            "[[tenants.accounts]]\naccount_id = \"{id}\"\nrole_arn = \"arn:aws:iam::{id}:role/LogKeyAssociator\"\n\
             external_id = \"payments-external-id\"\nregions = [\"eu-west-1\"]\nlog_groups = [\"/payments/*\"]\n\
             kms_keys = [\"arn:aws:kms:*:{id}:key/*\"]\n"
        );
        tenants.push_str(&account);
    }
    let tenants = tenants.replace("https://issuer.test", crate::harness::ISSUER);
    let plan = Plan::default().settings("[limits.upstream]\nassociate_per_second = 20\n").aws(aws);
    let service = plan.tenants(&tenants).over(&postgres).start().await;
    let second = service.replica().await;
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create_started(key_choice("own"), patterns(&["/payments/a-*"])).await.unwrap();
    let ended = JobCaller::new(&second, "payments", BULK).wait_for_end(&job.id).await;
    assert_eq!((ended.state(), ended.counts.unwrap().succeeded), (BulkState::Succeeded, 120), "{ended:?}");
    let mut calls: HashMap<String, u32> = HashMap::new();
    for call in service.reached("AssociateKmsKey") {
        *calls.entry(format!("{:?}", (call.account, call.params))).or_default() += 1;
    }
    assert_eq!((calls.len(), calls.values().max()), (120, Some(&1)), "each group got one call");
    second.stop().await;
    service.stop().await;
}
