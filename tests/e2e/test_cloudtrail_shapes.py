"""What CloudTrail operations take, held against the service model that AWS's clients use."""

import re

import botocore.session

from conftest import ROOT
from test_kms_shapes import described

TABLE = ROOT / "crates/api/testdata/cloudtrail_shapes.txt"
# Bounds whose breach has an error of its own, an empty value that is none, and event data stores, which are refused.
OURS = {"LookupEvents.MaxResults": "integer", "LookupEvents.LookupAttributes.member.AttributeValue": "text",
        ".TagsList.member.Value": "text", ".EventDataStore": "text"}
PATTERN = re.compile(r" /.*/$")


def ours(line):
    """The line, without the bounds that differ on purpose and without patterns that allow everything."""
    line = PATTERN.sub("", line)
    name, _, kind = line.partition(" ")
    for ending, known in OURS.items():
        if name.endswith(ending):
            return f"{name} {'required ' if kind.startswith('required ') else ''}{known}"
    return line


def test_our_table_is_the_model():
    model = botocore.session.get_session().get_service_model("cloudtrail")
    table = TABLE.read_text().splitlines()
    lines = []
    for name in sorted({line.split(".")[0] for line in table}):
        shape = model.operation_model(name).input_shape
        for member, its in shape.members.items():
            lines += described(f"{name}.{member}", its, member in shape.required_members)
    assert [ours(line) for line in table] == [ours(line) for line in lines]


def test_our_operations_are_the_models():
    model = botocore.session.get_session().get_service_model("cloudtrail")
    source = (ROOT / "crates/api/src/cloudtrail/operations.rs").read_text()
    rows = set(re.findall(r"^    (\w+) (?:reads|changes) ", source, re.M))
    refused = set(re.search(r'unsupported!\["cloudtrail:", refuse;(.*?)\]', source, re.S)[1].split())
    assert not rows & refused and rows | refused == set(model.operation_names)
    assert model.metadata["targetPrefix"] in source and model.metadata["jsonVersion"] == "1.1"
