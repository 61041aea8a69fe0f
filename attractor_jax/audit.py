"""What is there of a run, and can it be believed? Every part of the plan looked at, to the last byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attractor_jax.parts import Belief, TableError, odd_ones
from attractor_jax.plan import Part, Plan
from attractor_jax.store import CELLS, believe, folders, path_of, read_plan, strangers


@dataclass(frozen=True)
class Condition:
    """The condition of a run directory.

    Attributes:
        plan: planned again from the run's manifest.
        done: indices of parts that are whole.
        missing: indices of parts that are not there, or lack one of their tables or their networks.
        damaged: by the index of the part, one line that says what is wrong with it.
        strangers: files among the parts that belong to no part of the plan.
        seconds: that the parts that are there took, each on its own devices, all told.
    """

    run: Path
    plan: Plan
    done: tuple[int, ...]
    missing: tuple[int, ...]
    damaged: dict[int, str]
    strangers: tuple[Path, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """All there, nothing damaged, nothing strange."""
        return len(self.done) == self.plan.n_parts and not self.strangers

    @property
    def cells_done(self) -> int:
        return sum(part.n_cells for part in self._parts(self.done))

    @property
    def seconds_left(self) -> float | None:
        """For one process like those that made the parts that are there; None if there are none."""
        cost = sum(part.cost for part in self._parts(self.done))
        if not cost:
            return None
        left = sum(part.cost for part in self._parts((*self.missing, *self.damaged)))
        return self.seconds * left / cost

    def summary(self) -> str:
        """The parts in one line."""
        counted = [(len(self.missing), "missing"), (len(self.damaged), "damaged"), (len(self.strangers), "strange")]
        rest = "".join(f", {n} {what}" for n, what in counted if n)
        return f"{self.run}: {len(self.done)} of {self.plan.n_parts} parts are there{rest}"

    def _parts(self, indices: tuple[int, ...]) -> list[Part]:
        wanted = set(indices)
        return [part for part in self.plan.parts() if part.index in wanted]


def examine(run: Path) -> Condition:
    """The condition of a run directory. Nothing is written.

    Raises:
        TableError: it is none, its manifest is damaged, or another version of this program planned it.
    """
    plan = read_plan(run)
    missing: list[int] = []
    damaged: dict[int, str] = {}
    beliefs: dict[str, dict[Path, Belief]] = {table: {} for table in folders(plan)}
    for part in plan.parts():
        try:
            found = {table: believe(run, plan, part, table) for table in beliefs}
        except FileNotFoundError:
            missing.append(part.index)
        except (TableError, OSError) as fault:
            damaged[part.index] = str(fault)
        else:
            for table, belief in found.items():
                beliefs[table][path_of(run, part, table)] = belief
    for there in beliefs.values():
        damaged |= {there[path].about["part"]: fault for path, fault in odd_ones(there).items()}
    abouts = [belief.about for belief in beliefs[CELLS].values() if belief.about["part"] not in damaged]
    done = tuple(about["part"] for about in abouts)
    seconds = sum(float(about.get("seconds", 0.0)) for about in abouts)
    return Condition(run, plan, done, tuple(missing), damaged, tuple(strangers(run, plan)), seconds)
