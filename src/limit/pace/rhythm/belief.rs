//! How much of the quota is left to us, where someone unseen uses it too.
//!
//! Found as TCP finds the width of a path: success raises it little by little, and by more the longer
//! nothing was throttled; a throttle lowers it, by more the shorter the peace before it was.

/// Never believed to be less than this part.
const FLOOR: f64 = 0.1;
/// Where one call in so many is throttled, nothing changes in the mean.
const BALANCE: f64 = 26.0;
/// What a throttle takes after a peace of [`BALANCE`].
const CUT: f64 = 0.03;
/// The least and the most that one throttle takes.
const CUTS: (f64, f64) = (0.004, 0.2);
/// Peace assumed before the first throttle.
const FIRST_PEACE: f64 = 100.0;

/// The part of the quota that AWS is believed to give us.
#[derive(Debug)]
pub(super) struct Belief {
    part: f64,
    /// Calls since the last throttle, and between the one before and it.
    peace: f64,
    peace_before: f64,
}

// === impl Belief ===

impl Belief {
    pub(super) fn whole() -> Self {
        Self { part: 1.0, peace: 0.0, peace_before: FIRST_PEACE }
    }

    pub(super) fn part(&self) -> f64 {
        self.part
    }

    pub(super) fn is_whole(&self) -> bool {
        self.part >= 1.0
    }

    pub(super) fn accepted(&mut self) {
        self.peace += 1.0;
        // Toward the whole quota the steps get smaller: there is little to gain.
        let room = (12.0 * (1.0 - self.part).powi(2)).clamp(0.01, 1.0);
        let haste = (self.peace / BALANCE).powi(2) * room.sqrt();
        self.part = (self.part * (1.0 + CUT / BALANCE * room * haste.max(1.0))).min(1.0);
    }

    pub(super) fn throttled(&mut self) {
        let peace = f64::midpoint(self.peace, self.peace_before).max(1.0);
        let cut = (CUT * BALANCE / peace).clamp(CUTS.0, CUTS.1);
        self.part = (self.part * (1.0 - cut)).max(FLOOR);
        self.peace_before = self.peace;
        self.peace = 0.0;
    }
}
