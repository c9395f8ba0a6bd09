//! The cost of verifying and of reading a log: `cargo bench --bench verify [-- EVENTS [FOLDER]]`.
//!
//! It fills a store in the folder through the journal and the sequencer: first a tenth of the events, then
//! all of them. A separate process verifies each log and prints its time and its peak memory, which must not
//! grow with the log, the time of SHA-256 of the same bytes on one core, and the times of an event by its id, of a
//! page between two times and of a tenant's newest page. The default is a million events.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and one that fails has no result"
)]

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use logkey::{
    app::SystemClock,
    audit::{
        self, Journal, Sequencer,
        checkpoint::{self, SigningKey},
        verify::{TrustAnchor, verify},
    },
    domain::{
        association::{Location, Resource, Target},
        audit::{
            Actor, AuditOperation, AwsCallRecord, Completion, DecisionRecord, Event, JournalEntry, Keys, Kind,
        },
        call::{Action, RequestId},
        time::Timestamp,
    },
    ports::{AuditLog as _, Clock, EventFilter, EventReader, StoredEvent},
    store,
};

const ORIGIN: &str = "logkey";
const EVENTS: u64 = 1_000_000;
/// How many callers write concurrently.
const CALLERS: u64 = 1024;
/// How long a caller waits after the journal refused its intent.
const PAUSE: Duration = Duration::from_millis(100);
/// The number of events that one call reads.
const PAGE: u32 = 1024;
/// At how many places of the log reads are measured.
const SAMPLES: u64 = 21;
/// The argument that makes a process verify the log.
const CHECK: &str = "--check-the-log-in";
/// The unit of the times in `/proc/self/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [check, folder] = &arguments[..]
        && check == CHECK
    {
        return measure(Path::new(folder)).await;
    }
    let events = arguments.first().map_or(EVENTS, |count| count.parse().unwrap());
    let base = arguments.get(1).map_or(".", String::as_str);
    let folder = tempfile::tempdir_in(base).unwrap();
    let mut written = 0;
    for size in [events / 10, events] {
        let started = Instant::now();
        fill(folder.path(), (size - written) / 2).await;
        println!("{} events written in {:.0?}", size - written, started.elapsed());
        written = size;
        let this = std::env::current_exe().unwrap();
        assert!(Command::new(this).arg(CHECK).arg(folder.path()).status().unwrap().success());
    }
}

/// Verifies the log, and prints the time and memory of this process.
async fn measure(folder: &Path) {
    let file = folder.join("logkey.db");
    let bytes = std::fs::metadata(&file).unwrap().len();
    let key = SigningKey::open(&checkpoint::default_key_path(&file), ORIGIN).unwrap();
    let open =
        store::open_reader(&store::Config { url: format!("sqlite://{}", file.display()) }).await.unwrap();
    let verifiers = key.verifiers();
    let against = TrustAnchor {
        origin: ORIGIN,
        verifiers: &verifiers,
        kept_checkpoint: None,
        archive: None,
        key_file: None,
    };
    let started = Instant::now();
    let report = verify(&*open.log, &*open.tree, &against, |_| {}).await.unwrap();
    let took = started.elapsed().as_secs_f64();
    assert_eq!(report.findings, []);
    assert_eq!(report.events, report.signed);
    let (cpu, memory) = (cpu(), peak());
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let (events, gigabytes) = (report.events as f64, bytes as f64 / 1e9);
    println!(
        "{events:>10} events, {gigabytes:.1} GB: {took:.1} s, {:.0} events/s; {cpu:.1} s of CPU, {:.0} events \
         per second of CPU; at most {memory:.1} MiB",
        events / took,
        events / cpu
    );
    let hashing = hash_all(&*open.log).await.as_secs_f64();
    println!("           {:.2} of SHA-256 of the same bytes on one core ({hashing:.1} s)", hashing / took);
    reads(&*open.log, report.events).await;
}

/// The time of SHA-256 of every event's bytes.
async fn hash_all(log: &dyn EventReader) -> Duration {
    let (mut after, mut took) = (0, Duration::ZERO);
    loop {
        let page = log.after(after, PAGE).await.unwrap();
        let Some(last) = page.last() else { return took };
        after = last.seq;
        let started = Instant::now();
        for event in &page {
            std::hint::black_box(digest(&SHA256, event.body.as_bytes()));
        }
        took += started.elapsed();
    }
}

