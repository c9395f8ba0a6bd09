//! Shares the reads of the store. One tenant has one read at a time, and all tenants together a few, so that each
//! tenant waits for at most one read of every other. Reads that can be long, of the audit log, the record of
//! keys, jobs and coverage, have other turns than those that are short.

use std::time::Instant;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout_at,
};

use super::keyed_mutex::{KeyGuard, KeyedMutex};
use crate::{
    domain::tenant::TenantId,
    service::error::{AwsCallError, Error},
};

/// The maximum number of such reads at the same time. It keeps the store free for changes.
const MAX_CONCURRENT: usize = 2;

/// The turns of the tenants.
#[derive(Debug)]
pub(in crate::service) struct FairReads {
    tenants: KeyedMutex<TenantId>,
    reads: Semaphore,
}

/// Permission for one read. Its drop lets the next one begin.
#[derive(Debug)]
pub(in crate::service) struct ReadTurn<'r> {
    _tenant: KeyGuard,
    _read: SemaphorePermit<'r>,
}

// === impl FairReads ===

impl FairReads {
    /// Waits until the tenant may read, at most until `deadline`.
    pub(in crate::service) async fn begin(
        &self,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<ReadTurn<'_>, Error> {
        let late = || Error::Aws(AwsCallError::DeadlineBeforeAws);
        let own = self.tenants.lock(tenant, deadline).await.ok_or_else(late)?;
        let read = timeout_at(deadline.into(), self.reads.acquire()).await.ok().and_then(Result::ok);
        Ok(ReadTurn { _tenant: own, _read: read.ok_or_else(late)? })
    }
}

impl Default for FairReads {
    fn default() -> Self {
        Self { tenants: KeyedMutex::default(), reads: Semaphore::new(MAX_CONCURRENT) }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_tenant_with_many_reads_does_not_delay_another() {
        let reads = Arc::new(FairReads::default());
        let deadline = (tokio::time::Instant::now() + Duration::from_mins(1)).into_std();
        let read = |id: &'static str| {
            let reads = Arc::clone(&reads);
            async move {
                let asked = tokio::time::Instant::now();
                let turn = reads.begin(&id.parse().unwrap(), deadline).await;
                let waited = asked.elapsed();
                if turn.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                waited
            }
        };
        let greedy = join_all((0..100).map(|_| read("greedy")));
        let quiet = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let first = read("quiet").await;
            first.max(read("quiet").await)
        };
        let (_greedy, waited) = tokio::join!(greedy, quiet);
        assert!(waited <= Duration::from_millis(100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_gets_no_turn_before_its_deadline_fails() {
        let reads = FairReads::default();
        let tenant: TenantId = "a".parse().unwrap();
        let deadline = (tokio::time::Instant::now() + Duration::from_secs(1)).into_std();
        let _turn = reads.begin(&tenant, deadline).await.unwrap();
        assert!(reads.begin(&tenant, deadline).await.is_err());
    }
}
