"""Settings of every command that Hydra reads are checked before any work: type, range and choices of each."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from omegaconf import DictConfig


class Rule(NamedTuple):
    """What a setting may be.

    Attributes:
        words: It in words, after "it must be".
        holds: Returns True for a value that it may have.
        choices: The values, if they are few.
    """

    words: str
    holds: Callable[[Any], bool]
    choices: Sequence[str] = ()


RuleTable = Mapping[str, Rule]
"""Pattern of dotted names -> rule; `*` stands for one part of a name. The first pattern that fits a name decides."""


def whole(low: int = 0, high: float = math.inf) -> Rule:
    """Rule of a whole number in low..high."""
    return Rule(f"a whole number {_span(low, high)}", lambda value: _is_whole(value) and low <= value <= high)


def number(low: float = -math.inf, high: float = math.inf, above: float = -math.inf, below: float = math.inf) -> Rule:
    """Rule of a finite number in [low, high] and in (above, below)."""

    def holds(value: Any) -> bool:
        finite = _is_number(value) and math.isfinite(value)
        return finite and low <= value <= high and above < value < below

    return Rule(f"a number {_span(low, high, above, below)}".strip(), holds)


def choice(*choices: Any) -> Rule:
    """Rule of one of several values."""
    return Rule(f"one of {', '.join(map(str, choices))}", lambda value: value in choices, tuple(map(str, choices)))


def only(value: Any, reason: str) -> Rule:
    """Rule of a setting of a library that has one value here, because of a reason."""
    return Rule(f"{_shown(value)}: {reason}", lambda given: given == value and _is_number(given) == _is_number(value))


def choice_or_class(*choices: str) -> Rule:
    """Rule of a name, or `module.Class` of the user's own."""
    names = choice(*choices)
    return names._replace(holds=lambda value: value in choices or (isinstance(value, str) and "." in value))


def optional(rule: Rule) -> Rule:
    """Rule that also allows null."""
    return rule._replace(words=f"{rule.words}, or null", holds=lambda value: value is None or rule.holds(value))


def either(*rules: Rule) -> Rule:
    """Rule of a value that follows one of several rules."""
    choices = [name for rule in rules for name in rule.choices]
    words = ", or ".join(rule.words for rule in rules)
    return Rule(words, lambda value: any(rule.holds(value) for rule in rules), choices)


def list_of(rule: Rule, least: int = 0) -> Rule:
    """Rule of a list of values with one rule."""

    def holds(value: Any) -> bool:
        return isinstance(value, list) and len(value) >= least and all(map(rule.holds, value))

    some = f" of {least} or more" if least else ""
    return Rule(f"a list{some}, each {rule.words.removeprefix('one of ')}", holds, rule.choices)


def mapping_of(rule: Rule, *keys: str, allowed: Sequence[str] = ()) -> Rule:
    """Rule of a mapping whose values have one rule; with `keys`, it has these keys, maybe `allowed` ones, no others."""

    def holds(value: Any) -> bool:
        fits = isinstance(value, dict) and all(map(rule.holds, value.values()))
        return fits and (not keys or set(keys) <= set(value) <= {*keys, *allowed})

    named = f" of {', '.join(keys)}" if keys else ""
    named += f" and maybe {', '.join(allowed)}" if allowed else ""
    return Rule(f"a mapping{named}, each value {rule.words}", holds)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _span(low: float, high: float, above: float = -math.inf, below: float = math.inf) -> str:
    """Return the bounds of a number in words; "" if there are none."""
    if math.isfinite(low) and math.isfinite(high):
        return f"between {low} and {high}"
    bounds = {"≥": low, ">": above, "≤": high, "<": below}
    return " and ".join(f"{sign} {bound}" for sign, bound in bounds.items() if math.isfinite(bound))


FLAG = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule("a text", lambda value: isinstance(value, str) and value != "")
ANY_TEXT = Rule("a text", lambda value: isinstance(value, str | int | float) and not isinstance(value, bool))
ANYTHING = Rule("anything", lambda value: True)
FRACTION = number(0, 1)
NONNEGATIVE = number(0)
POSITIVE = number(above=0)


