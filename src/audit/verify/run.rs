//! One verification from the first event to the last.

use super::{
    pass::{PAGE, Verifier},
    report::Report,
    trust::TrustAnchor,
};
use crate::ports::{EventReader, TreeStore, Unavailable};

/// Checks the log. Calls `progress` with the number of checked events after each page.
///
/// # Errors
///
/// [`Unavailable`] if the log cannot be read, so that the check has no result.
pub async fn verify(
    log: &dyn EventReader,
    tree: &dyn TreeStore,
    against: &TrustAnchor<'_>,
    mut progress: impl FnMut(u64),
) -> Result<Report, Unavailable> {
    let mut pass = Verifier::begin(log, tree, against).await?;
    let mut last = pass.check_archived(log, &mut progress).await?;
    pass.report_unread_notes();
    let mut page = log.index_check(last, PAGE).await?;
    while let Some(newest) = page.last() {
        last = newest.event.seq;
        // The store reads the next page while this one is checked.
        let (next, checked) = tokio::join!(log.index_check(last, PAGE), pass.check_page(&page));
        checked?;
        page = next?;
        progress(last);
    }
    pass.check_unsigned(log, last).await?;
    pass.finish(last).await
}
