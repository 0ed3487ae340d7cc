//! Policy documents: the language itself, whatever a policy is attached to.
//!
//! A parsed document holds everything that the text says; a text that says more than the language
//! has is refused whole (IAM User Guide, "Grammar of the IAM JSON policy language"). Which elements
//! a kind of policy must have, and which principals exist, is that kind's business.

use crate::json::{self, Json};
use crate::operator::ConditionOperator;
use crate::pattern;

/// Longest document, in bytes: the longest `Policy` parameter of any service (KMS API Reference).
pub const DOCUMENT_MAX_BYTES: usize = 131_072;
/// Most statements. Our own limit: AWS has only the length.
pub const STATEMENTS_MAX: usize = 1024;
/// Most values of one element or condition key. Our own limit.
pub const VALUES_MAX: usize = 4096;

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyDocument {
    /// Which version of the language it speaks.
    pub version: PolicyVersion,
    /// `Id`.
    pub id: Option<String>,
    /// Its statements, at least one.
    pub statements: Vec<Statement>,
}

/// The version of the language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyVersion {
    /// `2008-10-17`, also of documents that name none: `${...}` is literal text.
    V2008,
    /// `2012-10-17`: `${...}` are variables.
    V2012,
}

/// One statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// `Sid`.
    pub sid: Option<String>,
    /// What it does to requests that it matches.
    pub effect: Effect,
    /// Whom it speaks of; absent in identity policies.
    pub principal: Option<PrincipalElement>,
    /// Which actions; without any it matches nothing.
    pub action: Option<ActionElement>,
    /// Which resources; without any it matches nothing, but in a trust policy its role.
    pub resource: Option<ResourceElement>,
    /// All must hold.
    pub conditions: Vec<Condition>,
}

/// What a statement does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// `Allow`.
    Allow,
    /// `Deny`.
    Deny,
}

/// `Principal` or `NotPrincipal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PrincipalElement {
    /// One of these.
    Is(Vec<PrincipalName>),
    /// None of these.
    IsNot(Vec<PrincipalName>),
}

/// A principal, as a policy names it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum PrincipalName {
    /// `"*"` or `{"AWS": "*"}`.
    Everyone,
    /// `{"AWS": ...}`: an ARN or an account id, without wildcards.
    Aws(String),
    /// `{"Service": ...}`.
    Service(String),
    /// `{"Federated": ...}`.
    Federated(String),
    /// `{"CanonicalUser": ...}`.
    CanonicalUser(String),
}

/// `Action` or `NotAction`: patterns, compared without regard to case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ActionElement {
    /// One of these.
    Is(Vec<String>),
    /// None of these.
    IsNot(Vec<String>),
}

/// `Resource` or `NotResource`: patterns of ARNs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResourceElement {
    /// One of these.
    Is(Vec<String>),
    /// None of these.
    IsNot(Vec<String>),
}

/// One condition key under one operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The operator.
    pub operator: ConditionOperator,
    /// The key, as it was written: keys have no case, but `EncryptionContext` keys are shown.
    pub key: String,
    /// What it is compared with: one of them, or with negated operators none of them.
    pub values: Vec<String>,
}

/// The text is no policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Longer than [`DOCUMENT_MAX_BYTES`], or more statements or values than the limits.
    #[error("This policy is too large")]
    TooLarge,
    /// Not JSON, a member given twice, or nested too deeply.
    #[error("This policy contains invalid Json")]
    Json,
    /// JSON, but not the policy language: which element is wrong.
    #[error("This policy contains an invalid {0}")]
    Element(&'static str),
    /// An element that the language does not have.
    #[error("This policy contains an unknown element")]
    UnknownElement,
    /// An element and its negation in one statement.
    #[error("A statement contains both {0} and its negation")]
    Both(&'static str),
}

impl PolicyDocument {
    /// Parses a document.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        if text.len() > DOCUMENT_MAX_BYTES {
            return Err(DocumentError::TooLarge);
        }
        let Json::Object(members) = json::parse(text).ok_or(DocumentError::Json)? else {
            return Err(DocumentError::Element("document"));
        };
        let mut version = PolicyVersion::V2008;
        let mut id = None;
        let mut statements = None;
        for (name, value) in members {
            match name.as_str() {
                "Version" => version = PolicyVersion::parse(&value)?,
                "Id" => id = Some(text_of(value, "Id")?),
                "Statement" => statements = Some(parse_statements(value)?),
                _ => return Err(DocumentError::UnknownElement),
            }
        }
        Ok(Self {
            version,
            id,
            statements: statements.ok_or(DocumentError::Element("Statement"))?,
        })
    }
}

