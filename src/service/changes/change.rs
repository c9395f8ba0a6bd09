//! The types of a change in the pipeline: its request, its kind, and its prepared form.

use std::time::Instant;

use super::prior_state::{GroupRead, PriorState, Requirement};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Justification, Location, Resource, UnresolvedLocation, Warning},
        authorization::{Authorized, Command},
        call::Action,
        principal::Scope,
        request::{ExpectedKey, UnresolvedResource},
    },
    ports::{Acknowledgement, AwsResponse, limit::Operation},
    service::{context::Context, error::Error, shared::keyed_mutex::KeyGuard, state::Dependencies},
};

/// The steps that differ between setting a key and removing one.
pub(super) trait KeyChange: Send + Sync + Sized + 'static {
    type Command: Command + Clone + Send + Sync + 'static;

    const ACTION: Action;
    const SCOPE: Scope;
    const OPERATION: Operation;

    /// The key as the caller named it. `None` for a removal.
    fn requested_key(&self) -> Option<&KmsKeyId>;

    /// The command, with the resolved key.
    fn command(
        &self,
        cx: &mut Context,
        resource: &Resource,
        reason: Option<Justification>,
    ) -> impl Future<Output = Result<Self::Command, Error>> + Send;

    /// The key of the resource after the change, resolved and as requested.
    fn new_key(command: &Self::Command) -> Option<(KmsKeyArn, KmsKeyId)>;

    /// Whether the change requires the prior state of the resource.
    fn requirement(request: &ChangeRequest) -> Requirement;

    /// Removes the resolved key from an error if the caller may not see it.
    fn mask(&self, error: Error) -> Error {
        error
    }

    /// Checks whether AWS would accept the change. Returns a warning for each check that could not be made.
    fn dry_run(
        cx: &mut Context,
        authorized: &Authorized<Self::Command>,
    ) -> impl Future<Output = Result<Vec<Warning>, Error>> + Send;

    /// Sends the change to AWS, once.
    fn send(
        ports: &Dependencies,
        authorized: &Authorized<Self::Command>,
        deadline: Instant,
    ) -> impl Future<Output = AwsResponse<Acknowledgement>> + Send;
}

/// The request of a change, parsed.
#[derive(Clone, Debug)]
pub(super) struct ChangeRequest {
    pub(super) resource: UnresolvedResource,
    pub(super) reason: Option<Justification>,
    pub(super) expected: Option<ExpectedKey>,
    pub(super) validate_only: bool,
    pub(super) request_id: Option<uuid::Uuid>,
    /// The log group, if the caller has just read it.
    pub(super) read: Option<GroupRead>,
}

/// A change that is authorized and may be sent. While it exists, this process makes no other change of the
/// resource.
pub(super) struct PreparedChange<C> {
    pub(super) resource: Resource,
    pub(super) authorized: Authorized<C>,
    pub(super) guard: KeyGuard,
    pub(super) prior: PriorState,
}

/// The change of one item of a bulk job.
#[derive(Clone, Debug)]
pub(in crate::service) struct ItemRequest {
    pub(in crate::service) resource: Resource,
    pub(in crate::service) reason: Option<Justification>,
    /// The log group as it was just read. `None` for query results.
    pub(in crate::service) read: Option<GroupRead>,
}

// === impl ChangeRequest ===

impl From<ItemRequest> for ChangeRequest {
    fn from(ItemRequest { resource, reason, read }: ItemRequest) -> Self {
        let Resource { location: Location { account, region }, target } = resource;
        let location = UnresolvedLocation { account: Some(account), region: Some(region) };
        Self {
            resource: UnresolvedResource { location, target },
            reason,
            expected: None,
            validate_only: false,
            request_id: None,
            read,
        }
    }
}
