//! Estimates the fraction of the quota that is left if other clients use it too.
//!
//! It works like TCP congestion control. Each accepted call raises the fraction, by more the longer there was
//! no throttle. Each throttle lowers it, by more the fewer calls were accepted before.

/// The smallest estimate.
const MIN_FRACTION: f64 = 0.1;
/// The calls per throttle at which increases and decreases cancel out on average.
const EQUILIBRIUM_CALLS: f64 = 26.0;
/// The decrease by a throttle after [`EQUILIBRIUM_CALLS`] accepted calls.
const DECREASE: f64 = 0.03;
/// The smallest and the largest decrease by one throttle.
const DECREASE_BOUNDS: (f64, f64) = (0.004, 0.2);
/// The number of accepted calls that is assumed before the first throttle.
const INITIAL_RUN: f64 = 100.0;

/// The estimated fraction of the quota that AWS accepts from this process.
#[derive(Debug)]
pub(super) struct AimdEstimator {
    fraction: f64,
    /// The accepted calls since the last throttle.
    run: f64,
    /// The accepted calls between the last two throttles.
    previous_run: f64,
}

// === impl AimdEstimator ===

impl AimdEstimator {
    pub(super) fn at_quota() -> Self {
        Self { fraction: 1.0, run: 0.0, previous_run: INITIAL_RUN }
    }

    pub(super) fn fraction(&self) -> f64 {
        self.fraction
    }

    pub(super) fn is_whole(&self) -> bool {
        self.fraction >= 1.0
    }

    pub(super) fn accepted(&mut self) {
        self.run += 1.0;
        // Near the whole quota the steps get smaller, because there is little to gain.
        let room = (12.0 * (1.0 - self.fraction).powi(2)).clamp(0.01, 1.0);
        let acceleration = (self.run / EQUILIBRIUM_CALLS).powi(2) * room.sqrt();
        self.fraction =
            (self.fraction * (1.0 + DECREASE / EQUILIBRIUM_CALLS * room * acceleration.max(1.0))).min(1.0);
    }

    pub(super) fn throttled(&mut self) {
        let mean_run = f64::midpoint(self.run, self.previous_run).max(1.0);
        let cut = (DECREASE * EQUILIBRIUM_CALLS / mean_run).clamp(DECREASE_BOUNDS.0, DECREASE_BOUNDS.1);
        self.fraction = (self.fraction * (1.0 - cut)).max(MIN_FRACTION);
        self.previous_run = self.run;
        self.run = 0.0;
    }
}
