//! How much of the quota is left to us, where someone unseen uses it too.
//!
//! Found as TCP finds the width of a path: success raises it little by little, and by more the longer
//! nothing was throttled; a throttle lowers it, by more the shorter the peace before it was.

/// Never believed to be less than this part.
const MIN_FRACTION: f64 = 0.1;
/// Where one call in so many is throttled, nothing changes in the mean.
const INCREASE_DECREASE_RATIO: f64 = 26.0;
/// What a throttle takes after a peace of [`BALANCE`].
const DECREASE: f64 = 0.03;
/// The least and the most that one throttle takes.
const MAX_DECREASES: (f64, f64) = (0.004, 0.2);
/// Peace assumed before the first throttle.
const INITIAL_COOLDOWN: f64 = 100.0;

/// The part of the quota that AWS is believed to give us.
#[derive(Debug)]
pub(super) struct AimdEstimator {
    part: f64,
    /// Calls since the last throttle, and between the one before and it.
    cooldown: f64,
    cooldown_before: f64,
}

// === impl Belief ===

impl AimdEstimator {
    pub(super) fn at_quota() -> Self {
        Self { part: 1.0, cooldown: 0.0, cooldown_before: INITIAL_COOLDOWN }
    }

    pub(super) fn fraction(&self) -> f64 {
        self.part
    }

    pub(super) fn is_whole(&self) -> bool {
        self.part >= 1.0
    }

    pub(super) fn accepted(&mut self) {
        self.cooldown += 1.0;
        // Toward the whole quota the steps get smaller: there is little to gain.
        let room = (12.0 * (1.0 - self.part).powi(2)).clamp(0.01, 1.0);
        let haste = (self.cooldown / INCREASE_DECREASE_RATIO).powi(2) * room.sqrt();
        self.part = (self.part * (1.0 + DECREASE / INCREASE_DECREASE_RATIO * room * haste.max(1.0))).min(1.0);
    }

    pub(super) fn throttled(&mut self) {
        let cooldown = f64::midpoint(self.cooldown, self.cooldown_before).max(1.0);
        let cut = (DECREASE * INCREASE_DECREASE_RATIO / cooldown).clamp(MAX_DECREASES.0, MAX_DECREASES.1);
        self.part = (self.part * (1.0 - cut)).max(MIN_FRACTION);
        self.cooldown_before = self.cooldown;
        self.cooldown = 0.0;
    }
}
