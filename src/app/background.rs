//! Runs long work without delaying calls: on a separate thread with a lower priority than the threads that
//! serve. `reload` and `watch` use it.

use std::{sync::Arc, thread, time::Duration};

use rustix::process::nice;
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

/// The niceness of the thread. At 10 it gets about a tenth of a core that other threads use too.
const NICE: i32 = 10;
/// How often it checks whether the old value is still referenced, and how many times at most. Together this
/// is longer than a call waits for an issuer's keys.
const DRAIN_POLLS: (Duration, u32) = (Duration::from_millis(100), 600);

/// Runs the work and returns its result; `None` if it panicked or no thread could be started.
pub(super) async fn run_in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (result_sender, result) = oneshot::channel();
    let runtime = Handle::current();
    let thread = thread::Builder::new().name("background".to_owned());
    let spawned = thread.spawn(move || {
        let _entered = runtime.enter();
        // On Linux each thread has its own niceness. If it cannot be set, the work runs anyway.
        if cfg!(target_os = "linux") {
            let _refused = nice(NICE);
        }
        drop(result_sender.send(work()));
    });
    spawned.ok()?;
    result.await.ok()
}

/// Drops a replaced value in the background, because dropping many tenants takes long. The last reference
/// drops the value, so this function waits until it holds the last one; otherwise a serving thread would.
pub(super) async fn drop_in_background<T: Send + Sync + 'static>(
    old: Arc<T>,
    drop_value: impl FnOnce(Arc<T>) + Send + 'static,
) {
    for _ in 0..DRAIN_POLLS.1 {
        if Arc::strong_count(&old) == 1 {
            break;
        }
        sleep(DRAIN_POLLS.0).await;
    }
    run_in_background(move || drop_value(old)).await;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Old(mpsc::Sender<Option<String>>);

    impl Drop for Old {
        fn drop(&mut self) {
            self.0.send(thread::current().name().map(str::to_owned)).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_a_call_still_holds_is_dropped_in_the_background() {
        let (dropped, dropped_signal) = mpsc::channel();
        let old = Arc::new(Old(dropped));
        let call_reference = Arc::clone(&old);
        let dropping = tokio::spawn(drop_in_background(old, drop));
        tokio::task::yield_now().await;
        assert!(dropped_signal.try_recv().is_err());
        drop(call_reference);
        dropping.await.unwrap();
        assert_eq!(dropped_signal.recv().unwrap().as_deref(), Some("background"));
    }
}
