//! Where the documentation of the errors is. Each error links to the entry of its reason.

use std::sync::OnceLock;

use url::Url;

use crate::domain::reason::Reason;

/// The page without `server.documentation_url`: its path in the source tree.
const PAGE_IN_SOURCE: &str = "docs/errors.md";

/// The URL of the page. The process has one, as it has one metrics recorder.
static PAGE: OnceLock<String> = OnceLock::new();

/// Links to the documentation site with this base URL. Only the first call has an effect.
pub(in crate::server) fn set_documentation_url(base: &Url) {
    PAGE.get_or_init(|| format!("{}/errors.html", base.as_str().trim_end_matches('/')));
}

/// The URL of the entry of a reason.
pub(super) fn link(reason: Reason) -> String {
    format!("{}#{reason}", PAGE.get().map_or(PAGE_IN_SOURCE, String::as_str))
}
