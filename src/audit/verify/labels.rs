//! Whether the store finds an event by what its bytes say: a wrong label would hide it from lists.

use super::super::view::View;
use crate::{domain::audit::EventId, ports::Labelled};

/// The columns that say something else than the bytes; none where all agree.
pub(super) fn wrong(labelled: &Labelled) -> String {
    let Labelled { event, time, kind, action, account, correlation, outcome, closes } = labelled;
    let Ok(view) = View::try_from(event) else { return "it cannot be read".to_owned() };
    let differs = [
        ("id", view.id != event.id.to_string()),
        ("tenant", view.tenant != event.tenant),
        ("time", view.time != *time),
        ("kind", view.kind != *kind),
        ("action", view.action != *action),
        ("account", view.account != *account),
        ("correlation", view.correlation != *correlation),
        ("outcome", view.status != *outcome),
        ("closes", view.closes != closes.as_ref().map(EventId::to_string)),
    ];
    let names: Vec<&str> = differs.into_iter().filter_map(|(name, wrong)| wrong.then_some(name)).collect();
    names.join(", ")
}
