//! The parameters that several statements share.

use crate::{
    domain::fleet::{ItemCounts, ItemState, PlannedItem},
    ports::bulk::LocationKey,
    store::database::Param,
};

/// The number of planned items by state.
pub(super) fn counts(items: &[PlannedItem]) -> ItemCounts {
    let mut counts = ItemCounts::default();
    for item in items {
        counts.add(item.state);
        if item.state == ItemState::Waiting && item.previous_key.is_some() {
            counts.overriding += 1;
        }
    }
    counts
}

/// The parameters of `Sql::add_counts`.
pub(super) fn count_params<'p>(id: &'p str, location: u32, counts: &ItemCounts) -> [Param<'p>; 6] {
    [
        id.into(),
        i64::from(location).into(),
        signed(counts.waiting).into(),
        signed(counts.unchanged).into(),
        signed(counts.blocked).into(),
        signed(counts.overriding).into(),
    ]
}

/// The parameters that name a location.
pub(super) fn location_params(id: &str, at: LocationKey) -> [Param<'_>; 2] {
    [id.into(), i64::from(at.location).into()]
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
