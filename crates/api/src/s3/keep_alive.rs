//! Answers that take long: 200 and white space first, the result when it is there.
//!
//! Clients and proxies give up on a silent connection. S3 therefore begins the answer to a long
//! Complete or Copy before it knows how it ends, and puts an `<Error>` into the 200 if it must
//! (API reference, CompleteMultipartUpload).
//!
//! Once an answer has begun, the operation goes on and is recorded whether anybody waits for its end
//! or not.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::{HeaderMap, Response};
use strongroom_s3::{ReadError, S3Error};
use tokio::task::JoinHandle;

use super::route::Reply;
use super::{ResponseBody, reply};
use crate::error::{ErrorPlace, Failure, error_document};
use crate::recording::LateRecord;

/// What every document starts with; the first line of a begun answer.
const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// When an answer begins before its end is known.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// How long an operation may take before its answer begins.
    pub after: Duration,
    /// How often white space is sent from then on.
    pub every: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(5),
            every: Duration::from_secs(10),
        }
    }
}

/// How an operation ended well.
pub(crate) struct Finished {
    /// Headers; lost where the answer has begun already, as with S3.
    pub(crate) headers: HeaderMap,
    /// The document, with its declaration.
    pub(crate) document: Bytes,
}

/// Answers with what `work` gives, however long it takes. `record` is told how it ended, if the answer
/// had to begin before.
pub(crate) async fn answer(
    work: impl Future<Output = Result<Finished, Failure>> + Send + 'static,
    timing: KeepAlive,
    place: ErrorPlace,
    record: Option<Arc<LateRecord>>,
) -> Reply {
    let mut work: Work = Box::pin(work);
    match tokio::time::timeout(timing.after, &mut work).await {
        Ok(outcome) => {
            let Finished { headers, document } = outcome?;
            let mut response = reply::document(document);
            response.headers_mut().extend(headers);
            Ok(response)
        }
        Err(_elapsed) => {
            if let Some(record) = &record {
                record.begin();
            }
            let work = tokio::spawn(end(work, place.clone(), record));
            let stream = unfold(State::Begin(work), move |state| {
                next(state, timing.every, place.clone())
            });
            let mut response = Response::new(ResponseBody::unsized_stream(stream));
            reply::set(response.headers_mut(), "content-type", "application/xml");
            Ok(response)
        }
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Finished, Failure>> + Send>>;

/// The document that ends an answer that has begun, when what it tells is recorded.
async fn end(work: Work, place: ErrorPlace, record: Option<Arc<LateRecord>>) -> Bytes {
    let mut outcome = work.await;
    if let Some(record) = record {
        let ended = outcome.as_ref().map(|finished| &finished.headers);
        if record.end(ended).await.is_err() {
            outcome = Err(S3Error::Damaged.into());
        }
    }
    match outcome {
        Ok(finished) => finished.document,
        Err(failure) => error_document(&failure, &place),
    }
}

enum State {
    Begin(JoinHandle<Bytes>),
    Working(JoinHandle<Bytes>),
    End,
}

async fn next(
    state: State,
    every: Duration,
    place: ErrorPlace,
) -> Option<(Result<Bytes, ReadError>, State)> {
    let mut work = match state {
        State::Begin(work) => {
            return Some((Ok(Bytes::from_static(DECLARATION)), State::Working(work)));
        }
        State::Working(work) => work,
        State::End => return None,
    };
    let document = match tokio::time::timeout(every, &mut work).await {
        Ok(Ok(document)) => document,
        Ok(Err(error)) => {
            tracing::error!(panicked = error.is_panic(), "an operation did not finish");
            error_document(&S3Error::Unavailable.into(), &place)
        }
        Err(_elapsed) => return Some((Ok(Bytes::from_static(b" ")), State::Working(work))),
    };
    // The declaration has been sent already.
    let rest = match document.strip_prefix(DECLARATION) {
        Some(rest) => document.slice_ref(rest),
        None => document,
    };
    Some((Ok(rest), State::End))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const SLOW: KeepAlive = KeepAlive {
        after: Duration::ZERO,
        every: Duration::from_millis(1),
    };

    fn finished() -> Finished {
        let document =
            Bytes::from_static(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Done></Done>");
        Finished {
            headers: HeaderMap::new(),
            document,
        }
    }

    /// Answers to an operation that ends only after white space was sent.
    async fn slow(outcome: Result<Finished, Failure>) -> String {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            let _ = receiver.await;
            outcome
        };
        let response = answer(work, SLOW, ErrorPlace::default(), None)
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut text = Vec::new();
        let mut sender = Some(sender);
        while let Some(frame) = body.frame().await {
            let bytes = frame.unwrap().into_data().unwrap();
            if bytes.as_ref() == b" "
                && let Some(sender) = sender.take()
            {
                sender.send(()).unwrap();
            }
            text.extend_from_slice(&bytes);
        }
        assert!(sender.is_none());
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_slow_success_is_one_document_behind_white_space() {
        let text = slow(Ok(finished())).await;
        let rest = text
            .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n ")
            .unwrap();
        assert_eq!(rest.trim_start(), "<Done></Done>");
    }

    #[tokio::test]
    async fn a_slow_failure_is_an_error_inside_the_200() {
        let text = slow(Err(S3Error::InvalidPartOrder.into())).await;
        assert!(
            text.contains("<Error><Code>InvalidPartOrder</Code>"),
            "{text}"
        );
        assert_eq!(text.matches("<?xml").count(), 1);
    }

    #[tokio::test]
    async fn a_quick_answer_keeps_its_status_and_headers() {
        let mut done = finished();
        reply::set(&mut done.headers, "x-amz-version-id", "null");
        let pace = KeepAlive::default();
        let response = answer(async { Ok(done) }, pace, ErrorPlace::default(), None)
            .await
            .unwrap();
        assert_eq!(response.headers()["x-amz-version-id"], "null");
        let failed = answer(
            async { Err(S3Error::NoSuchUpload.into()) },
            pace,
            ErrorPlace::default(),
            None,
        );
        assert!(failed.await.is_err());
    }
}
