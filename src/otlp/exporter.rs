//! Exports the spans of this process. A collector that fails or hangs delays only the thread that sends batches: the queue
//! fills, and further spans are dropped and counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use opentelemetry::{Context, InstrumentationScope, KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    resource::TelemetryResourceDetector,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};
use tokio::{runtime::Handle, task::spawn_blocking};
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

use super::{
    client::{Client, ClientError, SendError},
    config::Config,
};
use crate::spans;

/// The largest number of spans that wait, the default of `OpenTelemetry`.
pub const MAX_QUEUE: usize = 2_048;
/// Spans that were not delivered.
const DROPPED: &str = "logkey_spans_dropped_total";
/// The version of the semantic conventions that the names of attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.36.0";

/// Exports the spans of this process.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
    client: Arc<ArcSwap<Client>>,
    resource: Resource,
    runtime: Handle,
}

/// A client that [`Exporter::replace`] uses from then on.
#[derive(Debug)]
pub struct PreparedClient(Client);

/// Puts ended spans into the queue of the SDK, and counts those that have no place in it, which the SDK does not show.
#[derive(Debug)]
struct BoundedQueue {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

/// Sends batches with the current client, and counts the spans that were not delivered.
#[derive(Debug)]
struct Delivery {
    client: Arc<ArcSwap<Client>>,
    waiting: Arc<AtomicUsize>,
    runtime: Handle,
    /// Whether the last batch was not delivered, so that an outage has one log line.
    is_failing: AtomicBool,
}

fn count_dropped(spans: usize) {
    metrics::counter!(DROPPED).increment(u64::try_from(spans).unwrap_or(u64::MAX));
}

fn resource(config: &Config) -> Resource {
    let attributes = config.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    // Without the SDK's detectors of variables: `config` reads the environment.
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes)
        .build()
}

// === impl Exporter ===

impl Exporter {
    /// Prepares the export, on the current runtime. It connects when the first spans come.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the connection cannot be prepared.
    pub fn start(config: Config) -> Result<Self, ClientError> {
        let (resource, sampler) = (resource(&config), config.sampling.sampler());
        let client = Arc::new(ArcSwap::from_pointee(Client::new(config, &resource)?));
        let (waiting, runtime) = (Arc::default(), Handle::current());
        let delivery = Delivery {
            client: Arc::clone(&client),
            waiting: Arc::clone(&waiting),
            runtime: runtime.clone(),
            is_failing: AtomicBool::new(false),
        };
        let config = BatchConfigBuilder::default().with_max_queue_size(MAX_QUEUE).build();
        let batches = BatchSpanProcessor::builder(delivery).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BoundedQueue { batches, waiting })
            .with_sampler(sampler)
            .with_resource(resource.clone())
            .build();
        Ok(Self { provider, client, resource, runtime })
    }

    /// The layer whose spans are exported.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let scope = InstrumentationScope::builder("logkey")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA)
            .build();
        spans::layer(self.provider.tracer_with_scope(scope))
    }

    /// Prepares the endpoint, the headers and the authorities of these settings.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the connection cannot be prepared.
    pub fn prepare(&self, config: Config) -> Result<PreparedClient, ClientError> {
        let _entered = self.runtime.enter();
        Client::new(config, &self.resource).map(PreparedClient)
    }

    /// Uses this client from now on.
    pub fn replace(&self, PreparedClient(client): PreparedClient) {
        self.client.store(Arc::new(client));
    }

    /// Sends what is in the queue, at most for this time. Later spans are dropped.
    pub async fn close(&self, limit: Duration) {
        let provider = self.provider.clone();
        let closed = spawn_blocking(move || provider.shutdown_with_timeout(limit)).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("the collector of traces does not respond: the last spans were not sent");
        }
    }
}

// === impl BoundedQueue ===

impl SpanProcessor for BoundedQueue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MAX_QUEUE {
            self.batches.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            count_dropped(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }
}

// === impl Delivery ===

impl Delivery {
    /// Logs the first failure of an outage, and its end.
    fn report(&self, result: &Result<(), SendError>) {
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !was_failing => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "spans cannot be exported; calls are not affected");
            }
            Ok(()) if was_failing => tracing::info!("spans are exported again"),
            Ok(()) | Err(_) => {}
        }
    }
}

impl SpanExporter for Delivery {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let client = self.client.load_full();
        // The clients need the runtime; this is a thread of the SDK.
        let sending = self.runtime.spawn(async move { client.send(batch).await });
        let Ok(result) = sending.await else {
            // The runtime has stopped.
            count_dropped(spans);
            return Err(OTelSdkError::AlreadyShutdown);
        };
        self.report(&result);
        result.map_err(|error| {
            count_dropped(spans);
            OTelSdkError::InternalFailure(error.to_string())
        })
    }
}
