//! The use cases of encryption rules.

mod access;
mod change;
mod create;
mod evaluate_now;
mod read;
pub(super) mod stored;
mod view;

pub use self::{
    change::RulePatch,
    create::CreateRule,
    evaluate_now::EvaluateRule,
    read::{RulePage, RuleQuery},
    view::RuleView,
};
