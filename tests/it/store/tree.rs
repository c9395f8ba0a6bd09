//! The tree over the log, and the positions of the sinks.

use logkey::{
    ports::{LeadershipStatus, SignedCheckpoint, SinkPosition, Tile},
    store::Store,
};

use super::{Backend, at};

fn tile(level: u8, index: u64, hashes: usize) -> Tile {
    Tile { level, index, hashes: vec![u8::try_from(hashes).unwrap(); hashes * 32] }
}

async fn sign(store: &Store, size: u64, secs: i64, handover: bool) {
    let checkpoint = SignedCheckpoint { size, time: at(secs), note: format!("note {size}"), handover };
    let tiles = [tile(0, 0, usize::try_from(size).unwrap())];
    store.tree.grow(&tiles, &checkpoint).await.unwrap();
}

async fn sizes(store: &Store) -> Vec<u64> {
    let positions = store.sinks.checkpoints(0, 100).await.unwrap();
    positions.iter().map(|checkpoint| checkpoint.size).collect()
}

pub(super) async fn one_checkpoint_an_hour_and_every_handover_is_stored(backend: Backend) {
    let store = backend.open().await;
    assert_ne!(store.tree.lead().await.unwrap(), LeadershipStatus::Follower);
    assert_eq!(store.tree.lead().await.unwrap(), LeadershipStatus::Held);
    assert!(store.leadership.is_leader());
    assert_eq!(store.tree.checkpoint().await.unwrap(), None);
    for (size, secs, handover) in
        [(1, 10, false), (2, 20, true), (3, 30, false), (4, 3_700, false), (5, 3_800, false)]
    {
        sign(&store, size, secs, handover).await;
    }
    assert_eq!(sizes(&store).await, [2, 3, 5]);
    let newest = store.tree.checkpoint().await.unwrap().unwrap();
    assert_eq!((newest.size, newest.time, &*newest.note, newest.handover), (5, at(3_800), "note 5", false));
    let all = store.tree.checkpoints().await.unwrap();
    assert_eq!(
        all.iter().map(|it| (it.size, it.handover)).collect::<Vec<_>>(),
        [(2, true), (3, false), (5, false)]
    );
    assert_eq!(store.tree.tiles(&[(0, 0), (1, 7)]).await.unwrap(), [tile(0, 0, 5)]);
    // A second checkpoint of the same size, signed by two keys.
    sign(&store, 5, 3_900, true).await;
    assert!(store.tree.checkpoint().await.unwrap().unwrap().handover);
}

pub(super) async fn a_sink_resumes_at_its_position_and_checkpoints_wait_for_it(backend: Backend) {
    let store = backend.open().await;
    store.tree.lead().await.unwrap();
    let (one, two): (Box<str>, Box<str>) = ("one".into(), "two".into());
    let start = SinkPosition::default();
    assert_eq!(store.sinks.register(&[one.clone(), two.clone()]).await.unwrap(), [start, start]);
    for size in 1..=4 {
        sign(&store, size, i64::try_from(size).unwrap(), false).await;
    }
    assert_eq!(sizes(&store).await, [1, 2, 3, 4], "no sink has the checkpoints");
    let three = SinkPosition { event: 3, checkpoint: 3 };
    store.sinks.advance("one", start, three).await.unwrap();
    assert_eq!(sizes(&store).await, [1, 2, 3, 4], "one sink does not have the checkpoints");
    store.sinks.advance("two", start, SinkPosition { event: 4, checkpoint: 4 }).await.unwrap();
    assert_eq!(sizes(&store).await, [4], "all sinks have the earlier checkpoints of the same hour");
    assert_eq!(store.archived.read_through().await.unwrap(), Some(3));
    // A sink that is no longer in the settings holds nothing back.
    assert_eq!(store.sinks.register(std::slice::from_ref(&one)).await.unwrap(), [three]);
    store.sinks.advance("one", three, SinkPosition { event: 4, checkpoint: 4 }).await.unwrap();
    assert_eq!(sizes(&store).await, [4]);
    drop(store);
    let store = backend.open().await;
    let [one, two] = store.sinks.register(&[one, two]).await.unwrap().try_into().unwrap();
    assert_eq!((one.event, two.event), (4, 4));
}
