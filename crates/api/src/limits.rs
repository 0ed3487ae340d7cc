//! Every limit of the edge, with its unit and source.

use std::time::Duration;

/// How far a request's time may be from ours (SigV4: 15 minutes).
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(15);
/// Longest validity of a presigned URL, in seconds (S3: seven days).
pub const PRESIGNED_EXPIRES_MAX_SECONDS: u64 = 604_800;
/// Signing keys kept ready (ours). One is in use per access key, day and service.
pub const SIGNING_KEYS_CACHED_MAX: usize = 4096;
/// Headers that one signature may cover (ours; equals the headers of a request).
pub const SIGNED_HEADERS_MAX: usize = HTTP_HEADERS_MAX;
/// Parameters in one query string (ours; S3 knows about 40 names).
pub const QUERY_PARAMETERS_MAX: usize = 256;

/// Longest line that starts a chunk: 16 hexadecimal digits of size, the extension
/// `;chunk-signature=` and 64 digits, with room for extensions that are ignored (ours), in bytes.
pub const CHUNK_HEADER_MAX_BYTES: usize = 256;
/// Largest chunk, in bytes (ours: the largest single PUT, since SDKs may send a body as one chunk).
pub const CHUNK_MAX_BYTES: u64 = 5 << 30;
/// Smallest chunk but the last of a *signed* body, in bytes (S3: 8 KiB).
pub const CHUNK_SIGNED_MIN_BYTES: u64 = 8 << 10;
/// All trailers of a body together, in bytes (ours).
pub const TRAILERS_MAX_BYTES: usize = 4 << 10;
/// Trailers of one body (ours; S3 takes one checksum).
pub const TRAILERS_MAX: usize = 8;

/// All fields of a POST form in front of the file, in bytes (S3: 20 KB).
pub const FORM_FIELDS_MAX_BYTES: usize = 20 << 10;
/// Fields of a POST form in front of the file (ours).
pub const FORM_FIELDS_MAX: usize = 100;
/// The headers of one part of a POST form, in bytes (ours).
pub const FORM_PART_HEADER_MAX_BYTES: usize = 4 << 10;
/// Longest multipart boundary, in bytes (RFC 2046, 5.1.1: 70).
pub const FORM_BOUNDARY_MAX_BYTES: usize = 70;
/// Conditions in a POST policy (ours).
pub const POST_POLICY_CONDITIONS_MAX: usize = 200;

/// Elements nested into each other in a request document (ours; S3's deepest is 6).
pub const XML_DEPTH_MAX: usize = 16;
/// Elements in one request document (ours: 10,000 parts of 8 elements each, with room).
pub const XML_ELEMENTS_MAX: usize = 120_000;
/// Largest request document, in bytes (S3: 1 MB for Complete and DeleteObjects; ours doubles it,
/// since 10,000 parts with checksums are larger).
pub const XML_DOCUMENT_MAX_BYTES: usize = 2 << 20;

/// Largest request document of somebody who does not say who he is, in bytes (ours).
pub const ANONYMOUS_DOCUMENT_MAX_BYTES: usize = 64 << 10;

/// Largest request of a JSON service, in bytes (ours; read before authentication, so it is small:
/// twice the longest key policy that the shape of KMS allows).
pub const JSON_DOCUMENT_MAX_BYTES: usize = 256 << 10;

/// The head of an HTTP/1 request, in bytes (S3: 8 KB of headers; a query may be as long again).
pub const HTTP_HEAD_MAX_BYTES: usize = 32 << 10;
/// Headers of one request (ours).
pub const HTTP_HEADERS_MAX: usize = 100;
/// How long the head of a request may take to arrive, the wait for its first byte on a kept-alive
/// HTTP/1 connection included (ours).
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take (ours).
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/2 connection may be without a request (ours; above the 60 s of common load
/// balancers, so that they close first).
pub const HTTP_IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How much of a body, and for how long, is still read that an answer did not need, so that the
/// connection can be used again. Beyond that it is closed (ours).
pub const UNREAD_BODY_MAX_BYTES: u64 = 64 << 10;
/// See [`UNREAD_BODY_MAX_BYTES`].
pub const UNREAD_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a request body may give no byte at all (ours).
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// The window over which a body's rate is judged (ours).
pub const BODY_RATE_WINDOW: Duration = Duration::from_secs(30);
/// The least that a body must bring within one window, in bytes (ours: 1 KiB/s).
pub const BODY_RATE_MIN_BYTES: u64 = 30 << 10;
/// How long a peer may take none of the bytes that we send, or on HTTP/2 leave no room for the next
/// piece of an answer (ours).
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// Connections at a time (ours). One peer has at most as many of them as it leaves free.
pub const CONNECTIONS_MAX: usize = 4096;
/// How many times the free connections a peer on this host may have (ours: 7 of 8 in all). It may be
/// a proxy that stands for everybody, and the rest lets its operator in beside it.
pub const CONNECTIONS_LOOPBACK_SHARE: usize = 7;
/// Streams of one HTTP/2 connection at a time (ours).
pub const HTTP2_STREAMS_MAX: u32 = 64;
/// Header list of one HTTP/2 request, in bytes (ours, as for HTTP/1).
pub const HTTP2_HEADER_LIST_MAX_BYTES: u32 = 32 << 10;
/// Streams that an HTTP/2 peer opened and reset before we looked at them (CVE-2023-44487).
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Receive window of one HTTP/2 stream, in bytes (ours): the bound of its buffered body.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Receive window of one HTTP/2 connection, in bytes (ours).
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes that HTTP/2 buffers for sending on one stream (ours).
pub const HTTP2_SEND_BUFFER_BYTES: usize = 256 << 10;
/// Read and write buffer of one HTTP/1 connection, in bytes (ours).
pub const HTTP1_BUFFER_BYTES: usize = 128 << 10;
/// How long requests may run on after the first signal to stop (ours).
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// How often certificate files are looked at for a change (ours).
pub const TLS_FILES_POLL: Duration = Duration::from_secs(5);
/// Largest certificate or key file, in bytes (ours).
pub const TLS_FILE_MAX_BYTES: u64 = 1 << 20;
