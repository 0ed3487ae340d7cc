//! Policy documents as identities hold them: the text as it came, and what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder};
use strongroom_policy::{
    ActionElement, DocumentError, Policy, PolicyDocument, ResourceElement, Statement,
};

use crate::IamError;
use crate::limits::{DOCUMENT_SENT_MAX, DOCUMENT_STORED_MAX_BYTES};

/// A policy document: stored as its text, and parsed once. A stored text that is no policy does not
/// decode, so that damage is never taken for the absence of a policy.
#[derive(Clone)]
pub struct Document {
    text: Arc<str>,
    parsed: Arc<PolicyDocument>,
    compiled: Arc<Policy>,
}

/// Where a document is to be used. Each place has rules of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DocumentKind {
    /// A managed or inline policy of a user, group or role, or a session policy.
    Identity,
    /// Who may assume a role.
    Trust,
}

impl Document {
    /// Takes a document into use.
    ///
    /// # Errors
    ///
    /// [`IamError::MalformedPolicyDocument`] with IAM's texts; [`IamError::LimitExceeded`].
    pub fn parse(text: &str, kind: DocumentKind) -> Result<Self, IamError> {
        let malformed = |text: &str| Err(IamError::MalformedPolicyDocument(text.to_owned()));
        if text.is_empty() || text.chars().count() > DOCUMENT_SENT_MAX {
            return Err(IamError::constraint(
                "***",
                "policyDocument",
                "have length between 1 and 131072",
            ));
        }
        // [\u0009\u000A\u000D\u0020-\u00FF]+
        let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{ff}');
        if !text.chars().all(is_allowed) {
            return Err(IamError::constraint(
                "***",
                "policyDocument",
                "satisfy regular expression pattern: [\\u0009\\u000A\\u000D\\u0020-\\u00FF]+",
            ));
        }
        if text.len() > DOCUMENT_STORED_MAX_BYTES {
            return Err(IamError::LimitExceeded(format!(
                "Cannot exceed quota for policy documents with white space: {DOCUMENT_STORED_MAX_BYTES} bytes"
            )));
        }
        let parsed = match PolicyDocument::parse(text) {
            Ok(parsed) => parsed,
            Err(DocumentError::Json) => return malformed("This policy contains invalid Json"),
            Err(DocumentError::TooLarge) => {
                return Err(IamError::LimitExceeded(
                    "Cannot exceed quota for PolicySize".to_owned(),
                ));
            }
            Err(
                DocumentError::Element(_)
                | DocumentError::UnknownElement
                | DocumentError::Both(_)
                | _,
            ) => return malformed("Syntax errors in policy."),
        };
        let mut sids = BTreeSet::new();
        for statement in &parsed.statements {
            if let Some(sid) = statement.sid.as_deref().filter(|sid| !sid.is_empty()) {
                if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return malformed(
                        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
                    );
                }
                if !sids.insert(sid) {
                    return malformed("Statement IDs (SID) in a single policy must be unique.");
                }
            }
            let wrong = match kind {
                DocumentKind::Identity => identity_fault(statement),
                DocumentKind::Trust => trust_fault(statement),
            };
            if let Some(wrong) = wrong {
                return malformed(wrong);
            }
        }
        Ok(Self::of(text, parsed))
    }

    fn of(text: &str, parsed: PolicyDocument) -> Self {
        Self {
            text: text.into(),
            compiled: Arc::new(Policy::compile(&parsed)),
            parsed: Arc::new(parsed),
        }
    }

    /// The text, as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub fn parsed(&self) -> &Arc<PolicyDocument> {
        &self.parsed
    }

    /// The same, ready for decisions.
    pub fn compiled(&self) -> &Arc<Policy> {
        &self.compiled
    }

    /// Its length as quotas count it: without white space, in characters.
    pub fn counted_len(&self) -> usize {
        self.text.chars().filter(|c| !c.is_whitespace()).count()
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes)", self.text.len())
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Document {}