def check_settings(cfg: DictConfig, rules: RuleTable) -> None:
    """Refuse a setting with a wrong value. References to other settings are checked where they point to.

    Args:
        cfg: The configuration of a command.
        rules: What its settings may be.

    Raises:
        ValueError: If a value is wrong. The message names the setting, the value and what it may be.
    """
    for key, value in given_settings(cfg, rules):
        rule = rule_of(key, rules)
        if rule is None:
            _refuse_unknown(cfg, key, value, rules)
        elif not rule.holds(value):
            text = _is_number(value) and rule.holds(str(value))
            advice = f": write '{key}=\"{value}\"'" if text else _suggestion(value, rule.choices)
            raise ValueError(f"{key} is {_shown(value)}; it must be {rule.words}{advice}.")


def _refuse_unknown(cfg: DictConfig, key: str, value: Any, rules: RuleTable) -> None:
    """Refuse a setting without a rule, unless it may be an argument of the user's own class or a remark of theirs."""
    if _is_group(key, rules):
        raise ValueError(f"{key} is {_shown(value)}; it is a group of settings: give {key}.<name>=<value>.")
    top, dot, rest = key.partition(".")
    tops = sorted({pattern.partition(".")[0] for pattern in rules})
    if top not in tops:
        if near := nearest(top, tops):
            raise ValueError(f"There is no setting {key}; did you mean {near}{dot}{rest}?")
        return
    parts = key.split(".")
    for depth in range(1, len(parts)):
        group, name = ".".join(parts[:depth]), parts[depth]
        names = [] if _has_own_class(cfg, f"{group}.{name}") else _settings_of(cfg, group, rules)
        if names and name not in names:
            near = nearest(name, names)
            like = ".".join((group, near, *parts[depth + 1 :]))
            advice = f"did you mean {like}?" if near else f"{group} has {', '.join(names)}."
            raise ValueError(f"There is no setting {key}; {advice}")


def _has_own_class(cfg: DictConfig, group: str) -> bool:
    """Return True if a group names the class of which it has the arguments."""
    from omegaconf import DictConfig, OmegaConf

    node = OmegaConf.select(cfg, group)
    return isinstance(node, DictConfig) and ("_target_" in node or "." in str(node.get("name", "")))


def explained(cfg: DictConfig, overrides: Sequence[str], error: Exception) -> str:
    """Return what an error says about a setting that a class does not take, or needs and lacks; "" if it does not.

    Args:
        cfg: The configuration of the command.
        overrides: Settings of the command line.
        error: What ended the command.
    """
    from omegaconf import OmegaConf

    while type(error).__name__ == "InstantiationException" and isinstance(error.__cause__, Exception):
        error = error.__cause__
    unexpected = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
    if unexpected is not None:
        groups = [key.rpartition(".")[0] for key in names_of(cfg) if key.rpartition(".")[2] == unexpected[1]]
        if groups:
            group = min(groups, key=len)  # system repeats other groups
            like = nearest(unexpected[1], [name for name in OmegaConf.select(cfg, group) if name != unexpected[1]])
            return f"There is no setting {group}.{unexpected[1]}{f'; did you mean {group}.{like}?' if like else '.'}"
    deleted = [override for override in overrides if override.startswith("~")]
    lacks = r"missing \d+ required|is not in struct|Missing key|Interpolation key .* not found"
    if deleted and re.search(lacks, str(error)):
        return f"{' '.join(deleted)} takes away what is needed ({str(error).partition(chr(10))[0]}): leave it out."
    return ""


