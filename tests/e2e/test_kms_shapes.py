"""What KMS operations take, held against the service model that AWS's clients use."""

import botocore.session

from conftest import ROOT

LATER = {"ReplicateKey", "UpdatePrimaryRegion", "CreateCustomKeyStore", "DescribeCustomKeyStores",
         "UpdateCustomKeyStore", "DeleteCustomKeyStore", "ConnectCustomKeyStore", "DisconnectCustomKeyStore"}


def described(path, shape, required=False):
    bounds = shape.metadata
    least, most = bounds.get("min"), bounds.get("max")
    length = "" if least is None and most is None else \
        f" {'' if least is None else least}..{'' if most is None else most}"
    kind, below = shape.type_name, []
    if kind == "string" and shape.enum:
        kind = "choice " + " ".join(shape.enum)
    elif kind == "string":
        kind = "text" + length + (f" /{bounds['pattern']}/" if "pattern" in bounds else "")
    elif kind == "list":
        kind, below = "list" + length, [(f"{path}.member", shape.member, False)]
    elif kind == "structure":
        kind = "structure"
        below = [(f"{path}.{n}", m, n in shape.required_members) for n, m in shape.members.items()]
    elif kind == "map":
        assert (shape.key.type_name, shape.value.type_name) == ("string", "string")
        assert not shape.key.metadata.get("max") and not shape.value.metadata.get("max")
        kind = "text-map"
    elif kind == "timestamp":
        kind = "time"
    else:
        assert kind in ("blob", "integer", "boolean"), kind
        kind += length
    lines = [f"{path}{' required' if required else ''} {kind}"]
    for args in below:
        lines += described(*args)
    return lines


def test_our_table_is_the_model():
    model = botocore.session.get_session().get_service_model("kms")
    lines = []
    for name in sorted(model.operation_names):
        if name in LATER:
            continue
        shape = model.operation_model(name).input_shape
        for member, its in shape.members.items():
            lines += described(f"{name}.{member}", its, member in shape.required_members)
    ours = (ROOT / "crates/api/testdata/kms_shapes.txt").read_text().splitlines()
    assert ours == lines


def test_our_operations_are_the_models():
    model = botocore.session.get_session().get_service_model("kms")
    ours = {line.split(".")[0] for line in (ROOT / "crates/api/testdata/kms_shapes.txt").read_text().splitlines()}
    assert ours | LATER == set(model.operation_names)
    assert model.metadata["targetPrefix"] == "TrentService" and model.metadata["jsonVersion"] == "1.1"


def test_our_errors_are_the_models_or_aws_generic_ones():
    model = botocore.session.get_session().get_service_model("kms")
    generic = {"AccessDeniedException", "ConflictException", "IncompleteBody", "InternalFailure",
               "MissingAuthenticationTokenException", "NotAuthorizedException", "RequestEntityTooLargeException",
               "RequestTimeout", "SerializationException", "ThrottlingException", "UnknownOperationException",
               "ValidationException"}
    modelled = {shape.metadata.get("error", {}).get("code", shape.name) for shape in model.error_shapes}
    modelled |= {shape.name for shape in model.error_shapes}
    rows = (ROOT / "testdata/kms_error_table.txt").read_text().splitlines()
    assert {row.split("|")[1].split()[1] for row in rows} <= modelled | generic
