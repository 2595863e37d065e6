"""Log-ins: right, wrong, remembered, and never many at once."""

import asyncio
import base64
import threading
import time

import bcrypt
import pytest

from agent.measure.settings import Seconds
from agent.web import auth
from agent.web.access import Bucket
from agent.web.auth import Authenticator, Verdict
from agent.web.web_config import RateLimit


def hashed(password, cost=4, prefix=b"2b"):
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost, prefix)).decode()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
async def door():
    door = Authenticator()
    door.set_users({"alice": hashed("open sesame"), "bob": hashed("pässwört:x")})
    yield door
    door.close()


@pytest.fixture
def checks(monkeypatch):
    """Every bcrypt that is computed."""
    seen = []
    real = bcrypt.checkpw

    def counting(password, secret):
        seen.append((password, secret, threading.current_thread().name))
        return real(password, secret)

    monkeypatch.setattr(bcrypt, "checkpw", counting)
    return seen


async def test_the_right_password_opens(door):
    assert await door.check(basic("alice", "open sesame")) is Verdict.RIGHT
    assert await door.check(basic("bob", "pässwört:x")) is Verdict.RIGHT


async def test_a_hash_of_htpasswd_opens(door):
    door.set_users({"alice": hashed("x").replace("$2b$", "$2y$")})

    assert await door.check(basic("alice", "x")) is Verdict.RIGHT


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Bearer open sesame",
        basic("alice", ""),
        basic("alice", "Open sesame"),
        basic("alice", "open sesame "),
        basic("bob", "open sesame"),
        basic("Alice", "open sesame"),
        basic("", ""),
        basic("mallory", "open sesame"),
        basic("alice", "x" * 2000),
        "Basic " + base64.b64encode(b"alice:\xff\x00").decode(),
    ],
)
async def test_anything_else_does_not(door, header):
    assert await door.check(header) is Verdict.WRONG


async def test_a_password_is_compared_as_far_as_bcrypt_looks(door):
    door.set_users({"alice": hashed("x" * 80)})

    assert await door.check(basic("alice", "x" * 80)) is Verdict.RIGHT


async def test_an_unknown_user_costs_as_much_as_the_dearest_known_one(door, checks):
    door.set_users({"alice": hashed("a", 4), "bob": hashed("b", 6)})
    await door.check(basic("mallory", "x"))

    assert [secret[:7] for _, secret, _ in checks] == [b"$2b$06$"]


async def test_bcrypt_is_computed_once_for_a_log_in_that_returns_each_second(door, checks):
    for _ in range(10):
        await door.check(basic("alice", "open sesame"))
        await door.check(basic("alice", "wrong"))

    assert len(checks) == 2


async def test_a_changed_hash_is_computed_anew(door, checks):
    await door.check(basic("alice", "open sesame"))
    door.set_users({"alice": hashed("other")})

    assert await door.check(basic("alice", "open sesame")) is Verdict.WRONG
    assert await door.check(basic("alice", "other")) is Verdict.RIGHT


async def test_a_removed_user_is_out_at_once(door):
    await door.check(basic("alice", "open sesame"))
    door.set_users({"bob": hashed("b")})

    assert await door.check(basic("alice", "open sesame")) is Verdict.WRONG


async def test_wrong_passwords_do_not_make_it_forget_right_ones(door, checks, monkeypatch):
    monkeypatch.setattr(auth, "REMEMBERED", 8)
    await door.check(basic("alice", "open sesame"))
    for number in range(20):
        await door.check(basic("alice", f"guess {number}"))
    before = len(checks)

    assert await door.check(basic("alice", "open sesame")) is Verdict.RIGHT
    assert len(checks) == before
    assert len(door._wrong) <= 4


async def test_what_is_remembered_holds_no_password(door):
    await door.check(basic("alice", "open sesame"))

    assert all(len(key) == 32 and b"sesame" not in key for key in door._right)


async def test_guesses_neither_stop_the_loop_nor_run_beside_each_other_nor_pile_up(door, monkeypatch):
    running, most = 0, 0

    def slow(_password, _secret):
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1
        return False

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    verdicts = await asyncio.gather(*(door.check(basic("alice", f"guess {n}")) for n in range(100)))
    counting.cancel()

    assert most == 1
    assert turns > 100
    assert verdicts.count(Verdict.WRONG) == auth.MOST_WAITING
    assert verdicts.count(Verdict.BUSY) == 100 - auth.MOST_WAITING


async def test_a_known_log_in_passes_while_others_wait_for_their_turn(door, monkeypatch):
    await door.check(basic("alice", "open sesame"))
    gate = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda _password, _secret: gate.wait(10) and False)
    guesses = [asyncio.create_task(door.check(basic("alice", f"guess {n}"))) for n in range(50)]
    await asyncio.sleep(0)
    verdict = await door.check(basic("alice", "open sesame"))
    gate.set()
    await asyncio.gather(*guesses)

    assert verdict is Verdict.RIGHT


def test_a_bucket_gives_its_burst_and_then_one_each_interval():
    bucket = Bucket(RateLimit(Seconds(2.0), 3))

    assert [bucket.takes(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [bucket.takes(102.0) for _ in range(2)] == [True, False]
    assert [bucket.takes(200.0) for _ in range(4)] == [True, True, True, False]


def test_a_bucket_without_an_interval_never_ends():
    bucket = Bucket(RateLimit())

    assert all(bucket.takes(0.0) for _ in range(1000))