def names_of(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all groups and settings; a group that is a reference is not entered."""
    from omegaconf import DictConfig

    for name in map(str, cfg):
        yield prefix + name
        node: Any = cfg._get_node(name)
        if isinstance(node, DictConfig) and not (node._is_none() or node._is_missing() or node._is_interpolation()):
            yield from names_of(node, f"{prefix}{name}.")


def is_addable(key: str, names: Sequence[str], rules: RuleTable) -> bool:
    """Return True if a setting that a configuration lacks has a rule of its own, and a place there.

    Args:
        key: Its dotted name.
        names: Dotted names of the groups and settings of the configuration.
        rules: What settings may be.
    """
    parent, _, name = key.rpartition(".")
    own = {pattern: rule for pattern, rule in rules.items() if pattern.rpartition(".")[2] == name}
    return parent in names and rule_of(key, own) is not None


def nearest(name: str, names: Sequence[str]) -> str:
    """Return the name that is written most alike; "" if none is."""
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.6)), "")


def given_settings(cfg: DictConfig, rules: RuleTable, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and the plain value of every setting that is given, not referred to."""
    from omegaconf import DictConfig, ListConfig, OmegaConf

    for name in map(str, cfg):
        key = prefix + name
        if key == "hydra" or name.startswith("_"):
            continue
        if OmegaConf.is_interpolation(cfg, name):
            _check_reference(cfg, name, key)
            continue
        if OmegaConf.is_missing(cfg, name):
            continue
        node: Any = cfg._get_node(name)
        if rule_of(key, rules) is not None or not OmegaConf.is_config(node) or node._is_none():
            yield key, _plain(node)
        if isinstance(node, ListConfig) and not node._is_none() and any(OmegaConf.is_dict(entry) for entry in node):
            node = OmegaConf.create({str(place): entry for place, entry in enumerate(node)})
        if isinstance(node, DictConfig) and not node._is_none():
            yield from given_settings(node, rules, f"{key}.")


def _check_reference(cfg: DictConfig, name: str, key: str) -> None:
    """Refuse a setting that refers to one that does not exist."""
    from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

    try:
        cfg[name]
    except InterpolationKeyError as error:
        node: Any = cfg._get_node(name)
        text = str(node._value())
        if str(error).split("'")[1] in text:  # else it refers to a setting that refers to it
            raise ValueError(f"{key} is {text}, but there is no such setting.") from None
    except OmegaConfBaseException:  # a value that is missing, or that Hydra knows in the job only
        pass


def _plain(node: Any) -> Any:
    from omegaconf import OmegaConf

    value = node._value() if hasattr(node, "_value") and not OmegaConf.is_config(node) else node
    if not OmegaConf.is_config(value):
        return value
    return None if value._is_none() else OmegaConf.to_container(value, resolve=False)


def rule_of(key: str, rules: RuleTable) -> Rule | None:
    """Return the rule of a setting; None if there is none."""
    parts = key.split(".")
    for pattern, rule in rules.items():
        names = pattern.split(".")
        if len(names) == len(parts) and all(name in ("*", part) for name, part in zip(names, parts, strict=True)):
            return rule
    return None


def _is_group(key: str, rules: RuleTable) -> bool:
    """Return True if settings below this name have rules."""
    depth = key.count(".") + 1
    above = {".".join(pattern.split(".")[:depth]): ANYTHING for pattern in rules if pattern.count(".") >= depth}
    return rule_of(key, above) is not None


def _settings_of(cfg: DictConfig, group: str, rules: RuleTable) -> list[str]:
    """List the names in a group; none if users add their own, as arguments of a class or under any name."""
    from omegaconf import DictConfig, OmegaConf

    if not isinstance(OmegaConf.select(cfg, group), DictConfig) or _has_own_class(cfg, group):
        return []
    parts = group.split(".")
    names: dict[str, None] = {}
    for pattern in rules:
        above, below = pattern.split(".")[: len(parts)], pattern.split(".")[len(parts) :]
        if below and all(name in ("*", part) for name, part in zip(above, parts, strict=True)):
            names[below[0]] = None
    return [] if "*" in names else list(names)


def _suggestion(value: Any, choices: Sequence[str]) -> str:
    values = value if isinstance(value, list) else [value]
    wrong = next((str(entry) for entry in values if str(entry) not in choices), "")
    like = nearest(wrong, choices)
    return f" (did you mean {like}?)" if like else ""


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else re.sub(r"\s+", " ", str(value))
