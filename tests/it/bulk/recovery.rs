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

#[tokio::test]
async fn a_change_without_an_answer_is_read_back() {
    let service = Plan::with_resources(|it| groups(it, "a", 3)).start().await;
    // AWS makes the change and its answer is lost.
    let lost = Fault::on("AssociateKmsKey", Effect::Reset).after().times(3);
    service.sandbox.sandbox().fault(lost);
    let jobs = JobCaller::new(&service, "payments", BULK);
    let job = jobs.create_started(key_choice(&key("good")), patterns(&["/payments/a-*"])).await.unwrap();
    let ended = jobs.wait_for_end(&job.id).await;
    let counts = ended.counts.unwrap();
    assert_eq!((counts.total, counts.succeeded + counts.unchanged), (3, 3), "{ended:?}");
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
