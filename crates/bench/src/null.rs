//! A bare hyper server: as little as can be done to receive or send so many bytes.

use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

const PIECE: usize = 256 << 10;

/// Serves until killed: PUT drains its body, `GET /N` sends N bytes.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        println!("strongroom: ready http={address} https={address}");
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let service = hyper::service::service_fn(answer);
                let builder = auto::Builder::new(TokioExecutor::new());
                // A client that goes away is no news.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    if request.method() == Method::PUT {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            drop(frame?);
        }
        return Ok(Response::new(Full::new(Bytes::new()).boxed()));
    }
    let length: usize = request
        .uri()
        .path()
        .trim_start_matches('/')
        .parse()
        .unwrap_or(0);
    let piece = Bytes::from(vec![7_u8; PIECE.min(length)]);
    if length <= PIECE {
        return Ok(Response::new(Full::new(piece).boxed()));
    }
    let pieces = (0..length.div_ceil(PIECE)).map(move |index| {
        let size = PIECE.min(length - index * PIECE);
        Ok::<_, Infallible>(Frame::data(piece.slice(..size)))
    });
    let body = StreamBody::new(tokio_stream_iter(pieces));
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(
        hyper::header::CONTENT_LENGTH,
        hyper::header::HeaderValue::from(length),
    );
    Ok(response)
}

fn tokio_stream_iter<I>(iterator: I) -> impl futures_core::Stream<Item = I::Item> + Send + Sync
where
    I: Iterator + Send + Sync + Unpin,
{
    Pieces(iterator)
}

struct Pieces<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Pieces<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