impl PolicyVersion {
    fn parse(value: &Json) -> Result<Self, DocumentError> {
        match value {
            Json::Text(text) if text == "2012-10-17" => Ok(Self::V2012),
            Json::Text(text) if text == "2008-10-17" => Ok(Self::V2008),
            Json::Text(_)
            | Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Array(_)
            | Json::Object(_) => Err(DocumentError::Element("Version")),
        }
    }
}

fn parse_statements(value: Json) -> Result<Vec<Statement>, DocumentError> {
    let values = match value {
        Json::Array(values) => values,
        object @ Json::Object(_) => vec![object],
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {
            return Err(DocumentError::Element("Statement"));
        }
    };
    if values.is_empty() {
        return Err(DocumentError::Element("Statement"));
    }
    if values.len() > STATEMENTS_MAX {
        return Err(DocumentError::TooLarge);
    }
    values.into_iter().map(Statement::parse).collect()
}

impl Statement {
    fn parse(value: Json) -> Result<Self, DocumentError> {
        let Json::Object(members) = value else {
            return Err(DocumentError::Element("Statement"));
        };
        let mut sid = None;
        let mut effect = None;
        let mut principal = None;
        let mut action = None;
        let mut resource = None;
        let mut conditions = Vec::new();
        for (name, value) in members {
            match name.as_str() {
                "Sid" => sid = Some(text_of(value, "Sid")?),
                "Effect" => effect = Some(Effect::parse(&value)?),
                "Principal" => {
                    let names = parse_principals(value)?;
                    set_once(&mut principal, PrincipalElement::Is(names), "Principal")?;
                }
                "NotPrincipal" => {
                    let names = parse_principals(value)?;
                    set_once(&mut principal, PrincipalElement::IsNot(names), "Principal")?;
                }
                "Action" => {
                    let names = parse_actions(value)?;
                    set_once(&mut action, ActionElement::Is(names), "Action")?;
                }
                "NotAction" => {
                    let names = parse_actions(value)?;
                    set_once(&mut action, ActionElement::IsNot(names), "Action")?;
                }
                "Resource" => {
                    let names = texts_of(value, "Resource")?;
                    set_once(&mut resource, ResourceElement::Is(names), "Resource")?;
                }
                "NotResource" => {
                    let names = texts_of(value, "Resource")?;
                    set_once(&mut resource, ResourceElement::IsNot(names), "Resource")?;
                }
                "Condition" => conditions = parse_conditions(value)?,
                _ => return Err(DocumentError::UnknownElement),
            }
        }
        Ok(Self {
            sid,
            effect: effect.ok_or(DocumentError::Element("Effect"))?,
            principal,
            action,
            resource,
            conditions,
        })
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), DocumentError> {
    if slot.replace(value).is_some() {
        return Err(DocumentError::Both(name));
    }
    Ok(())
}

impl Effect {
    fn parse(value: &Json) -> Result<Self, DocumentError> {
        match value {
            Json::Text(text) if text == "Allow" => Ok(Self::Allow),
            Json::Text(text) if text == "Deny" => Ok(Self::Deny),
            Json::Text(_)
            | Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Array(_)
            | Json::Object(_) => Err(DocumentError::Element("Effect")),
        }
    }
}

fn parse_principals(value: Json) -> Result<Vec<PrincipalName>, DocumentError> {
    let wrong = DocumentError::Element("Principal");
    match value {
        Json::Text(text) if text == "*" => Ok(vec![PrincipalName::Everyone]),
        Json::Object(kinds) if !kinds.is_empty() => {
            let mut names = Vec::new();
            for (kind, value) in kinds {
                let make = match kind.as_str() {
                    "AWS" => PrincipalName::Aws,
                    "Service" => PrincipalName::Service,
                    "Federated" => PrincipalName::Federated,
                    "CanonicalUser" => PrincipalName::CanonicalUser,
                    _ => return Err(wrong),
                };
                for text in texts_of(value, "Principal")? {
                    names.push(match (kind.as_str(), text.as_str()) {
                        ("AWS", "*") => PrincipalName::Everyone,
                        // A pattern of principals would be one of identities yet to be made.
                        (_, text) if text.is_empty() || text.contains(['*', '?']) => {
                            return Err(wrong);
                        }
                        _ => make(text),
                    });
                }
            }
            (names.len() <= VALUES_MAX)
                .then_some(names)
                .ok_or(DocumentError::TooLarge)
        }
        Json::Text(_)
        | Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::Array(_)
        | Json::Object(_) => Err(wrong),
    }
}

/// `*`, or `service:name` with wildcards in the name only.
fn parse_actions(value: Json) -> Result<Vec<String>, DocumentError> {
    let actions = texts_of(value, "Action")?;
    let well_formed = |action: &String| {
        action == "*"
            || action.split_once(':').is_some_and(|(service, name)| {
                let service_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"*?".contains(&byte);
                !service.is_empty()
                    && !name.is_empty()
                    && service.bytes().all(service_byte)
                    && name.bytes().all(name_byte)
            })
    };
    if actions.iter().all(well_formed) {
        Ok(actions)
    } else {
        Err(DocumentError::Element("Action"))
    }
}

fn parse_conditions(value: Json) -> Result<Vec<Condition>, DocumentError> {
    let wrong = DocumentError::Element("Condition");
    let Json::Object(operators) = value else {
        return Err(wrong);
    };
    let mut conditions = Vec::new();
    for (name, value) in operators {
        let operator = ConditionOperator::parse(&name).ok_or(wrong)?;
        let Json::Object(keys) = value else {
            return Err(wrong);
        };
        for (key, value) in keys {
            // Every condition key has a service and a name; anything else would never match, and
            // so silently not restrict.
            let named = key
                .split_once(':')
                .is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
            let values = scalars_of(value)?;
            if !named
                || !values
                    .iter()
                    .all(|value| operator.comparison.accepts(value))
            {
                return Err(wrong);
            }
            conditions.push(Condition {
                operator,
                key,
                values,
            });
        }
    }
    if conditions.len() > VALUES_MAX {
        return Err(DocumentError::TooLarge);
    }
    Ok(conditions)
}

fn text_of(value: Json, element: &'static str) -> Result<String, DocumentError> {
    match value {
        Json::Text(text) => Ok(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Err(DocumentError::Element(element))
        }
    }
}

/// One text or a list of at least one.
fn texts_of(value: Json, element: &'static str) -> Result<Vec<String>, DocumentError> {
    let values = match value {
        Json::Array(values) => values,
        one @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_)) => {
            vec![one]
        }
    };
    if values.is_empty() {
        return Err(DocumentError::Element(element));
    }
    if values.len() > VALUES_MAX {
        return Err(DocumentError::TooLarge);
    }
    values
        .into_iter()
        .map(|value| text_of(value, element))
        .collect()
}

