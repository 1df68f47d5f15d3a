"""What is secret gets the same replacement everywhere, and versions stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.results.bundle.masking import Mask, mask_of
from tests.results.conftest import Make

from .conftest import LOG, SECRETS, secret_run


@pytest.fixture
def mask(campaign: Make) -> Mask:
    return mask_of(secret_run(campaign(x710=("i40e", "218.0.166.0"))))


@pytest.mark.parametrize("secret", sorted(SECRETS))
@pytest.mark.parametrize("form", ["{}", "from {}: lost", "({})", "at {}, and"])
def test_no_secret_stays(mask: Mask, secret: str, form: str) -> None:
    shown = mask.text(form.format(secret)).lower()
    assert secret not in shown
    assert mask.text(form.format(secret.upper())).lower() == shown


def test_a_line_of_a_log(mask: Mask) -> None:
    shown = mask.text(LOG)
    assert mask.text(shown) == shown  # what is masked stays as it is
    one, other = mask.text("198.18.0.2"), mask.text("02-00-00-00-01-02")
    assert f"from {one} ({other})" in shown
    assert not any(secret in shown for secret in SECRETS)


@pytest.mark.parametrize(
    "text",
    [
        "firmware 218.0.166.0 of i40e",  # looks like an address
        "tx-udp_tnl-csum-segmentation off on p0",
        "0000:3b:00.0 at 11:30:05, 3.13 %, 2.47 % to 3.9 %",
        "x710/all-on/outer4-csum/inner4/tcp",
        ":: and 127.0.0.1",
        "ff:ff:ff:ff:ff:ff",
    ],
)
def test_what_is_no_secret_stays(mask: Mask, text: str) -> None:
    assert mask.text(text) == text


def test_a_mask_that_is_off_changes_nothing(campaign: Make) -> None:
    off = mask_of(secret_run(campaign(x710=("i40e", "8.30"))), on=False)
    assert off.text(LOG) == LOG
    assert off.packed(bytes([198, 18, 0, 1])) == bytes([198, 18, 0, 1])


@given(st.lists(st.one_of(*(st.binary(min_size=n, max_size=n) for n in (4, 6, 16))), max_size=20))
def test_replacements_differ_and_are_no_secrets(secrets: list[bytes]) -> None:
    mask = Mask({}, frozenset(secrets))
    made = {secret: mask.packed(secret) for secret in secrets}
    assert len(set(made.values())) == len(made)
    changed = {secret for secret, masked in made.items() if masked != secret}
    assert not changed & set(made.values())
    assert made == {secret: mask.packed(secret) for secret in secrets}
