//! The texts of errors that are stored with the items of bulk jobs and shown later.

use super::messages::status_details;
use crate::{
    domain::fleet::Failure,
    service::{self, ErrorTexts},
};

/// The metadata that holds the policy statement to add.
const REMEDY: &str = "remedy_document";

/// Words errors as callers of single changes get them.
#[derive(Clone, Copy, Debug)]
pub struct StatusTexts;

impl ErrorTexts for StatusTexts {
    fn failure(&self, error: &service::Error) -> Failure {
        let mut details = status_details(error);
        Failure {
            reason: error.reason().as_str().into(),
            message: details.message.into(),
            remedy_document: details.metadata.remove(REMEDY).map(Into::into),
        }
    }
}
