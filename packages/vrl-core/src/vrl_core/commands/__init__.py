"""The commands of `vrl`, one module each, imported only when used.

Each module defines `main(arguments, registry) -> int`: `arguments` are the words after the
command's name (`--plugin` and `--traceback` already taken out), `registry` holds the plugins,
and the answer is the exit status. A `VRLError` is printed by `cli.main`, which exits with 1.
Modules import nothing heavy at the top, so that `vrl <command> --help` is quick.
"""
