use strongroom_types::kms::{KeySpec, KeyUsage};

use super::*;
use crate::fixture::{ACCOUNT, World};
use crate::{AliasEntry, DeleteAliasInput, ListAliasesInput, Page, UpdateAliasInput};

fn update(service: &KeyService, name: &str, arn: &KeyArn) -> Result<(), KmsError> {
    let input = UpdateAliasInput {
        alias_name: name.to_owned(),
        target_key_id: arn.to_string(),
    };
    service.update_alias(&root(), input)
}

fn delete(service: &KeyService, name: &str) -> Result<(), KmsError> {
    let alias_name = name.to_owned();
    service.delete_alias(&root(), DeleteAliasInput { alias_name })
}

fn list(
    service: &KeyService,
    key_id: Option<&KeyArn>,
    limit: Option<u32>,
    marker: Option<String>,
) -> Page<AliasEntry> {
    let input = ListAliasesInput {
        key_id: key_id.map(ToString::to_string),
        limit,
        marker,
    };
    service.list_aliases(&root(), input).unwrap()
}

fn names(page: &Page<AliasEntry>) -> Vec<&str> {
    page.entries.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn names_that_customers_cannot_make_are_refused_with_the_texts_of_aws() {
    let service = World::new().service();
    let arn = created(&service);
    assert_eq!(
        text(alias(&service, "mine", &arn)),
        "Alias must start with the prefix \"alias/\". Please see \
         https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
    );
    assert_eq!(
        alias(&service, "alias/a:b", &arn),
        Err(KmsError::InvalidAliasName(
            "alias/a:b contains invalid characters for an alias".to_owned()
        ))
    );
    assert!(matches!(
        alias(&service, "alias/a b", &arn),
        Err(KmsError::Validation(_))
    ));
    for reserved in ["alias/aws/s3", "alias/aws/mine"] {
        assert!(matches!(
            alias(&service, reserved, &arn),
            Err(KmsError::NotAuthorized(_))
        ));
        assert!(matches!(
            delete(&service, reserved),
            Err(KmsError::NotAuthorized(_))
        ));
    }
    let input = CreateAliasInput {
        alias_name: "alias/a".to_owned(),
        target_key_id: "alias/b".to_owned(),
    };
    assert_eq!(
        text(service.create_alias(&root(), input)),
        "Aliases must refer to keys. Not aliases"
    );
}

#[test]
fn an_alias_exists_once_and_moves_between_keys_of_one_kind() {
    let service = World::new().service();
    let (first, second) = (created(&service), created(&service));
    alias(&service, "alias/a", &first).unwrap();
    assert_eq!(
        alias(&service, "alias/a", &first),
        Err(KmsError::AlreadyExists(format!(
            "An alias with the name arn:aws:kms:us-east-1:{ACCOUNT}:alias/a already exists"
        )))
    );
    update(&service, "alias/a", &second).unwrap();
    assert_eq!(described(&service, "alias/a").unwrap().arn, second);
    assert_eq!(names(&list(&service, Some(&first), None, None)).len(), 0);
    assert_eq!(
        names(&list(&service, Some(&second), None, None)),
        ["alias/a"]
    );
    let input = CreateKeyInput {
        key_spec: Some(KeySpec::Hmac256),
        key_usage: Some(KeyUsage::GenerateVerifyMac),
        ..defaults()
    };
    let mac = service.create_key(&root(), input).unwrap().key_metadata.arn;
    assert!(matches!(
        update(&service, "alias/a", &mac),
        Err(KmsError::Validation(_))
    ));
    // To a key that goes: no. Away from one: yes. Deleting: always.
    schedule(&service, &first, 7).unwrap();
    assert_eq!(
        text(update(&service, "alias/a", &first)),
        format!("{first} is pending deletion.")
    );
    assert_eq!(
        text(alias(&service, "alias/b", &first)),
        format!("{first} is pending deletion.")
    );
    let third = created(&service);
    schedule(&service, &second, 7).unwrap();
    update(&service, "alias/a", &third).unwrap();
    delete(&service, "alias/a").unwrap();
    let gone = format!("Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/a is not found.");
    assert_eq!(text(delete(&service, "alias/a")), gone);
    assert_eq!(text(update(&service, "alias/a", &third)), gone);
    assert_eq!(text(described(&service, "alias/a")), gone);
}

#[test]
fn aliases_are_listed_in_pages_with_those_of_aws_that_are_not_there_yet() {
    let service = World::new().service();
    let arn = created(&service);
    for name in ["alias/z", "alias/a", "alias/b"] {
        alias(&service, name, &arn).unwrap();
    }
    let mut listed = Vec::new();
    let mut marker = None;
    loop {
        let page = list(&service, None, Some(2), marker);
        assert!(page.entries.len() <= 2);
        listed.extend(page.entries);
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    let shown: Vec<_> = listed
        .iter()
        .map(|it| (it.name.as_str(), it.target_key_id.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            ("alias/a", true),
            ("alias/aws/s3", false),
            ("alias/aws/secretsmanager", false),
            ("alias/b", true),
            ("alias/z", true),
        ]
    );
    let first = list(&service, Some(&arn), Some(2), None);
    assert_eq!(names(&first), ["alias/a", "alias/b"]);
    let second = list(&service, Some(&arn), Some(2), first.next_marker);
    assert_eq!(names(&second), ["alias/z"]);
    assert!(second.next_marker.is_none());
}

#[test]
fn a_key_has_at_most_fifty_aliases() {
    let service = World::new().service();
    let arn = created(&service);
    for number in 0..50 {
        alias(&service, &format!("alias/{number}"), &arn).unwrap();
    }
    assert!(matches!(
        alias(&service, "alias/more", &arn),
        Err(KmsError::LimitExceeded(_))
    ));
}
