//! Proof by killing: the binary under load is killed, or the power is cut, at random instants; at the
//! end its audit log is verified, exported and joined with what the embedded AWS was really asked.
//!
//! `tests/run kill` runs a few rounds. The long form, with the seed of a run that failed:
//! `LOGKEY_KILL_ROUNDS=200 LOGKEY_KILL_SEED=7 cargo test --test kill -- --ignored --nocapture --test-threads 1`
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics has failed"
)]
#![expect(clippy::print_stderr, reason = "a run tells its seed and what it saw")]

mod archive;
mod disk;
mod disk_full;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../it/harness/issuer.rs"]
mod issuer;
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
mod shared;
mod two_processes;
mod world;

use rand::Rng as _;

/// How many rounds, where a test has a number of its own that is less.
#[expect(clippy::disallowed_methods, reason = "the length of a test run is no setting of the service")]
pub(crate) fn rounds(few: u32) -> u32 {
    std::env::var("LOGKEY_KILL_ROUNDS").map_or(few, |text| text.parse().unwrap())
}

/// The seed of everything that is random here; told, so that a run can be made again.
#[expect(clippy::disallowed_methods, reason = "the seed of a test run is no setting of the service")]
pub(crate) fn seed(test: &str) -> u64 {
    let given = std::env::var("LOGKEY_KILL_SEED").map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|_none| rand::rng().random_range(0..1_000_000));
    eprintln!("{test}: LOGKEY_KILL_SEED={seed}");
    seed
}