impl<C> Encode<C> for Document {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.str(&self.text).map(|_| ())
    }
}

impl<'b, C> Decode<'b, C> for Document {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let text = decoder.str()?;
        let parsed = PolicyDocument::parse(text)
            .map_err(|_| minicbor::decode::Error::message("not a policy"))?;
        Ok(Self::of(text, parsed))
    }
}

fn identity_fault(statement: &Statement) -> Option<&'static str> {
    if statement.principal.is_some() {
        return Some("Policy document should not specify a principal.");
    }
    if statement.action.is_none() {
        return Some("Policy statement must contain actions.");
    }
    let Some(ResourceElement::Is(patterns) | ResourceElement::IsNot(patterns)) =
        &statement.resource
    else {
        return Some("Policy statement must contain resources.");
    };
    let well_formed = |pattern: &String| {
        pattern == "*" || (pattern.starts_with("arn:") && pattern.split(':').count() >= 6)
            // A variable may stand for more than one field.
            || pattern.starts_with("${")
    };
    (!patterns.iter().all(well_formed)).then_some("Resource must be in ARN format or \"*\".")
}

fn trust_fault(statement: &Statement) -> Option<&'static str> {
    if statement.resource.is_some() {
        return Some("Has prohibited field Resource");
    }
    if statement.principal.is_none() {
        return Some("Missing required field Principal");
    }
    let Some(ActionElement::Is(actions) | ActionElement::IsNot(actions)) = &statement.action else {
        return Some("Missing required field Action");
    };
    let is_sts = |action: &String| {
        action == "*"
            || action
                .get(..4)
                .is_some_and(|service| service.eq_ignore_ascii_case("sts:"))
    };
    (!actions.iter().all(is_sts))
        .then_some("AssumeRole policy may only specify STS AssumeRole actions.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_document_has_its_rules() {
        use DocumentKind::{Identity, Trust};
        let statement = |members: &str| {
            format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{members}}}]}}"#)
        };
        let text = |members: &str, kind| match Document::parse(&statement(members), kind) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        for (members, kind, expected) in [
            (r#""Action":"s3:*","Resource":"*""#, Identity, "ok"),
            (
                r#""Action":"s3:*","Resource":"arn:aws:s3:::b/*""#,
                Identity,
                "ok",
            ),
            (
                r#""Action":"s3:*","Resource":"b/*""#,
                Identity,
                "Resource must be in ARN format or \"*\".",
            ),
            (
                r#""Action":"s3:*""#,
                Identity,
                "Policy statement must contain resources.",
            ),
            (
                r#""Resource":"*""#,
                Identity,
                "Policy statement must contain actions.",
            ),
            (
                r#""Principal":"*","Action":"s3:*","Resource":"*""#,
                Identity,
                "Policy document should not specify a principal.",
            ),
            (
                r#""Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole""#,
                Trust,
                "ok",
            ),
            (
                r#""Principal":"*","Action":"s3:GetObject""#,
                Trust,
                "AssumeRole policy may only specify STS AssumeRole actions.",
            ),
            (
                r#""Principal":"*","Action":"sts:AssumeRole","Resource":"*""#,
                Trust,
                "Has prohibited field Resource",
            ),
            (
                r#""Action":"sts:AssumeRole""#,
                Trust,
                "Missing required field Principal",
            ),
            (r#""Action":"x""#, Identity, "Syntax errors in policy."),
        ] {
            assert_eq!(text(members, kind), expected, "{members}");
        }
        let error = Document::parse("{", Identity).unwrap_err();
        assert_eq!(
            error,
            IamError::MalformedPolicyDocument("This policy contains invalid Json".to_owned())
        );
    }

    #[test]
    fn a_stored_text_that_is_no_policy_does_not_decode() {
        let mut bytes = Vec::new();
        minicbor::encode("{}", &mut bytes).unwrap();
        assert!(minicbor::decode::<Document>(&bytes).is_err());
    }
}
