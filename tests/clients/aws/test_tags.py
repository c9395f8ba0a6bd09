"""Tags of keys, as boto3 sees them, beside another stand-in's."""

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


def test_tags_are_listed_as_another_stand_in_lists_them(kms, moto):
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
        made = client.create_key(Tags=TAGS)["KeyMetadata"]
        answers.append(listed(client, made["Arn"]))
        client.tag_resource(KeyId=made["KeyId"], Tags=[{"TagKey": "team", "TagValue": "search"}])
        client.untag_resource(KeyId=made["KeyId"], TagKeys=["data-class"])
        answers.append(listed(client, made["KeyId"]))
    assert answers[0] == TAGS
    assert answers[1] == [{"TagKey": "team", "TagValue": "search"}]
    assert answers[:2] == answers[2:]


def test_tags_come_in_pages(kms):
    tags = [{"TagKey": f"tag-{n:02}", "TagValue": str(n)} for n in range(30)]
    made = kms.create_key(Tags=tags)["KeyMetadata"]
    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=made["KeyId"], PaginationConfig={"PageSize": 7})
    assert [tag for page in pages for tag in page["Tags"]] == tags


def test_tags_are_shown_within_the_keys_account_to_whoever_may_see_them(sandbox, kms):
    assert kms.list_resource_tags(KeyId=key("good"))["Truncated"] is False
    without = sandbox.as_role("kms", "WithoutKms")
    assert code(without.list_resource_tags, KeyId=key("good")) == "AccessDeniedException"
    assert code(kms.list_resource_tags, KeyId=key("good", OTHER)) == "AccessDeniedException"
    assert code(kms.list_resource_tags, KeyId=key("none")) == "NotFoundException"
    assert code(kms.list_resource_tags, KeyId="alias/good") == "InvalidArnException"
