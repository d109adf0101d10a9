"""WordPiece, the word pieces of BERT (Devlin et al. 2019), from a vocabulary file; cutting is done by `tokenizers`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def tokenizer(path: str | Path, *, lowercase: bool = True) -> Tokenizer:
    """Make the tokenizer of a vocabulary.

    Args:
        path: File with one piece a line, `vocab.txt`; the first is `[PAD]`, and `##` marks those inside words.
        lowercase: Whether letters lose their case and accents, as for the uncased networks.

    Returns:
        Tokenizer that puts `[CLS]` before and `[SEP]` after a sentence.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such vocabulary.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no vocabulary {str(path)!r}.")
    try:
        pieces = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Vocabulary {str(path)!r} must be text in UTF-8, but is not from byte {error.start} on."
        ) from error
    numbers = {piece: number for number, piece in enumerate(pieces)}
    if pieces[:1] != ["[PAD]"] or not numbers.keys() >= set(_SPECIAL) or len(numbers) != len(pieces):
        raise ValueError(
            f"Vocabulary {str(path)!r} must hold distinct pieces, a line each, [PAD] the first and "
            f"{', '.join(_SPECIAL[1:])} among them."
        )
    found = Tokenizer(WordPiece(numbers, unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.BertProcessing(("[SEP]", numbers["[SEP]"]), ("[CLS]", numbers["[CLS]"]))
    return found


def encode(
    cut: Tokenizer, sentences: Sequence[str], *, longest: int, multiple: int = 8
) -> Int32[np.ndarray, "n length"]:
    """Cut sentences into numbers of pieces, padded with 0 to the length of the longest of them.

    Args:
        cut: Result of `tokenizer`.
        sentences: Sentences.
        longest: Most pieces of a sentence, `[CLS]` and `[SEP]` included; the end of a longer one is left out.
        multiple: The length is a multiple of it, so that fewer lengths occur and fewer programs are compiled.

    Returns:
        Numbers of pieces.
    """
    cut.no_padding()
    cut.enable_truncation(longest)
    rows = [row.ids for row in cut.encode_batch(list(sentences))]
    length = min(-(-max(map(len, rows)) // multiple) * multiple, longest)
    found = np.zeros((len(rows), length), np.int32)
    for numbers, row in zip(found, rows, strict=True):
        numbers[: len(row)] = row
    return found
