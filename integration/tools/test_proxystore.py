"""proxystore: large arguments and results go through a store, the Executor carries references."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from proxystore.connectors.file import FileConnector
from proxystore.store import Store
from proxystore.store.executor import ProxyType, StoreExecutor


def doubled(text: str) -> str:
    return text * 2


def test_a_store_around_an_executor(executor: Executor, tmp_path: Path) -> None:
    store = Store("test", FileConnector(str(tmp_path)), register=True)
    texts = [letter * 100_000 for letter in "abc"]

    with StoreExecutor(executor, store, should_proxy=ProxyType(str)) as ours:
        results = [str(result) for result in ours.map(doubled, texts)]
        one = str(ours.submit(doubled, texts[0]).result())

    assert results == [doubled(text) for text in texts]
    assert one == doubled(texts[0])
