use std::sync::Mutex;

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::{
    ports::AuditTree as _,
    testing::{FakeClock, FakeLog},
};

/// Keeps the newest of what it is given.
#[derive(Default)]
struct Kept(Mutex<Option<SignedCheckpoint>>);

#[async_trait]
impl TreeStore for Kept {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn handovers(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        Ok(Vec::new())
    }

    async fn tiles(&self, _: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        Ok(Vec::new())
    }

    async fn grow(&self, _: &[Tile], checkpoint: &SignedCheckpoint) -> Result<(), Unavailable> {
        *self.0.lock().unwrap() = Some(checkpoint.clone());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn whenever_events_come_a_checkpoint_covers_them_within_a_second() {
    let (log, tree) = (Arc::new(FakeLog::default()), Arc::new(Kept::default()));
    let key = SigningKey::from_seed(&[1; 32], "logkey.test").unwrap();
    let checked = Sequencer::check(log.clone(), tree.clone(), Arc::new(FakeClock::default()), key).await;
    log.grow_to(1);
    let sequencer = checked.unwrap().go_on().await.unwrap();
    let prover = sequencer.prover();
    assert_eq!(prover.grown(0).await, 1, "at once at the start");
    // At any moment between two looks, few and many.
    for (size, pause) in [(2, 0), (3, 1), (10, 499), (5_000, 501), (5_001, 250), (20_000, 3_777)] {
        time::sleep(Duration::from_millis(pause)).await;
        let began = Instant::now();
        log.grow_to(size);
        assert_eq!(prover.grown(size - 1).await, size);
        assert!(began.elapsed() <= Duration::from_secs(1), "{size}: {:?}", began.elapsed());
        let signed = tree.checkpoint().await.unwrap().unwrap();
        assert_eq!(prover.newest().await.unwrap().size, size, "{}", signed.note);
    }
    // What is there at the end is signed too.
    log.grow_to(20_001);
    sequencer.close().await;
    assert_eq!(prover.newest().await.unwrap().size, 20_001);
}
