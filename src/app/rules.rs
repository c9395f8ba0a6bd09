//! Starts the evaluation of encryption rules: at its times, and by the events of the queue.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::service::App;
use crate::{
    aws::EventQueue,
    service::{EventConsumer, RuleScheduler},
};

/// The tasks that evaluate rules.
pub(super) struct RuleTasks {
    stopping: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

// === impl RuleTasks ===

impl RuleTasks {
    pub(super) async fn start(app: &App) -> Self {
        let stopping = CancellationToken::new();
        let scheduler = RuleScheduler::new(Arc::clone(&app.state), app.fleet.clone());
        let mut tasks = vec![tokio::spawn(scheduler.run(stopping.clone()))];
        if let Some(url) = app.settings.fleet.queue_url.clone() {
            // Boxed, because the future of the SDK's start is large.
            let queue = Box::pin(EventQueue::connect(&app.settings.aws, url)).await;
            let consumer = EventConsumer::new(Arc::clone(&app.state), app.fleet.clone(), Arc::new(queue));
            tasks.push(tokio::spawn(consumer.run(stopping.clone())));
        }
        Self { stopping, tasks }
    }

    /// Ends the tasks. An evaluation that is running begins again later.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(error = &error as &dyn std::error::Error, "the evaluation of rules failed");
            }
        }
    }
}
