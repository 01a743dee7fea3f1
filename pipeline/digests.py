"""XXH3-128 of every tensor and of the gaps, from the file in order."""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

from pennyweight.pipeline.window import Stream


class SegmentDigests:
    """Feed it the original file front to back; it tells which tensors have ended, and their digests.

    Args:
        segments: bytes of each segment and whether it is a tensor.
    """

    def __init__(self, segments: Sequence[tuple[int, bool]]) -> None:
        self._segments = segments
        self._at = 0
        self._left = segments[0][0] if segments else 0
        self._gaps = xxhash.xxh3_128()
        self._tensor = xxhash.xxh3_128()

    def update(self, data: Stream) -> list[tuple[int, str]]:
        """Take the next bytes. Returns (segment, digest) of the tensors that end in them."""
        ended: list[tuple[int, str]] = []
        view, n = data.data, len(data)
        begin = 0
        while self._at < len(self._segments):
            n_bytes, is_tensor = self._segments[self._at]
            take = min(self._left, n - begin)
            piece = view[begin : begin + take]
            begin += take
            self._left -= take
            if not is_tensor:
                self._gaps.update(piece)
            elif take == n_bytes:  # whole, in one piece
                ended.append((self._at, xxhash.xxh3_128_hexdigest(piece)))
            elif take:
                self._tensor.update(piece)
                if not self._left:
                    ended.append((self._at, self._tensor.hexdigest()))
                    self._tensor.reset()
            if self._left:
                break
            self._at += 1
            self._left = self._segments[self._at][0] if self._at < len(self._segments) else 0
        return ended

    @property
    def gaps(self) -> str:
        """Digest of all gaps so far, concatenated."""
        return self._gaps.hexdigest()