/// Measures reads at places all over the log, and prints the medians.
async fn reads(log: &dyn EventReader, events: u64) {
    let (mut by_id, mut between, mut newest) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 1..=SAMPLES {
        let seq = events * sample / (SAMPLES + 1);
        let event = log.after(seq, 1).await.unwrap().remove(0);
        let started = Instant::now();
        let found = log.find(event.id).await.unwrap().unwrap();
        by_id.push(started.elapsed());
        assert_eq!(found.seq, event.seq);

        let later = log.after(seq + u64::from(PAGE), 1).await.unwrap().remove(0);
        let (since, until) = (Some(time_of(&event)), Some(time_of(&later)));
        let filter = EventFilter { since, until, ..EventFilter::default() };
        let started = Instant::now();
        drop(log.list(&filter, None, 100).await.unwrap());
        between.push(started.elapsed());

        let tenant = Some(format!("tenant-{}", sample % 40).parse().unwrap());
        let filter = EventFilter { tenant, ..EventFilter::default() };
        let started = Instant::now();
        assert_eq!(log.list(&filter, None, 100).await.unwrap().len(), 100);
        newest.push(started.elapsed());
    }
    for (what, times) in [
        ("an event by its id", by_id),
        ("a page between two times", between),
        ("a tenant's newest page", newest),
    ] {
        println!("           {what}: {:.1?} (median of {SAMPLES})", median(times));
    }
}

/// The time in an event's id, a UUID of version 7.
fn time_of(event: &StoredEvent) -> Timestamp {
    let (secs, nanos) = event.id.0.get_timestamp().unwrap().to_unix();
    Timestamp::from_micros(i64::try_from(secs * 1_000_000 + u64::from(nanos / 1000)).unwrap())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The CPU time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name in brackets may contain spaces; user and system time are the fields 14 and 15.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let times = rest.split_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS_PER_SECOND
}

/// The peak memory of this process in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// Writes `calls` calls, each an intent and its outcome, and signs them.
async fn fill(folder: &Path, calls: u64) {
    let file = folder.join("logkey.db");
    let store = store::open(&store::Config { url: format!("sqlite://{}", file.display()) }).await.unwrap();
    let key = SigningKey::open_or_create(&checkpoint::default_key_path(&file), ORIGIN).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (log, tree) = (Arc::clone(&store.log), Arc::clone(&store.tree));
    let checked = Sequencer::check(log, tree, Arc::clone(&clock), key).await.unwrap();
    let journal = Arc::new(Journal::start(
        Arc::clone(&store.events),
        clock,
        checked.tagger(),
        audit::Config::default(),
    ));
    let sequencer = checked.with_leaf_cache(journal.leaf_cache()).start().await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let journal = Arc::clone(&journal);
        let calls = calls / CALLERS + u64::from(caller < calls % CALLERS);
        callers.spawn(async move {
            for call in 0..calls {
                let intent = intent(call * CALLERS + caller);
                let id = loop {
                    // The journal refuses intents while the disk cannot keep up.
                    match journal.commit(JournalEntry::event_only(intent.clone())).await {
                        Ok(id) => break id,
                        Err(_refused) => tokio::time::sleep(PAUSE).await,
                    }
                };
                journal
                    .commit(JournalEntry::event_only(outcome(Event { closes: Some(id), ..intent })))
                    .await
                    .unwrap();
            }
        });
    }
    callers.join_all().await;
    journal.close().await;
    sequencer.close().await;
    // Opening the log again signs the remaining events.
    let key = SigningKey::open(&checkpoint::default_key_path(&file), ORIGIN).unwrap();
    let checked = Sequencer::check(store.log, store.tree, Arc::new(SystemClock), key).await.unwrap();
    checked.start().await.unwrap().close().await;
}

fn intent(number: u64) -> Event {
    let account = format!("{:012}", 111_122_223_333 + number % 7);
    let location = Location { account: account.parse().unwrap(), region: "eu-west-1".parse().unwrap() };
    let group = format!("/payments/service-{}", number % 5000);
    let key = format!("arn:aws:kms:eu-west-1:{account}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
    Event {
        kind: Kind::Intent,
        act: AuditOperation::Rpc(Action::AssociateKmsKey),
        correlation: RequestId::new_v7(),
        actor: Actor {
            tenant: Some(format!("tenant-{}", number % 40).parse().unwrap()),
            subject: Some(format!("someone-{}@example.com", number % 900).into()),
            issuer: Some("https://idp.example.com".into()),
            token_id: Some("d3c550fd-dbcc-4bbb-a232-57fd68e1bd82".into()),
            delegation: None,
            source: Some("192.0.2.7".parse().unwrap()),
            unverified_user_agent: Some("grpc-node-js/1.13.0".into()),
        },
        resource: Some(Resource { location, target: Target::LogGroup(group.parse().unwrap()) }),
        keys: Keys { requested: Some((&*key).into()), resolved: key.parse().ok(), previous: None },
        reason: Some("ticket 4711".into()),
        decision: Some(DecisionRecord { allowed: true, policies: vec!["tenant/payments/0".into()] }),
        ..Event::for_service(AuditOperation::Start, SystemClock.now())
    }
}

fn outcome(intent: Event) -> Event {
    Event {
        kind: Kind::Outcome,
        via: AwsCallRecord {
            role_arn: Some("arn:aws:iam::111122223333:role/LogKeyAssociator".into()),
            session_name: Some("payments".into()),
            aws_request_ids: vec![RequestId::new_v7().as_str().into()],
        },
        end: Some(Completion { failure: None, aws_error: None, latency: Duration::from_millis(12) }),
        ..intent
    }
}
