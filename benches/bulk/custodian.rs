//! Does the job with cloud-custodian. It repeats `c7n-org run` with the policy from its documentation until
//! nothing is left to do. boto3 settings in the environment, such as `AWS_RETRY_MODE`, apply.

use std::{fs::File, path::Path, time::Instant};

use tokio::process::Command;

use crate::{
    Outcome,
    process::{Sandbox, service_principal},
    world::World,
};

/// The maximum number of runs.
const MAX_RUNS: usize = 10;

/// Runs the job. Returns a summary of each run.
pub(crate) async fn run(program: &Path, world: &World, aws: &Sandbox) -> Outcome<Vec<String>> {
    let [accounts, policy] = world.custodian()?;
    let expected = world.accounts.len() * world.groups;
    let (mut runs, mut done) = (Vec::new(), 0);
    while done < expected && runs.len() < MAX_RUNS {
        let log_path = world.path("custodian.log");
        let (log, started) = (File::create(&log_path)?, Instant::now());
        let finished = Command::new(program)
            .args(["run", "--cache-period", "0", "-c"])
            .arg(&accounts)
            .arg("-u")
            .arg(&policy)
            .arg("-s")
            .arg(world.path("custodian"))
            .envs(service_principal())
            .env("AWS_ENDPOINT_URL", &aws.endpoint)
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .await?;
        let progress = aws.progress().await?;
        runs.push(format!(
            "{:.1} s, {} more set, {}",
            started.elapsed().as_secs_f64(),
            progress.with_key - done,
            if finished.success() { "no failure reported" } else { "failures reported" }
        ));
        if progress.with_key == done {
            let log = std::fs::read_to_string(&log_path)?;
            return Err(format!("c7n-org made no progress:\n{log}").into());
        }
        done = progress.with_key;
    }
    Ok(runs)
}
