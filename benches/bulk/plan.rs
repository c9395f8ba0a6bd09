//! `plan`: the time of a plan against the quota of `DescribeLogGroups`, and the memory that it takes.

use std::time::{Duration, Instant};

use logkey::proto::BulkState;

use crate::{
    DESCRIBES_PER_SECOND, Outcome, PAGE,
    job::JobCaller,
    mebibytes,
    process::{Sandbox, Service},
    world::World,
};

/// Plans one job for all log groups, and prints what that took.
pub(crate) async fn run(world: &World) -> Outcome<()> {
    let aws = Sandbox::start(world).await?;
    let service = Service::start(world, &aws).await?;
    let mut caller = JobCaller::connect(world, &service).await?;
    let (idle, cpu, began) = (service.memory("VmRSS:")?, service.cpu_time()?, Instant::now());
    let id = caller.create(world, false).await?;
    let job = caller.watch(id, |job| job.state() != BulkState::Planning).await?;
    let (time, cpu) = (began.elapsed(), service.cpu_time()?.saturating_sub(cpu));
    let total = job.counts.ok_or("a job without counts")?.total;
    let expected = u32::try_from(world.accounts.len() * world.groups)?;
    if (job.state(), total) != (BulkState::Planned, expected) {
        return Err(
            format!("{:?} with {total} items instead of {expected}: {:?}", job.state(), job.error).into()
        );
    }
    let pages = u32::try_from(world.groups)?.div_ceil(PAGE);
    let ideal = Duration::from_secs(1) * pages.saturating_sub(DESCRIBES_PER_SECOND) / DESCRIBES_PER_SECOND;
    println!(
        "a plan of {total} items: {:.1} s, {:.3} of the ideal {:.1} s; {:.0} us of CPU time for each item",
        time.as_secs_f64(),
        time.div_duration_f64(ideal),
        ideal.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / f64::from(total)
    );
    println!(
        "memory: {:.1} MiB idle, at most {:.1} MiB more during the plan",
        mebibytes(idle),
        mebibytes(service.memory("VmHWM:")?.saturating_sub(idle))
    );
    Ok(())
}
