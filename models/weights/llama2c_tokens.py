"""The tokenizer of llama2.c: byte-pair merges by score (Sennrich, Haddow and Birch 2016), bytes for what is unknown.

A file begins with the length of the longest token; each token is a 32-bit score, a 32-bit length and so many bytes
(https://github.com/karpathy/llama2.c, `tokenizer.py`). Token 0 is unknown, 1 begins a text, 2 ends it, 3 to 258 are the
256 bytes, and the rest are pieces of text. A text is encoded as its characters, of which the adjacent pair that makes
the token with the highest score is joined until none makes a token. As in SentencePiece (Kudo and Richardson 2018), a
space is put in front of every text, and taken away when it is decoded.
"""

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

BEGIN, END = 1, 2
_FIRST_BYTE = 3
_FIRST_PIECE = _FIRST_BYTE + 256


@dataclass(frozen=True)
class Tokenizer:
    """Vocabulary of a tokenizer.

    Args:
        pieces: Text of every token, in UTF-8.
        scores: Rank of every token; of two possible merges the one with the higher score is made.

    Raises:
        ValueError: If the two differ in length, or there are fewer than the 259 tokens that every vocabulary has.
    """

    pieces: tuple[bytes, ...]
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.pieces) != len(self.scores):
            raise ValueError(
                f"Field `scores` of Tokenizer must have one entry for each of the {len(self.pieces)} pieces, but has "
                f"{len(self.scores)}."
            )
        if len(self.pieces) < _FIRST_PIECE:
            raise ValueError(
                f"Field `pieces` of Tokenizer must have at least {_FIRST_PIECE} entries (three marks, 256 bytes), but "
                f"has {len(self.pieces)}."
            )

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.pieces)

    def encode(self, text: str, *, begin: bool = True, end: bool = False) -> list[int]:
        """Turn text into tokens.

        Args:
            text: Any text.
            begin: Whether the mark of a text's beginning is put in front.
            end: Whether the mark of a text's end is put behind.

        Returns:
            Tokens.
        """
        tokens = self._merged(self._characters(f" {text}")) if text else []
        return [BEGIN] * begin + tokens + [END] * end

    def decode(self, tokens: Iterable[int]) -> str:
        """Turn tokens into text; marks of beginning and end are left out.

        Args:
            tokens: Tokens of one text.

        Returns:
            The text. Bytes that are no UTF-8, as an unfinished text may have, become replacement characters.

        Raises:
            ValueError: If a token is not in the vocabulary.
        """
        content = b""
        for token in tokens:
            if not 0 <= token < len(self):
                raise ValueError(f"Argument `tokens` must hold tokens 0 to {len(self) - 1}, but holds {token}.")
            if _FIRST_BYTE <= token < _FIRST_PIECE:
                content += bytes([token - _FIRST_BYTE])
            elif token not in (BEGIN, END):
                content += self.pieces[token]
        return content.removeprefix(b" ").decode("utf-8", errors="replace")

    def describe(self) -> str:
        """Return the vocabulary as text: a line for each token, its score and its bytes as hexadecimal numbers."""
        return "\n".join(f"{score:g} {piece.hex()}" for piece, score in zip(self.pieces, self.scores, strict=True))

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        # What is written twice means its first token.
        return {piece: number for number, piece in reversed(list(enumerate(self.pieces)))}

    def _characters(self, text: str) -> list[int]:
        tokens: list[int] = []
        for character in text:
            content = character.encode("utf-8", errors="surrogatepass")
            whole = self._numbers.get(content)
            tokens += [byte + _FIRST_BYTE for byte in content] if whole is None else [whole]
        return tokens

    def _merged(self, tokens: list[int]) -> list[int]:
        ranks = np.array([self._merge(*pair)[0] for pair in itertools.pairwise(tokens)])
        while ranks.size:
            at = int(ranks.argmax())  # the first of several equals
            if ranks[at] == -np.inf:
                break
            tokens[at : at + 2] = [self._merge(tokens[at], tokens[at + 1])[1]]
            ranks = np.delete(ranks, at)
            for place in (at - 1, at):
                if 0 <= place < len(ranks):
                    ranks[place] = self._merge(tokens[place], tokens[place + 1])[0]
        return tokens

    def _merge(self, left: int, right: int) -> tuple[float, int]:
        joined = self._numbers.get(self.pieces[left] + self.pieces[right])
        return (-np.inf, -1) if joined is None else (self.scores[joined], joined)


def read(path: str | Path, vocabulary: int) -> Tokenizer:
    """Read a tokenizer file.

    Args:
        path: The file.
        vocabulary: Number of tokens that the network knows; the file does not say how many it has.

    Returns:
        The tokenizer.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, of another format, or has another number of tokens.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no tokenizer file {str(path)!r}.")
    content = path.read_bytes()
    entries = _entries(path, content)
    if len(entries) != vocabulary:
        raise ValueError(f"Tokenizer file {str(path)!r} must have {vocabulary} tokens, but has {len(entries)}.")
    pieces, scores = zip(*entries, strict=True)
    for byte, piece in enumerate(pieces[_FIRST_BYTE:_FIRST_PIECE]):
        if piece != b"<0x%02X>" % byte:
            raise ValueError(
                f"Tokenizer file {str(path)!r} must have the byte {byte} as token {byte + _FIRST_BYTE}, written "
                f"'<0x{byte:02X}>', but has {piece!r}."
            )
    return Tokenizer(pieces, scores)


def _entries(path: Path, content: bytes) -> Sequence[tuple[bytes, float]]:
    longest = struct.unpack_from("<i", content)[0] if len(content) >= 4 else 0
    place, entries = 4, []
    while 4 <= place < len(content):
        score, length = struct.unpack_from("<fi", content, place) if place + 8 <= len(content) else (0.0, -1)
        if not 0 <= length <= longest or place + 8 + length > len(content) or not np.isfinite(score):
            break
        entries.append((content[place + 8 : place + 8 + length], score))
        place += 8 + length
    if place != len(content) or not entries:
        raise ValueError(
            f"Tokenizer file {str(path)!r} is truncated or not in the format of llama2.c: its entry {len(entries)}, at "
            f"byte {place} of {len(content)}, is no token."
        )
    return entries
