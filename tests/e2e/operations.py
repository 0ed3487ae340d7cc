"""One valid call of every operation of every service, with what it needs; the rows are those of docs/authorization.md.

`prepare` makes what the call is done to and gives its arguments; a call may be made once with them. `state` shows what
a call could change, and must not have changed when it was refused.
"""

import json

from callers import allow, document, fresh
from operations_iam import I_TAGS, IAM
from operations_kms import KMS
from operations_s3 import S3
from stage import READ, Op


# STS.

TRUSTED = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def trusting(stage, *statements):
    """A trust policy that leaves it to the account's IAM policies, and the statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": stage.account.id}, "Action": TRUSTED}, *statements]})


def a_role(**more):
    return lambda stage: {"RoleArn": stage.account.role(name=fresh("t-"), trust=trusting(stage)),
                          "RoleSessionName": "session", **more}


STS = {
    "AssumeRole": Op("assume_role", a_role(), "trust"),
    "AssumeRole with tags": Op("assume_role", a_role(**I_TAGS), "trust"),
    "AssumeRole with a source identity": Op("assume_role", a_role(SourceIdentity="somebody"), "trust"),
    "DecodeAuthorizationMessage": Op("decode_authorization_message", lambda s: {"EncodedMessage": "x"},
                                     fine=("InvalidAuthorizationMessageException",)),
    "GetAccessKeyInfo": Op("get_access_key_info", lambda s: {"AccessKeyId": s.account.root.access}),
    "GetFederationToken": Op("get_federation_token", lambda s: {"Name": "somebody", "Policy": READ}, sessions=False),
    "GetFederationToken with tags": Op(
        "get_federation_token", lambda s: {"Name": "somebody", "Policy": READ, **I_TAGS}, sessions=False),
}
# Operations that ask no right of those who sign.
FREE = {
    "GetCallerIdentity": Op("get_caller_identity"),
    "GetSessionToken": Op("get_session_token", sessions=False),
}
# Operations that are not signed: what they bring is the proof. Issuers and tokens are test_web_identity.py's.
UNSIGNED = {"AssumeRoleWithWebIdentity": Op("assume_role_with_web_identity", a_role(WebIdentityToken="a.b.c"))}

# CloudTrail.

def new_trail(**more):
    """A trail to be made; there may be five, so that those of rows before are deleted."""
    def prepare(stage):
        trails, bucket = stage.cloudtrail, stage.account.bucket(versioned=False)
        for trail in trails.list_trails()["Trails"]:
            trails.delete_trail(Name=trail["TrailARN"])
        service = {"Principal": {"Service": "cloudtrail.amazonaws.com"}}
        stage.s3.put_bucket_policy(Bucket=bucket, Policy=document(
            {**allow("s3:GetBucketAcl", f"arn:aws:s3:::{bucket}"), **service},
            {**allow("s3:PutObject", f"arn:aws:s3:::{bucket}/AWSLogs/*"), **service}))
        return {"Name": fresh("t-"), "S3BucketName": bucket, **more}
    return prepare


def trail(name="Name", arn=False, listed=False, **more):
    """A trail, named by its name or its ARN."""
    def prepare(stage):
        made = stage.cloudtrail.create_trail(**new_trail(TagsList=[{"Key": "old", "Value": "v"}])(stage))
        named = made["TrailARN"] if arn else made["Name"]
        return {name: [named] if listed else named, **more}
    return prepare


def trail_state(stage, args):
    found = []
    for trail in stage.cloudtrail.describe_trails()["trailList"]:
        arn = trail["TrailARN"]
        selectors, tags = stage.cloudtrail.get_event_selectors(TrailName=arn), stage.cloudtrail.list_tags(ResourceIdList=[arn])
        logging = stage.cloudtrail.get_trail_status(Name=arn)["IsLogging"]
        found.append([trail, logging, selectors["EventSelectors"], tags["ResourceTagList"]])
    return json.dumps(found, default=str, sort_keys=True)


def t_writes(call, prepare):
    return Op(call, prepare, state=trail_state)


T_TAGS = {"TagsList": [{"Key": "k", "Value": "v"}]}
CLOUDTRAIL = {
    "CreateTrail": t_writes("create_trail", new_trail()),
    "CreateTrail with tags": t_writes("create_trail", new_trail(**T_TAGS)),
    "UpdateTrail": t_writes("update_trail", trail(S3KeyPrefix="", EnableLogFileValidation=True)),
    "DeleteTrail": t_writes("delete_trail", trail()),
    "DescribeTrails": Op("describe_trails"),
    "GetTrail": Op("get_trail", trail()),
    "ListTrails": Op("list_trails"),
    "GetTrailStatus": Op("get_trail_status", trail(arn=True)),
    "StartLogging": t_writes("start_logging", trail()),
    "StopLogging": t_writes("stop_logging", trail()),
    "PutEventSelectors": t_writes("put_event_selectors", trail("TrailName", EventSelectors=[
        {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}])),
    "GetEventSelectors": Op("get_event_selectors", trail("TrailName")),
    "GetEventConfiguration": Op("get_event_configuration", trail("TrailName")),
    "GetInsightSelectors": Op("get_insight_selectors", trail("TrailName"), fine=("InsightNotEnabledException",)),
    "LookupEvents": Op("lookup_events"),
    "ListPublicKeys": Op("list_public_keys"),
    "AddTags": t_writes("add_tags", trail("ResourceId", arn=True, **T_TAGS)),
    "RemoveTags": t_writes("remove_tags", trail("ResourceId", arn=True, TagsList=[{"Key": "old"}])),
    "ListTags": Op("list_tags", trail("ResourceIdList", arn=True, listed=True)),
}

TABLES = {"s3": S3, "kms": KMS, "iam": IAM, "sts": STS, "cloudtrail": CLOUDTRAIL}
OPERATIONS = {(service, name): op for service, table in TABLES.items()
              for name, op in table.items()}
