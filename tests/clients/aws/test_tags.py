"""Tags of keys in the embedded AWS, tested with boto3 and compared with moto."""

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ONE_TRY, OTHER, REGION, key

TAGS = [{"TagKey": "data-class", "TagValue": "pci"}, {"TagKey": "team", "TagValue": "payments"}]


def code(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def listed(client, key_id):
    return sorted(client.list_resource_tags(KeyId=key_id)["Tags"], key=lambda tag: tag["TagKey"])


def test_tags_are_listed_as_in_moto(kms, moto):
    other = boto3.client(
        "kms",
        region_name=REGION,
        endpoint_url=moto,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=ONE_TRY,
    )
    answers = []
    for client in (kms, other):
        created = client.create_key(Tags=TAGS)["KeyMetadata"]
        answers.append(listed(client, created["Arn"]))
        client.tag_resource(KeyId=created["KeyId"], Tags=[{"TagKey": "team", "TagValue": "search"}])
        client.untag_resource(KeyId=created["KeyId"], TagKeys=["data-class"])
        answers.append(listed(client, created["KeyId"]))
    assert answers[0] == TAGS
    assert answers[1] == [{"TagKey": "team", "TagValue": "search"}]
    assert answers[:2] == answers[2:]


def test_tags_are_paged(kms):
    tags = [{"TagKey": f"tag-{n:02}", "TagValue": str(n)} for n in range(30)]
    created = kms.create_key(Tags=tags)["KeyMetadata"]
    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=created["KeyId"], PaginationConfig={"PageSize": 7})
    assert [tag for page in pages for tag in page["Tags"]] == tags


def test_tags_are_listed_only_in_the_account_with_permission(sandbox, kms):
    assert kms.list_resource_tags(KeyId=key("good"))["Truncated"] is False
    without = sandbox.as_role("kms", "WithoutKms")
    assert code(without.list_resource_tags, KeyId=key("good")) == "AccessDeniedException"
    assert code(kms.list_resource_tags, KeyId=key("good", OTHER)) == "AccessDeniedException"
    assert code(kms.list_resource_tags, KeyId=key("none")) == "NotFoundException"
    assert code(kms.list_resource_tags, KeyId="alias/good") == "InvalidArnException"
