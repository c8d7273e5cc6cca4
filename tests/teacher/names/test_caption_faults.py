"""What a teacher cannot read of captions is found before its labels are used."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)
from medlabel.errors import TeacherWarning
from medlabel.teacher.classifier import Teacher
from medlabel.teacher.names.caption_faults import caption_faults, warn_of

import open_clip  # isort: skip

SHORT = open_clip.SimpleTokenizer(context_length=12)
APART = np.eye(3, dtype=np.float32)


def faults(captions, embeddings=APART, tokenizer=SHORT):
    return caption_faults(captions, tokenizer, embeddings[: len(captions)])


def test_ordinary_captions_have_no_faults():
    captions = {"chest": ["a chest X-ray, adult"], "Ödem": ["H&E: Ödem, naïve café façade, 3 μm"]}
    assert faults(captions, tokenizer=open_clip.SimpleTokenizer(context_length=77)) == []


@pytest.mark.parametrize("clips", [False, True])
def test_a_caption_that_is_cut_is_named_with_the_limit_and_what_is_lost(clips):
    tokenizer = _MarkAtEnd() if clips else SHORT
    fits, long = "a film of a big old grey", "a film of a big old grey and very odd left knee joint"
    (fault,) = faults({"knee": [fits, long, f"{long} too"], "hip": [fits]}, tokenizer=tokenizer)
    assert (fault.kind, fault.class_name) == ("cut", "knee")
    assert "(and 1 more of its captions) is longer than the 12 tokens" in fault.sentence
    assert fault.sentence.count("left knee joint' at its end is not read") == 1


class _MarkAtEnd:
    """A tokenizer that ends with a mark, however short the text is, as some of the Hub do."""

    context_length = 12
    tokenizer_mode = "clips"

    def __call__(self, texts, context_length=12):
        inner = SHORT(texts, context_length=context_length - 1)
        return torch.cat([inner, torch.full((len(texts), 1), 7)], dim=1)


@pytest.mark.parametrize("word", ["胸部", "грудь", "рентген", "ΚΑΡΔΙΑ", "가슴", "ngực", "肺"])
def test_words_that_the_tokenizer_breaks_into_bytes_are_named(word):
    wide = open_clip.SimpleTokenizer(context_length=77)
    (fault,) = faults({"a": [f"film of {word}"], "b": ["hip"]}, tokenizer=wide)
    assert (fault.kind, fault.class_name) == ("unread", "a")
    assert f"hardly knows {word} in the caption 'film of {word}' of 'a'" in fault.sentence


def test_a_tokenizer_of_the_hub_says_which_words_it_does_not_know():
    found = faults({"a": ["film of 胸部"], "b": ["film of Ödem"]}, tokenizer=_Hub())
    assert [(fault.kind, fault.class_name) for fault in found] == [("unread", "a")]


class _Hub:
    context_length = 12

    def __init__(self):
        self.tokenizer = _Inner(1)

    def __call__(self, texts, context_length=12):
        return torch.zeros(len(texts), context_length)


class _Inner:
    def __init__(self, unknown):
        self.unk_token_id = unknown

    def __call__(self, word):
        return SimpleNamespace(input_ids=[self.unk_token_id if word == "胸部" else 5])


def test_classes_that_are_nearly_the_same_are_named_the_worst_first():
    close = np.array([[1, 0], [0.9968, 0.0799], [0.9999, 0.0141]])
    found = faults({"a": ["x"], "b": ["y"], "c": ["z"]}, close)
    assert [fault.sentence.split(" are nearly")[0] for fault in found] == [
        "the captions of 'a' and 'c'", "the captions of 'b' and 'c'", "the captions of 'a' and 'b'",
    ]  # fmt: skip
    assert "(cosine 0.9999)" in found[0].sentence
    (*_, last) = caption_faults({str(n): ["x"] for n in range(4)}, SHORT, np.ones((4, 1)))
    assert last.sentence == "3 more pairs of classes are nearly the same to the teacher"


def test_what_the_phantom_cannot_read_is_warned_of_and_its_own_captions_are_no_fault():
    teacher = Teacher.from_pretrained("phantom")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        teacher.read_captions(["chest", "breast"], captions="table,paper,templates,descriptions")
    long = "a picture " * 20
    with pytest.warns(TeacherWarning) as said:
        teacher.read_captions(
            ["chest", "breast"],
            captions={"chest": [f"{long}chest"], "breast": [f"{long}breast"]},
        )
    texts = [str(one.message) for one in said]
    assert any("'chest' and 'breast' are nearly the same" in t and "cosine 1.0" in t for t in texts)
    assert sum("longer than the 32 tokens" in text for text in texts) == 2


def test_warnings_stand_in_the_log_as_well(caplog):
    with caplog.at_level("INFO", "medlabel.teacher"), pytest.warns(TeacherWarning, match="this"):
        warn_of(["this"])
    assert caplog.messages == ["this"]
