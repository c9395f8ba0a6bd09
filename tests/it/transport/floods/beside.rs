//! How a flood affects other connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    super::{Front, config, front, get_caller, wire::Wire},
    Flooding, SERIES, empty_data, endless_headers, pings, provoked_resets, rapid_resets, settings,
};

/// The median time of sequential calls over another connection.
async fn median_call_time(front: &Front, calls: usize) -> Duration {
    let mut caller = front.caller().await;
    let mut times = Vec::new();
    for _ in 0..calls {
        let start = Instant::now();
        caller.get_caller(get_caller("good")).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times.into_iter().nth(calls / 2).unwrap()
}

/// A flood from a separate thread, so that its cost does not delay the tasks of the server. It ends when it
/// is dropped.
struct Flood {
    /// The number of bytes sent.
    sent: Arc<AtomicUsize>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn begin(address: SocketAddr, flooding: fn() -> Flooding) -> Self {
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let flood = async move {
            loop {
                let (count, mut next) = (Arc::clone(&count), flooding());
                let counted = move || {
                    let bytes = next();
                    count.fetch_add(bytes.len(), SeqCst);
                    bytes
                };
                Wire::open(address).await.flood(counted).await;
            }
        };
        let until_ended = async {
            tokio::select! {
                _ = ended => {}
                () = flood => {}
            }
        };
        let thread = thread::spawn(move || runtime.block_on(until_ended));
        Self { sent, end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        drop(self.end.take());
        // The runtime and its tasks end with the thread.
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Asserts that calls over another connection take at most twice as long during this flood.
async fn assert_others_unaffected(flooding: fn() -> Flooding) {
    let front = front(config()).await;
    let during_flood = async || {
        let flood = Flood::begin(front.address, flooding);
        while flood.sent.load(SeqCst) < 17_000 {
            tokio::task::yield_now().await;
        }
        let took = median_call_time(&front, 100).await;
        drop(flood);
        took
    };
    let mut measured = Vec::new();
    for _ in 0..SERIES {
        // The order is without, with, with, without a flood, so that a busy machine affects both.
        let (first, with) =
            (median_call_time(&front, 100).await, during_flood().await + during_flood().await);
        let (with, alone) = (with / 2, (first + median_call_time(&front, 100).await) / 2);
        // The flood uses a core of the same machine; a call that waits for the flood would take seconds.
        if with <= 2 * alone + Duration::from_millis(5) {
            return front.end().await;
        }
        measured.push((alone, with));
    }
    panic!("times without and with a flood: {measured:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_work_during_a_flood_of_pings() {
    assert_others_unaffected(pings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_work_during_a_flood_of_settings() {
    assert_others_unaffected(settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_work_during_a_flood_of_empty_data() {
    assert_others_unaffected(empty_data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_work_during_endless_header_blocks() {
    assert_others_unaffected(endless_headers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_work_during_rapid_resets() {
    assert_others_unaffected(rapid_resets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_work_during_provoked_resets() {
    assert_others_unaffected(provoked_resets).await;
}
