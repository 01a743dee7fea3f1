"""Segments into blocks, blocks into tasks."""

from __future__ import annotations

import numpy as np
import pytest
import spec_decoder
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.pipeline.blocks import MAX_TASK_BLOCKS, TASK_BYTES, BlockTable, block_sizes, count_blocks

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


@given(st.lists(sizes, max_size=20))
def test_table_is_the_specification_of_every_segment(segments: list[int]) -> None:
    table = BlockTable.of(segments, 1024)
    cut = [spec_decoder.block_sizes(n, 1024) for n in segments]
    assert table.sizes.tolist() == [size for segment in cut for size in segment]
    assert table.segments.tolist() == [i for i, segment in enumerate(cut) for _ in segment]
    assert table.offsets.tolist() == [0, *np.cumsum(table.sizes).tolist()]
    assert np.diff(table.firsts).tolist() == [len(segment) for segment in cut]
    assert count_blocks(segments, 1024) == len(table)


@given(st.lists(st.integers(0, 3_000_000), max_size=12), st.sampled_from([1024, 262_144, 524_288]))
def test_tasks_cover_every_block_once_and_stay_small(segments: list[int], block_bytes: int) -> None:
    table = BlockTable.of(segments, block_bytes)
    tasks = list(table.tasks())
    assert [block for task in tasks for block in range(task.first, task.last)] == list(range(len(table)))
    for task in tasks:
        assert task.offset == table.offsets[task.first]
        assert task.n_bytes == table.sizes[task.first : task.last].sum()
        assert task.n_bytes <= TASK_BYTES
        assert task.last - task.first <= MAX_TASK_BLOCKS


def test_tasks_of_some_blocks() -> None:
    table = BlockTable.of([10_000_000], 262_144)
    tasks = list(table.tasks(3, 20))
    assert (tasks[0].first, tasks[-1].last) == (3, 20)


def test_sizes_near_the_largest_number_are_counted_without_a_table() -> None:
    assert count_blocks([2**63 - 1], 524_288) == 2**44
