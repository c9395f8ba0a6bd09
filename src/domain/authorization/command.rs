//! The action, location, target and key of each command that needs a policy decision.

use super::Command;
use crate::domain::{
    arn::KmsKeyArn,
    association::{
        AssociateKmsKey, CheckKeyAssociation, DisassociateKmsKey, GetKeyAssociation, GetKeyUsage,
        ListKeyAssociations, Location, Target, TestAccess,
    },
    call::Action,
};

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
