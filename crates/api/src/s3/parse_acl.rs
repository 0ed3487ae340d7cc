//! Access control lists and ownership controls on the wire: headers, documents, and answers (S3 API
//! Reference, PutBucketAcl, PutObjectAcl, PutBucketOwnershipControls).

use bytes::Bytes;
use http::HeaderMap;
use strongroom_s3::WantedAcl;
use strongroom_types::{
    Acl, AclGrant, AclGroup, AclPermission, CannedAcl, CanonicalId, Grantee, ObjectOwnership,
};

use super::handle_list::write_owner;
use super::parse_headers::{argument, text};
use crate::error::{Failure, RequestError};
use crate::xml::{Element, S3_NAMESPACE, XmlError, XmlWriter, parse};

const CANNED: &str = "x-amz-acl";

/// The headers that grant, and what.
const GRANTING: [(&str, AclPermission); 5] = [
    ("x-amz-grant-full-control", AclPermission::FullControl),
    ("x-amz-grant-read", AclPermission::Read),
    ("x-amz-grant-write", AclPermission::Write),
    ("x-amz-grant-read-acp", AclPermission::ReadAcp),
    ("x-amz-grant-write-acp", AclPermission::WriteAcp),
];

/// The list that the headers ask for.
pub(crate) fn headers(headers: &HeaderMap) -> Result<WantedAcl, Failure> {
    let canned = text(headers, CANNED)?;
    let mut grants = Vec::new();
    let mut has_grants = false;
    for (name, permission) in GRANTING {
        if let Some(value) = text(headers, name)? {
            has_grants = true;
            for grantee in listed(value) {
                grants.push(AclGrant {
                    grantee: grantee_of_header(name, grantee)?,
                    permission,
                });
            }
        }
    }
    match canned {
        Some(_) if has_grants => Err(RequestError::InvalidRequest(
            "Specifying both Canned ACLs and Header Grants is not allowed".to_owned(),
        )
        .into()),
        Some(name) => CannedAcl::parse(name)
            .map(WantedAcl::Canned)
            .ok_or_else(|| argument("Invalid Argument", CANNED, Some(name))),
        None if has_grants => Ok(WantedAcl::Grants(grants)),
        None => Ok(WantedAcl::Unspecified),
    }
}

