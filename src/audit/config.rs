//! The bounds and timeouts of the journal.

use std::time::Duration;

/// The journal's bounds and timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which reads are recorded.
    pub reads: ReadRecording,
    /// The largest number of queued entries. When the queue is full, the journal refuses intents.
    pub queue: usize,
    /// The largest number of queued events that no call waits for. Further ones count as lost.
    pub notes: usize,
    /// The largest number of events in one commit.
    pub batch: usize,
    /// How long a commit may take before the journal reports that it is not ready.
    pub stall: Duration,
    /// The delay before the first retry of a failed store. Each further delay is twice as long.
    pub first_retry: Duration,
    /// The longest delay between two retries.
    pub max_retry: Duration,
    /// How long closing keeps trying to write the remaining entries while the store fails.
    pub close_within: Duration,
    /// The length of the window in which equal refusals are counted together.
    pub window: Duration,
    /// How many equal refusals in a window are recorded in full.
    pub whole: u32,
    /// How many refusals in a window are recorded in full, over all kinds. The first refusal of each kind is
    /// recorded in full even beyond this limit.
    pub whole_in_all: u32,
    /// How many kinds of refusals a window distinguishes.
    pub kinds: usize,
}

/// Which reads are recorded. Calls that fail or are refused are recorded anyway, as refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRecording {
    /// Every read.
    All,
    /// For each tenant, subject and RPC the first read of a minute, and of the following ones each hundredth.
    Sampled,
    /// No read.
    None,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            reads: ReadRecording::All,
            queue: 8192,
            notes: 8192,
            batch: 1024,
            stall: Duration::from_secs(2),
            first_retry: Duration::from_millis(50),
            max_retry: Duration::from_secs(2),
            close_within: Duration::from_secs(5),
            window: Duration::from_secs(10),
            whole: 5,
            whole_in_all: 1000,
            kinds: 1024,
        }
    }
}
