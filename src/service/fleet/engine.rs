//! The engine that plans and runs bulk jobs. The dispatcher claims locations of jobs from the queue, and a task
//! for each claimed location plans it and changes its items.

mod dispatcher;
mod item;
mod item_run;
mod job_run;
mod location;
mod plan;
mod preflight;
mod progress;
mod recovery;
mod state;
mod task;
mod worker;
mod writer;

pub use self::state::Engine;
