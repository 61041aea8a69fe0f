"""What is read off a compiled program: from small texts, since nothing here needs the compiler."""

from __future__ import annotations

import pytest

from benchmarks import gpu_program
from benchmarks.gpu_program import as_text_proto
from benchmarks.launches import Launches, instructions, launches, registers_and_spills, size_of

PROGRAM = """\
HloModule jit_f, is_scheduled=true

%fused_add (p.1: f32[8]) -> f32[8] {
  %p.1 = f32[8]{0} parameter(0)
  ROOT %a = f32[8]{0} add(%p.1, %p.1)
}

%body (c: (s32[], f32[8])) -> (s32[], f32[8]) {
  %c = (s32[], f32[8]{0}) parameter(0)
  %x = f32[8]{0} get-tuple-element(%c), index=1
  %i = s32[] get-tuple-element(%c), index=0
  %y = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused_add
  %copy.1 = f32[8]{0} copy(%y)
  ROOT %t = (s32[], f32[8]{0}) tuple(%i, %copy.1)
}

%condition (c.1: (s32[], f32[8])) -> pred[] {
  %c.1 = (s32[], f32[8]{0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%c.1), index=0
  ROOT %less = pred[] fusion(%i.1), kind=kLoop, calls=%fused_less
}

ENTRY %main (z: f32[8]) -> f32[8] {
  %z = f32[8]{0} parameter(0)
  %zero = s32[] constant(0)
  %in = (s32[], f32[8]{0}) tuple(%zero, %z)
  %w = (s32[], f32[8]{0}) while(%in), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %g = f32[8]{0} get-tuple-element(%w), index=1
  ROOT %k = f32[8]{0} custom-call(%g), custom_call_target="__gpu$xla.gpu.triton"
}
"""
PTX = """
.visible .entry fused_advance(
	fma.rn.f64 	%rd1, %rd2, %rd3, %rd4;
	fma.rn.f32 %r1, %r2, %r3, %r4;
	mul.rn.f64 	%rd5, %rd1, %rd1;
	mul.lo.s32 	%r5, %r5, 63;
	add.rn.f32 	%r6, %r6, %r6;
"""
TOLD = """\
ptxas info    : Compiling entry function 'a' for 'sm_90a'
    24 bytes stack frame, 16 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers
"""


def test_launches_are_counted_as_often_as_a_loop_turns() -> None:
    # In a turn: condition (1 + 4 bytes), fusion (64), copy (64); after the loop one call (64).
    assert launches(PROGRAM) == Launches(kernels=11, copies=5, size=5 * (5 + 64 + 64) + 64)


def test_a_loop_of_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="the turns of `w` are unknown"):
        launches(PROGRAM.replace("known_trip_count", "other"))


def test_sizes_registers_and_instructions() -> None:
    assert size_of("(f64[2,3]{1,0}, pred[4], s32[], /*index=5*/bf16[2])") == 48 + 4 + 4 + 4
    assert registers_and_spills(TOLD) == (255, 16)
    assert [instructions(PTX, name) for name in ("fma", "mul", "add")] == [2, 1, 1]
    assert as_text_proto({"a": {"b": 1, "c": "x"}, "d": 1.98}) == 'a { b: 1 c: "x" } d: 1.98'


def test_without_ptxas_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_program"])
    monkeypatch.setattr(gpu_program.shutil, "which", lambda name: None)
    assert gpu_program.main() == 2
    assert capsys.readouterr().err.strip().endswith("got none")
