//! The fleet: the use cases of bulk jobs, and the engine that runs the jobs.

mod bulk;
mod engine;
mod ports;

pub use self::{
    bulk::{
        create::CreateJob,
        list::{ItemPage, ItemQuery, JobPage, JobQuery},
        view::{JobView, LocationView},
        watch::JobStream,
    },
    engine::Engine,
    ports::{ErrorTexts, Fleet, FleetPorts},
};
