"""Names for runs that nobody named: `silent-otter-417`."""

from __future__ import annotations

import secrets

_HOW = """
able agile amber bold brave bright brisk calm casual clean clever cosmic crisp dapper eager early fancy fearless gentle
glad golden grand handsome happy honest humble jolly keen kind lively loud lucky mellow merry nimble noble placid
polite proud quick quiet rare serene sharp silent smart smooth solid spry steady stoic swift tidy upbeat vivid warm
wise witty zesty
"""
_WHO = """
ant auk bass bear bee bird boar bug carp cat cod colt crab crane crow deer doe dog dove duck eel elk emu ewe fawn finch
fish fly fox frog gnat gnu goat goose grouse gull hare hawk hen hound jay kit koi lamb lark loon lynx mare mink mole
moose moth mouse mule newt otter owl ox panda perch pug quail ram ray robin rook seal shad shark sheep shrew skunk sloth
snail snipe sponge squid stag stork swan toad trout vole wasp whale wolf wren yak zebra
"""
_FIRST, _SECOND = _HOW.split(), _WHO.split()


def invent() -> str:
    """Names need not be unique; the uid is."""
    return f"{secrets.choice(_FIRST)}-{secrets.choice(_SECOND)}-{secrets.randbelow(1000)}"
