//! Lists the log groups of every account and Region of the tenant.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::model::Location;
use crate::{
    failure::Failure,
    proto::{
        BulkError, CoverageGrouping, GetCoverageRequest, KeyAssociation, KeyFilter,
        ListKeyAssociationsRequest, coverage_service_client::CoverageServiceClient,
        key_association_service_client::KeyAssociationServiceClient,
    },
    session::Session,
};

/// How many locations are listed at the same time. AWS's quota is for each of them.
const CONCURRENCY: usize = 8;
/// The largest page that the service returns.
const PAGE_SIZE: i32 = 500;

/// What was read of a location.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) location: Location,
    /// The log groups, or why they could not be listed.
    pub(super) groups: Result<Vec<KeyAssociation>, BulkError>,
    /// The answer to the question, or why there is none.
    pub(super) answer: Result<Answer, BulkError>,
}

/// What to read beside the log groups.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'q> {
    /// Nothing: any key will do.
    AnyKey,
    /// Which log groups have another key than this one.
    OtherThan(&'q str),
    /// With which keys log groups count as compliant by the rules.
    CompliantKeys,
}

/// The answer to a question about a location.
#[derive(Debug)]
pub(super) enum Answer {
    AnyKey,
    /// The ARN of the expected key.
    KeyArn(String),
    /// The ARNs of the log groups that have another key, or none.
    WithOtherKey(HashSet<String>),
    /// The ARNs of the keys with which log groups count as compliant.
    CompliantKeys(HashSet<String>),
}

/// Lists all locations. A location that cannot be listed does not hold up the others.
pub(super) async fn list(
    session: &Session,
    locations: &[Location],
    question: Question<'_>,
) -> Result<Vec<Listing>, Failure> {
    let listings = stream::iter(locations).map(|location| list_location(session, location, question));
    listings.buffered(CONCURRENCY).try_collect().await
}

async fn list_location(
    session: &Session,
    location: &Location,
    question: Question<'_>,
) -> Result<Listing, Failure> {
    let groups = of_location(groups(session, location, None).await)?;
    let answer = match &groups {
        Ok(_) => of_location(ask(session, location, question).await)?,
        Err(_) => Ok(Answer::AnyKey),
    };
    Ok(Listing { location: location.clone(), groups, answer })
}

async fn ask(session: &Session, location: &Location, question: Question<'_>) -> Result<Answer, Failure> {
    match question {
        Question::AnyKey => Ok(Answer::AnyKey),
        // The service resolves aliases and key ids, and accepts an ARN only in the Region of its key.
        Question::OtherThan(key) if key.contains(":key/") => Ok(Answer::KeyArn(key.to_owned())),
        Question::OtherThan(key) => {
            let others = groups(session, location, Some(key)).await?;
            Ok(Answer::WithOtherKey(others.into_iter().map(|it| it.resource_arn).collect()))
        }
        Question::CompliantKeys => compliant_keys(session, location).await,
    }
}

async fn groups(
    session: &Session,
    location: &Location,
    other_than: Option<&str>,
) -> Result<Vec<KeyAssociation>, Failure> {
    let filter = if other_than.is_some() { KeyFilter::WithOtherKey } else { KeyFilter::Any };
    let mut request = ListKeyAssociationsRequest {
        account_id: location.account.clone(),
        region: location.region.clone(),
        page_size: PAGE_SIZE,
        key_filter: filter.into(),
        expected_kms_key_id: other_than.unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let mut groups = Vec::new();
    loop {
        let page = session
            .call(request.clone(), async |channel, request| {
                KeyAssociationServiceClient::new(channel).list_key_associations(request).await
            })
            .await?;
        groups.extend(page.associations);
        if page.next_page_token.is_empty() {
            return Ok(groups);
        }
        request.page_token = page.next_page_token;
    }
}

async fn compliant_keys(session: &Session, location: &Location) -> Result<Answer, Failure> {
    let request = GetCoverageRequest {
        group_by: CoverageGrouping::Key.into(),
        account_id: location.account.clone(),
        region: location.region.clone(),
        ..Default::default()
    };
    let answer = session
        .call(request, async |channel, request| {
            CoverageServiceClient::new(channel).get_coverage(request).await
        })
        .await?;
    let compliant =
        answer.groups.into_iter().filter(|it| it.counts.is_some_and(|counts| counts.compliant > 0));
    Ok(Answer::CompliantKeys(compliant.map(|it| it.value).collect()))
}

/// Separates a failure that concerns one location from one that ends the report.
fn of_location<T>(result: Result<T, Failure>) -> Result<Result<T, BulkError>, Failure> {
    let status = match result {
        Ok(read) => return Ok(Ok(read)),
        Err(Failure::Refused(status)) => status,
        Err(failure) => return Err(failure),
    };
    let info = status.get_details_error_info();
    let reason = info.as_ref().map(|info| info.reason.clone()).unwrap_or_default();
    let ends_the_report = status.code() == Code::Unauthenticated
        || matches!(&*reason, "FIELD_INVALID" | "SCOPE_MISSING" | "TENANT_SUSPENDED");
    if ends_the_report {
        return Err(Failure::Refused(status));
    }
    let remedy_document = info.and_then(|mut info| info.metadata.remove("remedy_document"));
    let remedy_document = remedy_document.unwrap_or_default();
    Ok(Err(BulkError { reason, message: status.message().to_owned(), remedy_document }))
}
