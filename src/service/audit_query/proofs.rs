//! The newest checkpoint, and proofs: that an event is in the log, and that the log only grew. They
//! hold hashes and nothing else of other tenants.

use super::{AuditQueries, ReadError};
use crate::{
    domain::{audit::EventId, call::Call, principal::Principal},
    ports::{LeafHash, SignedTree, StoredEvent},
    service::{Error, audit_context::AuditContext},
};

/// The newest checkpoint, and by which keys it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// The checkpoint.
    pub tree: SignedTree,
    /// The verifier keys; the first one stays.
    pub verifiers: Vec<String>,
}

/// That an event is in the tree of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The event's place in the log, from 1.
    pub seq: u64,
    /// The size of the tree.
    pub size: u64,
    /// The hash of the event's leaf.
    pub leaf: LeafHash,
    /// The hashes from there to the root.
    pub hashes: Vec<LeafHash>,
    /// The newest checkpoint, where it is of this size.
    pub checkpoint: Option<String>,
}

/// That the tree of one size is the beginning of that of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The smaller size.
    pub from: u64,
    /// The larger size.
    pub to: u64,
    /// The hashes from the one root to the other.
    pub hashes: Vec<LeafHash>,
    /// The newest checkpoint, where it is of the larger size.
    pub checkpoint: Option<String>,
}

impl AuditQueries {
    /// The newest checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn checkpoint(&self, call: &Call, principal: &Principal) -> Result<AuditHead, Error> {
        let mut audit = AuditContext::new(&self.broker.ports, call, principal);
        let result = async {
            self.authorize(call, principal, &mut audit)?;
            Ok(AuditHead { tree: self.latest_head().await?, verifiers: self.ports.tree.verifiers() })
        };
        let result = result.await;
        self.record_read(&audit, result)
    }

    /// The proof that an event is in the tree of this size; none is the newest checkpoint's.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn inclusion(
        &self,
        call: &Call,
        principal: &Principal,
        id: EventId,
        size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let mut audit = AuditContext::new(&self.broker.ports, call, principal);
        let result = self.check_inclusion(call, principal, id, size, &mut audit).await;
        self.record_read(&audit, result)
    }

    /// The proof that the log only grew from one size to another; none is the newest checkpoint's.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn consistency(
        &self,
        call: &Call,
        principal: &Principal,
        from: u64,
        to: Option<u64>,
    ) -> Result<ConsistencyProof, Error> {
        let mut audit = AuditContext::new(&self.broker.ports, call, principal);
        let result = self.check_consistency(call, principal, from, to, &mut audit).await;
        self.record_read(&audit, result)
    }

    async fn check_inclusion(
        &self,
        call: &Call,
        principal: &Principal,
        id: EventId,
        size: Option<u64>,
        audit: &mut AuditContext,
    ) -> Result<InclusionProof, Error> {
        let access = self.authorize(call, principal, audit)?;
        let found = self.ports.log.find(id).await.map_err(Error::RecordUnavailable)?;
        let visible = |event: &StoredEvent| {
            access.tenant().is_none_or(|own| event.tenant.as_deref() == Some(own.as_str()))
        };
        let event = found.filter(visible).ok_or(ReadError::EventNotFound(id))?;
        let seq = event.seq;
        let mut newest = self.latest_head().await?;
        if size.is_none() && newest.size < seq {
            let grown = self.ports.tree.wait_for_size(seq.saturating_sub(1));
            let grown = tokio::time::timeout_at(call.deadline.into(), grown).await;
            grown.map_err(|_elapsed| ReadError::NotSignedYet)?;
            newest = self.latest_head().await?;
        }
        let size = size.unwrap_or(newest.size);
        if size > newest.size || size < seq {
            let problem = format!(
                "is no size of a tree that holds this event: {seq} to {} is expected, or 0 for the newest",
                newest.size
            );
            return Err(Error::Invalid { field: "tree_size", problem });
        }
        let hashes = self.ports.tree.inclusion(seq, size).await.map_err(Error::RecordUnavailable)?;
        let leaf = self.ports.tree.leaf(event.body.as_bytes());
        let checkpoint = (size == newest.size).then_some(newest.note);
        Ok(InclusionProof { seq, size, leaf, hashes, checkpoint })
    }

    async fn check_consistency(
        &self,
        call: &Call,
        principal: &Principal,
        from: u64,
        to: Option<u64>,
        audit: &mut AuditContext,
    ) -> Result<ConsistencyProof, Error> {
        self.authorize(call, principal, audit)?;
        let newest = self.latest_head().await?;
        let to = to.unwrap_or(newest.size);
        if to > newest.size {
            let problem = format!("is no size of a tree yet: at most {} is expected", newest.size);
            return Err(Error::Invalid { field: "new_tree_size", problem });
        }
        if from > to {
            let problem = format!("is larger than the new size, which is {to}");
            return Err(Error::Invalid { field: "old_tree_size", problem });
        }
        let hashes = self.ports.tree.consistency(from, to).await.map_err(Error::RecordUnavailable)?;
        let checkpoint = (to == newest.size).then_some(newest.note);
        Ok(ConsistencyProof { from, to, hashes, checkpoint })
    }

    async fn latest_head(&self) -> Result<SignedTree, Error> {
        self.ports.tree.newest().await.map_err(Error::RecordUnavailable)
    }

    fn record_read<T>(&self, audit: &AuditContext, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => audit.read(&self.broker.ports),
            Err(error) => audit.record_refusal(&self.broker.ports, error),
        }
        result
    }
}
