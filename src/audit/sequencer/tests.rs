use std::{sync::Arc, time::Duration};

use tokio::time::{self, Instant};

use super::*;
use crate::{
    audit::checkpoint::SigningKey,
    ports::{AuditTree as _, TreeStore as _},
    testing::{FakeClock, FakeLog, FakeTree},
};

#[tokio::test(start_paused = true)]
async fn a_checkpoint_covers_new_events_within_a_second() {
    let (log, tree) = (Arc::new(FakeLog::default()), Arc::new(FakeTree::default()));
    let key = SigningKey::from_seed(&[1; 32], "logkey.test").unwrap();
    let checked = Sequencer::check(log.clone(), tree.clone(), Arc::new(FakeClock::default()), key).await;
    let checked = checked.unwrap();
    let tagger = checked.tagger();
    log.tag_with(move |event| {
        tagger.tag(Some(event.seq - 1), &[crate::audit::tree::leaf(event.body.as_bytes()).0])
    });
    log.grow_to(1);
    let sequencer = checked.start().await.unwrap();
    let prover = sequencer.prover();
    assert_eq!(prover.wait_for_size(0).await, 1, "the start signs at once");
    // Few and many events, at different moments between two polls.
    for (size, pause) in [(2, 0), (3, 1), (10, 499), (5_000, 501), (5_001, 250), (20_000, 3_777)] {
        time::sleep(Duration::from_millis(pause)).await;
        let started = Instant::now();
        log.grow_to(size);
        assert_eq!(prover.wait_for_size(size - 1).await, size);
        assert!(started.elapsed() <= Duration::from_secs(1), "{size}: {:?}", started.elapsed());
        let signed = tree.checkpoint().await.unwrap().unwrap();
        assert_eq!(prover.newest().await.unwrap().size, size, "{}", signed.note);
    }
    // Closing signs the remaining events.
    log.grow_to(20_001);
    sequencer.close().await;
    assert_eq!(prover.newest().await.unwrap().size, 20_001);
}
