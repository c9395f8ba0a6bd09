//! The job by cloud-custodian: `c7n-org run` with the policy that its documentation gives for it, again
//! until nothing is left to do. Settings of boto3 in the environment, such as `AWS_RETRY_MODE`, hold.

use std::{fs::File, path::Path, time::Instant};

use tokio::process::Command;

use crate::{
    Outcome,
    process::{Sandbox, hub},
    world::World,
};

/// Runs after which it is given up.
const MOST_RUNS: usize = 10;

/// What came of each run.
pub(crate) async fn run(program: &Path, world: &World, aws: &Sandbox) -> Outcome<Vec<String>> {
    let [accounts, policy] = world.custodian()?;
    let wanted = world.accounts.len() * world.groups;
    let (mut runs, mut done) = (Vec::new(), 0);
    while done < wanted && runs.len() < MOST_RUNS {
        let log = world.path("custodian.log");
        let (said, began) = (File::create(&log)?, Instant::now());
        let ended = Command::new(program)
            .args(["run", "--cache-period", "0", "-c"])
            .arg(&accounts)
            .arg("-u")
            .arg(&policy)
            .arg("-s")
            .arg(world.path("custodian"))
            .envs(hub())
            .env("AWS_ENDPOINT_URL", &aws.endpoint)
            .stdout(said.try_clone()?)
            .stderr(said)
            .status()
            .await?;
        let seen = aws.seen().await?;
        runs.push(format!(
            "{:.1} s, {} more set, {}",
            began.elapsed().as_secs_f64(),
            seen.with_key - done,
            if ended.success() { "no failure told" } else { "failures told" }
        ));
        if seen.with_key == done {
            let said = std::fs::read_to_string(&log)?;
            return Err(format!("c7n-org does nothing:\n{said}").into());
        }
        done = seen.with_key;
    }
    Ok(runs)
}
