//! Kill tests: the binary is killed under load, or loses its power, at random instants. Afterwards its audit
//! log is verified, exported, and compared with the calls that the embedded AWS received.
//!
//! `tests/run kill` runs a few rounds. To run more rounds, with the seed of a failed run:
//! `LOGKEY_KILL_ROUNDS=200 LOGKEY_KILL_SEED=7 cargo test --test kill -- --ignored --nocapture --test-threads 1`
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]
#![expect(clippy::print_stderr, reason = "a run prints its seed and its counts")]

#[path = "../../benches/shared/addresses.rs"]
mod addresses;
mod archive;
#[path = "../../benches/shared/child.rs"]
mod child;
mod disk;
mod disk_full;
#[path = "../it/audit_tampering/event_text.rs"]
mod event_text;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../it/harness/issuer.rs"]
mod issuer;
mod job_join;
mod job_rounds;
mod jobs;
mod join;
mod lazyfs;
mod load;
mod log;
mod points;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../it/harness/postgres.rs"]
mod postgres;
mod process;
mod request_ids;
mod rounds;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../it/harness/settings.rs"]
mod settings;
mod shared;
mod two_processes;
mod world;

use rand::Rng as _;

/// The number of rounds: `LOGKEY_KILL_ROUNDS`, or the test's default.
#[expect(clippy::disallowed_methods, reason = "the length of a test run is no setting of the service")]
pub(crate) fn rounds(default: u32) -> u32 {
    std::env::var("LOGKEY_KILL_ROUNDS").map_or(default, |text| text.parse().unwrap())
}

/// The seed of the random choices, printed so that a run can be repeated.
#[expect(clippy::disallowed_methods, reason = "the seed of a test run is no setting of the service")]
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("LOGKEY_KILL_SEED").map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|_none| rand::rng().random_range(0..1_000_000));
    eprintln!("{test}: LOGKEY_KILL_SEED={seed}");
    seed
}
