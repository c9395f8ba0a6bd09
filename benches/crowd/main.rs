//! `cargo bench --bench crowd`: how the service behaves under many calls (rows 10 to 12 of the goals),
//! compared with a bare tonic server (E). The program starts itself again for each server and load
//! generator; servers run on one core and load generators on another.
#![expect(
    clippy::print_stdout,
    reason = "a bench prints; its processes communicate in lines on standard output"
)]

#[path = "../shared/child.rs"]
mod child;
mod frames;
mod load;
#[path = "../shared/parent.rs"]
mod parent;
mod process;
mod rows;
#[expect(dead_code, reason = "the bench `ratios` uses all of it")]
#[path = "../shared/server.rs"]
mod server;
mod servers;
mod token;

use std::{env, error::Error, time::Duration};

use crate::parent::report_error;

/// The allocator of the `logkey` command, also for E.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The default length of one window.
const WINDOW: Duration = Duration::from_secs(1);

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => rows::run(None, WINDOW),
        ["--row", row @ ("10" | "11" | "12")] => rows::run(Some(row), WINDOW),
        ["--window", seconds] => rows::run(None, Duration::try_from_secs_f64(seconds.parse()?)?),
        ["echo"] => report_error(servers::echo()),
        ["service", folder] => report_error(servers::service(folder)),
        ["load", server, rate, max, seconds, token] => {
            let plan = load::Plan {
                server: server.parse()?,
                per_second: rate.parse()?,
                max: max.parse()?,
                window: Duration::try_from_secs_f64(seconds.parse()?)?,
                token,
            };
            load::run(&plan)
        }
        _ => Err("usage: crowd [--row 10|11|12 | --window SECONDS]".into()),
    }
}
