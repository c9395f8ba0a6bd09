//! Instructions per call of the whole service process, for rows 1, 3, 5 and 12. Calls follow each other
//! on one connection, so that the count does not depend on the machine's load.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{
    Outcome,
    addresses::free_addresses,
    caller::{self, Caller, Results},
    callgrind::Callgrind,
    issuer::{self, Issuer, Tokens},
    method::{Rpc, SERVICE_KEY},
    record::{self, Counts},
    server::{Cores, Server},
    service::{self, Tenant},
};

/// Calls before the first sample: they fill the caches of tokens, credentials and policies.
const WARM_UP_CALLS: u64 = 200;
/// A sample is shorter than the 500 ms between two checkpoints of the audit log, so that some samples hold
/// none, also on a slow machine.
const CHANGES: Samples = Samples { count: 100, calls: 5 };
/// With the warm-up, these stay below the 2,000 failed tokens after which the service rations the
/// verification of an address's tokens.
const READS: Samples = Samples { count: 40, calls: 40 };
/// Under valgrind a call takes 50 times as long as without.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The size of row 5's answer in bytes.
const MAX_READ_ANSWER: usize = 400;
/// gRPC status codes of refusals.
const RESOURCE_EXHAUSTED: &str = "8";
const UNAUTHENTICATED: &str = "16";

/// How many samples are taken, of how many calls each.
#[derive(Clone, Copy)]
struct Samples {
    count: usize,
    calls: u64,
}

/// One kind of call to a service that is started for it.
struct Row<'a> {
    name: &'static str,
    /// `stubbed`: AWS is stubbed in process. `whole`: the service calls the AWS stand-in.
    aws: &'static str,
    tenant: Tenant,
    rpc: Rpc,
    tokens: Tokens<'a>,
    /// The gRPC status code that refuses each call; none if each is answered.
    refusal: Option<&'static str>,
    samples: Samples,
}

/// What every row needs.
struct Bench {
    cores: Cores,
    issuer: Issuer,
    aws: Server,
}

/// Prints the counts.
pub(crate) fn print() -> Outcome<()> {
    count().map(drop)
}

/// Prints the counts and writes them to `file`.
pub(crate) fn record(file: &Path) -> Outcome<()> {
    record::write(file, &count()?)
}

/// Prints the counts and compares them with those in `file`.
pub(crate) fn check(file: &Path) -> Outcome<()> {
    let recorded = record::read(file)?;
    record::check(file, &recorded, &count()?)
}

#[tokio::main(flavor = "current_thread")]
async fn count() -> Outcome<Counts> {
    let cores = Cores::find()?;
    let bench =
        Bench { aws: Server::start(cores.outside(), &["aws"], SERVICE_KEY)?, issuer: Issuer::new()?, cores };
    let mut counts = Counts::new();
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([
        "row",
        "instructions per call",
        "first half",
        "second half",
    ]);
    for row in all_rows(&bench.issuer) {
        let samples = bench.samples(&row).await.map_err(|error| format!("{}: {error}", row.name))?;
        let (first, second) = samples.split_at(samples.len() / 2);
        let [all, first, second] = [minimum(&samples)?, minimum(first)?, minimum(second)?];
        table.add_row([row.name.to_owned(), all.to_string(), first.to_string(), second.to_string()]);
        counts.insert(row.name.to_owned(), all);
    }
    println!("{table}\nThe minimum of all samples, and of each half.");
    Ok(counts)
}

fn all_rows(issuer: &Issuer) -> [Row<'_>; 6] {
    let associate = Row {
        name: "row-01-associate-stubbed",
        aws: "stubbed",
        tenant: Tenant::WIDE,
        rpc: Rpc::AssociateKmsKey,
        tokens: Tokens::Same(issuer),
        refusal: None,
        samples: CHANGES,
    };
    let read = Row {
        name: "row-05-get-caller",
        tenant: Tenant::ONE_ACCOUNT,
        rpc: Rpc::GetCaller,
        samples: READS,
        ..associate
    };
    let over_limit = Row {
        name: "row-12-over-limit",
        tenant: Tenant::OVER_LIMIT,
        refusal: Some(RESOURCE_EXHAUSTED),
        ..read
    };
    let refused = Row { refusal: Some(UNAUTHENTICATED), ..read };
    [
        Row { name: "row-03-associate-aws", aws: "whole", ..associate },
        Row { name: "row-12-bad-signature", tokens: Tokens::BadSignature(issuer), ..refused },
        Row { name: "row-12-unknown-key-id", tokens: Tokens::UnknownKeyId(issuer), ..refused },
        associate,
        read,
        over_limit,
    ]
}

/// The count without the work of timers, which only ever add to a sample.
fn minimum(samples: &[u32]) -> Outcome<u32> {
    Ok(*samples.iter().min().ok_or("there are no samples")?)
}

// === impl Bench ===

impl Bench {
    /// Instructions per call, once for each sample.
    async fn samples(&self, row: &Row<'_>) -> Outcome<Vec<u32>> {
        let folder = tempfile::tempdir()?;
        self.issuer.publish(folder.path())?;
        let listen = free_addresses()?;
        service::write_settings(folder.path(), issuer::ISSUER, &self.aws.address, listen, row.tenant)?;
        let path = folder.path().display().to_string();
        let service = Callgrind::start(&self.cores.server, &["service", row.aws, &path])?;
        let address = service.server.socket_address()?;
        let tokens = Arc::new(caller::Tokens::read(&row.tokens.file()?)?);
        let mut caller = Caller::new(caller::connect(address).await?, address, row.rpc, 0, tokens)?;
        call(&mut caller, WARM_UP_CALLS).await?;
        let mut before = service.instructions()?;
        let mut samples = Vec::new();
        for _ in 0..row.samples.count {
            row.verify(&call(&mut caller, row.samples.calls).await?)?;
            let after = service.instructions()?;
            samples.push(u32::try_from((after - before) / row.samples.calls)?);
            before = after;
        }
        Ok(samples)
    }
}

/// Makes one call after the other.
async fn call(caller: &mut Caller, calls: u64) -> Outcome<Results> {
    let mut results = Results::default();
    for _ in 0..calls {
        tokio::time::timeout(CALL_TIMEOUT, caller.call(Instant::now(), &mut results)).await??;
    }
    Ok(results)
}

// === impl Row ===

impl Row<'_> {
    /// Fails if a call did not end as it should.
    fn verify(&self, results: &Results) -> Outcome<()> {
        let Results { micros, refused, refusal, answer } = results;
        let status = refusal.get("grpc-status").and_then(|status| status.to_str().ok());
        if status != self.refusal || (self.refusal.is_some() && !micros.is_empty()) {
            return Err(format!("{} calls answered, {refused} refused: {refusal:?}", micros.len()).into());
        }
        if matches!(self.rpc, Rpc::GetCaller) && answer.len() > MAX_READ_ANSWER {
            return Err(format!("the answer has {} bytes, not {MAX_READ_ANSWER}", answer.len()).into());
        }
        Ok(())
    }
}
