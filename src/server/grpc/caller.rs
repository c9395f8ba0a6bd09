//! The caller of a call, as the layers before the handlers determined it.

use std::sync::Arc;

use http::Extensions;

use crate::{
    domain::{call::Call, principal::Principal},
    ports::{ConfigSnapshot, StreamToken},
};

/// The call, who makes it, and the snapshot that the whole call uses.
#[derive(Clone)]
pub(in crate::server) struct Caller {
    pub(in crate::server) call: Arc<Call>,
    pub(in crate::server) principal: Arc<Principal>,
    pub(in crate::server) snapshot: Arc<dyn ConfigSnapshot>,
    /// The token, if the call opens a stream.
    pub(in crate::server) token: Option<StreamToken>,
}

// === impl Caller ===

impl Caller {
    /// Reads what the layers added to the request; `None` if one of them did not run, which is a defect.
    pub(in crate::server) fn of(extensions: &Extensions) -> Option<Self> {
        Some(Self {
            call: Arc::clone(extensions.get::<Arc<Call>>()?),
            principal: Arc::clone(extensions.get::<Arc<Principal>>()?),
            snapshot: Arc::clone(extensions.get::<Arc<dyn ConfigSnapshot>>()?),
            token: extensions.get::<StreamToken>().cloned(),
        })
    }
}
