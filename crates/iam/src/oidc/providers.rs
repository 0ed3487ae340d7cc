//! The issuers that an account trusts: IAM's OpenID Connect providers.

use strongroom_policy::Conditions;
use strongroom_types::{RequestContext, Timestamp};

use crate::directory::Account;
use crate::limits::{OIDC_CLIENT_IDS_MAX, OIDC_PROVIDERS_MAX, OIDC_THUMBPRINTS_MAX, TAGS_MAX};
use crate::records::OidcProvider;
use crate::service::Asked;
use crate::tags::{self, same_key, with_request_tags, with_resource_tags};
use crate::{IamError, IamService, Page, PageInput, Tag};

/// Longest URL, client id (IAM API Reference).
const TEXT_MAX: usize = 255;
/// Digits of a SHA-1.
const THUMBPRINT_LEN: usize = 40;

/// A provider, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProviderView {
    /// Its ARN.
    pub arn: String,
    /// The issuer's URL without `https://`.
    pub url: String,
    /// Audiences whose tokens are taken.
    pub client_ids: Vec<String>,
    /// Certificate authorities of the issuer's server.
    pub thumbprints: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl IamService {
    /// CreateOpenIDConnectProvider.
    ///
    /// # Errors
    ///
    /// [`IamError`], as the IAM API Reference has it.
    pub fn create_oidc_provider(
        &self,
        caller: &RequestContext,
        url: &str,
        client_ids: &[String],
        thumbprints: &[String],
        new_tags: &[Tag],
    ) -> Result<OidcProviderView, IamError> {
        let asked = Asked::new(caller, "iam:CreateOpenIDConnectProvider");
        let url = check_url(url)?;
        tags::check(new_tags)?;
        check_client_ids(client_ids)?;
        let thumbprints = check_thumbprints(thumbprints)?;
        self.change(asked, |account| {
            let arn = account.oidc_provider_arn(&url);
            let conditions = with_request_tags(Conditions::default(), new_tags);
            self.authorize(asked, account.id, arn, &conditions)?;
            if account.oidc_providers.contains_key(&url) {
                return Err(IamError::EntityAlreadyExists(format!(
                    "Provider with url https://{url} already exists."
                )));
            }
            if account.oidc_providers.len() >= OIDC_PROVIDERS_MAX {
                return Err(IamError::LimitExceeded(format!(
                    "Cannot exceed quota for OpenIdConnectProvidersPerAccount: {OIDC_PROVIDERS_MAX}"
                )));
            }
            let provider = OidcProvider {
                url: url.clone(),
                client_ids: distinct(client_ids),
                thumbprints: thumbprints.clone(),
                created_millis: self.now_millis(),
                tags: new_tags.to_vec(),
            };
            let shown = view(account, &provider);
            account.put_oidc_provider(provider);
            Ok(shown)
        })
    }

    /// GetOpenIDConnectProvider.
    ///
    /// # Errors
    ///
    /// [`IamError::NoSuchEntity`].
    pub fn get_oidc_provider(
        &self,
        caller: &RequestContext,
        arn: &str,
    ) -> Result<OidcProviderView, IamError> {
        let asked = Asked::new(caller, "iam:GetOpenIDConnectProvider");
        let account = self.account(asked)?;
        let provider = self.find_provider(asked, &account, arn, Conditions::default())?;
        Ok(view(&account, &provider))
    }

    /// ListOpenIDConnectProviders: their ARNs.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_oidc_providers(&self, caller: &RequestContext) -> Result<Vec<String>, IamError> {
        let asked = Asked::new(caller, "iam:ListOpenIDConnectProviders");
        let account = self.account(asked)?;
        self.authorize(asked, account.id, "*".to_owned(), &Conditions::default())?;
        let urls = account.oidc_providers.keys();
        Ok(urls.map(|url| account.oidc_provider_arn(url)).collect())
    }

    /// DeleteOpenIDConnectProvider; one that is not there is no error. Sessions that were made with it
    /// stay: they are their role's.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn delete_oidc_provider(&self, caller: &RequestContext, arn: &str) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:DeleteOpenIDConnectProvider");
        self.change(asked, |account| {
            match self.find_provider(asked, account, arn, Conditions::default()) {
                Ok(provider) => {
                    account.oidc_providers.remove(&provider.url);
                    Ok(())
                }
                Err(IamError::NoSuchEntity(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    /// AddClientIDToOpenIDConnectProvider; one that is there already is no error.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn add_oidc_client_id(
        &self,
        caller: &RequestContext,
        arn: &str,
        client_id: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:AddClientIDToOpenIDConnectProvider");
        self.change_provider(asked, arn, Conditions::default(), |provider| {
            if !provider.client_ids.iter().any(|it| it == client_id) {
                provider.client_ids.push(client_id.to_owned());
            }
            check_client_ids(&provider.client_ids)
        })
    }

    /// RemoveClientIDFromOpenIDConnectProvider; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn remove_oidc_client_id(
        &self,
        caller: &RequestContext,
        arn: &str,
        client_id: &str,
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:RemoveClientIDFromOpenIDConnectProvider");
        self.change_provider(asked, arn, Conditions::default(), |provider| {
            provider.client_ids.retain(|it| it != client_id);
            Ok(())
        })
    }

    /// UpdateOpenIDConnectProviderThumbprint: replaces all of them.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn set_oidc_thumbprints(
        &self,
        caller: &RequestContext,
        arn: &str,
        thumbprints: &[String],
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:UpdateOpenIDConnectProviderThumbprint");
        let thumbprints = check_thumbprints(thumbprints)?;
        self.change_provider(asked, arn, Conditions::default(), |provider| {
            provider.thumbprints.clone_from(&thumbprints);
            Ok(())
        })
    }

    /// TagOpenIDConnectProvider.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn tag_oidc_provider(
        &self,
        caller: &RequestContext,
        arn: &str,
        new: &[Tag],
    ) -> Result<(), IamError> {
        tags::check(new)?;
        let asked = Asked::new(caller, "iam:TagOpenIDConnectProvider");
        let conditions = with_request_tags(Conditions::default(), new);
        self.change_provider(asked, arn, conditions, |provider| {
            let added = |tag: &Tag| new.iter().any(|it| same_key(&it.key, &tag.key));
            provider.tags.retain(|tag| !added(tag));
            provider.tags.extend_from_slice(new);
            if provider.tags.len() > TAGS_MAX {
                return Err(tags::too_many());
            }
            Ok(())
        })
    }

    /// UntagOpenIDConnectProvider.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn untag_oidc_provider(
        &self,
        caller: &RequestContext,
        arn: &str,
        keys: &[String],
    ) -> Result<(), IamError> {
        let asked = Asked::new(caller, "iam:UntagOpenIDConnectProvider");
        let conditions = Conditions::default().with_all("aws:TagKeys", keys.iter().cloned());
        self.change_provider(asked, arn, conditions, |provider| {
            let is_meant = |tag: &Tag| keys.iter().any(|key| same_key(key, &tag.key));
            provider.tags.retain(|tag| !is_meant(tag));
            Ok(())
        })
    }

    /// ListOpenIDConnectProviderTags, by key.
    ///
    /// # Errors
    ///
    /// [`IamError`].
    pub fn list_oidc_provider_tags(
        &self,
        caller: &RequestContext,
        arn: &str,
        page: &PageInput,
    ) -> Result<Page<Tag>, IamError> {
        let asked = Asked::new(caller, "iam:ListOpenIDConnectProviderTags");
        let account = self.account(asked)?;
        let provider = self.find_provider(asked, &account, arn, Conditions::default())?;
        let mut tags = provider.tags;
        tags.sort();
        let tags = tags.into_iter().map(|tag| (tag.key.clone(), tag));
        self.page(&["ListTags", account.id.as_str(), arn], page, tags)
    }

    fn change_provider(
        &self,
        asked: Asked<'_>,
        arn: &str,
        conditions: Conditions,
        change: impl Fn(&mut OidcProvider) -> Result<(), IamError>,
    ) -> Result<(), IamError> {
        self.change(asked, |account| {
            let mut provider = self.find_provider(asked, account, arn, conditions.clone())?;
            change(&mut provider)?;
            account.put_oidc_provider(provider);
            Ok(())
        })
    }

    /// The provider of that ARN, if the caller may do this to it.
    fn find_provider(
        &self,
        asked: Asked<'_>,
        account: &Account,
        arn: &str,
        conditions: Conditions,
    ) -> Result<OidcProvider, IamError> {
        let prefix = account.oidc_provider_arn("");
        let url = arn
            .strip_prefix(&prefix)
            .ok_or_else(|| IamError::InvalidInput(format!("Invalid ARN: {arn}")))?;
        let found = account.oidc_providers.get(url);
        let conditions = match found {
            Some(provider) => with_resource_tags(conditions, &provider.tags),
            None => conditions,
        };
        self.authorize(asked, account.id, arn.to_owned(), &conditions)?;
        found.map(|it| OidcProvider::clone(it)).ok_or_else(|| {
            IamError::NoSuchEntity(format!("OpenIDConnect Provider not found for arn {arn}"))
        })
    }
}

