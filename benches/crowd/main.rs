//! `cargo bench --bench crowd`: what many calls do to the service (rows 10 to 12 of the goals), beside a
//! bare tonic server (E). The program is its own servers and load generators: it starts itself anew for
//! each, servers on one core and load on another.
#![expect(
    clippy::print_stdout,
    reason = "a bench prints; its processes tell each other a line on standard output"
)]

mod frames;
mod load;
mod process;
mod rows;
mod servers;
mod token;

use std::{env, error::Error, time::Duration};

/// That of the command; of E too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long one window lasts, unless the command line says otherwise.
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

/// Tells the parent what went wrong, where it waits for an address.
fn report_error(served: Outcome<()>) -> Outcome<()> {
    if let Err(error) = &served {
        println!("{}", error.to_string().replace('\n', "; "));
    }
    served
}
