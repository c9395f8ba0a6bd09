use async_trait::async_trait;
use parking_lot::Mutex;
use tlog_tiles::{node_hash, record_hash};

use super::*;
use crate::ports::SignedCheckpoint;

#[derive(Default)]
struct MemoryTreeStore(Mutex<HashMap<(u8, u64), Vec<u8>>>);

#[async_trait]
impl TreeStore for MemoryTreeStore {
    async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Unavailable> {
        Ok(None)
    }

    async fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, Unavailable> {
        Ok(Vec::new())
    }

    async fn tiles(&self, tile_ids: &[(u8, u64)]) -> Result<Vec<Tile>, Unavailable> {
        let stored = self.0.lock();
        let tile = |at: &(u8, u64)| Some(Tile { level: at.0, index: at.1, hashes: stored.get(at)?.clone() });
        Ok(tile_ids.iter().filter_map(tile).collect())
    }

    async fn grow(&self, tiles: &[Tile], _: &SignedCheckpoint) -> Result<(), Unavailable> {
        self.insert(tiles.to_vec());
        Ok(())
    }
}

impl MemoryTreeStore {
    fn insert(&self, tiles: Vec<Tile>) {
        let stored = tiles.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes));
        self.0.lock().extend(stored);
    }
}

fn leaf(n: u64) -> Hash {
    record_hash(&n.to_be_bytes())
}

/// The root, computed directly by the definition in RFC 6962, section 2.1.
fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_HASH,
        [one] => *one,
        many => {
            let half = (many.len() - 1).ilog2();
            let (left, right) = many.split_at(1 << half);
            node_hash(slow_root(left), slow_root(right))
        }
    }
}

#[tokio::test]
async fn the_tree_has_the_root_of_rfc_6962_and_continues_after_loading() {
    let store = MemoryTreeStore::default();
    let mut edge = Edge::default();
    let mut leaves = Vec::new();
    let sizes = [1, 2, 3, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 65_537, 66_000];
    for size in sizes {
        let mut tiles = Vec::new();
        while edge.size() < size {
            let next = leaf(edge.size());
            leaves.push(next);
            edge.push(next, &mut tiles);
        }
        tiles.extend(edge.partial());
        store.insert(tiles);
        assert_eq!(edge.root(), Some(slow_root(&leaves)), "root of {size}");
        edge = Edge::load(&store, size).await.unwrap().unwrap();
        assert_eq!(edge.root(), Some(slow_root(&leaves)), "root of {size} after loading");
    }
}

#[tokio::test]
async fn an_edge_with_a_missing_or_short_tile_does_not_load() {
    let store = MemoryTreeStore::default();
    assert_eq!(Edge::load(&store, 0).await.unwrap(), Some(Edge::default()));
    assert_eq!(Edge::load(&store, 5).await.unwrap(), None);
    store.insert(vec![Tile { level: 0, index: 0, hashes: vec![0; 4 * HASH] }]);
    assert_eq!(Edge::load(&store, 5).await.unwrap(), None);
    assert!(Edge::load(&store, 4).await.unwrap().is_some());
}

#[test]
fn tile_paths_follow_the_specification() {
    assert_eq!(path("0", 1_234_067, 256), "0/x001/x234/067");
    assert_eq!(path("entries", 5, 17), "entries/005.p/17");
}

#[test]
fn a_leaf_hash_is_that_of_rfc_6962() {
    for body in [&b""[..], b"x", &[7; 1500]] {
        assert!(super::leaf(body) == record_hash(body));
    }
}
