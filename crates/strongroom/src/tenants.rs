//! `account`, and `credentials rotate --account`: the accounts of a server, which only its operator
//! makes. The running server does the work; while none runs, the command does it itself.

use std::sync::Arc;

use strongroom_audit::Params;
use strongroom_iam::{AccountView, IamError, IamService, RootAccessKey};
use strongroom_policy::PolicyAuthorizer;
use strongroom_types::AccountId;
use zeroize::Zeroizing;

use crate::account::{Account, Accounts};
use crate::admin::{AccountAnswer, Answer, Request, RootKeyAnswer, ask};
use crate::commands::{unexpected, with_accounts};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::unseal::Environment;
use crate::{identities, output};

/// `account create`.
pub(crate) fn create(
    settings: &Settings,
    name: String,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let Answer::AccountCreated { account, root } =
        perform(settings, &Request::CreateAccount { name }, environment)?
    else {
        return Err(unexpected());
    };
    if json {
        let document = serde_json::json!({
            "Account": shown(&account),
            "AccessKeyId": root.access_key_id,
            "SecretAccessKey": root.secret_access_key.as_str(),
        });
        let text = Zeroizing::new(document.to_string());
        return output::say(&text);
    }
    output::say(&format!(
        "Account {} ({}) is made.",
        account.id, account.name
    ))?;
    say_key(&root)
}

/// `account list`.
pub(crate) fn list(
    settings: &Settings,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let Answer::Accounts { accounts } = perform(settings, &Request::ListAccounts, environment)?
    else {
        return Err(unexpected());
    };
    if json {
        let shown: Vec<_> = accounts.iter().map(shown).collect();
        return output::say(&serde_json::json!({ "Accounts": shown }).to_string());
    }
    for account in &accounts {
        let state = if account.disabled {
            "disabled"
        } else {
            "enabled "
        };
        output::say(&format!("{}  {state}  {}", account.id, account.name))?;
    }
    Ok(())
}

/// `account disable` and `account enable`.
pub(crate) fn disable(
    settings: &Settings,
    id: &AccountId,
    disabled: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let request = Request::DisableAccount {
        id: id.to_string(),
        disabled,
    };
    let Answer::Done = perform(settings, &request, environment)? else {
        return Err(unexpected());
    };
    if disabled {
        return output::say(&format!(
            "Nobody of account {id} can sign in any more, sessions included."
        ));
    }
    output::say(&format!("Account {id} is enabled again."))
}

/// `credentials rotate --account`.
pub(crate) fn rotate(
    settings: &Settings,
    id: &AccountId,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let request = Request::RotateAccountCredentials { id: id.to_string() };
    let Answer::AccountRotated { root } = perform(settings, &request, environment)? else {
        return Err(unexpected());
    };
    if json {
        let document = serde_json::json!({
            "AccessKeyId": root.access_key_id,
            "SecretAccessKey": root.secret_access_key.as_str(),
        });
        return output::say(&Zeroizing::new(document.to_string()));
    }
    output::say(&format!(
        "The root user of account {id} has a new access key; its old ones are refused."
    ))?;
    say_key(&root)
}

/// Answers one of the requests above.
///
/// # Errors
///
/// What the identity service refuses, for the one who asked.
pub(crate) fn answer(iam: &IamService, request: &Request) -> Result<Answer, Failure> {
    let id = |text: &str| {
        AccountId::parse(text).map_err(|error| Failure::new(Exit::Usage, error.to_string(), ""))
    };
    let answered = match request {
        Request::CreateAccount { name } => {
            iam.create_account(name).map(|made| Answer::AccountCreated {
                account: account_answer(&made.account),
                root: root_answer(&made.root),
            })
        }
        Request::ListAccounts => iam.accounts().map(|accounts| Answer::Accounts {
            accounts: accounts.iter().map(account_answer).collect(),
        }),
        Request::DisableAccount { id: text, disabled } => iam
            .disable_account(id(text)?, *disabled)
            .map(|_| Answer::Done),
        Request::RotateAccountCredentials { id: text } => {
            iam.rotate_root_key(id(text)?)
                .map(|root| Answer::AccountRotated {
                    root: root_answer(&root),
                })
        }
        Request::Env
        | Request::RotateCredentials
        | Request::Seal { .. }
        | Request::Backup { .. }
        | Request::RootKeyStatus
        | Request::RotateRootKey
        | Request::Rewrap
        | Request::RetireRootKey { .. }
        | Request::ReloadTls
        | Request::CountVersions { .. }
        | Request::ReEncrypt { .. }
        | Request::Explain { .. }
        | Request::Readers { .. }
        | Request::Assumers { .. }
        | Request::Impact { .. }
        | Request::Verify { .. }
        | Request::Inspect { .. }
        | Request::AuditIsThere
        | Request::Audit { .. } => return Err(unexpected()),
    };
    answered.map_err(|error| refused(&error))
}

/// Has the running server do it, or does it while none runs.
fn perform(
    settings: &Settings,
    request: &Request,
    environment: Environment<'_>,
) -> Result<Answer, Failure> {
    if let Some(answer) = ask(&settings.data.admin_socket(), request)? {
        return Ok(answer);
    }
    // Changes are recorded in their transactions.
    let looks = matches!(request, Request::ListAccounts);
    let look = looks.then(|| ("ListAccounts", Params::new()));
    with_accounts(settings, environment, look, |accounts, account| {
        answer(&off_line(accounts, account)?, request)
    })
}

/// The identity service while no server runs.
///
/// # Errors
///
/// [`Exit::Store`].
pub(crate) fn off_line(accounts: &Accounts, account: &Account) -> Result<IamService, Failure> {
    let identities = identities::open(accounts, account)?;
    let authorizer = Arc::new(PolicyAuthorizer::new(identities.clone()));
    let audit = accounts.audit_log(account);
    Ok(identities::service(accounts, audit, identities, authorizer))
}

/// What the operator is told of an error.
pub(crate) fn refused(error: &IamError) -> Failure {
    let remedy = if matches!(error, IamError::NoSuchEntity(_)) {
        "see strongroom account list"
    } else {
        ""
    };
    Failure::new(Exit::General, error.to_string(), remedy)
}

fn say_key(root: &RootKeyAnswer) -> Result<(), Failure> {
    output::say("Its root access key, shown this once:")?;
    output::say(&format!("  AWS_ACCESS_KEY_ID={}", root.access_key_id))?;
    let secret = Zeroizing::new(format!(
        "  AWS_SECRET_ACCESS_KEY={}",
        root.secret_access_key.as_str()
    ));
    output::say(&secret)
}

fn shown(account: &AccountAnswer) -> serde_json::Value {
    serde_json::json!({
        "Id": account.id,
        "Name": account.name,
        "CanonicalId": account.canonical_id,
        "Created": account.created,
        "State": if account.disabled { "DISABLED" } else { "ENABLED" },
    })
}

fn account_answer(account: &AccountView) -> AccountAnswer {
    AccountAnswer {
        id: account.id.to_string(),
        name: account.name.clone(),
        canonical_id: account.canonical_id.as_str().to_owned(),
        created: account.created.to_iso8601(),
        disabled: account.disabled,
    }
}

fn root_answer(root: &RootAccessKey) -> RootKeyAnswer {
    RootKeyAnswer {
        access_key_id: root.id.to_string(),
        secret_access_key: Zeroizing::new(root.secret.expose().to_owned()),
    }
}
