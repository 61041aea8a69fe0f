"""What does a compiled GPU program launch, and what does each kernel need? From the texts of XLA, Triton and ptxas."""

from __future__ import annotations

import math
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

# Instructions of an optimised program that launch nothing.
SILENT = {
    "after-all", "bitcast", "constant", "get-tuple-element", "parameter", "partition-id", "replica-id", "tuple",
}  # fmt: skip
BITS = {"pred": 8, "bf16": 16}


@dataclass(frozen=True)
class Instruction:
    """One line of an optimised HLO program."""

    name: str
    opcode: str
    size: float  # bytes of the result
    operands: tuple[str, ...]
    called: tuple[str, ...]
    turns: int | None  # of a loop, where they are known


@dataclass(frozen=True)
class Launches:
    """What a program starts on the device, each loop as often as it turns."""

    kernels: float = 0.0
    copies: float = 0.0
    size: float = 0.0  # bytes of their operands and results

    def __add__(self, other: Launches) -> Launches:
        return Launches(self.kernels + other.kernels, self.copies + other.copies, self.size + other.size)

    def times(self, n: int) -> Launches:
        return Launches(n * self.kernels, n * self.copies, n * self.size)


def launches(program: str) -> Launches:
    """What an optimised HLO program launches, from its text."""
    computations, entry = read_program(program)

    def of(name: str) -> Launches:
        body = {instruction.name: instruction for instruction in computations[name]}
        return sum((one(instruction, body) for instruction in body.values()), start=Launches())

    def one(instruction: Instruction, body: Mapping[str, Instruction]) -> Launches:
        if instruction.opcode == "while":
            if instruction.turns is None:
                raise ValueError(f"the turns of `{instruction.name}` are unknown")
            return sum((of(name) for name in instruction.called), start=Launches()).times(instruction.turns)
        if instruction.opcode == "conditional":
            return max((of(name) for name in instruction.called), key=lambda found: found.kernels + found.copies)
        if instruction.opcode == "call":
            return of(instruction.called[0])
        if instruction.opcode in SILENT or instruction.opcode.endswith("-done"):
            return Launches()
        size = instruction.size + sum(body[operand].size for operand in instruction.operands if operand in body)
        if instruction.opcode in ("copy", "copy-start"):
            return Launches(copies=1.0, size=size)
        return Launches(kernels=1.0, size=size)

    return of(entry)


def read_program(program: str) -> tuple[dict[str, list[Instruction]], str]:
    """The computations of an optimised HLO program by name, and the name of the one that is run."""
    computations: dict[str, list[Instruction]] = {}
    entry = name = ""
    for line in program.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            name = head[2]
            computations[name] = []
            entry = name if head[1] else entry
        elif name and (instruction := _read(line)) is not None:
            computations[name].append(instruction)
    return computations, entry


def _read(line: str) -> Instruction | None:
    match = re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(([^)]*)\)(.*)$", line)
    if match is None:
        return None
    name, shape, opcode, operands, rest = match.groups()
    called = re.findall(r"(?:body|condition|to_apply|true_computation|false_computation)=%?([\w.\-]+)", rest)
    if branches := re.search(r"branch_computations=\{([^}]*)\}", rest):
        called += [branch.strip().lstrip("%") for branch in branches[1].split(",")]
    turns = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', rest)
    return Instruction(
        name,
        opcode,
        size_of(shape),
        tuple(re.findall(r"%([\w.\-]+)", operands)),
        tuple(called),
        int(turns[1]) if turns else None,
    )


def size_of(shape: str) -> float:
    """Bytes of an array or a tuple, as HLO writes its shape."""
    size = 0.0
    for kind, dimensions in re.findall(r"(pred|bf16|[sufc]\d+)\[([\d,]*)\]", shape):
        bits = BITS.get(kind) or int(kind[1:])
        size += bits / 8 * math.prod(int(n) for n in dimensions.split(",") if n)
    return size


def ptxas(kernel: str) -> tuple[int, int]:
    """Registers a thread and bytes spilled, the most of any kernel in a PTX text."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(kernel)
        file.flush()
        command = ["ptxas", "-v", "-arch=sm_90a", file.name, "-o", os.devnull]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    return registers_and_spills(done.stderr)


def registers_and_spills(told: str) -> tuple[int, int]:
    """The largest of both in what `ptxas -v` says."""
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", told)]
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill stores", told)]
    return max(registers, default=0), max(spills, default=0)


def instructions(kernel: str, name: str) -> int:
    """How many floating-point instructions of a name a PTX text has."""
    return len(re.findall(rf"\b{name}(?:\.rn)?\.f(?:32|64)\b", kernel))
