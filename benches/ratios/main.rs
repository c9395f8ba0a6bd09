//! `cargo bench --bench ratios`: the service relative to a bare echo (E) and a plain forwarder (F), in one
//! run. The program starts itself again for each server and load generator, so that each has one core and
//! separate CPU time. With `-- --instructions` it counts the instructions of each call instead, and with
//! `-- --stages` those of each stage of a call.
#![expect(
    clippy::print_stdout,
    reason = "a bench prints; its processes communicate in lines on standard output"
)]

#[path = "../shared/addresses.rs"]
mod addresses;
mod anchors;
mod aws;
mod caller;
mod callgraph;
mod callgrind;
#[path = "../shared/child.rs"]
mod child;
mod compare;
mod instructions;
mod issuer;
mod latency;
mod load;
mod method;
#[path = "../shared/parent.rs"]
mod parent;
mod process;
mod record;
mod rows;
#[path = "../shared/server.rs"]
mod server;
mod service;
mod stage_names;
mod stages;
mod start;
mod stub;
#[path = "../shared/sync.rs"]
mod sync;

use std::{env, error::Error, path::Path, time::Duration};

use crate::{method::Rpc, parent::report_error};

/// The allocator of the `logkey` command, also for the anchors.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The default length of one window.
const WINDOW: Duration = Duration::from_millis(1500);

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => rows::run(None, WINDOW),
        ["--row", row @ ("1" | "2" | "3" | "4" | "5" | "13")] => rows::run(Some(row), WINDOW),
        ["--window", seconds] => rows::run(None, Duration::try_from_secs_f64(seconds.parse()?)?),
        ["--instructions"] => instructions::print(),
        ["--instructions", "--record", file] => instructions::record(Path::new(file)),
        ["--instructions", "--check", file] => instructions::check(Path::new(file)),
        ["--stages"] => instructions::stages(),
        ["aws"] => report_error(aws::serve()),
        ["service", aws, folder] => report_error(service::serve(folder, *aws == "stubbed")),
        ["serve", role, rpc, settings @ ..] => report_error(anchors::serve(role, Rpc::named(rpc)?, settings)),
        ["load", server, rpc, seconds, tokens, rate @ ..] => {
            let window = Duration::try_from_secs_f64(seconds.parse()?)?;
            let rate = rate.first().map(|rate| rate.parse()).transpose()?;
            load::run(server.parse()?, Rpc::named(rpc)?, window, Path::new(tokens), rate)
        }
        _ => Err("usage: ratios [--row 1|2|3|4|5|13 | --window SECONDS | \
                  --instructions [--record FILE | --check FILE] | --stages]"
            .into()),
    }
}
