//! Instructions per call of the whole service process, for rows 1, 3, 5 and 12, and of their baselines. Calls
//! follow each other on one connection, so that the count does not depend on the machine's load.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{
    Outcome,
    addresses::free_addresses,
    caller::{self, Caller, Results},
    callgraph::CallGraph,
    callgrind::Callgrind,
    issuer::{self, Issuer, Tokens},
    method::{MAX_READ_ANSWER, Rpc, SERVICE_KEY},
    record::{self, Count, Counts},
    server::{Cores, Server},
    service::{self, Tenant},
    stages::StageTable,
};

/// Calls before the first sample: they fill the caches of tokens, credentials and policies.
const WARM_UP_CALLS: u64 = 200;
/// A sample is shorter than the 500 ms between two checkpoints of the audit log, so that some samples hold
/// none, also on a slow machine.
const CHANGES: Samples = Samples { count: 100, calls: 3 };
/// With the warm-up, these stay below the 2,000 failed tokens after which the service rations the
/// verification of an address's tokens.
const READS: Samples = Samples { count: 30, calls: 20 };
/// How many call graphs of each row are written. The smallest one counts.
const STAGE_SAMPLES: usize = 12;
/// How often a row that has grown is counted again. A busy machine only ever adds to a count.
const RECOUNTS: usize = 2;
/// Under valgrind a call takes 50 times as long as without.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
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
#[derive(Clone, Copy)]
struct Row<'a> {
    name: &'static str,
    /// `stubbed`: AWS is stubbed in process. `whole`: the service calls the AWS stand-in.
    aws: &'static str,
    tenant: Tenant,
    baseline: Baseline,
    calls: Calls<'a>,
}

/// What a row is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Baseline {
    /// The echo of the row's own call.
    Echo,
    /// The plain forwarder.
    Forward,
}

/// The calls of a row.
#[derive(Clone, Copy)]
struct Calls<'a> {
    rpc: Rpc,
    tokens: Tokens<'a>,
    /// The gRPC status code that refuses each call; none if each is answered.
    refusal: Option<&'static str>,
    samples: Samples,
}

/// The instructions of a call, once for each sample, and the last answer in base64.
struct Measured {
    samples: Vec<u32>,
    answer: String,
}

/// A baseline that was counted.
struct CountedBaseline {
    of: (Baseline, Rpc),
    count: u32,
}

/// A server that counts, and its only caller.
struct Running {
    server: Callgrind,
    caller: Caller,
    /// The settings and the store, which last as long as the server.
    _folder: tempfile::TempDir,
}

/// What every row needs.
struct Bench {
    cores: Cores,
    issuer: Issuer,
    aws: Server,
}

/// Prints the counts.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn print() -> Outcome<()> {
    Bench::new()?.count(None, &mut Vec::new()).await.map(drop)
}

/// Prints the counts and writes them to `file`.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn record(file: &Path) -> Outcome<()> {
    record::write(file, &Bench::new()?.count(None, &mut Vec::new()).await?)
}

/// Prints the counts and compares them with those in `file`.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn check(file: &Path) -> Outcome<()> {
    let recorded = record::read(file)?;
    let bench = Bench::new()?;
    let mut baselines = Vec::new();
    let mut counts = bench.count(None, &mut baselines).await?;
    for _ in 0..RECOUNTS {
        let grown = record::grown(&recorded, &counts);
        if grown.is_empty() {
            break;
        }
        for (name, again) in bench.count(Some(&grown), &mut baselines).await? {
            if let Some(count) = counts.get_mut(&name) {
                count.service = count.service.min(again.service);
            }
        }
    }
    record::check(file, &recorded, &counts)
}

/// Prints where the instructions of a change and of a read go.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn stages() -> Outcome<()> {
    let bench = Bench::new()?;
    let mut table = StageTable::default();
    for row in all_rows(&bench.issuer).into_iter().filter(|row| row.calls.refusal.is_none()) {
        let mut running = bench.service(&row).await?;
        let calls = row.calls.samples.calls;
        let mut smallest: Option<CallGraph> = None;
        for _ in 0..STAGE_SAMPLES {
            // Timers that became due while callgrind wrote its files.
            row.calls.make(&mut running.caller, calls).await?;
            running.server.restart()?;
            row.calls.make(&mut running.caller, calls).await?;
            let graph = CallGraph::read(&running.server.call_graphs()?)?;
            if smallest.as_ref().is_none_or(|smallest| graph.total() < smallest.total()) {
                smallest = Some(graph);
            }
        }
        let graph = smallest.ok_or("there are no samples")?;
        table.add(row.name, &graph, f64::from(u32::try_from(calls)?));
    }
    println!("{table}");
    Ok(())
}

fn all_rows(issuer: &Issuer) -> [Row<'_>; 6] {
    let associate =
        Calls { rpc: Rpc::AssociateKmsKey, tokens: Tokens::Same(issuer), refusal: None, samples: CHANGES };
    let read = Calls { rpc: Rpc::GetCaller, samples: READS, ..associate };
    let refused = Calls { refusal: Some(UNAUTHENTICATED), ..read };
    let change = Row {
        name: "row-01-associate-stubbed",
        aws: "stubbed",
        tenant: Tenant::WIDE,
        baseline: Baseline::Echo,
        calls: associate,
    };
    let get_caller = Row { name: "row-05-get-caller", tenant: Tenant::ONE_ACCOUNT, calls: read, ..change };
    let refusal = |name, calls| Row { name, calls, ..get_caller };
    [
        change,
        Row { name: "row-03-associate-aws", aws: "whole", baseline: Baseline::Forward, ..change },
        get_caller,
        refusal("row-12-bad-signature", Calls { tokens: Tokens::BadSignature(issuer), ..refused }),
        Row {
            name: "row-12-over-limit",
            tenant: Tenant::OVER_LIMIT,
            calls: Calls { refusal: Some(RESOURCE_EXHAUSTED), ..read },
            ..get_caller
        },
        refusal("row-12-unknown-key-id", Calls { tokens: Tokens::UnknownKeyId(issuer), ..refused }),
    ]
}