/// Condition values: numbers and booleans may be written without quotes.
fn scalars_of(value: Json) -> Result<Vec<String>, DocumentError> {
    let values = match value {
        Json::Array(values) => values,
        one @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_)) => {
            vec![one]
        }
    };
    if values.len() > VALUES_MAX {
        return Err(DocumentError::TooLarge);
    }
    let texts: Option<Vec<String>> = values
        .into_iter()
        .map(|value| match value {
            Json::Text(text) | Json::Number(text) => Some(text),
            Json::Bool(value) => Some(value.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        })
        .collect();
    texts
        .filter(|texts| !texts.is_empty())
        .ok_or(DocumentError::Element("Condition"))
}

impl ActionElement {
    /// Whether the element speaks of `action`, such as `kms:Decrypt`.
    pub fn covers(&self, action: &str) -> bool {
        let action = action.to_ascii_lowercase();
        let any = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| pattern::matches(&pattern.to_ascii_lowercase(), &action))
        };
        match self {
            Self::Is(patterns) => any(patterns),
            Self::IsNot(patterns) => !any(patterns),
        }
    }
}

impl ResourceElement {
    /// Whether the element speaks of the resource of this ARN. Variables are not replaced.
    ///
    /// Partition, service, region, account and resource are matched each on its own, so that a `*`
    /// in one does not run into the next; a bare `*` is everything.
    pub fn covers(&self, arn: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| arn_matches(pattern, arn));
        match self {
            Self::Is(patterns) => any(patterns),
            Self::IsNot(patterns) => !any(patterns),
        }
    }
}

