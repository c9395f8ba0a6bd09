//! `cargo bench --bench ratios`: the service beside a bare echo (E) and a plain forwarder (F), in
//! one run, as ratios. The program is its own servers and load generators: it starts itself anew
//! for each, so that every process has one core and its own CPU time.
#![expect(
    clippy::print_stdout,
    reason = "a bench prints; its processes tell each other a line on standard output"
)]

mod anchors;
mod aws;
mod compare;
mod issuer;
mod latency;
mod load;
mod method;
mod process;
mod rows;
mod service;
mod start;
mod stub;
#[path = "../shared/sync.rs"]
mod sync;

use std::{env, error::Error, path::Path, time::Duration};

use crate::method::Rpc;

/// That of the command; of the anchors too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long one window lasts, unless the command line says otherwise.
const WINDOW: Duration = Duration::from_millis(1500);

fn main() -> Outcome<()> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => rows::run(None, WINDOW),
        ["--row", row @ ("1" | "2" | "3" | "4" | "5" | "13")] => rows::run(Some(row), WINDOW),
        ["--window", seconds] => rows::run(None, Duration::try_from_secs_f64(seconds.parse()?)?),
        ["aws"] => report_error(aws::serve()),
        ["service", aws, folder] => report_error(service::serve(folder, *aws == "stubbed")),
        ["serve", role, rpc, settings @ ..] => report_error(anchors::serve(role, Rpc::named(rpc)?, settings)),
        ["load", server, rpc, seconds, tokens, rate @ ..] => {
            let window = Duration::try_from_secs_f64(seconds.parse()?)?;
            let rate = rate.first().map(|rate| rate.parse()).transpose()?;
            load::run(server.parse()?, Rpc::named(rpc)?, window, Path::new(tokens), rate)
        }
        _ => Err("usage: ratios [--row 1|2|3|4|5|13 | --window SECONDS]".into()),
    }
}

/// Tells the parent what went wrong, where it waits for an address.
fn report_error(served: Outcome<()>) -> Outcome<()> {
    if let Err(error) = &served {
        println!("{}", error.to_string().replace('\n', "; "));
    }
    served
}
