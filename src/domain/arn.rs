//! Amazon Resource Names of keys and of the resources that they encrypt. The values are checked when they are
//! parsed and need no later check.

mod key;
mod parts;
mod resource;
#[cfg(test)]
mod tests;

pub use self::{
    key::{InvalidKmsKeyId, KmsKeyArn, KmsKeyId, MAX_KMS_KEY_ID},
    resource::{InvalidResourceArn, MAX_RESOURCE_IDENTIFIER, ResourceArn},
};
