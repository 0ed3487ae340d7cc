//! AWS JSON 1.1: what every service of that protocol does with a request.
//!
//! ```text
//!   size -> sigv4 -> target (the service's table) -> document -> shapes -> Input
//!                                                                            |
//!   client <- Writer, or {"__type", "message"} <------------------ the operation
//! ```
//!
//! The service gives a table of operations ([`Operation`]) whose members are described by shapes;
//! nothing here knows what an operation means. Bodies hold key material: they are wiped, and never
//! logged.
//!
//! Source: Smithy, "AWS JSON 1.1 protocol"; the error texts of AWS's services.

mod body;
mod edge;
mod error;
mod read;
mod shape;
mod slow;
mod write;

pub(crate) use body::{read as read_body, sha256};
pub(crate) use edge::{CONTENT_TYPE, JsonEdge, JsonService, Operation, Outcome, Run, unsupported};
#[cfg(test)]
pub(crate) use error::table as error_table;
pub(crate) use error::{ErrorAnswer, Failure, ProtocolError};
#[cfg(test)]
pub(crate) use read::read_input;
pub(crate) use read::{Datum, Input, read_document};
#[cfg(test)]
pub(crate) use shape::table as shape_table;
pub(crate) use shape::{Choice, Length, Member, Pattern, Shape, choice, optional, required};
pub(crate) use write::Writer;
