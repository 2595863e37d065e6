"""The story of a rack, told once; the tests look at what was recorded."""

from contextlib import ExitStack

import pytest
from fakes.rack_cast import Cast
from fakes.rack_story import SCENARIO, Teller


@pytest.fixture(scope="session")
def story(tmp_path_factory):
    """Under three minutes, once."""
    folder = tmp_path_factory.mktemp("rack")
    with Cast(folder, SCENARIO) as cast, ExitStack() as watching:
        return Teller(cast, folder, watching).tell()
