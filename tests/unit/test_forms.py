"""Any bytes give a form or a problem of the client's, and nothing else."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import forms
from gateway.problems import Problem

FORMS = (
    forms.ProfileForm,
    forms.ChatForm,
    forms.ChatChangeForm,
    forms.MembersForm,
    forms.RoleForm,
    forms.FilingForm,
    forms.MarkForm,
    forms.SendForm,
    forms.EditForm,
    forms.ReactionForm,
    forms.DevTokenForm,
)

texts = st.text(st.characters(codec="utf-8"), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


def names(form: type[forms.Form]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(form)]


def taken(form: type[forms.Form], body: bytes) -> forms.Form | Problem:
    """What becomes of a body."""
    try:
        return forms.parse(form, body)
    except Problem as refused:
        problem = refused
    assert problem.status in (400, 422)
    assert problem.code == ("bad_json" if problem.status == 400 else "invalid_request")
    assert bool(problem.errors) == (problem.status == 422)
    assert all(error.field and error.detail for error in problem.errors)
    return problem


@given(st.sampled_from(FORMS), st.binary(max_size=200))
@example(forms.SendForm, b"")
@example(forms.SendForm, b"\x00")
@example(forms.SendForm, b'{"kind": "text", "content": "\\ud800"}')
@example(forms.SendForm, b'{"kind": "text", "metadata": {"n": %s}}' % (b"9" * 5000))
@example(forms.SendForm, b'{"kind": "text", "metadata": {"n": 1e999}}')
@example(forms.SendForm, b'{"metadata": ' + b'{"a": ' * 100_000)
def test_arbitrary_bytes(form: type[forms.Form], body: bytes) -> None:
    taken(form, body)


@given(st.data(), st.sampled_from(FORMS))
def test_arbitrary_json(data: st.DataObject, form: type[forms.Form]) -> None:
    keys = st.sampled_from(names(form)) | texts
    body = data.draw(st.dictionaries(keys, values, max_size=5))
    found = taken(form, msgspec.json.encode(body))
    if isinstance(found, Problem):
        return
    # What is taken holds only fields of the form, with what was sent in them.
    assert body.keys() <= set(names(form))
    assert msgspec.to_builtins(found) | body == msgspec.to_builtins(found)


@given(st.sampled_from(FORMS), texts)
def test_no_problem_quotes_what_was_sent(form: type[forms.Form], secret: str) -> None:
    secret = f"{secret}-secret"
    body = {name: [secret] for name in names(form)}
    found = taken(form, msgspec.json.encode(body))
    if isinstance(found, Problem):
        assert "secret" not in repr((found.detail, found.errors))


@pytest.mark.parametrize("place", ["top", "key", "nested"])
def test_nul_is_refused_anywhere(place: str) -> None:
    body: dict[str, dict[str, Any]] = {
        "top": {"content": "a\0b"},
        "key": {"metadata": {"a\0b": 1}},
        "nested": {"metadata": {"a": [{"b": "\0"}]}},
    }
    found = taken(forms.SendForm, msgspec.json.encode({"kind": "text", **body[place]}))
    assert isinstance(found, Problem)
    assert found.errors[0].field == "body"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    form = forms.parse(forms.SendForm, rb'{"kind": "text", "content": "\\u0000"}')
    assert form.content == r"\u0000"


@pytest.mark.parametrize(
    ("form", "body", "field"),
    [
        (forms.SendForm, {}, "kind"),
        (forms.SendForm, {"kind": "text", "surprise": 1}, "surprise"),
        (forms.SendForm, {"kind": "text", "reply_to": 0}, "reply_to"),
        (forms.MembersForm, {"users": []}, "users"),
        (forms.ChatForm, [], "body"),
    ],
)
def test_the_field_at_fault_is_named(form: type[forms.Form], body: Any, field: str) -> None:
    found = taken(form, msgspec.json.encode(body))
    assert isinstance(found, Problem)
    assert [error.field for error in found.errors] == [field]


@pytest.mark.parametrize(
    ("user", "good"),
    [
        ("a", True),
        ("A.b_c:d@e-1", True),
        ("x" * 128, True),
        ("", False),
        ("x" * 129, False),
        ("a b", False),
        ("a\n", False),
        ("é", False),
        ("a/b", False),
    ],
)
def test_user_ids_have_one_form(user: str, good: bool) -> None:
    found = taken(forms.DevTokenForm, msgspec.json.encode({"user": user}))
    assert isinstance(found, forms.DevTokenForm) == good


@given(values)
def test_depth_counts_what_stands_within_each_other(value: Any) -> None:
    assert forms.depth([value]) == 1 + forms.depth(value)
    assert forms.depth({"a": value, "b": 1}) == 1 + forms.depth(value)
