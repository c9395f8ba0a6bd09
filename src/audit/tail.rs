//! Reads the events that no checkpoint covers yet, and tells those that the log's journals handed over from
//! rows that somebody else wrote. The sequencer and `verify` use it.

mod leaves;
mod reader;
mod replays;

pub(super) use self::reader::{Tail, TailFault};