/// The count without the work of timers, which only ever add to a sample.
fn minimum(samples: &[u32]) -> Outcome<u32> {
    Ok(*samples.iter().min().ok_or("there are no samples")?)
}

// === impl Bench ===

impl Bench {
    fn new() -> Outcome<Self> {
        let cores = Cores::find()?;
        let aws = Server::start(cores.outside(), &["aws"], SERVICE_KEY)?;
        Ok(Self { cores, issuer: Issuer::new()?, aws })
    }

    /// Counts all rows or the ones with these names, and prints the counts. Counts a baseline only once.
    async fn count(&self, only: Option<&[String]>, baselines: &mut Vec<CountedBaseline>) -> Outcome<Counts> {
        let mut counts = Counts::new();
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header([
            "row",
            "instructions per call",
            "first half",
            "second half",
            "baseline",
            "ratio",
        ]);
        let selected = |row: &Row<'_>| only.is_none_or(|only| only.iter().any(|name| name == row.name));
        for row in all_rows(&self.issuer).into_iter().filter(selected) {
            let failed = |error| format!("{}: {error}", row.name);
            let Measured { samples, answer } = self.measure(&row).await.map_err(failed)?;
            let of = (row.baseline, row.calls.rpc);
            let baseline = if let Some(counted) = baselines.iter().find(|baseline| baseline.of == of) {
                counted.count
            } else {
                let count = self.baseline(&row, &answer).await.map_err(failed)?;
                baselines.push(CountedBaseline { of, count });
                count
            };
            let (first, second) = samples.split_at(samples.len() / 2);
            let [service, first, second] = [minimum(&samples)?, minimum(first)?, minimum(second)?];
            let ratio = format!("{:.2}x", f64::from(service) / f64::from(baseline));
            let numbers = [service, first, second, baseline].map(|number| number.to_string());
            table.add_row([row.name.to_owned()].into_iter().chain(numbers).chain([ratio]));
            counts.insert(row.name.to_owned(), Count { service, baseline });
        }
        println!("{table}\nThe minimum of all samples, and of each half.");
        Ok(counts)
    }

    /// The calls to the service of a row.
    async fn measure(&self, row: &Row<'_>) -> Outcome<Measured> {
        row.calls.measure(&mut self.service(row).await?).await
    }

    /// The service of a row.
    async fn service(&self, row: &Row<'_>) -> Outcome<Running> {
        let folder = tempfile::tempdir()?;
        self.issuer.publish(folder.path())?;
        let listen = free_addresses()?;
        service::write_settings(folder.path(), issuer::ISSUER, &self.aws.address, listen, row.tenant)?;
        let path = folder.path().display().to_string();
        self.start(folder, &["service", row.aws, &path], &row.calls).await
    }

    /// The same calls to the baseline of a row, which returns this answer.
    async fn baseline(&self, row: &Row<'_>, answer: &str) -> Outcome<u32> {
        let (role, aws) = match row.baseline {
            Baseline::Echo => ("echo", None),
            Baseline::Forward => ("forward", Some(self.aws.address.as_str())),
        };
        let words: Vec<&str> = ["serve", role, row.calls.rpc.name(), answer].into_iter().chain(aws).collect();
        let mut running = self.start(tempfile::tempdir()?, &words, &row.calls).await?;
        minimum(&row.calls.measure(&mut running).await?.samples)
    }

    /// Starts a server, makes the calls of the warm-up, and begins to count.
    async fn start(&self, folder: tempfile::TempDir, words: &[&str], calls: &Calls<'_>) -> Outcome<Running> {
        let server = Callgrind::start(&self.cores.server, words)?;
        let address = server.server.socket_address()?;
        let tokens = Arc::new(caller::Tokens::read(&calls.tokens.file()?)?);
        let mut caller = Caller::new(caller::connect(address).await?, address, calls.rpc, 0, tokens)?;
        call(&mut caller, WARM_UP_CALLS).await?;
        server.begin()?;
        Ok(Running { server, caller, _folder: folder })
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

// === impl Calls ===

impl Calls<'_> {
    /// Instructions per call, once for each sample.
    async fn measure(&self, running: &mut Running) -> Outcome<Measured> {
        let Running { server, caller, .. } = running;
        let mut before = server.instructions()?;
        let (mut samples, mut answer) = (Vec::new(), String::new());
        for _ in 0..self.samples.count {
            answer = BASE64_STANDARD.encode(self.make(caller, self.samples.calls).await?.answer);
            let after = server.instructions()?;
            samples.push(u32::try_from((after - before) / self.samples.calls)?);
            before = after;
        }
        Ok(Measured { samples, answer })
    }

    /// Makes calls. Fails if one did not end as it should.
    async fn make(&self, caller: &mut Caller, calls: u64) -> Outcome<Results> {
        let results = call(caller, calls).await?;
        let Results { micros, refused, refusal, answer } = &results;
        let status = refusal.get("grpc-status").and_then(|status| status.to_str().ok());
        if status != self.refusal || (self.refusal.is_some() && !micros.is_empty()) {
            return Err(format!("{} calls answered, {refused} refused: {refusal:?}", micros.len()).into());
        }
        if self.rpc == Rpc::GetCaller && answer.len() > MAX_READ_ANSWER {
            return Err(format!("the answer has {} bytes, not {MAX_READ_ANSWER}", answer.len()).into());
        }
        Ok(results)
    }
}
