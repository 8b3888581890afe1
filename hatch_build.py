"""Ship the Julia package inside the wheel, but not in an editable installation, where the checkout's own is used."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE, TARGET = "julia/NeuralProposer", "pysr_neural/_julia/NeuralProposer"
PARTS = ("Project.toml", "src")


class JuliaPackage(BuildHookInterface):
    """Adds the Julia sources to the files of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run before the wheel is built; ``version`` is ``"standard"`` or ``"editable"``."""
        if version != "editable":
            build_data["force_include"] |= {f"{SOURCE}/{part}": f"{TARGET}/{part}" for part in PARTS}
