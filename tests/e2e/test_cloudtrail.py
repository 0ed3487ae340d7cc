"""Trails by boto3: what they are, what they deliver, their tags, and what is refused."""

import json

import pytest

from callers import fresh
from conftest import Clients, new_bucket, poll, refused
from test_w9 import bucket_policy, key_policy


@pytest.fixture(scope="module")
def trails(clients):
    return clients.boto(service="cloudtrail")


@pytest.fixture(scope="module")
def account(clients):
    return clients.boto(service="sts").get_caller_identity()["Account"]


@pytest.fixture
def place(trails, s3, account):
    """A name and a bucket that takes what the trail of that name delivers; there may be five trails."""
    for trail in trails.list_trails()["Trails"]:
        trails.delete_trail(Name=trail["TrailARN"])
    name, bucket = fresh("trail-"), new_bucket(s3)
    arn = f"arn:aws:cloudtrail:{trails.meta.region_name}:{account}:trail/{name}"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(bucket_policy(account, arn, bucket)))
    yield {"Name": name, "S3BucketName": bucket}


def test_a_trail_is_made_described_changed_and_deleted(trails, place, account):
    name = place["Name"]
    made = trails.create_trail(**place, TagsList=[{"Key": "team", "Value": "red"}])
    arn = made["TrailARN"]
    common = {**place, "TrailARN": arn, "IncludeGlobalServiceEvents": True, "IsMultiRegionTrail": False,
              "LogFileValidationEnabled": False, "IsOrganizationTrail": False}
    assert {k: v for k, v in made.items() if k != "ResponseMetadata"} == common
    shown = {**common, "HomeRegion": trails.meta.region_name, "HasCustomEventSelectors": False,
             "HasInsightSelectors": False}
    for named in (name, arn):
        assert trails.get_trail(Name=named)["Trail"] == shown
        assert trails.describe_trails(trailNameList=[named])["trailList"] == [shown]
    assert trails.describe_trails()["trailList"] == [shown]
    assert trails.describe_trails(trailNameList=["none"])["trailList"] == []
    assert trails.list_trails()["Trails"] == [{"TrailARN": arn, "Name": name, "HomeRegion": shown["HomeRegion"]}]
    status = trails.get_trail_status(Name=name)
    assert status["IsLogging"] is False and "StartLoggingTime" not in status and status["TimeLoggingStarted"] == ""
    trails.start_logging(Name=arn)
    status = trails.get_trail_status(Name=name)
    assert status["IsLogging"] and status["StartLoggingTime"] and status["TimeLoggingStarted"].endswith("Z")
    changed = trails.update_trail(Name=name, EnableLogFileValidation=True, IsMultiRegionTrail=True)
    assert changed["LogFileValidationEnabled"] and changed["IsMultiRegionTrail"]
    assert refused(trails.update_trail, Name=name, IncludeGlobalServiceEvents=False).code == \
        "InvalidParameterCombinationException"
    assert refused(trails.update_trail, Name=name, S3BucketName="no-such-bucket-here").code == \
        "S3BucketDoesNotExistException"
    trails.stop_logging(Name=name)
    stopped = trails.get_trail_status(Name=name)["StopLoggingTime"]
    # The last time stays when it logs again.
    trails.start_logging(Name=name)
    assert trails.get_trail_status(Name=name)["StopLoggingTime"] == stopped
    trails.delete_trail(Name=name)
    for call in (trails.get_trail, trails.get_trail_status, trails.delete_trail, trails.start_logging):
        told = refused(call, Name=name)
        assert told.code == "TrailNotFoundException" and told.message == f"Unknown trail: {name} for the user: {account}"


