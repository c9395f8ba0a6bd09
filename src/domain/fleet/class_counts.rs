//! How many log groups count in each class.

use super::coverage::CoverageClass;

/// The number of log groups by class, in the order of [`CoverageClass::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts(pub [u64; 8]);

// === impl ClassCounts ===

impl ClassCounts {
    /// The number of all log groups.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The number of log groups in this class.
    #[must_use]
    pub fn of(&self, class: CoverageClass) -> u64 {
        CoverageClass::ALL.iter().zip(self.0).filter(|(of, _)| **of == class).map(|(_, count)| count).sum()
    }

    /// Counts more log groups in this class.
    pub fn add(&mut self, class: CoverageClass, count: u64) {
        for (of, sum) in CoverageClass::ALL.iter().zip(&mut self.0) {
            if *of == class {
                *sum += count;
            }
        }
    }
}