fn arn_matches(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let patterns: Vec<&str> = pattern.splitn(6, ':').collect();
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    patterns.len() == fields.len()
        && patterns
            .iter()
            .zip(fields)
            .all(|(pattern, field)| pattern::matches(pattern, field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Comparison;

    fn parse(text: &str) -> Result<PolicyDocument, DocumentError> {
        PolicyDocument::parse(text)
    }

    fn with_statement(statement: &str) -> Result<PolicyDocument, DocumentError> {
        parse(&format!(
            r#"{{"Version":"2012-10-17","Statement":{statement}}}"#
        ))
    }

    #[test]
    fn everything_that_the_language_has_is_kept() {
        let document = parse(
            r#"{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"s","Effect":"Deny",
            "Principal":{"AWS":["111122223333","*"],"Service":"s3.amazonaws.com",
            "Federated":"cognito-identity.amazonaws.com","CanonicalUser":"79a5"},
            "NotAction":["kms:Put*","kms:*"],"NotResource":"*",
            "Condition":{"ForAllValues:StringLikeIfExists":{"kms:EncryptionContextKeys":["a","b"]},
            "NumericLessThan":{"kms:RotationPeriodInDays":90},"Bool":{"aws:SecureTransport":false}}}]}"#,
        )
        .unwrap();
        assert_eq!(document.version, PolicyVersion::V2012);
        assert_eq!(document.id.as_deref(), Some("i"));
        let [statement] = &document.statements[..] else {
            unreachable!();
        };
        assert_eq!(statement.sid.as_deref(), Some("s"));
        assert_eq!(statement.effect, Effect::Deny);
        assert_eq!(
            statement.principal,
            Some(PrincipalElement::Is(vec![
                PrincipalName::Aws("111122223333".to_owned()),
                PrincipalName::Everyone,
                PrincipalName::Service("s3.amazonaws.com".to_owned()),
                PrincipalName::Federated("cognito-identity.amazonaws.com".to_owned()),
                PrincipalName::CanonicalUser("79a5".to_owned()),
            ]))
        );
        assert!(matches!(&statement.action, Some(ActionElement::IsNot(names)) if names.len() == 2));
        assert!(
            matches!(&statement.resource, Some(ResourceElement::IsNot(names)) if names == &["*"])
        );
        let [like, less, bool] = &statement.conditions[..] else {
            unreachable!();
        };
        assert_eq!(like.values, ["a", "b"]);
        assert!(like.operator.if_exists && like.operator.set.is_some());
        assert_eq!(
            (less.values[0].as_str(), less.operator.comparison),
            ("90", Comparison::NumericLessThan)
        );
        assert_eq!(bool.values, ["false"]);
    }

    #[test]
    fn a_statement_may_stand_alone_and_lack_elements() {
        let document = parse(r#"{"Statement":{"Effect":"Allow"}}"#).unwrap();
        assert_eq!(document.version, PolicyVersion::V2008);
        assert_eq!(document.statements.len(), 1);
        assert!(document.statements[0].action.is_none());
    }

    #[test]
    fn what_the_language_does_not_have_is_refused() {
        use DocumentError as E;
        for (text, error) in [
            ("", E::Json),
            ("[]", E::Element("document")),
            (r#"{"Statement":[]}"#, E::Element("Statement")),
            (r#"{"Version":"2012-10-17"}"#, E::Element("Statement")),
            (
                r#"{"Version":"2026-01-01","Statement":{"Effect":"Allow"}}"#,
                E::Element("Version"),
            ),
            (r#"{"statement":{"Effect":"Allow"}}"#, E::UnknownElement),
            (
                r#"{"Statement":{"Effect":"Allow"},"Statement":{"Effect":"Deny"}}"#,
                E::Json,
            ),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for (statement, error) in [
            (r#"{"Sid":"a"}"#, E::Element("Effect")),
            (r#"{"Effect":"allow"}"#, E::Element("Effect")),
            (r#"{"Effect":"Allow","Actions":"kms:*"}"#, E::UnknownElement),
            (r#"{"Effect":"Allow","Sid":1}"#, E::Element("Sid")),
            (
                r#"{"Effect":"Allow","Principal":"arn:aws:iam::1:root"}"#,
                E::Element("Principal"),
            ),
            (
                r#"{"Effect":"Allow","Principal":{}}"#,
                E::Element("Principal"),
            ),
            (
                r#"{"Effect":"Allow","Principal":{"aws":"*"}}"#,
                E::Element("Principal"),
            ),
            (
                r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:user/*"}}"#,
                E::Element("Principal"),
            ),
            (
                r#"{"Effect":"Allow","Principal":{"Service":"*"}}"#,
                E::Element("Principal"),
            ),
            (
                r#"{"Effect":"Allow","Principal":"*","NotPrincipal":"*"}"#,
                E::Both("Principal"),
            ),
            (
                r#"{"Effect":"Allow","Action":"kms:*","NotAction":"kms:*"}"#,
                E::Both("Action"),
            ),
            (
                r#"{"Effect":"Allow","Resource":"*","NotResource":"*"}"#,
                E::Both("Resource"),
            ),
            (r#"{"Effect":"Allow","Action":[]}"#, E::Element("Action")),
            (
                r#"{"Effect":"Allow","Action":"Decrypt"}"#,
                E::Element("Action"),
            ),
            (
                r#"{"Effect":"Allow","Action":"k*:Decrypt"}"#,
                E::Element("Action"),
            ),
            (
                r#"{"Effect":"Allow","Resource":{}}"#,
                E::Element("Resource"),
            ),
            (
                r#"{"Effect":"Allow","Condition":[]}"#,
                E::Element("Condition"),
            ),
            (
                r#"{"Effect":"Allow","Condition":{"StringIs":{"a:b":"c"}}}"#,
                E::Element("Condition"),
            ),
            (
                r#"{"Effect":"Allow","Condition":{"StringLike":{"ab":"c"}}}"#,
                E::Element("Condition"),
            ),
            (
                r#"{"Effect":"Allow","Condition":{"StringLike":{"a:b":[]}}}"#,
                E::Element("Condition"),
            ),
            (
                r#"{"Effect":"Allow","Condition":{"StringLike":{"a:b":{"c":1}}}}"#,
                E::Element("Condition"),
            ),
            (
                r#"{"Effect":"Allow","Condition":{"IpAddress":{"aws:SourceIp":"here"}}}"#,
                E::Element("Condition"),
            ),
        ] {
            assert_eq!(with_statement(statement), Err(error), "{statement}");
        }
    }

    #[test]
    fn sizes_and_counts_are_bounded() {
        assert_eq!(
            parse(&" ".repeat(DOCUMENT_MAX_BYTES + 1)),
            Err(DocumentError::TooLarge)
        );
        let statements = vec![r#"{"Effect":"Deny"}"#; STATEMENTS_MAX + 1].join(",");
        assert_eq!(
            with_statement(&format!("[{statements}]")),
            Err(DocumentError::TooLarge)
        );
        let values = vec![r#""*""#; VALUES_MAX + 1].join(",");
        let statement = format!(r#"{{"Effect":"Deny","Resource":[{values}]}}"#);
        assert_eq!(with_statement(&statement), Err(DocumentError::TooLarge));
    }

    #[test]
    fn wildcards_stay_within_their_field_of_an_arn() {
        let arn = "arn:aws:kms:us-east-1:111122223333:key/1234";
        for (pattern, expected) in [
            ("*", true),
            (arn, true),
            ("arn:aws:kms:*:111122223333:key/*", true),
            ("arn:aws:kms:*:key/1234", false),
            ("arn:aws:kms:us-east-1:1111*", false),
            ("arn:aws:kms:us-east-1:*:*", true),
        ] {
            let element = ResourceElement::Is(vec![pattern.to_owned()]);
            assert_eq!(element.covers(arn), expected, "{pattern}");
            let element = ResourceElement::IsNot(vec![pattern.to_owned()]);
            assert_eq!(element.covers(arn), !expected, "{pattern}");
        }
        assert!(ActionElement::Is(vec!["KMS:put*".to_owned()]).covers("kms:PutKeyPolicy"));
    }
}