def test_each_change_is_recorded_once(trails, place):
    arn = trails.create_trail(**place)["TrailARN"]
    trails.start_logging(Name=arn)
    trails.put_event_selectors(TrailName=arn, EventSelectors=[{"ReadWriteType": "All"}])
    trails.add_tags(ResourceId=arn, TagsList=[{"Key": "k", "Value": "v"}])
    trails.delete_trail(Name=arn)
    events = trails.lookup_events(LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": arn}])["Events"]
    assert [e["EventName"] for e in events] == ["DeleteTrail", "AddTags", "PutEventSelectors", "StartLogging",
                                                "CreateTrail"]
    made = json.loads(events[-1]["CloudTrailEvent"])
    assert made["eventSource"] == "cloudtrail.amazonaws.com" and made["readOnly"] is False
    assert made["requestParameters"]["s3BucketName"] == place["S3BucketName"]
    assert made["responseElements"]["trailARN"] == arn
    assert made["resources"] == [{"accountId": made["recipientAccountId"], "type": "AWS::CloudTrail::Trail", "ARN": arn}]


def test_selectors_of_both_kinds(trails, place):
    name = place["Name"]
    arn = trails.create_trail(**place)["TrailARN"]
    default = [{"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [],
                "ExcludeManagementEventSources": []}]
    assert trails.get_event_selectors(TrailName=name)["EventSelectors"] == default
    basic = [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True,
              "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/", "arn:aws:s3:::c/p"]}],
              "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]
    put = trails.put_event_selectors(TrailName=name, EventSelectors=basic)
    assert (put["TrailARN"], put["EventSelectors"]) == (arn, basic)
    assert trails.get_event_selectors(TrailName=arn)["EventSelectors"] == basic
    assert trails.get_trail(Name=name)["Trail"]["HasCustomEventSelectors"]
    advanced = [{"Name": "puts", "FieldSelectors": [
        {"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        {"Field": "eventName", "StartsWith": ["Put"], "NotEquals": ["PutObjectAcl"]}]}]
    trails.put_event_selectors(TrailName=name, AdvancedEventSelectors=advanced)
    shown = trails.get_event_selectors(TrailName=name)
    assert shown["AdvancedEventSelectors"] == advanced and "EventSelectors" not in shown
    for wrong in [{"EventSelectors": basic, "AdvancedEventSelectors": advanced}, {"EventSelectors": []}, {},
                  {"EventSelectors": basic * 6},
                  {"EventSelectors": [{"DataResources": [{"Type": "AWS::Lambda::Function", "Values": ["a"]}]}]},
                  {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventName", "Equals": ["x"]}]}]},
                  {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "nothing", "Equals": ["x"]}]}]},
                  # What would never deliver anything, and what is too long to keep.
                  {"AdvancedEventSelectors": [{"FieldSelectors": [
                      {"Field": "eventCategory", "Equals": ["Data"]},
                      {"Field": "resources.type", "Equals": ["AWS::S3::Objekt"]}]}]},
                  {"AdvancedEventSelectors": [{"FieldSelectors": [
                      {"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "readOnly", "Equals": ["yes"]}]}]},
                  {"EventSelectors": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b*/x"]}]}]},
                  {"EventSelectors": [{"DataResources": [
                      {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::b/" + "x" * 300] * 250}]}]}]:
        told = refused(trails.put_event_selectors, TrailName=name, **wrong)
        assert told.code == "InvalidEventSelectorsException", wrong
    assert trails.get_event_selectors(TrailName=name)["AdvancedEventSelectors"] == advanced
    assert trails.get_event_configuration(TrailName=name)["MaxEventSize"] == "Standard"
    assert refused(trails.get_insight_selectors, TrailName=name).code == "InsightNotEnabledException"
    assert refused(trails.put_insight_selectors, TrailName=name, InsightSelectors=[]).code == \
        "UnsupportedOperationException"


def test_tags(trails, place):
    arn = trails.create_trail(**place, TagsList=[{"Key": "a", "Value": "1"}, {"Key": "b"}])["TrailARN"]

    def tags():
        [listed] = trails.list_tags(ResourceIdList=[arn])["ResourceTagList"]
        assert listed["ResourceId"] == arn
        return {tag["Key"]: tag.get("Value") for tag in listed["TagsList"]}

    assert tags() == {"a": "1", "b": None}
    trails.add_tags(ResourceId=arn, TagsList=[{"Key": "a", "Value": "2"}, {"Key": "c", "Value": "3"}])
    assert tags() == {"a": "2", "b": None, "c": "3"}
    trails.remove_tags(ResourceId=arn, TagsList=[{"Key": "a"}, {"Key": "none"}])
    assert tags() == {"b": None, "c": "3"}
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(49)]
    assert refused(trails.add_tags, ResourceId=arn, TagsList=many).code == "TagsLimitExceededException"
    for wrong in ([{"Key": "aws:x"}], [{"Key": "k"}, {"Key": "k"}], [{"Key": "<k>"}]):
        assert refused(trails.add_tags, ResourceId=arn, TagsList=wrong).code == "InvalidTagParameterException"
        other = {**place, "Name": fresh("tagged-")}
        assert refused(trails.create_trail, **other, TagsList=wrong).code == "InvalidTagParameterException"
    region, account = arn.split(":")[3:5]
    for other, code in [(arn + "x", "ResourceNotFoundException"), ("arn:aws:s3:::b", "CloudTrailARNInvalidException"),
                        (place["Name"], "CloudTrailARNInvalidException"),
                        (f"arn:aws:cloudtrail:{region}:{account}:eventdatastore/x",
                         "ResourceTypeNotSupportedException")]:
        assert refused(trails.add_tags, ResourceId=other, TagsList=[{"Key": "k"}]).code == code, other


def test_what_cannot_be_has_its_name(trails, place, s3, account):
    create = trails.create_trail
    arn = f"arn:aws:cloudtrail:{trails.meta.region_name}:111122223333:trail/abc"
    for name in ("-abc", "a..b", "10.0.0.1", "x" * 129, arn.replace("111122223333", account)):
        assert refused(create, **{**place, "Name": name}).code == "InvalidTrailNameException", name
    assert refused(create, **{**place, "S3BucketName": "No_Bucket"}).code == "InvalidS3BucketNameException"
    assert refused(create, **place, S3KeyPrefix="x" * 201).code == "InvalidS3PrefixException"
    # The policy is for AWSLogs at the top.
    assert refused(create, **place, S3KeyPrefix="deep").code == "InsufficientS3BucketPolicyException"
    assert refused(create, **place, IsOrganizationTrail=True).code == "OrganizationsNotInUseException"
    assert refused(create, **place, SnsTopicName="topic").code == "UnsupportedOperationException"
    assert refused(trails.get_trail, Name="arn:aws:cloudtrail:nothing").code == "CloudTrailARNInvalidException"
    assert refused(trails.get_trail, Name="arn:aws:cloudtrail:eu-west-1:111122223333:trail/abc").code == \
        "TrailNotFoundException"
    bucket = place["S3BucketName"]
    everybody = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:*",
         "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(everybody))
    for _ in range(5):
        create(**{**place, "Name": fresh("t-")})
    assert refused(create, **place).code == "MaximumNumberOfTrailsExceededException"
    for call in (trails.list_queries, trails.list_dashboards):
        args = {"EventDataStore": "arn"} if call == trails.list_queries else {}
        assert refused(call, **args).code == "UnsupportedOperationException"


@pytest.mark.parametrize("setting", [None, "sse-s3", "trail-key"])
def test_digests_are_encrypted_as_the_setting_says_since_the_trail_was_made_or_updated(make_server, setting):
    flags = ["--trail-digest-encryption", setting] if setting else []
    server = make_server("--trail-delivery-interval", "1", *flags)

    def connect():
        clients = Clients(server.access())
        return [clients.boto(service=name) for name in ("s3", "kms", "cloudtrail", "sts")]

    s3, kms, trails, sts = connect()
    account, bucket = sts.get_caller_identity()["Account"], new_bucket(s3)
    arn = f"arn:aws:cloudtrail:{trails.meta.region_name}:{account}:trail/digests"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(bucket_policy(account, arn, bucket)))
    key = kms.create_key(Policy=json.dumps(key_policy(account, arn)))["KeyMetadata"]["Arn"]
    trails.create_trail(Name="digests", S3BucketName=bucket, KmsKeyId=key, EnableLogFileValidation=True)

    def digest():
        """How the last digest of a run of the trail is encrypted; stopping makes it."""
        before = keys()
        trails.start_logging(Name="digests")
        trails.stop_logging(Name="digests")
        [new] = poll(lambda: keys() - before, 60, 0.3)
        head = s3.head_object(Bucket=bucket, Key=new)
        return head["ServerSideEncryption"], head.get("SSEKMSKeyId")

    def keys():
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"AWSLogs/{account}/CloudTrail-Digest/")
        return {it["Key"] for it in listed.get("Contents", [])}

    plain, under = ("AES256", None), ("aws:kms", key)
    assert digest() == (under if setting == "trail-key" else plain)
    if setting != "trail-key":
        return
    # Another setting counts from the next update on.
    server.stop()
    server.args = ("--trail-delivery-interval", "1")
    server.start()
    s3, kms, trails, sts = connect()
    assert digest() == under
    trails.update_trail(Name="digests", EnableLogFileValidation=True)
    assert digest() == plain
