//! A change on its way through the pipeline: what was requested, and what is specific to its kind.

use std::time::Instant;

use super::prior_state::{PriorState, Requirement};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Justification, Resource, Warning},
        authorization::{Authorized, Command},
        call::Action,
        principal::Scope,
        request::{ExpectedKey, UnresolvedResource},
    },
    ports::{Acknowledgement, AwsResponse, limit::Operation},
    service::{context::Context, error::Error, shared::keyed_mutex::KeyGuard, state::Dependencies},
};

/// What setting a key and removing one do differently.
pub(super) trait KeyChange: Send + Sync + Sized + 'static {
    type Command: Command + Clone + Send + Sync + 'static;

    const ACTION: Action;
    const SCOPE: Scope;
    const OPERATION: Operation;

    /// The key as the caller named it.
    fn requested_key(&self) -> Option<&KmsKeyId>;

    /// The command, with the key that the caller meant.
    fn command(
        &self,
        cx: &mut Context,
        resource: &Resource,
        reason: Option<Justification>,
    ) -> impl Future<Output = Result<Self::Command, Error>> + Send;

    /// The key that the resource has once the change is made.
    fn new_key(command: &Self::Command) -> Option<(KmsKeyArn, KmsKeyId)>;

    /// How much the change has to know of what it replaces.
    fn requirement(request: &ChangeRequest) -> Requirement;

    /// What the caller may know of an error that names the resolved key.
    fn mask(&self, error: Error) -> Error {
        error
    }

    /// What the change would meet in AWS.
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

/// A change as it was requested.
#[derive(Clone, Debug)]
pub(super) struct ChangeRequest {
    pub(super) resource: UnresolvedResource,
    pub(super) reason: Option<Justification>,
    pub(super) expected: Option<ExpectedKey>,
    pub(super) validate_only: bool,
    pub(super) request_id: Option<uuid::Uuid>,
}

/// A change that is authorized and may be sent. While it exists no other change of the resource runs.
pub(super) struct PreparedChange<C> {
    pub(super) resource: Resource,
    pub(super) authorized: Authorized<C>,
    pub(super) guard: KeyGuard,
    pub(super) prior: PriorState,
}
