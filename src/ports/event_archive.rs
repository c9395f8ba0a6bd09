//! The events that left the store: the archive of the audit log, in whole tiles of its tree.

use std::time::Duration;

use async_trait::async_trait;

use super::{store::StoredEvent, unavailable::Unavailable};

/// How much later an event may be recorded than events that happened after it. A time in the archive is searched by the
/// order of the events, within this tolerance.
pub const MAX_DISORDER: Duration = Duration::from_hours(1);
/// The number of events of one tile.
pub const TILE_EVENTS: u64 = 256;

/// Reads archived events.
#[async_trait]
pub trait EventArchive: Send + Sync + 'static {
    /// The events of the tile with this index, oldest first: all those at the positions `index * 256 + 1` to
    /// `index * 256 + 256`. `None` if the archive does not have the tile.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if the archive cannot be read, or if its events are not those of the log's tree.
    async fn tile(&self, index: u64) -> Result<Option<Vec<StoredEvent>>, Unavailable>;
}
