//! Work of some length that calls are not to notice: on a thread of its own, which gives way to those
//! that serve.

use std::{sync::Arc, thread, time::Duration};

use rustix::process::nice;
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

/// How far the thread stands back: at 10 it gets about a tenth of a core that others want too.
const NICE: i32 = 10;
/// How often it is looked whether anyone still holds what is to be taken apart, and how often at most:
/// longer than a call waits for an issuer's keys.
const DRAIN_POLLS: (Duration, u32) = (Duration::from_millis(100), 600);

/// Does the work and answers what it comes to; none where it panicked or no thread is to be had.
pub(super) async fn run_in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, awaited) = oneshot::channel();
    let runtime = Handle::current();
    let thread = thread::Builder::new().name("aside".to_owned());
    let spawned = thread.spawn(move || {
        let _entered = runtime.enter();
        // On Linux a thread has a niceness of its own. Where it cannot be had, the work is done all the same.
        if cfg!(target_os = "linux") {
            let _refused = nice(NICE);
        }
        drop(done.send(work()));
    });
    spawned.ok()?;
    awaited.await.ok()
}

/// Has what was in force taken apart, which takes long for many tenants, aside. Whoever lets go of it last
/// would do that where calls are served; so this one is the last.
pub(super) async fn drop_in_background<T: Send + Sync + 'static>(
    old: Arc<T>,
    take_apart: impl FnOnce(Arc<T>) + Send + 'static,
) {
    for _ in 0..DRAIN_POLLS.1 {
        if Arc::strong_count(&old) == 1 {
            break;
        }
        sleep(DRAIN_POLLS.0).await;
    }
    run_in_background(move || take_apart(old)).await;
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
    async fn what_a_call_still_holds_is_taken_apart_aside_all_the_same() {
        let (dropped, dropped_signal) = mpsc::channel();
        let old = Arc::new(Old(dropped));
        let old_reference = Arc::clone(&old);
        let away = tokio::spawn(drop_in_background(old, drop));
        tokio::task::yield_now().await;
        assert!(dropped_signal.try_recv().is_err());
        drop(old_reference);
        away.await.unwrap();
        assert_eq!(dropped_signal.recv().unwrap().as_deref(), Some("aside"));
    }
}
