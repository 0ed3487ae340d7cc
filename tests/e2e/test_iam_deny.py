"""Policies decide nothing yet: whoever is not the account's root user signs, is known, and may do nothing."""

import uuid

import boto3
from botocore.config import Config

from conftest import new_bucket, refused

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


def test_a_user_is_known_and_denied_whatever_policies_say(clients, s3):
    iam, bucket = clients.boto(service="iam"), new_bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    name = f"t{uuid.uuid4().hex[:12]}"
    user = iam.create_user(UserName=name)["User"]
    iam.attach_user_policy(UserName=name, PolicyArn=ADMINISTRATOR)
    pair = iam.create_access_key(UserName=name)["AccessKey"]

    def client(service):
        session = boto3.session.Session(pair["AccessKeyId"], pair["SecretAccessKey"], region_name=clients.region)
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return session.client(service, endpoint_url=clients.access.http, config=config)

    assert client("sts").get_caller_identity()["Arn"] == user["Arn"]
    for call, more, code in [
        (client("s3").get_object, {"Bucket": bucket, "Key": "k"}, "AccessDenied"),
        (client("s3").put_object, {"Bucket": bucket, "Key": "n", "Body": b""}, "AccessDenied"),
        (client("s3").list_buckets, {}, "AccessDenied"),
        (client("kms").create_key, {}, "AccessDeniedException"),
        (client("kms").list_keys, {}, "AccessDeniedException"),
        (client("iam").list_users, {}, "AccessDenied"),
    ]:
        answer = refused(call, **more)
        assert answer.code == code and user["Arn"] in answer.message, answer.answer
    iam.delete_access_key(UserName=name, AccessKeyId=pair["AccessKeyId"])
    assert refused(client("s3").list_buckets).code == "InvalidAccessKeyId"
    assert refused(client("sts").get_caller_identity).code == "InvalidClientTokenId"
