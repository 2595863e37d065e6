"""A tree like /sys with power meters, for machines that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class PowerTree:
    """Writes the files of ACPI power meters and RAPL zones under a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hwmon = root / "class" / "hwmon"
        self._powercap = root / "class" / "powercap"

    def acpi(
        self,
        number: int,
        label: str,
        watts: float | None,
        *,
        milliseconds: int | None = 1000,
        hop: str = "device",
        driver: str = "power_meter",
    ) -> Path:
        """Add or change one ACPI meter; without watts it answers nothing, like one whose firmware fails."""
        folder = self._hwmon / f"hwmon{number}"
        place = folder / hop if hop else folder
        place.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{driver}\n")
        (place / "power1_oem_info").write_text(f"{label}\n")
        (place / "power1_average").write_text("" if watts is None else f"{round(watts * 1e6)}\n")
        if milliseconds is not None:
            (place / "power1_average_interval").write_text(f"{milliseconds}\n")
        return place

    def grace(self, *, watts: float = 0.0, **more: object) -> None:
        """Add the meters of a tray with two Grace sockets, four rails each."""
        for socket in (0, 1):
            for rail, (name, power) in enumerate(
                (("Module", 490.0), ("Grace", 104.0), ("CPU", 53.0), ("SysIO", 6.25))
            ):
                self.acpi(socket * 4 + rail, f"{name} Power Socket {socket}", power + watts, **more)  # type: ignore[arg-type]  # of acpi

    def rapl(self, zone: str, name: str, joules: float, range_joules: float = 262_143.328850) -> Path:
        """Add or change one RAPL zone: `0` is a package, `0:1` a part of it."""
        folder = self._powercap / f"intel-rapl:{zone}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{round(joules * 1e6)}\n")
        (folder / "max_energy_range_uj").write_text(f"{round(range_joules * 1e6)}\n")
        return folder / "energy_uj"
