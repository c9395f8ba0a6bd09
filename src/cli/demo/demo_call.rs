//! A call that the demo sent, compared with what it must return.

use std::fmt::Debug;

use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use super::{show::Step, took::Took};

/// A call and its result.
pub(super) struct DemoCall<'a, T> {
    title: &'static str,
    request: &'a str,
    took: Took,
    result: &'a Result<Response<T>, Status>,
}

// === impl DemoCall ===

impl<'a, T: Debug> DemoCall<'a, T> {
    /// A call with this request, in short.
    pub(super) fn new(
        title: &'static str,
        request: &'a str,
        took: Took,
        result: &'a Result<Response<T>, Status>,
    ) -> Self {
        Self { title, request, took, result }
    }

    /// A step whose call must succeed and fulfil `expected`.
    pub(super) fn succeeds(self, describe: impl Fn(&T) -> String, expected: impl Fn(&T) -> bool) -> Step {
        match self.result {
            Ok(response) => {
                let message = response.get_ref();
                let mismatch = (!expected(message)).then(|| format!("{message:?}"));
                self.step(describe(message), mismatch)
            }
            Err(status) => self.step(status_summary(status), Some("expected success".into())),
        }
    }

    /// A step whose call must fail with this reason.
    pub(super) fn must_be_refused(self, reason: &str) -> Step {
        match self.result {
            Ok(response) => {
                self.step(format!("{:?}", response.get_ref()), Some(format!("expected {reason}")))
            }
            Err(status) => {
                let has_reason = status.get_details_error_info().is_some_and(|info| info.reason == reason);
                self.step(status_summary(status), (!has_reason).then(|| format!("expected {reason}")))
            }
        }
    }

    fn step(&self, response: String, mismatch: Option<String>) -> Step {
        Step { title: self.title, request: self.request.into(), response, took: self.took, mismatch }
    }
}

fn status_summary(status: &Status) -> String {
    let (reason, metadata) =
        status.get_details_error_info().map(|info| (info.reason, info.metadata)).unwrap_or_default();
    let mut text = format!("{:?} {reason}: {}", status.code(), status.message());
    if let Some(bad) = status.get_details_bad_request() {
        text.extend(bad.field_violations.iter().map(|it| format!("\n  {}: {}", it.field, it.description)));
    }
    text.extend(metadata.get("remedy_document").map(|statement| format!("\n{statement}")));
    text
}
