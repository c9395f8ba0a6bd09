//! What another connection notices of a flood.

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

/// The middle of how long calls of another connection take, one after the other.
async fn usual(front: &Front, calls: usize) -> Duration {
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

/// A flood from a thread of its own, as a stranger's would be: what it costs to make does not hold up the
/// server's own tasks. It lasts until it is dropped.
struct Flood {
    /// Bytes.
    sent: Arc<AtomicUsize>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn begin(address: SocketAddr, flooding: fn() -> Flooding) -> Self {
        let (end, finished) = oneshot::channel();
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
                _ = finished => {}
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
        // The runtime goes with its thread, and all that writes in it.
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Calls of another connection take no longer beside this flood than twice what they usually do.
async fn others_go_on_beside(flooding: fn() -> Flooding) {
    let front = front(config()).await;
    let beside = async || {
        let flood = Flood::begin(front.address, flooding);
        while flood.sent.load(SeqCst) < 17_000 {
            tokio::task::yield_now().await;
        }
        let took = usual(&front, 100).await;
        drop(flood);
        took
    };
    let mut received = Vec::new();
    for _ in 0..SERIES {
        // Without a flood, with one, with one, without: neither is always measured on the busier machine.
        let (first, with) = (usual(&front, 100).await, beside().await + beside().await);
        let (with, alone) = (with / 2, (first + usual(&front, 100).await) / 2);
        // The flooder takes a core of the same machine; a call that waited for the flood would take seconds.
        if with <= 2 * alone + Duration::from_millis(5) {
            return front.end().await;
        }
        received.push((alone, with));
    }
    panic!("alone and beside a flood: {received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_go_on_beside_pings() {
    others_go_on_beside(pings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_go_on_beside_settings() {
    others_go_on_beside(settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_go_on_beside_empty_data() {
    others_go_on_beside(empty_data).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_go_on_beside_header_blocks_without_end() {
    others_go_on_beside(endless_headers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_go_on_beside_rapid_resets() {
    others_go_on_beside(rapid_resets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_connections_go_on_beside_resets_that_the_client_provokes() {
    others_go_on_beside(provoked_resets).await;
}
