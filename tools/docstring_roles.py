"""A griffe extension for the API pages: roles in docstrings (``:class:`Verdict```) become links to what they name.

Named in ``mkdocs.yml``; nothing is imported, names are resolved as Python would in the module that the docstring is in.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, GriffeLoader, NameResolutionError, Object

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(?:([^`<]+) <)?~?([^`>]+)>?`")


class DocstringRoles(Extension):
    """Rewrites every docstring of a package after it was loaded."""

    def on_package(self, *, pkg: Object, loader: GriffeLoader, **_: Any) -> None:
        rewrite(pkg, pkg)


def rewrite(parent: Any, package: Any) -> None:
    """Rewrite the docstrings of ``parent`` and of all that it holds, and show nothing twice."""
    if parent.docstring is not None:
        parent.docstring.value = ROLE.sub(lambda role: linked(role, parent, package), parent.docstring.value)
    aliases = {name for name, member in parent.members.items() if member.is_alias}
    if parent.is_module and parent.exports is not None:
        # A room re-exports what its modules define: one page shows it once.
        parent.exports = [name for name in parent.exports if name not in aliases]
    for name, member in parent.members.items():
        if name not in aliases:
            rewrite(member, package)


def linked(role: re.Match[str], owner: Any, package: Any) -> str:
    """The link to what a role in the docstring of ``owner`` names, or its bare name where that is private."""
    title, name = role[1], role[2]
    shown = title or f"`{name.lstrip('.').rpartition('latent_tracer.')[2].rpartition('.')[2] or name}`"
    target = target_of(name, owner, package)
    return (
        shown if target is None or any(part.startswith("_") for part in target.split(".")) else f"[{shown}][{target}]"
    )


def target_of(name: str, owner: Any, package: Any) -> str | None:
    """The full path of ``name``, seen from ``owner``; ``None`` where no page shows such an object."""
    module = owner if owner.is_module else owner.module
    if name.startswith("."):
        depth = len(name) - len(name.lstrip("."))
        climbed = module if module.is_init_module else module.parent
        for _ in range(depth - 1):
            climbed = climbed.parent
        path = f"{climbed.path}.{name.lstrip('.')}"
    elif name.startswith(f"{package.name}."):
        path = name
    else:
        first, _, rest = name.partition(".")
        try:
            path = ".".join(filter(None, [owner.resolve(first), rest]))
        except NameResolutionError:
            return None
    try:
        found = package[path.partition(".")[2]]
    except KeyError:
        return None
    return found.canonical_path if found.has_docstring else None
