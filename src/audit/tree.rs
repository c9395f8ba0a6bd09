//! The Merkle tree over the log (RFC 6962) as tiles of 256 hashes (C2SP tlog-tiles): how it grows, and how
//! its hashes are read for roots and proofs.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};
use tlog_tiles::{EMPTY_HASH, Error, Hash, HashReader};

use crate::ports::{Tile, TreeStore, Unavailable};

/// The height of a full tile: log2 of its number of hashes.
const HEIGHT: u8 = 8;
/// The number of hashes in a full tile.
pub(super) const TILE_WIDTH: usize = 1 << HEIGHT;
/// The size of one hash, in bytes.
pub(super) const HASH: usize = 32;

/// The right-hand edge of the tree: on each level, the hashes of the tile that is not full yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    size: u64,
    levels: Vec<Vec<u8>>,
}

/// The last tile of a level.
struct LastTile {
    level: u8,
    index: u64,
    /// The number of its hashes; 0 if the tile before it is full.
    count: usize,
}

/// Tiles in memory, as a [`HashReader`].
#[derive(Debug, Default)]
pub(super) struct Tiles(HashMap<(u8, u64), Vec<u8>>);

// === impl Edge ===

impl Edge {
    /// The edge of the stored tree of this size; none if tiles are missing or too short.
    pub(super) async fn load(store: &dyn TreeStore, size: u64) -> Result<Option<Self>, Unavailable> {
        let parts = last_tiles(size);
        let tile_ids: Vec<(u8, u64)> = parts.iter().map(|part| (part.level, part.index)).collect();
        let mut tiles: HashMap<(u8, u64), Vec<u8>> = HashMap::new();
        for tile in store.tiles(&tile_ids).await? {
            tiles.insert((tile.level, tile.index), tile.hashes);
        }
        let mut levels = Vec::with_capacity(parts.len());
        for LastTile { level, index, count } in parts {
            let mut hashes = tiles.remove(&(level, index)).unwrap_or_default();
            if hashes.len() < count * HASH {
                return Ok(None);
            }
            hashes.truncate(count * HASH);
            levels.push(hashes);
        }
        Ok(Some(Self { size, levels }))
    }

    /// The number of leaves.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. Appends the tiles that became full to `full_tiles`.
    pub(super) fn push(&mut self, leaf: Hash, full_tiles: &mut Vec<Tile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0..HEIGHT {
            let at = usize::from(level);
            if self.levels.len() <= at {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(at) else { return };
            hashes.extend(hash.0);
            if hashes.len() < TILE_WIDTH * HASH {
                return;
            }
            let hashes = std::mem::take(hashes);
            hash = tlog_tiles::Tile::subtree_hash(&hashes);
            let index = (self.size >> (u32::from(HEIGHT) * (u32::from(level) + 1))) - 1;
            full_tiles.push(Tile { level, index, hashes });
        }
    }

    /// The tiles that are not full.
    pub(super) fn partial(&self) -> Vec<Tile> {
        let parts = self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty());
        parts
            .map(|(level, hashes)| {
                let level = u8::try_from(level).unwrap_or(u8::MAX);
                let index = self.size >> (u32::from(HEIGHT) * (u32::from(level) + 1));
                Tile { level, index, hashes: hashes.clone() }
            })
            .collect()
    }

    /// The root. None is not expected: it means that the edge has fewer hashes than its size requires.
    pub(super) fn root(&self) -> Option<Hash> {
        if self.size == 0 {
            return Some(EMPTY_HASH);
        }
        tlog_tiles::tree_hash(self.size, &Tiles::from_iter(self.partial())).ok()
    }
}

/// The leaf hash of an event (RFC 6962, section 2.1). Returns the same as `tlog_tiles::record_hash`, in half
/// the time on processors without SHA-256 instructions. Hashing is most of the cost of checking a long log.
#[must_use]
pub fn leaf(body: &[u8]) -> Hash {
    let mut hashing = Context::new(&SHA256);
    hashing.update(&[0]);
    hashing.update(body);
    let mut leaf = Hash::default();
    leaf.0.copy_from_slice(hashing.finish().as_ref());
    leaf
}

/// The last tile of each level of a tree of this size.
fn last_tiles(size: u64) -> Vec<LastTile> {
    let mut tiles = Vec::new();
    for level in 0..HEIGHT {
        let count = size >> (u32::from(HEIGHT) * u32::from(level));
        if count == 0 {
            break;
        }
        let (index, count) = (count >> HEIGHT, usize::try_from(count & 0xff).unwrap_or_default());
        tiles.push(LastTile { level, index, count });
    }
    tiles
}

/// The path of a tile in the tlog-tiles layout, under `tile/`.
pub(super) fn path(kind: &str, index: u64, count: usize) -> String {
    let mut rest = index;
    let mut path = format!("{:03}", rest % 1000);
    while rest >= 1000 {
        rest /= 1000;
        path = format!("x{:03}/{path}", rest % 1000);
    }
    let part = if count == TILE_WIDTH { String::new() } else { format!(".p/{count}") };
    format!("{kind}/{path}{part}")
}

// === impl Tiles ===

impl Tiles {
    /// Reads the tiles that contain these hashes of the tree.
    pub(super) async fn with(store: &dyn TreeStore, hashes: &[u64]) -> Result<Self, Unavailable> {
        let mut tile_ids: Vec<(u8, u64)> = hashes.iter().map(|hash| position(*hash)).collect();
        tile_ids.sort_unstable();
        tile_ids.dedup();
        Ok(store.tiles(&tile_ids).await?.into_iter().collect())
    }
}

fn position(hash: u64) -> (u8, u64) {
    let tile = tlog_tiles::Tile::from_index(HEIGHT, hash);
    (tile.level(), tile.level_index())
}

impl FromIterator<Tile> for Tiles {
    fn from_iter<I: IntoIterator<Item = Tile>>(tiles: I) -> Self {
        Self(tiles.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)).collect())
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let read = |index: &u64| {
            let (level, at) = position(*index);
            let hashes = self.0.get(&(level, at)).ok_or(Error::InvalidTile)?;
            let count = hashes.len() / HASH;
            let width = u32::try_from(count).ok().filter(|width| (1..=256).contains(width));
            let width = width.ok_or(Error::InvalidTile)?;
            tlog_tiles::Tile::new(HEIGHT, level, at, width, false).hash_at_index(hashes, *index)
        };
        indexes.iter().map(read).collect()
    }
}

/// Records which hashes an algorithm reads, and returns placeholder hashes.
#[derive(Debug, Default)]
pub(super) struct HashRequests(pub(super) std::cell::RefCell<Vec<u64>>);

impl HashReader for HashRequests {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.borrow_mut().extend(indexes);
        Ok(vec![EMPTY_HASH; indexes.len()])
    }
}

#[cfg(test)]
mod tests;
