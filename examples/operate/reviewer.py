"""The agent `reviewer`: a small review of one text file, as a process that speaks JSON lines.

Protocol: see sutazai_core::agent::connect::process. Nothing but the standard library. It reads the
file itself; of a file it looks at the first 512 KiB.

For every file: lines over 120 characters, trailing white space, tabs mixed with spaces in
indentation, conflict markers, no newline at the end. For Python, from its syntax tree: syntax
errors, bare `except`, mutable default arguments, `== None`, `print` in a function of a module that
is no script, `eval` and `exec`, unused imports.
"""

import ast
import gc
import json
import re
import sys
import warnings

MOST_BYTES = 512 << 10
MOST_FINDINGS = 20
# Machine-made or data: style does not apply.
NO_STYLE = re.compile(r"(\.lock|\.min\.\w+|\.svg|\.csv|\.tsv|\.jsonl?|\.md|\.txt|\.html?|\.xml|\.pem)$")
LONG_LINE = re.compile(r"^.{121,}$", re.MULTILINE)
TRAILING = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)
MIXED = re.compile(r"^ +\t", re.MULTILINE)
# A line of `=` alone underlines a title as often as not.
CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)


def review(path):
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    cut = len(data) > MOST_BYTES
    text = data[:MOST_BYTES].decode("utf-8-sig", "replace").replace("\r\n", "\n")
    findings = []

    def all_of(pattern, rule, message):
        # Positions come in order, so lines are counted once through the text.
        line, at = 1, 0
        for match in pattern.finditer(text):
            line += text.count("\n", at, match.start())
            at = match.start()
            findings.append((line, rule, message))

    # Most files have none of these, and looking for text is far quicker than for a pattern.
    if "<<<<<<< " in text and len(set(CONFLICT.findall(text))) == 2:
        all_of(CONFLICT, "conflict-marker", "a merge conflict that was not resolved")
    if not NO_STYLE.search(path):
        all_of(LONG_LINE, "long-line", "longer than 120 characters")
        if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
            all_of(TRAILING, "trailing-space", "white space at the end of the line")
        if " \t" in text:
            all_of(MIXED, "mixed-indent", "a tab after spaces in the indentation")
        if text and not cut and not text.endswith("\n"):
            findings.append((text.count("\n") + 1, "no-final-newline", "no newline at the end"))
    if path.endswith(".py") and not cut:
        findings.extend(review_python(text, path))
    findings.sort()
    counts = {}
    for _, rule, _ in findings:
        counts[rule] = counts.get(rule, 0) + 1
    return {
        "counts": counts,
        "findings": [
            {"line": line, "rule": rule, "message": message}
            for line, rule, message in findings[:MOST_FINDINGS]
        ],
    }


def review_python(text, path):
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        yield line, "syntax-error", str(getattr(error, "msg", error))
        return
    script = any(
        isinstance(node, ast.If) and "__main__" in ast.dump(node.test) for node in tree.body
    )
    imported, used = {}, set()
    # Each node with the function that it stands in. Most of a tree are names and constants.
    open_nodes = [(tree, None)]
    while open_nodes:
        node, within = open_nodes.pop()
        kind = type(node)
        if kind is ast.Name:
            used.add(node.id)
            continue
        if kind in FUNCTIONS:
            for default in node.args.defaults + node.args.kw_defaults:
                if isinstance(default, (ast.List, ast.Dict, ast.Set)):
                    message = f"a default of {node.name}() that all its calls share"
                    yield default.lineno, "mutable-default", message
            within = node.name
        elif kind is ast.Call:
            called = node.func.id if type(node.func) is ast.Name else None
            if called == "print" and within and not script and not node.keywords:
                yield node.lineno, "print", f"print in {within}()"
            elif called in ("eval", "exec"):
                yield node.lineno, "eval", f"{called} runs whatever text it is given"
        elif kind is ast.Compare:
            right = node.comparators[0]
            if isinstance(node.ops[0], (ast.Eq, ast.NotEq)) and is_none(right):
                yield node.lineno, "equals-none", "compares with None by value: use `is`"
        elif kind is ast.ExceptHandler:
            if node.type is None:
                yield node.lineno, "bare-except", "catches everything, KeyboardInterrupt too"
        elif kind is ast.Import or kind is ast.ImportFrom:
            if getattr(node, "module", "") != "__future__":
                for alias in node.names:
                    name = alias.asname or alias.name.split(".")[0]
                    imported.setdefault(name, node.lineno)
            continue
        for field in BELOW[kind]:
            value = getattr(node, field, None)
            if type(value) is list:
                for one in value:
                    if type(one) in BELOW:
                        open_nodes.append((one, within))
            elif type(value) in BELOW:
                open_nodes.append((value, within))
    # A package's face imports for others; names in __all__ and annotations may be text.
    if not path.endswith("__init__.py"):
        for name, line in imported.items():
            if name not in used and name != "*" and not re.search(rf"[\"'].*\b{re.escape(name)}\b", text):
                yield line, "unused-import", f"{name} is imported and not used"


def is_none(node):
    return isinstance(node, ast.Constant) and node.value is None


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# The fields to look into, of each kind of node that is worth a look.
BELOW = {
    kind: [field for field in kind._fields if field not in ("ctx", "op", "ops")]
    for kind in vars(ast).values()
    if isinstance(kind, type)
    and issubclass(kind, ast.AST)
    and not issubclass(kind, (ast.Constant, ast.expr_context, ast.operator, ast.cmpop))
}


def say(**message):
    sys.stdout.write(json.dumps({"v": 1, **message}) + "\n")
    sys.stdout.flush()


def main():
    # What the reviewed code warns about is not this agent's news.
    warnings.simplefilter("ignore")
    # Syntax trees hold no cycles, and looking for some in them takes a fifth of the time to make
    # them; what little there is otherwise can wait.
    gc.set_threshold(1_000_000)
    say(type="ready")
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "stop":
            break
        # One task at a time: a cancelled one has its answer, or gets it in a moment.
        if message["type"] != "task":
            continue
        try:
            say(type="result", id=message["id"], output=review(message["input"]["path"]))
        except OSError as error:
            say(type="error", id=message["id"], message=str(error), **{"class": "transient"})


if __name__ == "__main__":
    main()
