//! The locations of a tenant that a selection is about. It is apart from the selection, because a tenant
//! contains rules and so selections.

use super::selection::Selection;
use crate::domain::{association::Location, aws::Region, tenant::Tenant};

// === impl Selection ===

impl Selection {
    /// The tenant's locations that the selection is about, in the order of the grants.
    #[must_use]
    pub fn locations(&self, tenant: &Tenant) -> Vec<Location> {
        let granted = tenant.accounts.iter().flat_map(|grant| {
            let at = |region: &Region| Location { account: grant.account, region: region.clone() };
            grant.regions.iter().map(at)
        });
        granted.filter(|location| self.includes(location)).collect()
    }
}
