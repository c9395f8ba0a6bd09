//! `interactive`: the latency of single calls in one account and Region, alone and beside a job in the same one.

use std::time::{Duration, Instant};

use logkey::proto::{
    AssociateKmsKeyRequest, BulkState, associate_kms_key_request::Target,
    key_association_service_client::KeyAssociationServiceClient,
};
use tokio::time::{MissedTickBehavior, interval};
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    Outcome, PER_SECOND,
    job::JobCaller,
    process::{Sandbox, Service},
    world::{REGION, World},
};

/// The calls of each side, one after another, and the time between their starts.
pub(crate) const CALLS: usize = 200;
const EVERY: Duration = Duration::from_millis(700);

/// Measures single calls alone, then beside a job that is never without waiting items.
pub(crate) async fn run(world: &World) -> Outcome<()> {
    let [account] = world.accounts.as_slice() else {
        return Err("measure interactive calls in one account: --accounts 1".into());
    };
    let aws = Sandbox::start(world).await?;
    let service = Service::start(world, &aws).await?;
    let alone = calls(world, &service, account).await?;
    let mut caller = JobCaller::connect(world, &service).await?;
    let id = caller.create(world, true).await?;
    caller.watch(id.clone(), |job| job.counts.as_ref().is_some_and(|counts| counts.succeeded > 0)).await?;
    let beside = calls(world, &service, account).await?;
    let job = caller.watch(id, |_| true).await?;
    if job.state() != BulkState::Running {
        return Err(format!("the job was {:?} before the calls ended: more --groups", job.state()).into());
    }
    let succeeded = job.counts.ok_or("a job without counts")?.succeeded;
    let turn = Duration::from_secs(1) / PER_SECOND;
    let [alone99, beside99] = [&alone, &beside].map(|times| percentile(times, 99));
    println!(
        "single calls alone: p50 {:.1} ms, p99 {:.1} ms; beside a job: p50 {:.1} ms, p99 {:.1} ms; {succeeded} items succeeded",
        millis(percentile(&alone, 50)),
        millis(alone99),
        millis(percentile(&beside, 50)),
        millis(beside99),
    );
    println!(
        "p99 beside the job, without one turn of {:.0} ms: {:.2} of the p99 alone",
        millis(turn),
        beside99.saturating_sub(turn).div_duration_f64(alone99)
    );
    Ok(())
}

/// The sorted latencies of calls that start at fixed times.
async fn calls(world: &World, service: &Service, account: &str) -> Outcome<Vec<Duration>> {
    let bearer: AsciiMetadataValue = format!("Bearer {}", world.token()?).parse()?;
    let channel = Channel::from_shared(format!("http://{}", service.address))?.connect().await?;
    let mut client = KeyAssociationServiceClient::new(channel);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        ticks.tick().await;
        let mut request = Request::new(AssociateKmsKeyRequest {
            account_id: account.to_owned(),
            region: REGION.to_owned(),
            target: Some(Target::LogGroupName(World::single_group(number))),
            kms_key_id: World::key(account),
            ..AssociateKmsKeyRequest::default()
        });
        request.metadata_mut().insert("authorization", bearer.clone());
        let began = Instant::now();
        client.associate_kms_key(request).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
