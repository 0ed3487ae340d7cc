//! Why somebody may or may not do something, and who can read an object: answers for the operator.
//!
//! ```text
//!   strongroom explain, who-can-decrypt
//!            |
//!        Explainer ---- asks as each principal ----> S3, KeyService   (the real ones, on the same rows)
//!            |                                             |
//!         reports  <------ what was decided, why ------ Witness (decides as the server's authorizer)
//! ```
//!
//! Nothing is decided here. The services are asked as a request would ask them, up to the point where
//! they would open a key or a body, and a [`Witness`](strongroom_policy::Witness) keeps how they
//! decided: so an explanation is true of the server whatever the services take into account.
//!
//! It is **not** for the server's users: who may ask this learns of everybody.

mod ask;
mod candidates;
mod chains;
mod explainer;
mod halves;
mod report;
mod text;
mod words;

pub use ask::{PrincipalAsk, ResourceAsk};
pub use chains::{Assumer, who_can_decrypt};
pub use explainer::{ExplainAsk, ExplainError, Explainer, ExplainerPorts, ObjectAsk};
pub use report::{
    Answer, AssumersPage, ConditionLine, Explained, Finding, Half, Kind, LayerLine, NearMissLine,
    ObjectReport, Reader, ReadersPage, StatementLine, WhoCanDecrypt,
};
pub use text::{explained_text, readers_text};
