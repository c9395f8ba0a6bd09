//! Converts request messages to requests of the use cases, and results to response messages. The handlers call
//! it. A request with several invalid fields gives a violation for each of them.

mod answer;
mod audit;
pub(super) mod bulk;
pub(super) mod bulk_answer;
mod check;
mod coverage;
mod fields;
mod onboarding;
mod requests;
pub(super) mod rule;
pub(super) mod rule_answer;
mod selection;
mod usage;

pub(super) use self::{
    answer::{associate_response, caller, disassociate_response, get_response, key_association},
    audit::{
        ListAuditRequest, checkpoint_response, consistency, consistency_response, inclusion,
        inclusion_response, list_audit, list_audit_response, watch_audit, watch_audit_response,
    },
    check::check_response,
    coverage::{
        HistoryRequest, coverage_query, coverage_response, finding_query, findings_response, history_query,
        history_response,
    },
    fields::InvalidField,
    onboarding::{onboarding, onboarding_response, test_access, test_access_response},
    requests::{associate, check, disassociate, get, list, usage},
    usage::usage_response,
};
