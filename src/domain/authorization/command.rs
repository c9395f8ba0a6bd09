//! What a policy decision needs of each command: its action, location, target and key.

use crate::domain::{
    arn::KmsKeyArn,
    association::{
        AssociateKmsKey, CheckKeyAssociation, DisassociateKmsKey, GetKeyAssociation, GetKeyUsage,
        ListKeyAssociations, Location, Target, TestAccess,
    },
    call::Action,
};

/// A command that needs a policy decision.
pub trait Command {
    /// The RPC of the command.
    fn action(&self) -> Action;
    /// The account and Region of the command.
    fn location(&self) -> &Location;
    /// The target. `None` is the location as a whole.
    fn target(&self) -> Option<&Target>;
    /// The key that the command names, if any.
    fn key(&self) -> Option<&KmsKeyArn>;
}

impl Command for AssociateKmsKey {
    fn action(&self) -> Action {
        Action::AssociateKmsKey
    }
    fn location(&self) -> &Location {
        &self.resource.location
    }
    fn target(&self) -> Option<&Target> {
        Some(&self.resource.target)
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        Some(&self.key)
    }
}

impl Command for DisassociateKmsKey {
    fn action(&self) -> Action {
        Action::DisassociateKmsKey
    }
    fn location(&self) -> &Location {
        &self.resource.location
    }
    fn target(&self) -> Option<&Target> {
        Some(&self.resource.target)
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        None
    }
}

impl Command for CheckKeyAssociation {
    fn action(&self) -> Action {
        Action::CheckKeyAssociation
    }
    fn location(&self) -> &Location {
        &self.resource.location
    }
    fn target(&self) -> Option<&Target> {
        Some(&self.resource.target)
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        None
    }
}

impl Command for GetKeyAssociation {
    fn action(&self) -> Action {
        Action::GetKeyAssociation
    }
    fn location(&self) -> &Location {
        &self.resource.location
    }
    fn target(&self) -> Option<&Target> {
        Some(&self.resource.target)
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        None
    }
}

impl Command for ListKeyAssociations {
    fn action(&self) -> Action {
        Action::ListKeyAssociations
    }
    fn location(&self) -> &Location {
        &self.location
    }
    fn target(&self) -> Option<&Target> {
        None
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        None
    }
}

impl Command for TestAccess {
    fn action(&self) -> Action {
        Action::TestAccess
    }
    fn location(&self) -> &Location {
        &self.location
    }
    fn target(&self) -> Option<&Target> {
        None
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        None
    }
}

impl Command for GetKeyUsage {
    fn action(&self) -> Action {
        Action::GetKeyUsage
    }
    fn location(&self) -> &Location {
        &self.location
    }
    fn target(&self) -> Option<&Target> {
        None
    }
    fn key(&self) -> Option<&KmsKeyArn> {
        self.key.as_ref()
    }
}
