//! Explanations for the owner of the server, who asks over the admin socket.

use strongroom_explain::{ExplainAsk, ExplainError, Explainer, ObjectAsk};

use crate::admin::{Answer, malformed, object_named};
use crate::failure::{Exit, Failure};

/// Principals of one page: other commands wait for its end.
const PAGE: usize = 200;

/// The server's side of `strongroom explain` and `who-can-decrypt`.
pub(super) struct Explaining(pub(super) Explainer);

impl Explaining {
    /// Why a principal may or may not do something.
    ///
    /// # Errors
    ///
    /// With what to do about it.
    pub(super) fn explain(
        &self,
        action: String,
        (principal, resource): (&str, &str),
        context: Vec<(String, String)>,
        via: Option<String>,
    ) -> Result<Answer, Failure> {
        let ask = ExplainAsk {
            action,
            principal: principal.parse().map_err(|_| malformed())?,
            resource: resource.parse().map_err(|_| malformed())?,
            context,
            via,
        };
        let explained = self.0.explain(&ask).map_err(|error| failure(&error))?;
        Ok(Answer::Explained {
            explained: Box::new(explained),
        })
    }

    /// What the next principals can do to an object.
    ///
    /// # Errors
    ///
    /// With what to do about it.
    pub(super) fn readers(
        &self,
        object: (&str, &str, Option<&str>),
        from: Option<&str>,
    ) -> Result<Answer, Failure> {
        let (bucket, key, version) = object_named(object)?;
        let ask = ObjectAsk {
            bucket,
            key,
            version,
        };
        let page = self.0.readers(&ask, from, PAGE);
        Ok(Answer::Readers(Box::new(
            page.map_err(|error| failure(&error))?,
        )))
    }

    /// Who of the next principals can assume a role.
    ///
    /// # Errors
    ///
    /// With what to do about it.
    pub(super) fn assumers(&self, role: &str, from: Option<&str>) -> Result<Answer, Failure> {
        let page = self.0.assumers(role, from, PAGE);
        Ok(Answer::Assumers(Box::new(
            page.map_err(|error| failure(&error))?,
        )))
    }
}

fn failure(error: &ExplainError) -> Failure {
    let remedy = match error {
        ExplainError::NotFound(_) => {
            "see what there is: aws iam list-users, aws iam list-roles, aws s3 ls, aws kms list-keys"
        }
        ExplainError::Invalid(_) => "see strongroom explain --help",
        ExplainError::Unavailable(_) | _ => "look at the server's log",
    };
    Failure::new(Exit::General, error.to_string(), remedy)
}
