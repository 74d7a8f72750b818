"""
Make a shell complete the words of C{socksgw}: C{socksgw completion SHELL}.

What is printed is a script of that shell, which does not start the program.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from socksgw.console.words import Command, Option, Value

__all__ = ["SHELLS", "completionCommand", "completionMain"]

_BASH: Final = """\
# Completion of socksgw for bash, made by: socksgw completion bash
_socksgw_files() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
}
_socksgw() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local path= each words=
    COMPREPLY=()
    for each in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
        case "$path/$each" in
            %(paths)s) path=$path/$each ;;
        esac
    done
    case $path in
%(commands)s
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _socksgw socksgw
"""
_FISH: Final = """\
# Completion of socksgw for fish, made by: socksgw completion fish
function __socksgw_at
    set -l path
    for each in (commandline -opc)[2..]
        switch "$path/$each"
            case %(paths)s
                set path "$path/$each"
        end
    end
    test "$path" = "$argv[1]"
end
complete -c socksgw -f
%(commands)s
"""
_ZSH: Final = """\
#compdef socksgw
# Completion of socksgw for zsh, made by: socksgw completion zsh
%(commands)s
if [ "$funcstack[1]" = _socksgw ]; then
    _socksgw "$@"
else
    compdef _socksgw socksgw
fi
"""


def _path(command: Command) -> str:
    return "".join(f"/{each}" for each in command.words)


def _paths(commands: Sequence[Command], between: str) -> str:
    return between.join(_path(each) for each in commands if each.words)


def _inBash(command: Command) -> str:
    after = {
        name: option.value
        for option in command.options
        if option.value is not None
        for name in option.names
    }
    lines = [f"    {_path(command) or chr(39) * 2})", "        case $before in"]
    for kind, then in (
        (lambda value: value.file, "_socksgw_files; return"),
        (lambda value: not value.file and not value.choices, "return"),
    ):
        names = "|".join(name for name, value in after.items() if kind(value))
        if names:
            lines.append(f"        {names}) {then} ;;")
    for name, value in after.items():
        if value.choices:
            lines.append(f'        {name}) words="{" ".join(value.choices)}" ;;')
    options = " ".join(name for option in command.options for name in option.names)
    others = [
        *command.below,
        *(word for each in command.values for word in each.choices),
    ]
    files = any(each.file for each in command.values)
    lines += ["        *)", f'            words="{" ".join(others) or options}"']
    if others or files:
        lines.append(f'            [[ $word != -* ]] || words="{options}"')
    if files:
        lines.append("            [[ $word == -* ]] || { _socksgw_files; return; }")
    return "\n".join([*lines, "        esac ;;"])


def bash(commands: Sequence[Command]) -> str:
    """Return the script for bash, by C{complete -F}."""
    return _BASH % {
        "paths": _paths(commands, "|"),
        "commands": "\n".join(map(_inBash, commands)),
    }


def _inFish(command: Command) -> Iterator[str]:
    begin = (
        f"complete -c socksgw -n {_fished(f'__socksgw_at {_path(command) or _EMPTY}')}"
    )
    for name, about in command.below.items():
        yield f"{begin} -a {name} -d {_fished(about)}"
    for option in command.options:
        names = " ".join(
            f"-l {each[2:]}" if each.startswith("--") else f"-s {each[1:]}"
            for each in option.names
        )
        value = option.value
        follows = "" if value is None else f" {_follows(value, '-r -F', '-x')}"
        yield f"{begin} {names}{follows} -d {_fished(option.about)}"
    for value in command.values:
        if value.file or value.choices:
            yield f"{begin} {_follows(value, '-F', '')}"


#: An argument of fish that is empty.
_EMPTY: Final = '""'


def _follows(value: Value, file: str, other: str) -> str:
    if value.file:
        return file
    choices = f"-a {_fished(' '.join(value.choices))}" if value.choices else ""
    return f"{other} {choices}".strip()


def _fished(text: str) -> str:
    """Quote a text for fish, where a backslash counts within quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def fish(commands: Sequence[Command]) -> str:
    """Return the script for fish, by C{complete}."""
    return _FISH % {
        "paths": _paths(commands, " "),
        "commands": "\n".join(line for each in commands for line in _inFish(each)),
    }


def _escaped(text: str, *marks: str) -> str:
    """Put a backslash before what C{_arguments} and C{_describe} take as theirs."""
    for mark in ("\\", *marks):
        text = text.replace(mark, f"\\{mark}")
    return text


def _action(value: Value) -> str:
    """Return the message and the action of C{_arguments} for what follows."""
    name = _escaped(value.name, ":")
    if value.choices:
        return f"{name}:({' '.join(value.choices)})"
    return f"{name}:{'_files' if value.file else ''}"


def _zshOption(option: Option) -> Iterator[str]:
    about = _escaped(option.about, "[", "]", ":")
    before = "*" if option.again else f"({' '.join(option.names)})"
    for name in option.names:
        value = option.value
        follows = "" if value is None else f":{_action(value)}"
        equals = "=" if value is not None and name.startswith("--") else ""
        yield shlex.quote(f"{before}{name}{equals}[{about}]{follows}")


def _inZsh(command: Command) -> str:
    name = "_".join(("_socksgw", *command.words))
    given = [word for option in command.options for word in _zshOption(option)]
    given += [
        shlex.quote(f"{'*' if value.many else ''}:{_action(value)}")
        for value in command.values
    ]
    if not command.below:
        return _function(name, "_arguments", given)
    given += ["'1: :->command'", "'*:: :->rest'"]
    below = " ".join(
        shlex.quote(f"{_escaped(word, ':')}:{about}")
        for word, about in command.below.items()
    )
    return (
        _function(name, "local state line\n    _arguments -C", given)[:-2]
        + f"    case $state in\n    command)\n        local -a below=({below})\n"
        "        _describe -t commands command below ;;\n"
        f"    rest)\n        (( $+functions[{name}_$line[1]] )) && "
        f"{name}_$line[1] ;;\n    esac\n}}\n"
    )


def _function(name: str, call: str, given: Sequence[str]) -> str:
    return f"{name}() {{\n    " + " \\\n        ".join([call, *given]) + "\n}\n"


def zsh(commands: Sequence[Command]) -> str:
    """Return the script for zsh: the function that C{compinit} finds in a file."""
    return _ZSH % {"commands": "\n".join(map(_inZsh, reversed(commands)))}


#: What writes the script, by the name of the shell.
SHELLS: Final[Mapping[str, Callable[[Sequence[Command]], str]]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}


def completionCommand(commands: Any) -> None:
    """
    Add C{completion}.

    @param commands: what C{add_subparsers} returned.
    """
    completion = commands.add_parser(
        "completion",
        help="print what makes a shell complete this command's words",
        description="Print a script for a shell, which completes commands, options and "
        "their values. The Debian package has installed it; elsewhere: "
        "socksgw completion bash > ~/.local/share/bash-completion/completions/socksgw; "
        "socksgw completion zsh > DIRECTORY/_socksgw, of a DIRECTORY of $fpath; "
        "socksgw completion fish > ~/.config/fish/completions/socksgw.fish.",
    )
    completion.add_argument("shell", choices=[*SHELLS], help="for which one")
    completion.set_defaults(run="completion")


def completionMain(shell: str, commands: Sequence[Command], out: TextIO) -> int:
    """
    Print the script of a shell.

    @param shell: one of L{SHELLS}.
    @param commands: what may be completed.
    @return: the exit status.
    """
    out.write(SHELLS[shell](commands))
    return 0
