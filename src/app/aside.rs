//! Work of some length that calls are not to notice: on a thread of its own, which gives way to those
//! that serve.

use std::thread;

use rustix::process::nice;
use tokio::{runtime::Handle, sync::oneshot};

/// How far the thread stands back: at 10 it gets about a tenth of a core that others want too.
const STEP_BACK: i32 = 10;

/// Does the work and answers what it comes to; none where it panicked or no thread is to be had.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, awaited) = oneshot::channel();
    let runtime = Handle::current();
    let thread = thread::Builder::new().name("aside".to_owned());
    let spawned = thread.spawn(move || {
        let _entered = runtime.enter();
        // On Linux a thread has a niceness of its own. Where it cannot be had, the work is done all the same.
        if cfg!(target_os = "linux") {
            let _refused = nice(STEP_BACK);
        }
        drop(done.send(work()));
    });
    spawned.ok()?;
    awaited.await.ok()
}