/// The headers that ask for these grants, for services that write with a list.
pub fn grant_headers(grants: &[AclGrant]) -> Vec<(String, String)> {
    let of = |permission: AclPermission| {
        let grants = grants.iter().filter(move |it| it.permission == permission);
        let named = grants.map(|it| match &it.grantee {
            Grantee::CanonicalUser(id) => format!("id=\"{}\"", id.as_str()),
            Grantee::Group(group) => format!("uri=\"{}\"", group.uri()),
        });
        named.collect::<Vec<_>>().join(", ")
    };
    let all = GRANTING.iter();
    let all = all.map(|(name, permission)| ((*name).to_owned(), of(*permission)));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

/// The grantees of a header: `kind=value`, separated by commas, the value in quotes or not.
fn listed(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = value.split(move |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    parts.map(str::trim)
}

fn grantee_of_header(header: &'static str, sent: &str) -> Result<Grantee, Failure> {
    let unknown = || argument("Argument format not recognized", header, Some(sent));
    let (kind, value) = sent.split_once('=').ok_or_else(unknown)?;
    let value = value.trim().trim_matches('"');
    match kind.trim() {
        "id" => CanonicalId::parse(value)
            .map(Grantee::CanonicalUser)
            .map_err(|_| argument("Invalid id", "id", Some(value))),
        "uri" => AclGroup::parse(value)
            .map(Grantee::Group)
            .ok_or_else(|| argument("Invalid group uri", "uri", Some(value))),
        "emailAddress" => Err(RequestError::UnresolvableGrantByEmail(value.to_owned()).into()),
        _ => Err(unknown()),
    }
}

/// `AccessControlPolicy`.
pub(crate) fn document(document: &[u8]) -> Result<WantedAcl, Failure> {
    let read = |document| -> Result<(Element, Vec<Element>), XmlError> {
        let mut policy = parse(document)?.into_fields("AccessControlPolicy")?;
        let owner = policy.required("Owner")?;
        let list = policy.required("AccessControlList")?;
        policy.finish()?;
        let mut list = list.into_fields("AccessControlList")?;
        let grants = list.list("Grant");
        list.finish()?;
        Ok((owner, grants))
    };
    let (owner, elements) = read(document).map_err(malformed)?;
    let owner = account(owner, "Owner")?;
    let mut grants = Vec::with_capacity(elements.len());
    for element in elements {
        grants.push(grant(element)?);
    }
    Ok(WantedAcl::Document { owner, grants })
}

/// A `Grant`.
pub(crate) fn grant(element: Element) -> Result<AclGrant, Failure> {
    let read = |element: Element| -> Result<(Element, String), XmlError> {
        let mut fields = element.into_fields("Grant")?;
        let grantee = fields.required("Grantee")?;
        let permission = fields.required_text("Permission")?;
        fields.finish()?;
        Ok((grantee, permission))
    };
    let (grantee, permission) = read(element).map_err(malformed)?;
    let permission = AclPermission::parse(&permission).ok_or(RequestError::MalformedAcl)?;
    let kind = grantee
        .attributes
        .iter()
        .find(|(name, _)| name == "type")
        .map(|(_, kind)| kind.clone());
    let only = |grantee: Element, field| -> Result<String, XmlError> {
        let mut fields = grantee.into_fields("Grantee")?;
        let value = fields.required_text(field)?;
        fields.optional_text("DisplayName")?;
        fields.finish()?;
        Ok(value)
    };
    let grantee = match kind.as_deref() {
        Some("CanonicalUser") => Grantee::CanonicalUser(account(grantee, "Grantee")?),
        Some("Group") => {
            let uri = only(grantee, "URI").map_err(malformed)?;
            AclGroup::parse(&uri)
                .map(Grantee::Group)
                .ok_or_else(|| argument("Invalid group uri", "Group/URI", Some(&uri)))?
        }
        Some("AmazonCustomerByEmail") => {
            let address = only(grantee, "EmailAddress").map_err(malformed)?;
            return Err(RequestError::UnresolvableGrantByEmail(address).into());
        }
        Some(_) | None => return Err(RequestError::MalformedAcl.into()),
    };
    Ok(AclGrant {
        grantee,
        permission,
    })
}

/// `ID`, and a name that S3 no longer has.
fn account(element: Element, name: &str) -> Result<CanonicalId, Failure> {
    let read = |element: Element| -> Result<String, XmlError> {
        let mut fields = element.into_fields(name)?;
        let id = fields.required_text("ID")?;
        fields.optional_text("DisplayName")?;
        fields.finish()?;
        Ok(id)
    };
    let id = read(element).map_err(malformed)?;
    CanonicalId::parse(&id).map_err(|_| argument("Invalid id", "CanonicalUser/ID", Some(&id)))
}

fn malformed(_: XmlError) -> Failure {
    RequestError::MalformedAcl.into()
}

/// `AccessControlPolicy`, as GetBucketAcl and GetObjectAcl answer it.
pub(crate) fn write(acl: &Acl) -> Bytes {
    let mut xml = XmlWriter::new("AccessControlPolicy", Some(S3_NAMESPACE));
    write_owner(&mut xml, "Owner", &acl.owner);
    xml.nested("AccessControlList", |xml| {
        for grant in acl.grants() {
            xml.nested("Grant", |xml| write_grant(xml, grant));
        }
    });
    xml.finish()
}

pub(crate) fn write_grant(xml: &mut XmlWriter, grant: &AclGrant) {
    let (kind, element, value) = match &grant.grantee {
        Grantee::CanonicalUser(id) => ("CanonicalUser", "ID", id.as_str()),
        Grantee::Group(group) => ("Group", "URI", group.uri()),
    };
    let attributes = [
        ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        ("xsi:type", kind),
    ];
    xml.nested_with("Grantee", &attributes, |xml| xml.element(element, value));
    xml.element("Permission", grant.permission.name());
}

/// `x-amz-object-ownership`.
pub(crate) fn object_ownership(headers: &HeaderMap) -> Result<Option<ObjectOwnership>, Failure> {
    const NAME: &str = "x-amz-object-ownership";
    let Some(value) = text(headers, NAME)? else {
        return Ok(None);
    };
    match ObjectOwnership::parse(value) {
        Some(ownership) => Ok(Some(ownership)),
        None => Err(argument(
            "Invalid x-amz-object-ownership header",
            NAME,
            Some(value),
        )),
    }
}

/// `OwnershipControls`, which has one rule.
pub(crate) fn ownership_controls(document: &[u8]) -> Result<ObjectOwnership, Failure> {
    let mut controls = parse(document)?.into_fields("OwnershipControls")?;
    let rule = controls.required("Rule")?;
    controls.finish()?;
    let mut rule = rule.into_fields("Rule")?;
    let ownership = rule.required_text("ObjectOwnership")?;
    rule.finish()?;
    Ok(ObjectOwnership::parse(&ownership).ok_or(XmlError)?)
}

/// `OwnershipControls`, as GetBucketOwnershipControls answers it.
pub(crate) fn write_ownership_controls(ownership: ObjectOwnership) -> Bytes {
    let mut xml = XmlWriter::new("OwnershipControls", Some(S3_NAMESPACE));
    xml.nested("Rule", |xml| {
        xml.element("ObjectOwnership", ownership.name());
    });
    xml.finish()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn id(digit: char) -> CanonicalId {
        CanonicalId::parse(&digit.to_string().repeat(64)).unwrap()
    }

    fn sent(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn argument_of(failure: Failure) -> (&'static str, String) {
        let Failure::Request(RequestError::InvalidArgument { message, value, .. }) = failure else {
            panic!("{failure:?}");
        };
        (message, value.unwrap_or_default())
    }

    #[test]
    fn headers_grant_what_they_are_named_for() {
        assert_eq!(headers(&sent(&[])).unwrap(), WantedAcl::Unspecified);
        for canned in CannedAcl::ALL {
            let wanted = headers(&sent(&[(CANNED, canned.name())])).unwrap();
            assert_eq!(wanted, WantedAcl::Canned(canned));
        }
        let (a, b) = (id('a'), id('b'));
        let value = format!(
            "id=\"{}\", uri=http://acs.amazonaws.com/groups/global/AllUsers ,id={}",
            a.as_str(),
            b.as_str()
        );
        for (name, permission) in GRANTING {
            let wanted = headers(&sent(&[(name, &value)])).unwrap();
            let grant = |grantee| AclGrant {
                grantee,
                permission,
            };
            let expected = vec![
                grant(Grantee::CanonicalUser(a.clone())),
                grant(Grantee::Group(AclGroup::AllUsers)),
                grant(Grantee::CanonicalUser(b.clone())),
            ];
            assert_eq!(wanted, WantedAcl::Grants(expected));
        }
    }

    #[test]
    fn the_headers_of_grants_are_read_as_they_are_written() {
        let mut grants = Vec::new();
        for permission in AclPermission::ALL {
            for grantee in [
                Grantee::CanonicalUser(id('a')),
                Grantee::Group(AclGroup::AllUsers),
            ] {
                grants.push(AclGrant {
                    grantee,
                    permission,
                });
            }
        }
        let written = grant_headers(&grants);
        let map = written.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
        });
        let WantedAcl::Grants(read) = headers(&map.collect()).unwrap() else {
            panic!("no grants");
        };
        assert_eq!(read.len(), grants.len());
        assert!(grants.iter().all(|it| read.contains(it)));
        assert_eq!(grant_headers(&[]), []);
    }

    #[test]
    fn headers_that_name_nobody_are_refused() {
        let refused = |value: &str| headers(&sent(&[("x-amz-grant-read", value)])).unwrap_err();
        for value in ["", "x", "id", "name=x", ",id=x"] {
            let (message, _) = argument_of(refused(value));
            assert_eq!(message, "Argument format not recognized", "{value}");
        }
        assert_eq!(argument_of(refused("id=x")), ("Invalid id", "x".to_owned()));
        assert_eq!(
            argument_of(refused("uri=\"http://x\"")),
            ("Invalid group uri", "http://x".to_owned())
        );
        let email = refused("emailAddress=\"a@example.com\"");
        assert!(matches!(
            email,
            Failure::Request(RequestError::UnresolvableGrantByEmail(_))
        ));
        let unknown = headers(&sent(&[(CANNED, "public")])).unwrap_err();
        assert_eq!(
            argument_of(unknown),
            ("Invalid Argument", "public".to_owned())
        );
        let both = sent(&[(CANNED, "private"), ("x-amz-grant-read", "id=x")]);
        assert!(headers(&both).is_err());
    }

    #[test]
    fn a_document_is_read_as_it_is_written() {
        let owner = id('a');
        let mut grants = Vec::new();
        let groups = AclGroup::ALL.map(Grantee::Group);
        for grantee in [Grantee::CanonicalUser(id('b'))].into_iter().chain(groups) {
            for permission in AclPermission::ALL {
                grants.push(AclGrant {
                    grantee: grantee.clone(),
                    permission,
                });
            }
        }
        let acl = Acl::new(owner.clone(), grants.clone()).unwrap();
        let read = document(&write(&acl)).unwrap();
        assert_eq!(read, WantedAcl::Document { owner, grants });
    }

    #[test]
    fn documents_that_are_no_lists_are_refused() {
        let acl = Acl::canned(CannedAcl::PublicRead, id('a'), &id('a'));
        let text = String::from_utf8(write(&acl).to_vec()).unwrap();
        assert!(document(text.as_bytes()).is_ok());
        for (from, to) in [
            ("<Permission>READ<", "<Permission>LOOK<"),
            ("xsi:type=\"Group\"", "xsi:type=\"Crowd\""),
            ("xsi:type=\"Group\"", ""),
            ("<URI>", "<Uri>"),
            ("Owner>", "Possessor>"),
            ("AccessControlList>", "List>"),
            ("</Grant>", "<Grantee/></Grant>"),
            ("<Owner>", "<x/><Owner>"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            let failure = document(changed.as_bytes()).unwrap_err();
            assert!(
                matches!(failure, Failure::Request(RequestError::MalformedAcl)),
                "{changed}: {failure:?}"
            );
        }
        let named = text.replace("</ID>", "</ID><DisplayName>x</DisplayName>");
        assert!(document(named.as_bytes()).is_ok());
        let (message, _) =
            argument_of(document(text.replace("<ID>a", "<ID>z").as_bytes()).unwrap_err());
        assert_eq!(message, "Invalid id");
        let (message, _) =
            argument_of(document(text.replace("/AllUsers", "/Some").as_bytes()).unwrap_err());
        assert_eq!(message, "Invalid group uri");
    }

    #[test]
    fn ownership_controls_have_one_rule() {
        for ownership in ObjectOwnership::ALL {
            let written = write_ownership_controls(ownership);
            assert_eq!(ownership_controls(&written).unwrap(), ownership);
            let text = String::from_utf8(written.to_vec()).unwrap();
            let (head, tail) = text.split_once("</Rule>").unwrap();
            let rule = &head[head.find("<Rule>").unwrap()..];
            let twice = format!("{head}</Rule>{rule}</Rule>{tail}");
            assert!(ownership_controls(twice.as_bytes()).is_err());
            let other = text.replace(ownership.name(), "Nobody");
            assert!(ownership_controls(other.as_bytes()).is_err());
        }
        let none = sent(&[]);
        assert_eq!(object_ownership(&none).unwrap(), None);
        let preferred = sent(&[("x-amz-object-ownership", "BucketOwnerPreferred")]);
        assert_eq!(
            object_ownership(&preferred).unwrap(),
            Some(ObjectOwnership::BucketOwnerPreferred)
        );
        assert!(object_ownership(&sent(&[("x-amz-object-ownership", "Me")])).is_err());
    }
}
