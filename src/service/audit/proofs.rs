//! The newest checkpoint, and proofs that an event is in the log and that the log only grew. They contain
//! only hashes of other tenants' events.

use super::{
    error::ReadError,
    query::{AuditQueries, authorize},
};
use crate::{
    domain::audit::EventId,
    ports::{LeafHash, SignedTree, StoredEvent},
    service::{
        context::Context,
        error::{Error, RequestError},
    },
};

/// The newest checkpoint, and the keys that verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// The checkpoint.
    pub tree: SignedTree,
    /// The verifier keys. The first one never changes.
    pub verifiers: Vec<String>,
}

/// The proof that an event is in the tree of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The event's position in the log, from 1.
    pub seq: u64,
    /// The size of the tree.
    pub size: u64,
    /// The hash of the event's leaf.
    pub leaf: LeafHash,
    /// The hashes from the leaf to the root.
    pub hashes: Vec<LeafHash>,
    /// The newest checkpoint, if it has this size.
    pub checkpoint: Option<String>,
}

/// The proof that the tree of one size is the beginning of the tree of a larger size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The smaller size.
    pub from: u64,
    /// The larger size.
    pub to: u64,
    /// The hashes that connect the two roots.
    pub hashes: Vec<LeafHash>,
    /// The newest checkpoint, if it has the larger size.
    pub checkpoint: Option<String>,
}

impl AuditQueries {
    /// Returns the newest checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read the audit log, or if the store cannot be read.
    pub async fn checkpoint(&self, mut cx: Context) -> Result<AuditHead, Error> {
        let result = match authorize(&mut cx) {
            Ok(_access) => self.latest_head(&cx).await,
            Err(error) => Err(error),
        };
        let tree = cx.record_read(result)?;
        Ok(AuditHead { tree, verifiers: self.ports.tree.verifiers() })
    }

    /// Proves that an event is in the tree of this size. `None` means the size of the newest checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read the event, no checkpoint covers it yet, or the size is invalid.
    pub async fn inclusion(
        &self,
        mut cx: Context,
        id: EventId,
        size: Option<u64>,
    ) -> Result<InclusionProof, Error> {
        let result = self.prove_inclusion(&mut cx, id, size).await;
        cx.record_read(result)
    }

    /// Proves that the log only grew from one size to another. `None` means the newest checkpoint's size.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not read the audit log, or if a size is invalid.
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
        let mut found = cx.in_turn(self.ports.log.find(id)).await?;
        if found.is_none() {
            found = self.find_archived(cx, id).await?;
        }
        let visible = |event: &StoredEvent| {
            access.tenant().is_none_or(|tenant| event.tenant.as_deref() == Some(tenant.as_str()))
        };
        let event = found.filter(visible).ok_or(ReadError::EventNotFound(id))?;
        let seq = event.seq;
        let mut newest = self.latest_head(cx).await?;
        if size.is_none() && newest.size < seq {
            let grown = self.ports.tree.wait_for_size(seq.saturating_sub(1));
            let grown = tokio::time::timeout_at(cx.call.deadline.into(), grown).await;
            grown.map_err(|_elapsed| ReadError::NotSignedYet)?;
            newest = self.latest_head(cx).await?;
        }
        let size = size.unwrap_or(newest.size);
        if size > newest.size || size < seq {
            let problem = format!(
                "is not the size of a tree that contains this event: use {seq} to {}, or 0 for the newest",
                newest.size
            );
            return Err(Error::Request(RequestError::Invalid { field: "tree_size", problem }));
        }
        let hashes = cx.in_turn(self.ports.tree.inclusion(seq, size)).await?;
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
        let newest = self.latest_head(cx).await?;
        let to = to.unwrap_or(newest.size);
        if to > newest.size {
            let problem = format!("is larger than the newest tree: use at most {}", newest.size);
            return Err(Error::Request(RequestError::Invalid { field: "new_tree_size", problem }));
        }
        if from > to {
            let problem = format!("is larger than the new size: use at most {to}");
            return Err(Error::Request(RequestError::Invalid { field: "old_tree_size", problem }));
        }
        let hashes = cx.in_turn(self.ports.tree.consistency(from, to)).await?;
        let checkpoint = (to == newest.size).then_some(newest.note);
        Ok(ConsistencyProof { from, to, hashes, checkpoint })
    }

    async fn latest_head(&self, cx: &Context) -> Result<SignedTree, Error> {
        cx.in_turn(self.ports.tree.newest()).await
    }
}

#[cfg(test)]
mod tests;
