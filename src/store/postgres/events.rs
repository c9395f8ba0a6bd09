//! Appends events, as one of several processes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time;

use super::{
    database::Postgres,
    error::{timed_out, unavailable},
    write,
};
use crate::{
    domain::audit::EventId,
    ports::{AppendError, Batch, EventStore, Leadership, Unavailable},
};

/// The maximum wait for a commit. The server's own time limit is shorter.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

#[async_trait]
impl EventStore for Postgres {
    async fn append(&self, batch: Arc<Batch>) -> Result<Option<u64>, AppendError> {
        let mut writer = self.writer.lock().await;
        let Some(mut session) = writer.take() else {
            return Err(AppendError::NotWritten(unavailable("there is no connection")));
        };
        match time::timeout(APPEND_TIMEOUT, write::append(&mut session, &batch)).await {
            Ok(Ok(())) => {
                *writer = Some(session);
                // Other replicas append too, so the sequence numbers are known only after a read.
                Ok(None)
            }
            // This session is not used again. Recovery begins another one.
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(AppendError::Indeterminate(unavailable(timed_out()))),
        }
    }

    async fn recover(&self, doubtful: Option<EventId>) -> Result<bool, Unavailable> {
        self.begin(doubtful).await.map_err(unavailable)
    }
}

impl Leadership for Postgres {
    fn is_leader(&self) -> bool {
        self.leader.leads()
    }

    fn is_single_node(&self) -> bool {
        false
    }
}
