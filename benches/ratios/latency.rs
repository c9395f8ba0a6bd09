//! How much latency the service adds to that of F, compared with the time of one fdatasync.

use std::{path::Path, time::Duration};

use crate::{
    Outcome,
    compare::{ROUNDS, Side, Spread},
    load::Sample,
    method::Rpc,
    server::Cores,
    sync::{Probe, percentiles},
};

/// How many syncs it times between two windows.
const SYNCS: usize = 100;

/// A fixed rate in calls per second for both servers.
#[derive(Debug)]
pub(crate) struct AtRate<'a> {
    pub(crate) cores: &'a Cores,
    pub(crate) window: Duration,
    pub(crate) rate: f64,
}

// === impl AtRate ===

impl AtRate<'_> {
    /// The latency that the subject adds to that of the anchor; `folder` contains the subject's store.
    pub(crate) fn added(&self, anchor: Side<'_>, subject: Side<'_>, folder: &Path) -> Outcome<String> {
        let mut probe = Probe::new(folder)?;
        let (mut syncs, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut samples = Vec::new();
            for side in [anchor, subject, subject, anchor] {
                samples.push(self.window(side)?);
                for _ in 0..SYNCS {
                    syncs.push(probe.sync()?);
                }
            }
            let [a1, b1, b2, a2] = samples.as_slice() else { continue };
            let added = |of: fn(&Sample) -> u64| {
                let micros = |n: u64| u32::try_from(n).map(f64::from);
                Outcome::Ok((micros(of(b1) + of(b2))? - micros(of(a1) + of(a2))?) / 2.0)
            };
            p50.push(added(|sample| sample.p50)?);
            p99.push(added(|sample| sample.p99)?);
        }
        let (s50, s99) = percentiles(syncs);
        let (s50, s99) = (s50.as_secs_f64() * 1e6, s99.as_secs_f64() * 1e6);
        let (p50, p99) = (Spread::of(p50), Spread::of(p99));
        Ok(format!(
            "4: latency added over {} at {:.0} calls/s, half of what row 3 reached: p50 {:.0} µs ({:.0} to \
             {:.0}; at most {:.0}: S50 is {s50:.0}), p99 {:.0} µs ({:.0} to {:.0}; at most {:.0}: S99 is {s99:.0})",
            anchor.name,
            self.rate,
            p50.median,
            p50.min,
            p50.max,
            3.0 * s50 + 300.0,
            p99.median,
            p99.min,
            p99.max,
            4.4 * s99 + 1000.0,
        ))
    }

    fn window(&self, side: Side<'_>) -> Outcome<Sample> {
        let rpc = Rpc::AssociateKmsKey;
        side.server.load(&self.cores.generator, rpc, self.window, side.tokens, Some(self.rate))
    }
}
