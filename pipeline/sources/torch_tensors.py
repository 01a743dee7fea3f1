"""A storage as tensors: the views that are a run of its bytes, and flat ones for what no such view covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pennyweight.pipeline.sources.segments import TensorRange
from pennyweight.pipeline.sources.torch_storages import Element, Storage, View
from pennyweight.types import DType

_BYTE: Final = Element(DType.U8, 1)


def tensors_of(key: str, storage: Storage) -> Iterator[tuple[int, TensorRange]]:
    """Tensors that cover the storage, each with its offset in it; their names need not differ.

    Of views that overlap the one that begins first is taken, of several that begin there the longest. A storage without
    views that are runs of bytes is one flat tensor, and has the name of the first that looks at it.
    """
    views, n_bytes, at = storage.views, storage.n_bytes, 0
    if len(views) == 1 and views[0].n_bytes == n_bytes and views[0].shape is not None and not views[0].offset:
        yield 0, _tensor(views[0])  # so are nearly all
        return
    runs = sorted((view for view in views if _is_run(view, n_bytes)), key=lambda view: (view.offset, -view.n_bytes))
    name = views[0].name if views and not runs else f"storage.{key}"
    element = views[0].element if views else storage.element
    for run in (*runs, View(n_bytes, 0, "", element, ())):
        if run.offset < at:
            continue
        if run.offset > at:
            yield at, _tensor(_flat(at, run.offset, f"{name}.{at}" if at else name, element))
        if run.n_bytes:
            yield run.offset, _tensor(run)
        at = run.offset + run.n_bytes


def distinct(tensors: Iterable[tuple[int, TensorRange]]) -> Iterator[tuple[int, TensorRange]]:
    """The same with names that differ: a key may look like the way to another tensor, and the root has no name."""
    given: set[str] = set()
    for offset, tensor in tensors:
        name = tensor.name or "tensor"
        if name in given:
            name = f"{name} at {offset}"
        given.add(name)
        yield offset, tensor if name is tensor.name else tensor._replace(name=name)


def _is_run(view: View, n_bytes: int) -> bool:
    return view.shape is not None and 0 < view.n_bytes <= n_bytes - view.offset


def _flat(begin: int, end: int, name: str, element: Element) -> View:
    if (end - begin) % element.n_bytes:
        element = _BYTE
    return View(begin, end - begin, name, element, ((end - begin) // element.n_bytes,))


def _tensor(view: View) -> TensorRange:
    _, n_bytes, name, element, shape = view
    assert shape is not None
    return TensorRange(n_bytes, name, element.dtype, shape + element.parts)
