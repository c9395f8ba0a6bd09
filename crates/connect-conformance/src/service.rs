//! The `ConformanceService` of the suite.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use connect_conformance::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse, ConformancePayload,
    IdempotentUnaryRequest, ServerStreamRequest, StreamResponseDefinition, UnaryRequest, UnaryResponse,
    UnaryResponseDefinition, unary_response_definition,
};
use http::{Request, Response};
use tokio::time::sleep;
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    call::{Seen, status},
    exchange::{Messages, Sender},
};

/// Answers each call as the suite requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conformance;

type Answer = Result<Response<Body>, Status>;

impl Service<Request<Body>> for Conformance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async {
            let (parts, body) = request.into_parts();
            let (seen, messages) = (Seen::of(&parts.headers), Messages::new(body));
            let method = parts.uri.path().strip_prefix("/connectrpc.conformance.v1.ConformanceService/");
            let answer = match method {
                Some("Unary") => unary(seen, messages).await,
                Some("IdempotentUnary") => idempotent_unary(seen, messages).await,
                Some("ServerStream") => server_stream(seen, messages).await,
                Some("ClientStream") => client_stream(seen, messages).await,
                Some("BidiStream") => bidi_stream(seen, messages).await,
                Some(_) | None => Err(Status::unimplemented("the service has no such method")),
            };
            Ok(answer.unwrap_or_else(Status::into_http))
        })
    }
}

async fn unary(mut seen: Seen, mut messages: Messages) -> Answer {
    let request: UnaryRequest = messages.only().await?;
    seen.add("UnaryRequest", &request);
    Ok(one(seen, request.response_definition, |payload| UnaryResponse { payload }).await)
}

async fn idempotent_unary(mut seen: Seen, mut messages: Messages) -> Answer {
    let request: IdempotentUnaryRequest = messages.only().await?;
    seen.add("IdempotentUnaryRequest", &request);
    Ok(one(seen, request.response_definition, |payload| UnaryResponse { payload }).await)
}

async fn client_stream(mut seen: Seen, mut messages: Messages) -> Answer {
    let requests: Vec<ClientStreamRequest> = messages.all().await?;
    for request in &requests {
        seen.add("ClientStreamRequest", request);
    }
    let definition = requests.into_iter().next().and_then(|first| first.response_definition);
    Ok(one(seen, definition, |payload| ClientStreamResponse { payload }).await)
}

/// A response of one message or an error.
async fn one<T: prost::Message + 'static>(
    seen: Seen,
    definition: Option<UnaryResponseDefinition>,
    message: impl FnOnce(Option<ConformancePayload>) -> T,
) -> Response<Body> {
    let definition = definition.unwrap_or_default();
    sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
    let (response, sender) = Sender::response(&definition.response_headers);
    let (message, status) = match definition.response {
        Some(unary_response_definition::Response::Error(error)) => (None, seen.status(error)),
        Some(unary_response_definition::Response::ResponseData(data)) => {
            (Some(message(Some(seen.payload(data)))), Status::ok(""))
        }
        None => (Some(message(Some(seen.payload(Vec::new())))), Status::ok("")),
    };
    let trailers = definition.response_trailers;
    tokio::spawn(async move {
        if let Some(message) = message {
            sender.send(&message).await;
        }
        sender.end(&trailers, &status).await;
    });
    response
}

async fn server_stream(mut seen: Seen, mut messages: Messages) -> Answer {
    let request: ServerStreamRequest = messages.only().await?;
    seen.add("ServerStreamRequest", &request);
    Ok(many(seen, request.response_definition))
}

/// A response of messages, and at the end an error or not.
fn many(seen: Seen, definition: Option<StreamResponseDefinition>) -> Response<Body> {
    let definition = definition.unwrap_or_default();
    let (response, sender) = Sender::response(&definition.response_headers);
    tokio::spawn(async move {
        let mut seen = Some(seen);
        for data in definition.response_data {
            sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
            let payload = match seen.take() {
                Some(seen) => seen.payload(data),
                None => ConformancePayload { data, request_info: None },
            };
            sender.send(&BidiStreamResponse { payload: Some(payload) }).await;
        }
        let status = match (definition.error, seen) {
            (Some(error), Some(seen)) => seen.status(error),
            (Some(error), None) => status(error, Vec::new()),
            (None, _) => Status::ok(""),
        };
        sender.end(&definition.response_trailers, &status).await;
    });
    response
}

async fn bidi_stream(mut seen: Seen, mut messages: Messages) -> Answer {
    let Some(first) = messages.next::<BidiStreamRequest>().await? else { return Ok(many(seen, None)) };
    seen.add("BidiStreamRequest", &first);
    let definition = first.response_definition;
    if first.full_duplex {
        return Ok(full_duplex(seen, messages, definition.unwrap_or_default()));
    }
    let rest: Vec<BidiStreamRequest> = messages.all().await?;
    for request in &rest {
        seen.add("BidiStreamRequest", request);
    }
    Ok(many(seen, definition))
}

/// One response for each request, and the rest of the responses when the requests end.
fn full_duplex(
    mut seen: Seen,
    mut messages: Messages,
    definition: StreamResponseDefinition,
) -> Response<Body> {
    let (response, sender) = Sender::response(&definition.response_headers);
    let mut data = definition.response_data.into_iter();
    let mut error = definition.error;
    tokio::spawn(async move {
        let (mut has_request, mut has_answered) = (true, false);
        let status = loop {
            let Some(data) = data.next() else {
                break match error.take() {
                    Some(error) if has_answered => status(error, Vec::new()),
                    Some(error) => seen.status(error),
                    None => Status::ok(""),
                };
            };
            sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
            let request_info = has_request.then(|| seen.take());
            sender
                .send(&BidiStreamResponse { payload: Some(ConformancePayload { data, request_info }) })
                .await;
            has_answered = true;
            match messages.next::<BidiStreamRequest>().await {
                Ok(Some(request)) => seen.add("BidiStreamRequest", &request),
                Ok(None) => has_request = false,
                Err(status) => break status,
            }
        };
        sender.end(&definition.response_trailers, &status).await;
    });
    response
}