/// The URL of an issuer without `https://`: a host, perhaps a port, perhaps a path.
fn check_url(url: &str) -> Result<String, IamError> {
    let wrong = || IamError::Validation(format!("Invalid Open ID Connect Provider URL: {url}"));
    let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:[]%".contains(&byte);
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    let is_host = !authority.is_empty() && !authority.contains('%') && !authority.starts_with(':');
    if url.len() > TEXT_MAX || !is_host || !rest.bytes().all(is_plain) {
        return Err(wrong());
    }
    Ok(rest.strip_suffix('/').unwrap_or(rest).to_owned())
}

fn check_client_ids(ids: &[String]) -> Result<(), IamError> {
    if ids.len() > OIDC_CLIENT_IDS_MAX {
        return Err(IamError::LimitExceeded(format!(
            "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {OIDC_CLIENT_IDS_MAX}"
        )));
    }
    let wrong = ids
        .iter()
        .find(|id| !(1..=TEXT_MAX).contains(&id.chars().count()));
    match wrong {
        Some(id) => Err(IamError::constraint(
            id,
            "clientID",
            "have length between 1 and 255",
        )),
        None => Ok(()),
    }
}

/// In lower case.
fn check_thumbprints(thumbprints: &[String]) -> Result<Vec<String>, IamError> {
    if thumbprints.len() > OIDC_THUMBPRINTS_MAX {
        return Err(IamError::InvalidInput(format!(
            "Thumbprint list must contain fewer than {OIDC_THUMBPRINTS_MAX} entries."
        )));
    }
    let is_good =
        |it: &String| it.len() == THUMBPRINT_LEN && it.bytes().all(|it| it.is_ascii_hexdigit());
    match thumbprints.iter().find(|it| !is_good(it)) {
        Some(wrong) => Err(IamError::constraint(
            wrong,
            "thumbprintList",
            "have length 40 and hexadecimal digits only",
        )),
        None => Ok(thumbprints
            .iter()
            .map(|it| it.to_ascii_lowercase())
            .collect()),
    }
}

fn distinct(texts: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in texts {
        if !kept.contains(text) {
            kept.push(text.clone());
        }
    }
    kept
}

fn view(account: &Account, provider: &OidcProvider) -> OidcProviderView {
    OidcProviderView {
        arn: account.oidc_provider_arn(&provider.url),
        url: provider.url.clone(),
        client_ids: provider.client_ids.clone(),
        thumbprints: provider.thumbprints.clone(),
        created: Timestamp::from_millis(provider.created_millis),
        tags: provider.tags.clone(),
    }
}
