//! The operations on OpenID Connect providers.

use strongroom_iam::OidcProviderView;

use super::operations::{Caller, page, tags};
use super::{Iam, answers};
use crate::query::{ErrorAnswer, Outcome, Params, answer, date, void};
use crate::xml::XmlWriter;

fn arn(p: &Params) -> Result<&str, ErrorAnswer> {
    p.required("OpenIDConnectProviderArn")
}

pub(super) fn create(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let (client_ids, thumbprints) = (p.list("ClientIDList"), p.list("ThumbprintList"));
    let made = iam.0.create_oidc_provider(
        caller,
        p.required("Url")?,
        &client_ids,
        &thumbprints,
        &tags(p),
    )?;
    answer(move |xml| {
        xml.element("OpenIDConnectProviderArn", &made.arn);
        answers::tags(xml, &made.tags);
    })
}

pub(super) fn get(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let OidcProviderView {
        arn: _,
        url,
        client_ids,
        thumbprints,
        created,
        tags,
    } = iam.0.get_oidc_provider(caller, arn(p)?)?;
    answer(move |xml| {
        xml.element("Url", &url);
        texts(xml, "ClientIDList", &client_ids);
        texts(xml, "ThumbprintList", &thumbprints);
        xml.element("CreateDate", &date(created));
        answers::tags(xml, &tags);
    })
}

pub(super) fn list(iam: &Iam, caller: &Caller, _: &Params) -> Outcome {
    let arns = iam.0.list_oidc_providers(caller)?;
    answer(move |xml| {
        xml.nested("OpenIDConnectProviderList", |xml| {
            for arn in &arns {
                xml.nested("member", |xml| xml.element("Arn", arn));
            }
        });
    })
}

pub(super) fn delete(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    void(iam.0.delete_oidc_provider(caller, arn(p)?)?)
}

pub(super) fn add_client_id(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let client_id = p.required("ClientID")?;
    void(iam.0.add_oidc_client_id(caller, arn(p)?, client_id)?)
}

pub(super) fn remove_client_id(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let client_id = p.required("ClientID")?;
    void(iam.0.remove_oidc_client_id(caller, arn(p)?, client_id)?)
}

pub(super) fn set_thumbprints(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let thumbprints = p.list("ThumbprintList");
    void(iam.0.set_oidc_thumbprints(caller, arn(p)?, &thumbprints)?)
}

pub(super) fn tag(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    void(iam.0.tag_oidc_provider(caller, arn(p)?, &tags(p))?)
}

pub(super) fn untag(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let keys = p.list("TagKeys");
    void(iam.0.untag_oidc_provider(caller, arn(p)?, &keys)?)
}

pub(super) fn list_tags(iam: &Iam, caller: &Caller, p: &Params) -> Outcome {
    let tags = iam.0.list_oidc_provider_tags(caller, arn(p)?, &page(p)?)?;
    answer(move |xml| answers::list(xml, "Tags", tags, |xml, it| answers::tag(xml, &it)))
}

fn texts(xml: &mut XmlWriter, name: &'static str, texts: &[String]) {
    xml.nested(name, |xml| {
        for text in texts {
            xml.element("member", text);
        }
    });
}
