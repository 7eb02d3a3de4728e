"""Models fetched from an S3, which breaks off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from comfy_runner.errors import ModelError, UsageError
from comfy_runner.model_files import sources
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import fetch
from comfy_runner.model_files.hosts import Hosts
from tests.model_files.support import model, safetensors
from tests.s3 import Proxy, S3Server, Times, proxy

CONTENT = safetensors()


@pytest.fixture
def before(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the S3, which this process finds in its place."""
    with proxy(s3) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.as_server.url)
        yield made


def _put(bucket: str, content: bytes = CONTENT) -> str:
    url = f"s3://{bucket}/models/tiny.safetensors"
    with fsspec.open(url, "wb", skip_instance_cache=True) as file:
        file.write(content)
    return url


def test_it_comes_in_parts_that_are_asked_again(
    before: Proxy, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_PART", 1_000_000)
    bucket = s3.bucket()
    wanted = model(_put(bucket), CONTENT)
    before.seen.clear()
    before.responding = [Times(lambda handler, _body: handler.cut(), left=1, method="GET")]

    with pytest.raises(UsageError, match="models may not be fetched from s3://bucket-"):
        fetch([wanted], ModelCache(tmp_path, 1 << 30), Hosts(("s3://other",)))
    found = fetch([wanted], ModelCache(tmp_path, 1 << 30), Hosts((f"s3://{bucket}",)))

    assert found[wanted].read_bytes() == CONTENT
    assert len([asked for asked in before.seen if asked.startswith("GET")]) >= 5


def test_what_is_not_there_or_is_refused(before: Proxy, s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.bucket()
    hosts = Hosts((f"s3://{bucket}",))

    with pytest.raises(ModelError, match="there is no such object"):
        fetch([model(f"s3://{bucket}/none.safetensors", CONTENT)], ModelCache(tmp_path, 1 << 30), hosts)
    before.responding = [Times(lambda handler, _body: handler.refuse(403, "AccessDenied"), left=-1, method="HEAD")]
    with pytest.raises(ModelError, match="no permission"):
        fetch([model(f"s3://{bucket}/none.safetensors", CONTENT)], ModelCache(tmp_path, 1 << 30), hosts)
