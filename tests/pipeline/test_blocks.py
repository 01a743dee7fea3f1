"""Segments into blocks, blocks into tasks."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.pipeline.blocks import (
    BUFFER_BYTES,
    MAX_TASK_BLOCKS,
    TASK_BYTES,
    BlockTable,
    block_sizes,
    count_blocks,
)

sizes = st.one_of(st.integers(0, 5000), st.integers(0, 20).map(lambda n: n * 512))


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [
        (0, []),
        (1, [1]),
        (1023, [1023]),
        (1024, [1024]),
        (1025, [1025]),
        (1535, [1535]),
        (1536, [1024, 512]),
        (2048, [1024, 1024]),
        (2559, [1024, 1535]),
        (2560, [1024, 1024, 512]),
    ],
)
def test_remainder_joins_or_stands_alone(n_bytes: int, expected: list[int]) -> None:
    assert block_sizes(n_bytes, 1024) == expected


def by_the_page(segments: list[int], block_bytes: int, cells: list[int]) -> list[tuple[int, list[int]]]:
    """Bytes of each block and the segments it holds bytes of, one segment after the other as format.md 1.4 says it."""
    blocks: list[tuple[int, list[int]]] = []
    run_bytes = min(block_bytes, 524_288)
    open_run = False
    for i, n in enumerate(segments):
        if n == 0:
            continue
        if 4 * n <= run_bytes:
            size, held = blocks[-1] if open_run else (0, [])
            if open_run and size + n <= run_bytes and len(held) < 1024:
                blocks[-1] = (size + n, [*held, i])
            else:
                blocks.append((n, [i]))
            open_run = True
        else:
            whole = block_bytes // cells[i] * cells[i]
            cut, rest = [whole] * (n // whole), n % whole
            if rest and (2 * rest >= whole or not cut):
                cut.append(rest)
            elif rest:
                cut[-1] += rest
            blocks += [(size, [i]) for size in cut]
            open_run = False
    return blocks


def assert_as_the_page(segments: list[int], block_bytes: int, cells: list[int] | None = None) -> BlockTable:
    cell_bytes = cells or 1
    table = BlockTable.of(segments, block_bytes, cell_bytes)
    expected = by_the_page(segments, block_bytes, cells or [1] * len(segments))
    assert table.sizes.tolist() == [size for size, _ in expected]
    assert [table.segments_in(block) for block in range(len(table))] == [held for _, held in expected]
    assert table.segments.tolist() == [held[0] for _, held in expected]
    assert table.offsets.tolist() == [0, *np.cumsum(table.sizes).tolist()]
    assert table.starts.tolist() == [0, *np.cumsum(segments).tolist()]
    assert count_blocks(segments, block_bytes, cell_bytes) == len(expected)
    for segment in range(len(segments)):
        blocks = [block for block, (_, held) in enumerate(expected) if segment in held]
        assert list(range(*table.holding(segment))) == blocks
    return table


@given(st.lists(st.integers(0, 140_000) | st.sampled_from([131_072, 131_073, 524_288, 3_145_727]), max_size=40))
def test_large_blocks_do_not_make_larger_runs(segments: list[int]) -> None:
    assert_as_the_page(segments, 2_097_152)


@given(st.lists(sizes | st.integers(0, 256) | st.just(0), max_size=40))
def test_table_is_what_the_page_says(segments: list[int]) -> None:
    assert_as_the_page(segments, 1024)


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from([1, 17, 18, 20, 210])), max_size=20))
def test_no_cell_is_torn_apart(cells: list[tuple[int, int]]) -> None:
    table = assert_as_the_page([n * size for n, size in cells], 1024, [size for _, size in cells])
    for offset, segment in zip(table.offsets, table.segments, strict=False):
        assert (offset - table.starts[segment]) % cells[segment][1] == 0


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([256], [256]),
        ([256, 257], [256, 257]),  # one byte above a quarter stands alone
        ([256] * 4, [1024]),
        ([256] * 4 + [1], [1024, 1]),
        ([256, 256, 256, 255, 1, 1], [1024, 1]),
        ([250, 250, 250, 250, 250], [1000, 250]),
        ([10, 0, 20], [30]),  # what has no bytes does not end a run
        ([10, 300, 20], [10, 300, 20]),  # what is large does
        ([0, 10, 2560, 20, 0, 30, 0], [10, 1024, 1024, 512, 50]),
    ],
)
def test_small_segments_are_put_together(segments: list[int], expected: list[int]) -> None:
    assert assert_as_the_page(segments, 1024).sizes.tolist() == expected


def test_a_run_has_at_most_1024_segments() -> None:
    table = assert_as_the_page([1, 0] * 3000, 4096)
    assert table.sizes.tolist() == [1024, 1024, 952]
    assert assert_as_the_page([1] * 1024 + [5000] + [4] * 1025, 4096).sizes.tolist() == [1024, 5000, 4096, 4]


@pytest.mark.parametrize("segments", [[4] * 1_000_000, [4, 300_000] * 500_000, [65_536] * 1_000_000])
def test_a_million_segments_take_no_time(segments: list[int]) -> None:
    begun = time.process_time()
    assert len(BlockTable.of(segments, 262_144)) == count_blocks(segments, 262_144)
    assert time.process_time() - begun < 5  # about 0.3 s on an idle core


@given(st.lists(st.integers(0, 7_000_000), max_size=12), st.sampled_from([1024, 262_144, 524_288, 2_097_152]))
def test_tasks_cover_every_block_once_and_stay_small(segments: list[int], block_bytes: int) -> None:
    table = BlockTable.of(segments, block_bytes)
    tasks = list(table.tasks())
    assert [block for task in tasks for block in range(task.first, task.last)] == list(range(len(table)))
    for task in tasks:
        assert task.offset == table.offsets[task.first]
        assert task.n_bytes == table.sizes[task.first : task.last].sum()
        assert task.n_bytes <= TASK_BYTES or task.last - task.first == 1
        assert task.n_bytes + 2 * (task.last - task.first) <= BUFFER_BYTES
        assert task.last - task.first <= MAX_TASK_BLOCKS


def test_tasks_of_some_blocks() -> None:
    table = BlockTable.of([10_000_000], 262_144)
    tasks = list(table.tasks(3, 20))
    assert (tasks[0].first, tasks[-1].last) == (3, 20)


def test_sizes_near_the_largest_number_are_counted_without_a_table() -> None:
    assert count_blocks([2**63 - 1], 524_288) == 2**44
