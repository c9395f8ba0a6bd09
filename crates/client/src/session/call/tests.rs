use std::{cell::RefCell, time::Duration};

use tonic::transport::Endpoint;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::connection::token::TokenSource;

/// A message with a request id.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Message {
    request_id: &'static str,
}

/// What reached the service: each message with its token.
type Received = RefCell<Vec<String>>;

fn session(token: TokenSource) -> Session {
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    Session { server: "http://127.0.0.1:1".into(), channel, token, timeout: Duration::from_secs(20) }
}

fn fixed() -> TokenSource {
    TokenSource::Fixed("token".parse().unwrap())
}

fn retry_after(delay: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    Status::with_error_details(Code::ResourceExhausted, "later", details)
}

fn receive(received: &Received, request: &Request<Message>) -> usize {
    let token = request.metadata().get("authorization").unwrap().to_str().unwrap();
    received.borrow_mut().push(format!("{} {token}", request.get_ref().request_id));
    received.borrow().len()
}

#[tokio::test(start_paused = true)]
async fn retries_wait_as_asked_and_send_the_same_request_id() {
    let (session, received, start) = (session(fixed()), Received::default(), Instant::now());
    let answered =
        session.call(Message { request_id: "one" }, async |_, request| match receive(&received, &request) {
            1 | 2 => Err(retry_after(Duration::from_secs(3))),
            _ => Ok(Response::new("done")),
        });
    assert_eq!(answered.await.unwrap(), "done");
    assert_eq!(received.into_inner(), ["one Bearer token"; 3]);
    assert_eq!(start.elapsed(), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_timeout_is_not_waited_for() {
    let (session, received, start) = (session(fixed()), Received::default(), Instant::now());
    let refused = session.call(Message { request_id: "one" }, async |_, request| {
        receive(&received, &request);
        Err::<Response<()>, _>(retry_after(Duration::from_secs(30)))
    });
    assert!(matches!(refused.await, Err(Failure::Refused(_))));
    assert_eq!((received.into_inner().len(), start.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_retry_info_is_final() {
    let (session, received) = (session(fixed()), Received::default());
    let refused = session.call(Message { request_id: "one" }, async |_, request| {
        receive(&received, &request);
        Err::<Response<()>, _>(Status::failed_precondition("no"))
    });
    assert!(matches!(refused.await, Err(Failure::Refused(_))));
    assert_eq!(received.into_inner().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_left_after_the_timeout() {
    let session = session(fixed());
    let start = Instant::now();
    let silent = session.call(Message { request_id: "one" }, async |_, _| {
        std::future::pending::<Result<Response<()>, Status>>().await
    });
    assert!(matches!(silent.await, Err(Failure::Timeout { .. })));
    assert_eq!(start.elapsed(), Duration::from_secs(20));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let folder = tempfile::tempdir().unwrap();
    let counter = folder.path().join("counter").display().to_string();
    // Each run prints one more character.
    let line = format!("printf x >> '{counter}'; cat '{counter}'");
    let (session, received) = (session(TokenSource::new(None, Some(&line)).unwrap()), Received::default());
    let refused = session.call(Message { request_id: "one" }, async |_, request| {
        receive(&received, &request);
        Err::<Response<()>, _>(Status::unauthenticated("expired"))
    });
    assert!(matches!(refused.await, Err(Failure::Refused(_))));
    assert_eq!(received.into_inner(), ["one Bearer x", "one Bearer xx"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_file_is_read_for_each_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let (session, received) = (session(TokenSource::File(file.clone())), Received::default());
    let answered = session.call(Message { request_id: "one" }, async |_, request| {
        if receive(&received, &request) == 1 {
            std::fs::write(&file, "second").unwrap();
            return Err(retry_after(Duration::from_secs(1)));
        }
        Ok(Response::new(()))
    });
    answered.await.unwrap();
    assert_eq!(received.into_inner(), ["one Bearer first", "one Bearer second"]);
}
