//! The newest checkpoint, and proofs: that an event is in the log, and that the log only grew. They
//! hold hashes and nothing else of other tenants.

use super::{
    error::ReadError,
    query::{AuditQueries, authorize},
};
use crate::{
    domain::audit::EventId,
    ports::{LeafHash, SignedTree, StoredEvent},
    service::{context::Context, error::Error},
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
    pub async fn checkpoint(&self, mut cx: Context) -> Result<AuditHead, Error> {
        let result = match authorize(&mut cx) {
            Ok(_access) => self.latest_head().await,
            Err(error) => Err(error),
        };
        let tree = cx.record_read(result)?;
        Ok(AuditHead { tree, verifiers: self.ports.tree.verifiers() })
    }

    /// The proof that an event is in the tree of this size; none is the newest checkpoint's.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn inclusion(
        &self,
        mut cx: Context,
        id: EventId,
        size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let result = self.prove_inclusion(&mut cx, id, size).await;
        cx.record_read(result)
    }

    /// The proof that the log only grew from one size to another; none is the newest checkpoint's.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn consistency(
        &self,
        mut cx: Context,
        from: u64,
        to: Option<u64>,
    ) -> Result<ConsistencyProof, Error> {
        let result = self.prove_consistency(&mut cx, from, to).await;
        cx.record_read(result)
    }

    async fn prove_inclusion(
        &self,
        cx: &mut Context,
        id: EventId,
        size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let access = authorize(cx)?;
        let found = self.ports.log.find(id).await.map_err(Error::RecordUnavailable)?;
        let visible = |event: &StoredEvent| {
            access.tenant().is_none_or(|own| event.tenant.as_deref() == Some(own.as_str()))
        };
        let event = found.filter(visible).ok_or(ReadError::EventNotFound(id))?;
        let seq = event.seq;
        let mut newest = self.latest_head().await?;
        if size.is_none() && newest.size < seq {
            let grown = self.ports.tree.wait_for_size(seq.saturating_sub(1));
            let grown = tokio::time::timeout_at(cx.call.deadline.into(), grown).await;
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

    async fn prove_consistency(
        &self,
        cx: &mut Context,
        from: u64,
        to: Option<u64>,
    ) -> Result<ConsistencyProof, Error> {
        authorize(cx)?;
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
}
