//! The entry point of the `logkey` command, which `logkey::cli` implements.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    logkey::cli::run()
}
