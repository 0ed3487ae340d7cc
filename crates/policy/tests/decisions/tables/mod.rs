//! AWS's rules, one table each (IAM User Guide, "Policies and permissions in IAM" and "Policy
//! evaluation logic"; KMS Developer Guide, "Authentication and access control").

mod conditions;
mod elements;
mod explanations;
mod grants;
mod layers;

use strongroom_types::Principal;

use crate::cases::{Case, KEY, OWNER, user};

const OBJECT: &str = "arn:aws:s3:::b/k";
const ALLOW_ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const DENY_ALL: &str = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;

/// Allows something, but nothing that is asked here.
const ALLOW_ELSE: &str = r#"{"Effect":"Allow","Action":"sqs:*","Resource":"*"}"#;

fn alice() -> Principal {
    user(OWNER, "team/alice")
}

fn get_object(principal: Principal) -> Case {
    Case::new(principal, "s3:GetObject", OBJECT)
}

fn decrypt(principal: Principal) -> Case {
    Case::new(principal, "kms:Decrypt", KEY)
}

fn allow_to(principal: &str) -> String {
    format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"*","Resource":"*"}}"#)
}

fn deny_to(element: &str) -> String {
    format!(r#"{{"Effect":"Deny",{element},"Action":"*","Resource":"*"}}"#)
}

/// Whether a statement with this condition applies to the request.
fn holds(case: Case, condition: &str) -> bool {
    let statement =
        format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#);
    case.identity(&[&statement]).is_allowed()
}
