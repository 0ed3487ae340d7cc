//! Health and metrics, under a prefix that no bucket can have.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

use super::ConnectionInfo;

/// Everything of ours lives below this path: a bucket name holds no underscore.
const PREFIX: &str = "/_strongroom/";

/// Who may read the metrics, which tell sizes and rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAudience {
    /// Peers on this host.
    Loopback,
    /// Everyone who reaches the port.
    Everyone,
}

/// `/_strongroom/health/live`, `/_strongroom/health/ready` and `/_strongroom/metrics`.
#[derive(Clone)]
pub struct ManagementRoutes {
    /// Says why the server should get no requests now, in words for its operator.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Renders the metrics in Prometheus' text form.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Who may read them.
    pub metrics_audience: MetricsAudience,
}

impl ManagementRoutes {
    /// Answers a request below the prefix; `None` for every other path.
    pub fn answer(
        &self,
        method: &Method,
        path: &str,
        connection: &ConnectionInfo,
    ) -> Option<Response<Full<Bytes>>> {
        let route = path.strip_prefix(PREFIX)?;
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed\n".into(),
            );
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            return Some(response);
        }
        let may_read_metrics = match self.metrics_audience {
            MetricsAudience::Everyone => true,
            MetricsAudience::Loopback => connection.peer.ip().to_canonical().is_loopback(),
        };
        Some(match route {
            "health/live" => text(StatusCode::OK, "alive\n".into()),
            "health/ready" => match (self.ready)() {
                Ok(()) => text(StatusCode::OK, "ready\n".into()),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            },
            "metrics" if may_read_metrics => text(StatusCode::OK, (self.metrics)()),
            "metrics" => text(
                StatusCode::FORBIDDEN,
                "metrics are for this host only\n".into(),
            ),
            _ => text(StatusCode::NOT_FOUND, "not found\n".into()),
        })
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use strongroom_types::{BucketName, Transport};

    use super::*;

    fn status(path: &str, peer: &str, ready: Result<(), String>) -> Option<u16> {
        let routes = ManagementRoutes {
            ready: Arc::new(move || ready.clone()),
            metrics: Arc::new(|| "a 1\n".to_owned()),
            metrics_audience: MetricsAudience::Loopback,
        };
        let connection = ConnectionInfo {
            peer: peer.parse().unwrap(),
            local: "127.0.0.1:9000".parse().unwrap(),
            transport: Transport::Plain,
            cipher_suite: None,
        };
        routes
            .answer(&Method::GET, path, &connection)
            .map(|response| response.status().as_u16())
    }

    #[test]
    fn routes_answer_and_leave_the_rest_alone() {
        let near = "127.0.0.1:1";
        assert_eq!(status("/_strongroom/health/live", near, Ok(())), Some(200));
        assert_eq!(status("/_strongroom/health/ready", near, Ok(())), Some(200));
        assert_eq!(
            status("/_strongroom/health/ready", near, Err("sealed".into())),
            Some(503)
        );
        assert_eq!(status("/_strongroom/metrics", near, Ok(())), Some(200));
        assert_eq!(
            status("/_strongroom/metrics", "192.0.2.1:1", Ok(())),
            Some(403)
        );
        assert_eq!(status("/_strongroom/other", near, Ok(())), Some(404));
        assert_eq!(status("/bucket/key", near, Ok(())), None);
        assert!(BucketName::parse("_strongroom").is_err());
    }
}
