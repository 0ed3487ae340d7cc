//! The HTTP shell: listeners, TLS, connection limits, timeouts, and an orderly end.
//!
//! It knows nothing of S3. What it hands to the [`Handler`] is a parsed head, a body that
//! fails when its sender stalls, and a [`ConnectionInfo`]; what it takes back is a response whose
//! failing body breaks the connection instead of ending it cleanly.
//!
//! ```text
//!   accept -> Seats -> [TLS] -> GuardedIo (write stalls, lingering close) -> hyper -> Handler
//!                                            HTTP/2: StreamExecutor (stream stalls)
//! ```

mod body;
mod io;
mod management;
mod seats;
mod serve;
mod shutdown;
mod streams;
mod tls;

pub use body::{BodyError, RequestBody};
pub use management::{ManagementRoutes, MetricsAudience};
pub use serve::{BoxError, ConnectionInfo, Handler, Server, ServerError, ServerOptions};
pub use shutdown::{Shutdown, ShutdownSwitch};
pub use tls::{TlsError, TlsFiles, TlsReloader};
